"""Memory in the company's own database."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from swarm.core import language as languages
from swarm.core.clock import Clock
from swarm.core.errors import Conflict
from swarm.core.ids import Ids
from swarm.core.origin import Origin
from swarm.memory import items, rules
from swarm.memory.base import (
    PLAIN,
    Detail,
    Embedder,
    MemoryItem,
    MemoryKind,
    Recalled,
    Restored,
    Tombstone,
    Viewer,
)
from swarm.memory.finding import BATCH, SPARE, Finder, batches
from swarm.memory.records import digest
from swarm.memory.rows import INDEXED_BY, LIVE, item_of, sight, values_of, visible
from swarm.memory.rules import Claim
from swarm.memory.search import full_text
from swarm.memory.shown import age
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import memories, memory_vectors

_OWNER = Viewer("", is_owner=True)
_SUBJECT = ("scope", "scope_id", "subject_key")
_CLAIM = (memories.c.observed_at, memories.c.is_quarantined, memories.c.id)


class SqlMemory:
    """Rows with a full-text index that the database keeps in step in the same transaction.

    Methods do what `base.Memory` says of them.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        tombstone: Tombstone | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._tombstone = tombstone
        self._index = full_text(store)
        self._finder = Finder(store=store, index=self._index, embedder=embedder)
        self._is_indexed = False

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
        """Store a memory; the same `key` twice stores it once and returns the first.

        Raises:
            InvalidInput: It was observed in the future.
        """
        item = items.made(
            self._ids.new("m"),
            text,
            detail,
            kind=kind,
            origin=origin,
            now=self._clock.now(),
            order_id=order_id,
            key=key,
            subject=subject,
        )

        def work(connection: Connection) -> MemoryItem:
            known = None if key is None else _OF_KEY.first(connection, {"of_key": key})
            return item_of(known) if known is not None else self._add(connection, item)

        return self._store.write(work) if within is None else work(within)

    def _add(self, connection: Connection, item: MemoryItem) -> MemoryItem:
        number = self._index.number(connection)
        _INSERT.run(connection, {**values_of(item), "number": number})
        return _settled(connection, item)

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
        self._index_old_rows()
        now = self._clock.now()
        best = self._finder.best(
            query,
            count=limit if max_tokens is None else limit * SPARE,
            viewer=viewer,
            now=now,
            has_quarantined=has_quarantined,
        )
        said = language or languages.detect(query) or "en"
        reader = None if viewer is None else viewer.person
        shown = (
            items.recalled(item, score=score, age=age(item, now, language=said, reader=reader))
            for score, item in best
        )
        return items.fitting(shown, limit=limit, max_tokens=max_tokens)

    def embed_missing(self, *, limit: int = 64) -> int:
        """Give vectors to the newest memories that have none; return how many got one.

        Raises:
            ModelError: The embedder gave none; nothing was stored.
        """
        return self._finder.embed_missing(limit=limit, viewer=_OWNER, now=self._clock.now())

    def _index_old_rows(self) -> None:
        """Index rows that an older version, or another hand, wrote; once in this object's life."""
        if self._is_indexed:
            return
        old = sa.select(memories).where(memories.c.indexed_by < INDEXED_BY)

        def work(connection: Connection) -> None:
            for row in connection.execute(old.limit(BATCH)).all():
                values = values_of(item_of(row))
                number = self._index.number(connection) if row.number is None else row.number
                fresh = {name: values[name] for name in ("words", "reach", "indexed_by")}
                _update(connection, row.id, number=number, **fresh)

        while self._store.read(lambda c: c.execute(old.limit(1)).first()) is not None:
            self._store.write(work)
        self._is_indexed = True

    def get(self, memory_id: str, *, viewer: Viewer | None = None) -> MemoryItem:
        """Return one memory.

        Raises:
            NotFound: No such memory, or none that the viewer may see.
        """
        query = sa.select(memories).where(memories.c.id == memory_id, visible(viewer))
        values = sight(viewer, self._clock.now())
        row = self._store.read(lambda c: c.execute(query, values).first())
        return items.found(None if row is None else item_of(row), memory_id)

    def revise(self, memory_id: str, text: str, *, by: str) -> MemoryItem:
        """Store a person's new wording; the old memory stays and points to the new one.

        Raises:
            NotFound: No such memory.
            Conflict: It was superseded already.
        """

        def work(connection: Connection) -> MemoryItem:
            old = _one(connection, memory_id)
            if old.superseded_by is not None:
                raise Conflict(f"{memory_id} was replaced by {old.superseded_by}: edit that one.")
            new = items.revised(old, self._ids.new("m"), text, by=by)
            # First, so that the two of one subject do not meet as rivals.
            _update(connection, old.id, superseded_by=new.id)
            return self._add(connection, new)

        return self._store.write(work)

    def confirm(self, memory_id: str, *, by: str) -> MemoryItem:
        """Lift the quarantine in the name of a person.

        Raises:
            NotFound: No such memory.
            InvalidInput: Nobody is named.
        """

        def work(connection: Connection) -> MemoryItem:
            old = _one(connection, memory_id)
            item = items.confirmed(old, by=by)
            if not old.is_quarantined:
                return old
            _update(connection, item.id, **values_of(item))
            return _settled(connection, item)

        return self._store.write(work)

    def restore(self, brought: Sequence[MemoryItem]) -> Restored:
        """Store exported memories again, in one transaction; those that are here stay as they are."""

        def work(connection: Connection) -> Restored:
            there = {item.id for item in brought} | _known(connection, brought)
            added: list[str] = []
            known: list[str] = []
            refused: dict[int, str] = {}
            for place, item in enumerate(brought):
                if item.superseded_by not in there:
                    item = replace(item, superseded_by=None)
                here = _first(connection, memories.c.id == item.id)
                if here == item:
                    known.append(item.id)
                elif here is not None:
                    refused[place] = f"there is another memory {item.id} here"
                elif item.key and _first(connection, memories.c.key == item.key):
                    refused[place] = f"another memory here has the key {item.key!r}"
                else:
                    self._add(connection, item)
                    added.append(item.id)
            return Restored(tuple(added), tuple(known), refused)

        return self._store.write(work)

    def forget(self, memory_id: str, *, by: str = "system") -> tuple[str, ...]:
        """Delete the text of a memory, and of those it superseded, for good; return their ids.

        Raises:
            NotFound: No such memory.
        """

        def work(connection: Connection) -> tuple[str, ...]:
            self._index.prepare_to_forget(connection)
            gone = [_one(connection, memory_id)]
            for item in gone:
                older = sa.select(memories).where(memories.c.superseded_by == item.id)
                gone += [old for r in connection.execute(older) if (old := item_of(r)) not in gone]
            for item in gone:
                if self._tombstone is not None:
                    self._tombstone(connection, item.id, digest(item), by)
                of_item = memory_vectors.c.memory_id == item.id
                connection.execute(memory_vectors.delete().where(of_item))
                connection.execute(memories.delete().where(memories.c.id == item.id))
            self._index.purge(connection)
            return tuple(item.id for item in gone)

        ids = self._store.write(work)
        self._index.scrub(self._store)
        return ids

    def list(
        self, *, limit: int | None = 100, viewer: Viewer | None = None, is_all: bool = False
    ) -> list[MemoryItem]:
        """Return the newest memories first; with `is_all`, superseded and expired ones too."""
        query = sa.select(memories).where(visible(viewer))
        if not is_all:
            query = query.where(LIVE)
        newest = query.order_by(memories.c.observed_at.desc(), memories.c.id).limit(limit)
        values = sight(viewer, self._clock.now())
        return [item_of(row) for row in self._store.read(lambda c: c.execute(newest, values).all())]


