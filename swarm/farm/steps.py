"""Keep the journal's order around each call: intend, look, call, note."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from swarm.farm.base import Action, Entry, EntryState, Intent, Journal, Kind, Price

_MAKING = (Action.CREATE, Action.ADOPT)


@dataclass(frozen=True, slots=True)
class Made:
    """A thing that is there."""

    id: str
    at: datetime | None = None
    """When the place made it."""
    price: Price | None = None


class Steps:
    """Make and end things of one provider so that a death at any moment leaves no double."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def create(
        self,
        intent: Intent,
        *,
        find: Callable[[], Awaitable[Made | None]],
        make: Callable[[], Awaitable[Made]],
    ) -> tuple[Made, Entry | None]:
        """Return the thing, made now where it is missing, and its open entry.

        The entry is None where the books know the thing as made; else the caller closes it once the
        thing serves.

        Raises:
            Exception: What `make` raises; where the thing is surely not there, the entry is undone.
        """
        found = await find()
        known = await self._known(intent)
        if found is not None:
            if known is not None and known.state is EntryState.DONE:
                return found, None
            return found, known or await self._journal.intend(replace(intent, action=Action.ADOPT))
        entry = await self._journal.intend(intent)
        try:
            return await make(), entry
        except Exception as error:
            if await find() is None:
                await self._journal.undone(entry, why=f"{type(error).__name__} at the call")
            raise

    async def close(self, entry: Entry | None, made: Made) -> None:
        """Note that a thing serves."""
        if entry is not None:
            await self._journal.done(entry, resource_id=made.id, at=made.at, price=made.price)

    async def ensure(
        self,
        intent: Intent,
        *,
        find: Callable[[], Awaitable[Made | None]],
        make: Callable[[], Awaitable[Made]],
    ) -> Made:
        """Return a thing that serves as soon as it is there."""
        made, entry = await self.create(intent, find=find, make=make)
        await self.close(entry, made)
        return made

    async def switch(self, intent: Intent, id: str, call: Callable[[], Awaitable[object]]) -> None:
        """Start, stop or delete a thing."""
        entry = await self._journal.intend(intent)
        await call()
        await self._journal.done(entry, resource_id=id)

    async def settle(self, provider: str, instance: str, *, generation: str | None = None) -> None:
        """Close the books of an instance of which nothing is left in the place.

        What was perhaps made and is not there was never made; what was made and is gone without our
        doing ended now at the latest.
        """
        entries = await self._journal.entries(provider=provider, instance=instance)
        mine = [e for e in entries if generation in (None, e.intent.generation)]
        for entry in mine:
            if entry.state is EntryState.INTENDED:
                if entry.intent.action is Action.DELETE:
                    await self._journal.done(entry, resource_id=entry.resource_id)
                else:
                    await self._journal.undone(entry, why="looked for, and not there")
        for entry in living(await self._journal.entries(provider=provider, instance=instance)):
            if generation in (None, entry.intent.generation):
                gone = await self._journal.intend(replace(entry.intent, action=Action.DELETE))
                await self._journal.done(gone, resource_id=entry.resource_id)

    async def _known(self, intent: Intent) -> Entry | None:
        """Return the newest entry that made the thing, open or done; None where it ended since."""
        entries = await self._journal.entries(provider=intent.provider, instance=intent.instance)
        same = [e for e in entries if key_of(e.intent) == key_of(intent)]
        newest: Entry | None = None
        for entry in same:
            if entry.intent.action in _MAKING and entry.state is not EntryState.UNDONE:
                newest = entry
            elif entry.intent.action is Action.DELETE and entry.state is EntryState.DONE:
                newest = None
        return newest


def key_of(intent: Intent) -> tuple[str, str, Kind, str]:
    """Return what names a thing on the books."""
    return intent.provider, intent.instance, intent.kind, intent.name


def living(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that made what the books say is there, oldest first."""
    alive: dict[tuple[str, str, Kind, str], Entry] = {}
    for entry in entries:
        if entry.state is not EntryState.DONE:
            continue
        if entry.intent.action in _MAKING:
            alive[key_of(entry.intent)] = entry
        elif entry.intent.action is Action.DELETE:
            alive.pop(key_of(entry.intent), None)
    return list(alive.values())
