"""What the tests of WhatsApp share: settings, an ear, and a channel that listens."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from swarm.channels.whatsapp.channel import WhatsAppChannel
from swarm.channels.whatsapp.config import WhatsAppConfig
from swarm.core.message import InboundMessage, OutboundKind, OutboundMessage
from tests.servers.whatsapp import Person, WhatsAppServer


class Ear:
    """Remember what is heard; fails as often as it is told to."""

    def __init__(self) -> None:
        self.heard: list[InboundMessage] = []
        self.came = asyncio.Condition()
        self.failures = 0

    async def __call__(self, message: InboundMessage) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is gone")
        async with self.came:
            self.heard.append(message)
            self.came.notify_all()

    async def until(self, count: int) -> list[InboundMessage]:
        """Wait until so much was heard."""
        async with asyncio.timeout(15), self.came:
            await self.came.wait_for(lambda: len(self.heard) >= count)
        return self.heard


class Books:
    """A station that remembers who wrote and what it was told."""

    def __init__(self, leases: "dict[str, Books] | None" = None) -> None:
        """Take the leases that other processes hold too."""
        self.heard_at: datetime | None = None
        self.notes: list[tuple[bool, str]] = []
        self.lost: list[tuple[str, bool]] = []
        self.leases = leases if leases is not None else {}

    async def hold(self, name: str, *, seconds: float) -> bool:
        """Give each lease to one, and to them again."""
        return self.leases.setdefault(name, self) is self

    async def release(self, name: str) -> None:
        """Take a lease back."""
        self.leases.pop(name, None)

    async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
        """Remember it."""
        self.notes.append((is_well, detail))

    async def last_heard(self, channel: str, chat_id: str) -> datetime | None:
        """Return what the test said."""
        return self.heard_at

    async def undelivered(self, channel: str, message_id: str, *, why: str, is_late: bool) -> None:
        """Remember it."""
        self.lost.append((message_id, is_late))


class MovingClock:
    """The machine's clock, set forward by tests."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        """Return seconds."""
        return time.monotonic() + self.ahead.total_seconds()


def config(server: WhatsAppServer, **more: Any) -> WhatsAppConfig:
    """Return the settings for a server; its door takes any free port."""
    values = {
        "token": SecretStr(server.token),
        "phone_id": server.phone_id,
        "app_secret": SecretStr(server.app_secret),
        "verify_token": SecretStr(server.verify_token),
        "base_url": server.base_url,
        "listen": "127.0.0.1:0",
    }
    return WhatsAppConfig(**(values | more))


def message(person: Person, text: str, **more: Any) -> OutboundMessage:
    """Return a message to somebody."""
    values: dict[str, Any] = {"thread_id": None, "kind": OutboundKind.ANSWER}
    return OutboundMessage("whatsapp", person.id, text=text, **(values | more))


@contextlib.asynccontextmanager
async def listening(
    channel: WhatsAppChannel, ear: Any, server: WhatsAppServer
) -> AsyncIterator[None]:
    """Let a channel take webhooks in, and tell the server where."""
    job = asyncio.create_task(channel.run(ear))
    try:
        async with asyncio.timeout(10):
            while not channel.webhook_port:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.005)
        server.webhook_url = f"http://127.0.0.1:{channel.webhook_port}/whatsapp"
        yield
    finally:
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job


async def sent(channel: WhatsAppChannel, whole: OutboundMessage) -> list[str]:
    """Send a whole message, part by part."""
    return [await channel.send(part) for part in channel.parts(whole)]
