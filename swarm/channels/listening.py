"""What the channels of all platforms do alike: listen alone, begin anew, say how they fare, cut."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from swarm.channels.base import Station
from swarm.channels.runs import Part
from swarm.core.message import OutboundMessage

log = structlog.get_logger("swarm.channels")


class Listener:
    """The outermost loop of a channel, and what it tells its station."""

    def __init__(self, name: str, *, account: Callable[[], str], station: Station) -> None:
        """Take whom to speak for.

        Args:
            name: The channel.
            account: Returns the platform's id of what it listens to; empty before that is known.
            station: Where leases are held and the channel's state is written down.
        """
        self._name = name
        self._account = account
        self._station = station
        self._state: tuple[bool, str] | None = None
        self._lease = ""

    async def run(
        self,
        listen: Callable[[], Awaitable[None]],
        *,
        reason: Callable[[Exception], str],
        wait_s: Callable[[Exception], float],
    ) -> None:
        """Listen until cancelled; whatever the network does, it goes on. A lease is let go at the end.

        Args:
            listen: Listens once, for as long as it goes well.
            reason: Says why it did not, with no secret in it.
            wait_s: How long to wait then, in seconds.
        """
        try:
            while True:
                try:
                    await listen()
                except Exception as error:  # noqa: BLE001  # the outermost loop of a channel
                    why = reason(error)
                    log.warning("a channel begins anew", channel=self._name, reason=why)
                    await self.note(False, why)
                    await asyncio.sleep(wait_s(error))
        finally:
            with suppress(Exception):
                if self._lease:
                    await self._station.release(self._lease)

    async def hold(self, lease: str, *, seconds: float) -> bool:
        """Hold the lease of the account for so long; False where another listener has it."""
        self._lease = lease
        return await self._station.hold(lease, seconds=seconds)

    async def note(self, is_well: bool, detail: str) -> None:
        """Write down how the channel fares, where that has changed."""
        if self._state != (is_well, detail):
            self._state = (is_well, detail)
            with suppress(Exception):
                await self._station.note(
                    self._name, self._account(), is_well=is_well, detail=detail
                )


def laid_out(
    message: OutboundMessage, texts: Sequence[Part], *, is_edited: bool
) -> list[OutboundMessage]:
    """Return the single messages that one is sent as: its texts, then its files.

    Args:
        message: What is to be sent.
        texts: Its text as the platform takes it, cut; never none.
        is_edited: Whether the platform edits messages. One with a slot is then one message: who
            writes it keeps it short.
    """
    whole = replace(message, files=(), buttons=())
    found = [replace(whole, text=part.plain, markup=part.marked) for part in texts]
    if is_edited and message.slot is not None:
        found = found[:1]
    # Under the end, where the thumb is.
    found[-1] = replace(found[-1], buttons=message.buttons)
    found += [
        replace(whole, text=Path(path).name, files=(path,), is_silent=True, ask_id=None)
        for path in message.files
    ]
    return found
