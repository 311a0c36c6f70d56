"""What channels ask of the company while its database may be away."""

import asyncio
from datetime import datetime
from typing import TypeVar

from swarm.channels.base import Postbox
from swarm.core.clock import Clock
from swarm.core.errors import Unavailable
from swarm.runtime.shelter import ATTEMPT_S, Shelter

T = TypeVar("T")


class ShelteredStation:
    """Ask the database's station, and go on by oneself while it is away.

    Nobody else can take a lease meanwhile, since it lies where nobody gets at it. Where only this
    machine is cut off, another one may come to listen as well: then the platform itself serves one
    of the two, and what both heard is known by its update's id.
    """

    def __init__(self, station: Postbox, shelter: Shelter, *, clock: Clock) -> None:
        """Take whom to ask, and what knows whether that makes sense."""
        self._station = station
        self._shelter = shelter
        self._clock = clock
        self._noted: dict[tuple[str, str], tuple[bool, str]] = {}
        """What is to be written down once the database is back."""
        self._others: set[str] = set()
        """Leases that another process had when the database last answered."""
        self._jobs: set[asyncio.Task[None]] = set()
        shelter.on_return(self._write_down)

    async def hold(self, name: str, *, seconds: float) -> bool:
        """Hold a lease; while nobody can be asked it is held, unless it was another's before."""
        if not self._shelter.is_away:
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    is_ours = await self._station.hold(name, seconds=seconds)
            except TimeoutError:
                self._shelter.leave(Unavailable("The database did not give a lease in time."))
            else:
                (self._others.discard if is_ours else self._others.add)(name)
        return name not in self._others

    async def release(self, name: str) -> None:
        """Let a lease go; while nobody can be told, it runs out by itself."""
        if not self._shelter.is_away:
            async with asyncio.timeout(ATTEMPT_S):
                await self._station.release(name)

    async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
        """Write down how a channel fares, now or when the database is back."""
        self._noted[channel, account] = (is_well, detail)
        if not self._shelter.is_away:
            await self._note_all()

    async def _note_all(self) -> None:
        for key, (is_well, detail) in list(self._noted.items()):
            async with asyncio.timeout(ATTEMPT_S):
                await self._station.note(*key, is_well=is_well, detail=detail)
            if self._noted.get(key) == (is_well, detail):
                del self._noted[key]

    def _write_down(self) -> None:
        async def write() -> None:
            try:
                await self._note_all()
            except TimeoutError:
                return  # It is away again, and comes back again.

        job = asyncio.create_task(write())
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def last_heard(self, channel: str, chat_id: str) -> datetime | None:
        """Return when somebody last wrote in a chat; whoever is answered now has just written."""
        if self._shelter.is_away:
            return self._clock.now()
        return await self._station.last_heard(channel, chat_id)

    async def undelivered(self, channel: str, message_id: str, *, why: str, is_late: bool) -> None:
        """Write down that a message did not arrive.

        Raises:
            Unavailable: Nothing can be written now; the platform says it again.
        """
        if self._shelter.is_away:
            raise Unavailable("The database is away: what did not arrive is noted later.")
        await self._station.undelivered(channel, message_id, why=why, is_late=is_late)
