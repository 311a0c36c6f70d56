"""A memory in a list, for tests of other rooms."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from swarm.core import language as languages
from swarm.core.clock import Clock, iso
from swarm.core.errors import Conflict
from swarm.core.origin import Origin
from swarm.memory import items, rules
from swarm.memory.base import (
    PLAIN,
    Detail,
    MemoryItem,
    MemoryKind,
    Recalled,
    Restored,
    Viewer,
)
from swarm.memory.rules import Claim, Traits
from swarm.memory.shown import age
from swarm.memory.words import asked, subject_key, terms


class FakeMemory:
    """Remember in this process, with the words and the rank of the real one.

    Methods do what `base.Memory` says of them. Without a clock, every call happens a second after
    the one before.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._items: dict[str, MemoryItem] = {}
        self._clock = clock
        self._count = 0
        self._seconds = 0

    def _now(self) -> datetime:
        self._seconds += 1
        if self._clock is not None:
            return self._clock.now()
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def _new(self) -> str:
        self._count += 1
        return f"m{self._count}"

    def remember(
        self,
        text: str,
        *,
        kind: MemoryKind,
        origin: Origin,
        order_id: str | None = None,
        key: str | None = None,
        within: Connection | None = None,
        subject: str | None = None,
        detail: Detail = PLAIN,
    ) -> MemoryItem:
        """Store a memory; the same `key` twice stores it once and returns the first."""
        for known in self._items.values():
            if key is not None and known.key == key:
                return known
        item = items.made(
            self._new(),
            text,
            detail,
            kind=kind,
            origin=origin,
            now=self._now(),
            order_id=order_id,
            key=key,
            subject=subject,
        )
        return self._add(item)

    def _add(self, item: MemoryItem) -> MemoryItem:
        self._items[item.id] = item
        if not item.subject or item.superseded_by is not None:
            return item
        claims = [
            Claim(iso(other.observed_at), other.is_quarantined, other.id)
            for other in self._items.values()
            if other.superseded_by is None and _topic(other) == _topic(item)
        ]
        for loser, winner in rules.displaced(claims, item.id).items():
            self._items[loser] = replace(self._items[loser], superseded_by=winner)
        return self._items[item.id]

    def recall(
        self,
        query: str,
        *,
        limit: int = 5,
        viewer: Viewer | None = None,
        max_tokens: int | None = None,
        language: str | None = None,
        has_quarantined: bool = True,
    ) -> list[Recalled]:
        """Return the memories nearest to the query, best first; none for a query of no words."""
        now = self._now()
        wanted = asked(query)
        seen = [
            item
            for item in self._items.values()
            if rules.may_see(item, viewer)
            and rules.is_live(item, now)
            and (has_quarantined or not item.is_quarantined)
            and set(wanted) & set(terms(item.text))
        ]
        shares = rules.matches(wanted, [terms(item.text) for item in seen])
        said = language or languages.detect(query) or "en"
        reader = None if viewer is None else viewer.person
        found = [
            items.recalled(
                item,
                score=share * rules.weight(_traits(item), now),
                age=age(item, now, language=said, reader=reader),
            )
            for item, share in zip(seen, shares, strict=True)
        ]
        best = sorted(found, key=lambda i: (i.score, i.observed_at, i.id), reverse=True)
        return items.fitting((i for i in best if i.score), limit=limit, max_tokens=max_tokens)

    def get(self, memory_id: str, *, viewer: Viewer | None = None) -> MemoryItem:
        """Return one memory; raises NotFound."""
        item = self._items.get(memory_id)
        is_seen = item is not None and rules.may_see(item, viewer)
        return items.found(item if is_seen else None, memory_id)

    def revise(self, memory_id: str, text: str, *, by: str) -> MemoryItem:
        """Store a person's new wording; raises NotFound or Conflict."""
        old = items.found(self._items.get(memory_id), memory_id)
        if old.superseded_by is not None:
            raise Conflict(f"{memory_id} was replaced by {old.superseded_by}: edit that one.")
        new = items.revised(old, self._new(), text, by=by)
        self._items[old.id] = replace(old, superseded_by=new.id)
        return self._add(new)

    def confirm(self, memory_id: str, *, by: str) -> MemoryItem:
        """Lift the quarantine in the name of a person; raises NotFound or InvalidInput."""
        old = items.found(self._items.get(memory_id), memory_id)
        item = items.confirmed(old, by=by)
        return self._add(item) if old.is_quarantined else old

    def restore(self, brought: Sequence[MemoryItem]) -> Restored:
        """Store exported memories again; those that are here stay as they are."""
        there = {item.id for item in brought} | set(self._items)
        added: list[str] = []
        known: list[str] = []
        refused: dict[int, str] = {}
        for place, item in enumerate(brought):
            if item.superseded_by not in there:
                item = replace(item, superseded_by=None)
            keys = {other.key for other in self._items.values()} - {None}
            if self._items.get(item.id) == item:
                known.append(item.id)
            elif item.id in self._items:
                refused[place] = f"there is another memory {item.id} here"
            elif item.key in keys:
                refused[place] = f"another memory here has the key {item.key!r}"
            else:
                self._add(item)
                added.append(item.id)
        return Restored(tuple(added), tuple(known), refused)

    def forget(self, memory_id: str, *, by: str = "system") -> tuple[str, ...]:
        """Delete a memory and those it superseded; raises NotFound."""
        gone = [items.found(self._items.get(memory_id), memory_id).id]
        for one in gone:
            older = (item.id for item in self._items.values() if item.superseded_by == one)
            gone += [memory_id for memory_id in older if memory_id not in gone]
        for one in gone:
            del self._items[one]
        return tuple(gone)

    def list(
        self, *, limit: int | None = 100, viewer: Viewer | None = None, is_all: bool = False
    ) -> list[MemoryItem]:
        """Return the newest memories first; with `is_all`, superseded and expired ones too."""
        now = self._now()
        seen = [
            item
            for item in self._items.values()
            if rules.may_see(item, viewer) and (is_all or rules.is_live(item, now))
        ]
        return sorted(seen, key=lambda i: i.observed_at, reverse=True)[:limit]


def _topic(item: MemoryItem) -> tuple[str, str | None, str]:
    return item.scope.value, item.scope_id, subject_key(item.subject or "")


def _traits(item: MemoryItem) -> Traits:
    return Traits(
        item.kind,
        item.observed_at,
        item.is_flow,
        item.half_life_days,
        item.confidence,
        item.importance,
        item.is_quarantined,
    )
