"""The channels there are, by name."""

from swarm.core.registry import Registry

CHANNELS = Registry(
    "channel",
    {
        "console": "swarm.channels.console:ConsoleChannel",
        "fake": "swarm.channels.fake:FakeChannel",
        "slack": "swarm.channels.slack.channel:SlackChannel",
        "telegram": "swarm.channels.telegram.channel:TelegramChannel",
        "whatsapp": "swarm.channels.whatsapp.channel:WhatsAppChannel",
    },
)
