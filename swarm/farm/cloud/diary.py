"""Write down each thing before it is asked for, and look for it before it is asked for again."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from decimal import Decimal

from swarm.core.errors import Conflict
from swarm.farm.base import (
    Action,
    Entry,
    Intent,
    Kind,
    PlaceRefused,
    Price,
    Site,
)
from swarm.farm.cloud.machines import Found, Lost, SoldOut, Taken, is_ours
from swarm.farm.steps import living

TRIES = 3
"""How often a thing is asked for whose answer was lost and which is then not found."""

Look = Callable[[], Awaitable[Found | None]]
Make = Callable[[], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Diary:
    """The journal of one vendor's things."""

    site: Site
    provider: str

    async def ensure(self, intent: Intent, *, look: Look, make: Make) -> Found:
        """Return the thing: the one that is there, or a new one, written down before it is made.

        Raises:
            Conflict: The name belongs to something that is not this farm's.
            SoldOut: The vendor has none now; it is written down that nothing was made.
            PlaceRefused: The vendor refuses; the same.
            Lost: The vendor cannot be reached; the entry stays open.
        """
        found = await look()
        if found is None:
            return await self._make(intent, look, make)
        return await self.take(intent, found)

    async def _make(self, intent: Intent, look: Look, make: Make) -> Found:
        entry = await self.open_entry(intent) or await self.site.journal.intend(intent)
        for left in reversed(range(TRIES)):
            try:
                made = await make()
            except Taken as taken:
                found = await look()
                if found is None:
                    await self.site.journal.undone(entry, why=str(taken))
                    raise Conflict(f"{self.provider}: {taken}") from taken
                return await self.take(intent, found)
            except PlaceRefused as refused:
                # Another run may have been first, and what this one built on was its.
                found = await look()
                if found is not None:
                    return await self.take(intent, found)
                await self.site.journal.undone(entry, why=str(refused))
                raise
            except SoldOut as refused:
                await self.site.journal.undone(entry, why=str(refused))
                raise
            except Lost:
                # It may have been worked: look, so that it is never made twice.
                found = await look()
                if found is not None:
                    return await self.take(intent, found)
                if not left:
                    await self.site.journal.undone(entry, why="looked for and not found")
                    raise
            else:
                await self._note(entry, intent, made)
                return made
        raise AssertionError("the last try returns or raises")

    async def take(self, intent: Intent, found: Found) -> Found:
        """Take what is there: close the entry of the run that made it, or adopt it."""
        entry = await self.open_entry(intent)
        if not is_ours(found.labels, self.site):
            if entry is not None:
                await self.site.journal.undone(entry, why="the name is somebody else's")
            raise Conflict(
                f"{self.provider} has a {intent.kind} {found.name!r} that this farm did not make; "
                "rename or delete it there, or choose another name"
            )
        if entry is None and not await self.is_known(intent, found.id):
            entry = await self.site.journal.intend(_adopting(intent))
        if entry is not None:
            await self._note(entry, intent, found)
        return found

    async def _note(self, entry: Entry, intent: Intent, found: Found) -> None:
        await self.site.journal.done(
            entry, resource_id=found.id, at=found.at, price=intent.price, type=intent.type,
            location=intent.location,
        )  # fmt: skip

    async def open_entry(self, intent: Intent) -> Entry | None:
        """Return the open entry of a thing, of whichever run began it."""
        for entry in await self.site.journal.entries(provider=self.provider, only_open=True):
            of = entry.intent
            if (of.action, of.kind, of.name) == (intent.action, intent.kind, intent.name):
                return entry
        return None

    async def is_known(self, intent: Intent, resource_id: str) -> bool:
        """Say whether the journal has noted that this very thing came to be."""
        return any(
            entry.intent.kind is intent.kind
            and entry.resource_id == resource_id
            and entry.intent.action in (Action.CREATE, Action.ADOPT)
            for entry in await self.site.journal.entries(provider=self.provider)
        )

    async def settle(self, action: Action, kind: Kind, name: str, resource_id: str) -> None:
        """Note that something happened whose run died before it could: the thing is so by now."""
        for entry in await self.site.journal.entries(provider=self.provider, only_open=True):
            of = entry.intent
            if (of.action, of.kind, of.name) == (action, kind, name):
                await self.site.journal.done(entry, resource_id=resource_id)

    async def end(
        self, intent: Intent, resource_id: str, call: Callable[[], Awaitable[None]]
    ) -> None:
        """Delete a thing; `call` takes what is gone already for done."""
        entry = await self.open_entry(intent) or await self.site.journal.intend(intent)
        try:
            await call()
        except PlaceRefused as refused:
            await self.site.journal.undone(entry, why=str(refused))
            raise
        await self.site.journal.done(entry, resource_id=resource_id)

    async def close_ended(
        self, *, kinds: tuple[Kind, ...], names: Collection[str] | None = None
    ) -> None:
        """Close the books of things that are not there: ended, or never made.

        Args:
            kinds: Of things.
            names: Of things that are surely gone, so that what made them is followed by an end even
                where a run died before it could write one. None: only what is open is closed.
        """
        for entry in await self.site.journal.entries(provider=self.provider, only_open=True):
            of = entry.intent
            if of.kind in kinds and (names is None or of.name in names):
                if of.action is Action.DELETE:
                    await self.site.journal.done(entry, resource_id=entry.resource_id)
                else:
                    await self.site.journal.undone(entry, why="looked for and not found")
        if names is None:
            return
        for entry in living(await self.site.journal.entries(provider=self.provider)):
            if entry.intent.kind in kinds and entry.intent.name in names:
                gone = await self.site.journal.intend(replace(entry.intent, action=Action.DELETE))
                await self.site.journal.done(gone, resource_id=entry.resource_id)


def _adopting(intent: Intent) -> Intent:
    return replace(intent, action=Action.ADOPT)


def deleting(
    provider: str, kind: Kind, name: str, *, instance: str, owner: str, generation: str,
    price: Price | None = None, parent: str | None = None, size_gb: Decimal | None = None,
) -> Intent:  # fmt: skip
    """Return the intent to end a thing."""
    return Intent(
        instance, owner, generation, provider, Action.DELETE, kind, name, price=price,
        parent=parent, size_gb=size_gb,
    )  # fmt: skip
