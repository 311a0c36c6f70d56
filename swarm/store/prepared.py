"""Statements that are run again and again: compiled once, then handed to SQLite's driver as text.

What SQLAlchemy does around each statement (its cache's key, a context, a result) takes ten times
as long as most of ours take in SQLite. On a server the way there takes longer than all of that, and
its errors end connections, so there a statement goes the ordinary way.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

Clause: TypeAlias = sa.Select[Any] | sa.Insert | sa.Update | sa.Delete
Change: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as the driver takes it."""

    sql: str
    names: tuple[str, ...]
    """Of the values, in the order of the question marks."""
    told: Mapping[str, Any]
    """Values that stand in the statement itself."""
    changes: tuple[tuple[int, Change], ...]
    """What becomes of values on their way in, by place."""
    read: tuple[tuple[int, Change], ...]
    """What becomes of values on their way out, by column."""
    row: Any
    """Makes a row of its values; None where nothing is read."""


class Prepared:
    """A statement whose values are all named, or stand in it."""

    def __init__(self, clause: Clause) -> None:
        """Take the statement; an insert has the columns that its values name."""
        self._clause = clause
        self._texts: dict[tuple[str, ...], _Text] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run it, and return how many rows it changed."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._clause, values).rowcount
        return int(self._cursor(connection, values)[0].rowcount)

    def insert(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Insert a row, and return its number."""
        if connection.dialect.name != "sqlite":
            key = connection.execute(self._clause, values).inserted_primary_key
            assert key is not None
            return int(key[0])
        return int(self._cursor(connection, values)[0].lastrowid)

    def all(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """Return the rows, with a name for each column."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._clause, values).all()
        cursor, text = self._cursor(connection, values)
        return [_row(text, found) for found in cursor.fetchall()]

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Return the first row, or None."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._clause, values).first()
        cursor, text = self._cursor(connection, values)
        found = cursor.fetchone()
        # Open, it would keep the next statement of another kind waiting for its end.
        cursor.close()
        return None if found is None else _row(text, found)

    def scalar(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Return the first column of the first row, or None."""
        row = self.first(connection, values)
        return None if row is None else row[0]

    def one(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Return the row that must be there."""
        row = self.first(connection, values)
        assert row is not None
        return row

    def _cursor(self, connection: Connection, values: Mapping[str, Any]) -> tuple[Any, _Text]:
        shape = tuple(values)
        text = self._texts.get(shape)
        if text is None:
            text = self._texts[shape] = _compiled(self._clause, values, connection.dialect)
        told = text.told
        given = [values[name] if name in values else told[name] for name in text.names]
        for place, change in text.changes:
            given[place] = change(given[place])
        if not connection.in_transaction():
            # As the ordinary way would: else nobody ended what the driver begins.
            connection.begin()
        return _ran(connection, text.sql, given), text


class SqliteText:
    """A statement in SQLite's own words, on a table that no other database has."""

    def __init__(self, sql: str) -> None:
        """Take it; its values are question marks."""
        self._sql = sql

    def run(self, connection: Connection, *values: Any) -> int:
        """Run it, and return how many rows it changed."""
        return int(self._cursor(connection, values).rowcount)

    def all(self, connection: Connection, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows."""
        return list(self._cursor(connection, values).fetchall())

    def scalar(self, connection: Connection, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        cursor = self._cursor(connection, values)
        found = cursor.fetchone()
        cursor.close()
        return None if found is None else found[0]

    def _cursor(self, connection: Connection, values: Sequence[Any]) -> Any:
        if not connection.in_transaction():
            connection.begin()
        return _ran(connection, self._sql, values)


def _ran(connection: Connection, sql: str, values: Sequence[Any]) -> Any:
    """Return the driver's cursor after a statement."""
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        return driver.execute(sql, values)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _meaning(error, sql, list(values), connection.dialect) from error


def _row(text: _Text, found: Sequence[Any]) -> Any:
    if not text.read:
        return text.row(*found)
    values = list(found)
    for place, change in text.read:
        values[place] = change(values[place])
    return text.row(*values)


def _meaning(error: Any, sql: str, values: list[Any], dialect: Dialect) -> DBAPIError:
    """Return a driver's error as whoever runs statements knows it."""
    kind = dialect.loaded_dbapi.Error
    meant = DBAPIError.instance(sql, values, error, kind, dialect=dialect)
    assert isinstance(meant, DBAPIError)
    return meant


def _compiled(clause: Clause, values: Mapping[str, Any], dialect: Dialect) -> _Text:
    shape = tuple(values)
    columns = [] if isinstance(clause, sa.Select) else list(shape)
    compiled = clause.compile(dialect=dialect, column_keys=columns)
    assert isinstance(compiled, SQLCompiler)
    values = dict(values) | _defaults(compiled)
    # A list that stands in the statement gets as many question marks as it has members.
    expanded = compiled.construct_expanded_state(dict(values))
    names = tuple(expanded.positiontup or ())
    types = {bind.key: bind.type for bind in compiled.binds.values()}
    changes = [
        (place, types[name].dialect_impl(dialect).bind_processor(dialect))
        for place, name in enumerate(names)
        if name in types
    ]
    read, row = _reading(clause, dialect)
    return _Text(
        sql=expanded.statement,
        names=names,
        told={key: told for key, told in expanded.parameters.items() if key not in shape},
        changes=tuple((place, change) for place, change in changes if change is not None),
        read=read,
        row=row,
    )


def _defaults(compiled: SQLCompiler) -> dict[str, Any]:
    """Return what columns hold that nobody names; what is made anew each time is not for here."""
    held = {}
    for column in (*compiled.insert_prefetch, *compiled.update_prefetch):
        default: Any = column.default
        assert default is not None
        assert default.is_scalar, f"{column} is made anew for each row"
        held[column.key] = default.arg
    return held


def _reading(clause: Clause, dialect: Dialect) -> tuple[tuple[tuple[int, Change], ...], Any]:
    if not isinstance(clause, sa.Select):
        return (), None
    columns = list(clause.selected_columns)
    changes = [
        (place, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for place, column in enumerate(columns)
    ]
    named = namedtuple("Row", [column.key for column in columns], rename=True)  # type: ignore[misc]
    return tuple((p, c) for p, c in changes if c is not None), named