_OF_KEY = Prepared(sa.select(memories).where(memories.c.key == sa.bindparam("of_key")))
_INSERT = Prepared(memories.insert())


def _settled(connection: Connection, item: MemoryItem) -> MemoryItem:
    """Let the newest of one subject count, and return the item as it then stands."""
    values = values_of(item)
    if not values["subject_key"] or item.superseded_by is not None:
        return item
    same = [memories.c[name] == values[name] for name in _SUBJECT]
    rivals = sa.select(*_CLAIM).where(*same, memories.c.superseded_by.is_(None))
    claims = [Claim(*row) for row in connection.execute(rivals)]
    gone = rules.displaced(claims, item.id)
    for loser, winner in gone.items():
        _update(connection, loser, superseded_by=winner)
    return replace(item, superseded_by=gone.get(item.id))


def _known(connection: Connection, brought: Sequence[MemoryItem]) -> set[str]:
    """Return which of the memories that are pointed to are here."""
    wanted = {item.superseded_by for item in brought if item.superseded_by}
    return {
        memory_id
        for ids in batches(wanted)
        for memory_id in connection.execute(
            sa.select(memories.c.id).where(memories.c.id.in_(ids))
        ).scalars()
    }


def _first(connection: Connection, condition: ColumnElement[bool]) -> MemoryItem | None:
    row = connection.execute(sa.select(memories).where(condition)).first()
    return None if row is None else item_of(row)


def _one(connection: Connection, memory_id: str) -> MemoryItem:
    return items.found(_first(connection, memories.c.id == memory_id), memory_id)


def _update(connection: Connection, memory_id: str, **values: Any) -> None:
    connection.execute(memories.update().where(memories.c.id == memory_id).values(**values))
