"""The channels there are, by name."""

from swarm.core.registry import Registry

CHANNELS = Registry(
    "channel",
    {
        "console": "swarm.channels.console:ConsoleChannel",
        "fake": "swarm.channels.fake:FakeChannel",
    },
)
