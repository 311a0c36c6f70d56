"""Find the rows whose words a question shares: SQLite's FTS5 and Postgres's `tsvector` behind one door.

Both index `words` and `reach` of `memories` as `words.terms` and `rows.reach` wrote them. A search
returns candidates, newest first or by overlap; what ranks before what is `rules`' alone.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import nlargest
from itertools import combinations
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from swarm.memory.base import Viewer
from swarm.memory.rows import LIVE, TRAITS, reaches, sight, visible
from swarm.store import searching
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import memories

BY_TERM = 30
"""Newest rows in sight taken for each term and each pair of common ones: bounds a recall's time.

More where more are wanted."""
FETCHED = 90
"""Rows that are read whole and ranked."""
LOOKED_AT = 3
"""Times as many newest rows are looked through for those in sight."""
PAIRED = 3
"""Common terms, the longest ones, that are also looked up together and two by two."""
BY_OVERLAP = 400
CANDIDATE = (memories.c.id, memories.c.words, *TRAITS)


class Sight:
    """What one recall may look at."""

    def __init__(
        self, viewer: Viewer | None, now: datetime, *, count: int, has_quarantined: bool
    ) -> None:
        self.shape = (viewer is None, viewer is not None and viewer.is_owner, has_quarantined)
        """What the SQL of `condition` depends on; all else is a value."""
        self.values = sight(viewer, now)
        self.take = max(BY_TERM, count)
        self.own = reaches(viewer, is_quarantined=False)
        self.data = reaches(viewer, is_quarantined=True) if has_quarantined else []
        self._viewer = viewer
        self._has_quarantined = has_quarantined

    @property
    def condition(self) -> ColumnElement[bool]:
        """The condition on `memories`, with `values` as its values."""
        seen = sa.and_(visible(self._viewer), LIVE)
        return seen if self._has_quarantined else sa.and_(seen, ~memories.c.is_quarantined)


class FullText(Protocol):
    """The full-text index of one kind of database."""

    def candidates(
        self, connection: Connection, terms: Sequence[str], sees: Sight
    ) -> Sequence[Any]:
        """Return rows of `CANDIDATE` that hold a term and are in sight, some of them twice.

        Terms are folded words, so that no syntax of a database can be among them; they are quoted
        or passed as values all the same.
        """

    def number(self, connection: Connection) -> int | None:
        """Return the number of the next row, inside the transaction that writes it."""

    def prepare_to_forget(self, connection: Connection) -> None:
        """Let what this transaction deletes be overwritten, where the database can."""

    def purge(self, connection: Connection) -> None:
        """Take deleted words out of the index, inside the transaction that deleted them."""

    def scrub(self, store: Store) -> None:
        """Take deleted text out of the files, after the transaction; readers may delay it."""


def full_text(store: Store) -> FullText:
    """Return the index of the store's database."""
    return SqliteText() if store.is_sqlite else PostgresText()


