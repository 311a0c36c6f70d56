"""What every channel does."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from swarm.core.message import InboundMessage, OutboundMessage

Hear: TypeAlias = Callable[[InboundMessage], Awaitable[None]]
"""Store a message and what follows from it; when it returns, the vendor may be told `received`."""


class Channel(Protocol):
    """One place where people talk to the company."""

    name: str

    async def run(self, hear: Hear) -> None:
        """Listen until cancelled; acknowledge an update only after `hear` has returned."""

    async def send(self, message: OutboundMessage) -> str:
        """Send one message and return the platform's id of it.

        Raises:
            Transient: Surely not sent; try again after `retry_after_s`.
            Exception: Any other error means that nobody knows whether it was sent.
        """
