"""Recall from the company's database: candidates by words and by sense, then rank, then fit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import heappop, heappush
from itertools import islice
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.core.errors import ModelError
from swarm.memory import rules
from swarm.memory.base import Embedder, MemoryItem, Viewer
from swarm.memory.rows import LIVE, item_of, sight, traits_of, visible
from swarm.memory.search import CANDIDATE, FullText, Sight
from swarm.memory.vectors import cosine, pack
from swarm.memory.words import asked
from swarm.store.database import Store
from swarm.store.tables import memories, memory_vectors

log = structlog.get_logger("swarm.memory")

BATCH = 500
"""Ids named in one statement: SQLite takes 32,766 values, old builds 999."""
VECTOR_CANDIDATES = 400
"""Newest visible rows compared by their vectors; more would cost tens of milliseconds."""
CATCH_UP = 64
"""Memories that get their vectors before one recall; a full history takes a few recalls."""
SPARE = 3
"""How many times the wanted number is fetched where some may not fit the tokens."""


class Finder:
    """Find and rank what a viewer may see."""

    def __init__(self, *, store: Store, index: FullText, embedder: Embedder | None) -> None:
        self._store = store
        self._index = index
        self._embedder = embedder

    def best(
        self,
        query: str,
        *,
        count: int,
        viewer: Viewer | None,
        now: datetime,
        has_quarantined: bool,
    ) -> list[tuple[float, MemoryItem]]:
        """Return the `count` memories nearest to the query with their scores, best first."""
        terms = asked(query)
        if not terms:
            return []
        vector = self._vector_of(query, viewer, now)
        seen = Sight(viewer, now, count=count, has_quarantined=has_quarantined)

        def work(connection: Connection) -> list[tuple[float, MemoryItem]]:
            found = self._index.candidates(connection, terms, seen)
            rows: dict[str, Any] = {row.id: row for row in found}
            cosines = self._near(connection, vector, seen, rows)
            best = _ranked(terms, list(rows.values()), cosines, now=now, count=count)
            return _items(connection, best)

        return self._store.read(work)

    def _vector_of(self, text: str, viewer: Viewer | None, now: datetime) -> bytes | None:
        if self._embedder is None or not self._embedder.is_paid:
            return None
        try:
            self.embed_missing(limit=CATCH_UP, viewer=viewer, now=now)
            return pack(self._embedder.embed([text])[0])
        except ModelError as error:
            log.warning("recall goes by words alone", reason=str(error))
            return None

    def _near(
        self,
        connection: Connection,
        vector: bytes | None,
        sees: Sight,
        rows: dict[str, Any],
    ) -> dict[str, float]:
        """Return cosines by id, and add to `rows` what is near by its sense alone."""
        if vector is None or self._embedder is None:
            return {}
        joined = sa.and_(
            memory_vectors.c.memory_id == memories.c.id,
            memory_vectors.c.model == self._embedder.model,
        )
        columns = sa.select(*CANDIDATE, memory_vectors.c.vector)
        query = columns.join(memory_vectors, joined).where(sees.condition)
        newest = query.order_by(memories.c.observed_at.desc()).limit(VECTOR_CANDIDATES)
        seen = {row.id: row for row in connection.execute(newest, sees.values)}
        for ids in batches(memory_id for memory_id in rows if memory_id not in seen):
            more = connection.execute(query.where(memories.c.id.in_(ids)), sees.values)
            seen.update((row.id, row) for row in more)
        near = {key: cosine(vector, row.vector) for key, row in seen.items()}
        cosines = {key: value for key, value in near.items() if value is not None}
        for key, value in cosines.items():
            if value > rules.MIN_SIMILARITY:
                rows.setdefault(key, seen[key])
        return cosines

    def embed_missing(self, *, limit: int, viewer: Viewer | None, now: datetime) -> int:
        """Give vectors to the newest visible memories that have none; return how many got one.

        Only what the viewer may see: the texts stand in the ledger of the order that pays.

        Raises:
            ModelError: The embedder gave none; nothing was stored.
        """
        if self._embedder is None:
            return 0
        model = self._embedder.model
        had = sa.select(memory_vectors.c.memory_id).where(memory_vectors.c.model == model)
        missing = sa.select(memories.c.id, memories.c.text).where(
            memories.c.id.not_in(had), LIVE, visible(viewer)
        )
        newest = missing.order_by(memories.c.observed_at.desc()).limit(limit)
        rows = self._store.read(lambda c: c.execute(newest, sight(viewer, now)).all())
        if not rows:
            return 0
        vectors = self._embedder.embed([row.text for row in rows])
        packed = {row.id: pack(v) for row, v in zip(rows, vectors, strict=True)}
        return self._store.write(lambda connection: _keep_vectors(connection, model, packed))


def _keep_vectors(connection: Connection, model: str, packed: Mapping[str, bytes]) -> int:
    # What was forgotten while the embedder worked must not leave a vector behind; what another
    # worker gave a vector meanwhile has it already.
    had = sa.select(memory_vectors.c.memory_id).where(memory_vectors.c.model == model)
    wanted = sa.select(memories.c.id).where(
        memories.c.id.in_(list(packed)), memories.c.id.not_in(had)
    )
    ids = connection.execute(wanted).scalars().all()
    if ids:
        rows = [{"memory_id": i, "model": model, "vector": packed[i]} for i in ids]
        connection.execute(memory_vectors.insert(), rows)
    return len(ids)


def _ranked(
    terms: Sequence[str],
    rows: Sequence[Any],
    cosines: Mapping[str, float],
    *,
    now: datetime,
    count: int,
) -> list[tuple[float, str]]:
    """Return score and id of the best rows, the newest first of equals."""
    shares = rules.matches(terms, [row.words.split() for row in rows])
    pairs = zip(rows, shares, strict=True)
    near = [(rules.combined(share, cosines.get(row.id)), row) for row, share in pairs]
    bounds = [(share * rules.heaviest(row), share, row) for share, row in near]
    best: list[tuple[float, str, str]] = []
    for bound, share, row in sorted(bounds, key=itemgetter(0), reverse=True):
        # Reading a date costs more than all else: nothing from here on can be among the best.
        if not bound or (len(best) >= count and bound < best[0][0]):
            break
        score = share * rules.weight(traits_of(row), now)
        heappush(best, (score, row.observed_at, row.id))
        if len(best) > count:
            heappop(best)
    return [(score, key) for score, _, key in sorted(best, reverse=True)]


def _items(
    connection: Connection, best: Sequence[tuple[float, str]]
) -> list[tuple[float, MemoryItem]]:
    found: dict[str, MemoryItem] = {}
    for ids in batches(key for _, key in best):
        rows = connection.execute(sa.select(memories).where(memories.c.id.in_(ids)))
        found.update((row.id, item_of(row)) for row in rows)
    return [(score, found[key]) for score, key in best]


def batches(ids: Iterable[str]) -> Iterator[list[str]]:
    """Cut ids into lists of at most `BATCH`."""
    rest = iter(ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