class SqliteText:
    """FTS5, asked term by term for the newest rows.

    Its own rank (bm25) visits every row that holds a term: 160 ms at 100,000 memories where a term
    is common. Newest first needs no sort and stops early; terms that have more rows than were
    looked at are asked again together and in pairs, so that old rows which hold several of
    them are found too. What strangers may have said is looked up apart: no number of their words
    crowds out what is trusted.
    """

    def __init__(self) -> None:
        self._statements: dict[tuple[bool, ...], _Statement] = {}

    def candidates(
        self, connection: Connection, terms: Sequence[str], sees: Sight
    ) -> Sequence[Any]:
        """Return the newest rows of each term, and of common ones together."""
        statement = self._statements.get(sees.shape)
        if statement is None:
            statement = self._statements[sees.shape] = _Statement(connection, sees)
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            # What was in sight in the first query must still be so in the last.
            connection.exec_driver_sql("BEGIN")
        groups: list[Sequence[str]] = [[term] for term in terms]
        found = self._newest(connection, statement, groups, sees)
        common = [term for term, numbers in zip(terms, found, strict=True) if numbers.is_cut]
        if more := list(_groups(common)):
            groups += more
            found += self._newest(connection, statement, more, sees)
        if sees.data:
            # Theirs are few, or a flood: either way the newest that hold any term will do.
            telling = [term for term in terms if term not in common[PAIRED:]]
            words = " OR ".join(map(_quoted, telling))
            groups.append([])
            found += statement.run(connection, [_near(words, sees.data)], sees)
        numbers = _likeliest(groups, found, max(FETCHED, 3 * sees.take))
        # Nothing besides: SQLite would rather look through all that is not superseded.
        fetched = sa.select(*CANDIDATE).where(_is_listed)
        return connection.execute(fetched, {"numbers": json.dumps(numbers)}).all()

    def _newest(
        self,
        connection: Connection,
        statement: "_Statement",
        groups: Sequence[Sequence[str]],
        sees: Sight,
    ) -> "list[_Numbers]":
        """Return the newest trusted rows in sight that hold all terms of a group, for each group.

        Most terms are rare, or most of their rows are in sight: their newest rows are looked at
        without asking whose they are. Only where too few of those were in sight does the index go
        through the list of whom a row belongs to, which is as long as the company's memory.
        """
        words = [" AND ".join(map(_quoted, group)) for group in groups]
        plain = [f"words : ({each})" for each in words]
        found = statement.run(connection, plain, sees, is_trusted=True)
        few = [part for part, numbers in enumerate(found) if numbers.may_miss]
        if few:
            again = [_near(words[part], sees.own) for part in few]
            more = statement.run(connection, again, sees, is_trusted=True)
            for part, numbers in zip(few, more, strict=True):
                found[part] = numbers
        return found

    def number(self, connection: Connection) -> int | None:
        """Return one more than the highest number; SQLite has one writer at a time."""
        return int(_HIGHEST.scalar(connection, {}) or 0) + 1

    def prepare_to_forget(self, connection: Connection) -> None:
        """Have freed pages overwritten with zeros; not every build of SQLite does by itself."""
        connection.exec_driver_sql("PRAGMA secure_delete=ON")

    def purge(self, connection: Connection) -> None:
        """Merge the index into one segment: deleted terms live on in older segments until then."""
        connection.exec_driver_sql("INSERT INTO memory_index(memory_index) VALUES ('optimize')")

    def scrub(self, store: Store) -> None:
        """Fold the write-ahead log into the file and empty it: it holds pages as they were."""
        store.read(lambda c: c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all())


_HIGHEST = Prepared(sa.select(sa.func.max(memories.c.number)))
# One value, however many numbers: a hundred parameters would take longer than their rows.
_is_listed = memories.c.number.in_(
    sa.select(sa.column("value")).select_from(
        sa.func.json_each(sa.bindparam("numbers", type_=sa.String, required=True))
    )
)


class _Numbers(NamedTuple):
    """The newest rows in sight that fit one match."""

    numbers: list[int]
    is_cut: bool
    """There may be older ones."""
    may_miss: bool
    """Among the rows looked through, most were out of sight; there may be others in sight."""


_part = sa.bindparam("part", type_=sa.Integer, required=True)
_take = sa.bindparam("take", type_=sa.Integer, required=True)
_look = sa.bindparam("look", type_=sa.Integer, required=True)
_may_be_data = sa.bindparam("may_be_data", type_=sa.Boolean, required=True)


class _Statement:
    """One search as SQL text, made once for each shape of sight and run many times at once.

    A dozen statements of their own would cost more than what they find. The index and
    `ix_memories_sight` answer alone: no row of the table is read.
    """

    def __init__(self, connection: Connection, sees: Sight) -> None:
        index = sa.table("memory_index", sa.column("rowid"), sa.column("memory_index"))
        looked_at = (
            sa.select(index.c.rowid)
            .where(index.c.memory_index.op("MATCH")(sa.bindparam("match", required=True)))
            .order_by(index.c.rowid.desc())
            .limit(_look)
            .subquery("looked_at")
        )
        # In a query of its own: next to the limit, the count would visit every row that matches.
        newest = sa.select(looked_at.c.rowid, sa.func.count().over().label("hits")).subquery()
        in_sight = (
            sa.select(newest.c.hits, memories.c.number)
            .select_from(newest.join(memories, memories.c.number == newest.c.rowid))
            .where(sees.condition, sa.or_(_may_be_data, ~memories.c.is_quarantined))
            .order_by(newest.c.rowid.desc())
            .limit(_take)
            .subquery()
        )
        # One row for each match: fetching every number by itself would take most of the time.
        numbers = sa.func.group_concat(in_sight.c.number)
        query = sa.select(_part.label("part"), sa.func.max(in_sight.c.hits), numbers)
        compiled = query.compile(dialect=connection.dialect)
        self._sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._fixed = {name: bind.value for bind, name in compiled.bind_names.items()}

    def run(
        self,
        connection: Connection,
        matches: Sequence[str],
        sees: Sight,
        *,
        is_trusted: bool = False,
    ) -> list[_Numbers]:
        """Return the newest rows in sight for each match."""
        look = LOOKED_AT * sees.take
        values = self._fixed | sees.values
        values |= {"may_be_data": not is_trusted, "take": sees.take, "look": look}
        parameters: list[Any] = []
        for part, match in enumerate(matches):
            values |= {"part": part, "match": match}
            parameters += [values[name] for name in self._names]
        sql = " UNION ALL ".join([self._sql] * len(matches))
        rows = connection.exec_driver_sql(sql, tuple(parameters)).all()
        return [
            _numbers(row[1], row[2], sees.take, look) for row in sorted(rows, key=itemgetter(0))
        ]


