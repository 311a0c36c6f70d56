"""The tools there are, by name."""

from swarm.core.registry import Registry

TOOLS = Registry(
    "tool",
    {
        "list_files": "swarm.tools.files:ListFiles",
        "read_file": "swarm.tools.files:ReadFile",
        "write_file": "swarm.tools.files:WriteFile",
        "delegate": "swarm.tools.delegate:Delegate",
        "ask_founder": "swarm.tools.ask:AskFounder",
        "deliver": "swarm.tools.deliver:Deliver",
    },
)
