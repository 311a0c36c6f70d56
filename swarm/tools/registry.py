"""The tools there are, by name."""

from swarm.core.registry import Registry

TOOLS = Registry(
    "tool",
    {
        "list_files": "swarm.tools.files:ListFiles",
        "read_file": "swarm.tools.files:ReadFile",
        "write_file": "swarm.tools.files:WriteFile",
        "edit_file": "swarm.tools.edit:EditFile",
        "search_files": "swarm.tools.search:SearchFiles",
        "use_skill": "swarm.tools.use_skill:UseSkill",
        "shell": "swarm.tools.shell:Shell",
        "python": "swarm.tools.python:Python",
        "delegate": "swarm.tools.delegate:Delegate",
        "ask": "swarm.tools.colleague:AskColleague",
        "ask_founder": "swarm.tools.ask:AskFounder",
        "propose_options": "swarm.tools.propose:ProposeOptions",
        "deliver": "swarm.tools.deliver:Deliver",
        "remember": "swarm.tools.remember:Remember",
        "recall": "swarm.tools.recall:Recall",
        "web_fetch": "swarm.tools.web:WebFetch",
    },
    group="swarm.tool",
)