def _numbers(hits: int | None, listed: str | None, take: int, look: int) -> _Numbers:
    """Read what one match gave; where nothing was in sight, how much was hit is unknown."""
    numbers = [int(number) for number in listed.split(",")] if listed else []
    may_miss = len(numbers) < take and (hits is None or hits >= look)
    return _Numbers(numbers, len(numbers) >= take, may_miss)


def _likeliest(groups: Sequence[Sequence[str]], found: Sequence[_Numbers], count: int) -> list[int]:
    """Return the rows that hold most terms as far as is known, rare ones first, the newest first."""
    worth: dict[int, float] = {}
    for group, (numbers, _, _) in zip(groups, found, strict=True):
        # What holds several common terms goes before what holds one rare one.
        value = len(group) if len(group) > 1 else 1 + 1 / (1 + len(numbers))
        for number in numbers:
            worth[number] = worth.get(number, 0.0) + value
    if len(worth) <= count:
        return list(worth)
    return [number for _, number in nlargest(count, zip(worth.values(), worth, strict=True))]


def _near(words: str, reaches: Sequence[str]) -> str:
    """Return an FTS5 query for rows that fit `words` and belong to one of `reaches`."""
    return f"words : ({words}) AND reach : ({' OR '.join(map(_quoted, reaches))})"


def _groups(common: Sequence[str]) -> Iterator[Sequence[str]]:
    """Return the longest common terms all together, and two by two."""
    if len(common) > 2:
        yield common[:PAIRED]
    yield from combinations(common[:PAIRED], 2)


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


class PostgresText:
    """A GIN index over `tsvector` behind `store.searching`, ranked by how many terms a row holds."""

    def candidates(
        self, connection: Connection, terms: Sequence[str], sees: Sight
    ) -> Sequence[Any]:
        """Return the rows that hold most of the terms, and the newest among equals."""
        own = self._nearest(connection, terms, sees.own, sees)
        # Apart, so that no number of strangers' words crowds out what is trusted.
        return [*own, *self._nearest(connection, terms, sees.data, sees)] if sees.data else own

    def _nearest(
        self, connection: Connection, terms: Sequence[str], reaches: Sequence[str], sees: Sight
    ) -> Sequence[Any]:
        most = max(BY_OVERLAP, LOOKED_AT * sees.take)
        # Ids alone, of this company; whether a row may be seen is asked of the row itself.
        found = sa.func.memory_search(_any_of(terms), _any_of(reaches), most)
        ids = sa.func.array(sa.select(found.column_valued("id")).scalar_subquery())
        query = (
            sa.select(*CANDIDATE)
            .where(memories.c.id == sa.func.any(ids), memories.c.superseded_by.is_(None))
            .where(sees.condition)
        )
        return connection.execute(query, sees.values).all()

    def number(self, connection: Connection) -> int | None:
        """Return None: nothing counts rows here."""
        return None

    def prepare_to_forget(self, connection: Connection) -> None:
        """Do nothing: the vacuum afterwards does it."""

    def purge(self, connection: Connection) -> None:
        """Do nothing: the index holds no copy that outlives the row's vacuum."""

    def scrub(self, store: Store) -> None:
        """Vacuum the tables; until then a deleted row is dead, but in its file."""
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM memories")
            connection.exec_driver_sql("VACUUM memory_vectors")
            connection.exec_driver_sql(f"VACUUM {searching.TABLE}")


def _any_of(terms: Sequence[str]) -> str:
    """Return a `tsquery` text; in quotes, only quotes and backslashes have a meaning there."""
    escaped = (term.replace("\\", "\\\\").replace("'", "''") for term in terms)
    return " | ".join(f"'{term}'" for term in escaped)
