"""A platform's channel under a name of its own, on which the company's customers write.

The name is the boundary: people, buttons, messages and orders are all kept by the channel's name,
so whoever is founder on `telegram` is a customer like all others on `telegram_customers`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from swarm.channels.base import Channel, Hear, Postbox
from swarm.core.message import InboundFile, InboundMessage, OutboundMessage, Signal
from swarm.core.origin import Origin

SUFFIX = "_customers"
"""How the name of every channel ends on which customers write; no other channel's does."""


def bound_name(platform: str) -> str:
    """Return the name under which a platform's channel serves customers."""
    return f"{platform}{SUFFIX}"


def is_for_customers(channel: str) -> bool:
    """Return whether everybody on a channel is a customer, whoever they are elsewhere."""
    return channel.endswith(SUFFIX)


def customer_id(channel: str, sender_id: str) -> str:
    """Return the id under which a customer's data is kept; no two people share one."""
    return f"{channel}:{sender_id}"


class BoundChannel:
    """Speak for a platform's channel under another name; all that is heard is a customer's."""

    def __init__(self, inner: Channel, name: str) -> None:
        """Take the channel of the platform; `name` ends in `SUFFIX`."""
        assert is_for_customers(name), "the name is what keeps customers apart"
        self.inner = inner
        self.name = name
        self.capabilities = inner.capabilities

    async def run(self, hear: Hear) -> None:
        """Listen until cancelled; see `Channel.run`."""

        async def as_customer(message: InboundMessage) -> None:
            await hear(
                replace(
                    message,
                    channel=self.name,
                    origin=Origin.CUSTOMER,
                    customer=customer_id(self.name, message.sender_id),
                )
            )

        await self.inner.run(as_customer)

    def parts(self, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Cut a message as the platform needs it."""
        return self.inner.parts(message)

    async def send(self, message: OutboundMessage) -> str:
        """Send one part; see `Channel.send`."""
        return await self.inner.send(message)

    async def signal(self, signal: Signal) -> None:
        """Give a hint."""
        await self.inner.signal(signal)

    async def fetch(self, file: InboundFile, *, most: int) -> bytes:
        """Return the bytes of a file; see `Channel.fetch`."""
        return await self.inner.fetch(file, most=most)

    async def close(self) -> None:
        """Let go of connections."""
        await self.inner.close()


class BoundStation:
    """A station in which a platform's channel is known by the name that it is bound to."""

    def __init__(self, station: Postbox, name: str) -> None:
        self._station = station
        self._name = name

    async def hold(self, name: str, *, seconds: float) -> bool:
        """Hold a lease; leases are named by account, of which each has one."""
        return await self._station.hold(name, seconds=seconds)

    async def release(self, name: str) -> None:
        """Let a lease go."""
        await self._station.release(name)

    async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
        """Write down how the channel fares."""
        await self._station.note(self._name, account, is_well=is_well, detail=detail)

    async def last_heard(self, channel: str, chat_id: str) -> datetime | None:
        """Return when somebody last wrote in a chat."""
        return await self._station.last_heard(self._name, chat_id)

    async def undelivered(self, channel: str, message_id: str, *, why: str, is_late: bool) -> None:
        """Write down that a message did not arrive."""
        await self._station.undelivered(self._name, message_id, why=why, is_late=is_late)
