"""Memory in the company's own database, found again by the words it shares with a question."""

import re
import unicodedata
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.errors import NotFound
from swarm.core.ids import Ids
from swarm.core.origin import Origin
from swarm.memory.base import MemoryItem, MemoryKind
from swarm.store.database import Store
from swarm.store.tables import memories

MAX_WORDS = 12
"""Words of a question that are looked up: the longest ones, which say most."""
MIN_LETTERS = 4
CANDIDATES = 400


class SqlMemory:
    """Rows with their words; nearest is who shares most of the question's words, then the newest."""

    def __init__(self, *, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    def remember(
        self,
        text: str,
        *,
        kind: MemoryKind,
        origin: Origin,
        order_id: str | None = None,
        key: str | None = None,
        within: Connection | None = None,
    ) -> MemoryItem:
        """Store a memory; the same `key` twice stores it once and returns the first."""

        def work(connection: Connection) -> MemoryItem:
            if key is not None:
                known = connection.execute(sa.select(memories).where(memories.c.key == key)).first()
                if known is not None:
                    return _item(known)
            memory_id = self._ids.new("m")
            connection.execute(
                memories.insert().values(
                    id=memory_id,
                    kind=kind.value,
                    text=text,
                    words=f" {' '.join(sorted(words(text)))} ",
                    origin=origin.value,
                    order_id=order_id,
                    key=key,
                    observed_at=iso(self._clock.now()),
                )
            )
            return _item(
                connection.execute(sa.select(memories).where(memories.c.id == memory_id)).one()
            )

        return self._store.write(work) if within is None else work(within)

    def recall(self, query: str, *, limit: int = 5) -> list[MemoryItem]:
        """Return the memories nearest to the query, best first; none for a query of no words."""
        asked = sorted(words(query), key=lambda word: (-len(word), word))[:MAX_WORDS]
        if not asked:
            return []

        def work(connection: Connection) -> list[Any]:
            shares = sa.or_(*(memories.c.words.contains(f" {w} ", autoescape=True) for w in asked))
            newest = sa.select(memories).where(shares).order_by(memories.c.observed_at.desc())
            return list(connection.execute(newest.limit(CANDIDATES)).all())

        rows = self._store.read(work)
        wanted = set(asked)
        best = sorted(
            rows,
            key=lambda r: (len(wanted & set(r.words.split())), r.observed_at, r.id),
            reverse=True,
        )
        return [_item(row) for row in best[:limit]]

    def list(self, *, limit: int = 100) -> list[MemoryItem]:
        """Return the newest memories first."""
        newest = sa.select(memories).order_by(memories.c.observed_at.desc(), memories.c.id)
        rows = self._store.read(lambda c: c.execute(newest.limit(limit)).all())
        return [_item(row) for row in rows]

    def forget(self, memory_id: str) -> None:
        """Delete the text for good.

        Raises:
            NotFound: No such memory.
        """
        gone = memories.delete().where(memories.c.id == memory_id)
        if self._store.write(lambda c: c.execute(gone).rowcount) == 0:
            raise NotFound(f"There is no memory {memory_id!r}; `swarm memory list` shows them.")


def words(text: str) -> set[str]:
    """Return the words worth looking up: folded to lower case without accents, four signs or more."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(sign for sign in folded if not unicodedata.combining(sign))
    return {word for word in re.findall(r"\w+", plain) if len(word) >= MIN_LETTERS}


def _item(row: Any) -> MemoryItem:
    return MemoryItem(
        id=row.id,
        kind=MemoryKind(row.kind),
        text=row.text,
        origin=Origin(row.origin),
        order_id=row.order_id,
        observed_at=parse_iso(row.observed_at),
    )
