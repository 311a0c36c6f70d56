"""The sandboxes there are, by name."""

from swarm.core.registry import Registry

SANDBOXES = Registry(
    "sandbox",
    {
        "bubblewrap": "swarm.sandbox.bubblewrap:BubblewrapSandbox",
        "landlock": "swarm.sandbox.landlock:LandlockSandbox",
        "fake": "swarm.sandbox.fake:FakeSandbox",
    },
)
