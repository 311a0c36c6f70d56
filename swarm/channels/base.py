"""What every channel does."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from swarm.core.errors import SwarmError
from swarm.core.message import InboundFile, InboundMessage, OutboundMessage, Signal

Hear: TypeAlias = Callable[[InboundMessage], Awaitable[None]]
"""Store a message and what follows from it; when it returns, the vendor may be told `received`."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a platform can do. Whoever writes for it asks here, and never for its name."""

    is_local: bool = True
    """True where whoever is at the other end is this machine's own user: nobody has to be let in."""
    has_buttons: bool = False
    has_edits: bool = False
    has_threads: bool = False
    has_topics: bool = False
    """True where an order may have a topic of a group to itself: the channel is a `TopicKeeper`."""
    has_files: bool = False
    """True where a person can send files; sending them to people is every channel's own matter."""
    has_voice: bool = False
    has_typing: bool = False
    text_units: int | None = None
    """Longest text of one message as the platform counts it; None is no limit."""
    file_bytes: int = 0
    """Largest file that can be fetched from the platform."""
    chat_pause_s: float = 0.0
    """Least time between two messages to one chat, in seconds."""
    group_pause_s: float = 0.0
    """The same for a chat of several people."""
    per_second: float | None = None
    """Most messages of one account in a second, to all chats; None is no limit."""


class SendRefused(SwarmError):
    """Say that the platform will never take this message; it was surely not sent."""


class ThreadGone(SendRefused):
    """Say that the thread or topic to write in was closed or deleted; outside of it one may write."""


class TopicKeeper(Protocol):
    """What a channel does besides, whose groups can have a topic for each order."""

    async def open_topic(self, chat_id: str, name: str) -> str:
        """Open a topic in a group and return the platform's id of it.

        Raises:
            Transient: Surely not opened; try again later.
            SendRefused: The group has no topics, or the company may not open any.
            Exception: Nobody knows whether it was opened.
        """

    async def end_topic(self, chat_id: str, thread_id: str, name: str) -> None:
        """Rename a topic and close it. Raises nothing: a topic left open harms nobody."""


class Station(Protocol):
    """What a channel asks of the company: to be the only listener, and to have its state known."""

    async def hold(self, name: str, *, seconds: float) -> bool:
        """Hold a lease for so long, anew where it is held already; False where another has it."""

    async def release(self, name: str) -> None:
        """Let a lease go, if it is ours."""

    async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
        """Write down how a channel fares."""


class Postbox(Station, Protocol):
    """What a channel asks besides, whose platform tells later what became of a message."""

    async def last_heard(self, channel: str, chat_id: str) -> datetime | None:
        """Return when somebody last wrote in a chat; None where nobody ever did."""

    async def undelivered(self, channel: str, message_id: str, *, why: str, is_late: bool) -> None:
        """Write down that a message which the platform took did not arrive.

        What it asks counts as not asked. `is_late` says that it may be sent again, once the person
        has written.
        """


class FreeStation:
    """A station where nobody else is: every lease is given, and nothing is written down."""

    async def hold(self, name: str, *, seconds: float) -> bool:
        """Give it."""
        return True

    async def release(self, name: str) -> None:
        """Forget nothing."""

    async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
        """Write nothing."""

    async def last_heard(self, channel: str, chat_id: str) -> datetime | None:
        """Return the present: who keeps no books takes everybody to have just written."""
        return datetime.now(UTC)

    async def undelivered(self, channel: str, message_id: str, *, why: str, is_late: bool) -> None:
        """Write nothing."""


class Channel(Protocol):
    """One place where people talk to the company."""

    name: str
    capabilities: Capabilities

    async def run(self, hear: Hear) -> None:
        """Listen until cancelled; acknowledge an update only after `hear` has returned."""

    def parts(self, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Cut a message into what the platform takes as single ones, in order; never none."""

    async def send(self, message: OutboundMessage) -> str:
        """Send one part, or edit what `edits` names, and return the platform's id of it.

        Raises:
            Transient: Surely not sent; try again after `retry_after_s`.
            SendRefused: Surely not sent, and never will be.
            Exception: Any other error means that nobody knows whether it was sent.
        """

    async def signal(self, signal: Signal) -> None:
        """Give a hint such as `typing`. Raises nothing: a hint that is lost is not missed."""

    async def fetch(self, file: InboundFile, *, most: int) -> bytes:
        """Return the bytes of a file that a person sent.

        Raises:
            InvalidInput: It has more than `most` bytes, or is no longer there.
            Transient: Not now.
        """

    async def close(self) -> None:
        """Let go of connections; called last, when nothing is sent any more."""
