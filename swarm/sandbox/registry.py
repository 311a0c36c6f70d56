"""The sandboxes there are, by name."""

from swarm.core.registry import Registry

SANDBOXES = Registry(
    "sandbox",
    {
        "bubblewrap": "swarm.sandbox.bubblewrap:BubblewrapSandbox",
        "fake": "swarm.sandbox.fake:FakeSandbox",
    },
)
