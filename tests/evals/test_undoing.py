"""A database on which all that an order did can be undone, committed or not."""

import sqlite3
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from swarm.evals.house import HouseStore
from swarm.evals.undoing import UndoableConnection, begin_by_savepoint, open_undoable

TABLES = """
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL UNIQUE);
CREATE VIRTUAL TABLE words USING fts5(text);
INSERT INTO notes (text) VALUES ('kept');
INSERT INTO words (text) VALUES ('kept');
"""
ADD = "INSERT INTO notes (text) VALUES (?)"


def _content() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    content: bytes = connection.serialize()
    connection.close()
    return content


@pytest.fixture
def connection() -> Iterator[UndoableConnection]:
    """Return an open database."""
    opened = open_undoable(_content())
    yield opened
    opened.close()


def _texts(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]


def test_what_was_committed_is_gone_after_an_undo_and_what_was_kept_is_not(
    connection: UndoableConnection,
) -> None:
    before = list(connection.iterdump())
    for text in ("first", "second"):
        connection.begin()
        connection.execute(ADD, (text,))
        connection.execute("INSERT INTO words (text) VALUES (?)", (text,))
        connection.commit()
    assert _texts(connection) == ["kept", "first", "second"]

    connection.undo()

    assert list(connection.iterdump()) == before, "the next number is the first one's too"
    found = connection.execute("SELECT text FROM words WHERE words MATCH 'kept OR first'")
    assert found.fetchall() == [("kept",)]
    connection.begin()
    connection.execute(ADD, ("later",))
    connection.commit()
    connection.keep()
    connection.undo()
    assert _texts(connection) == ["kept", "later"]


def test_a_rollback_takes_back_its_own_turn_alone(connection: UndoableConnection) -> None:
    connection.begin()
    connection.execute(ADD, ("done",))
    connection.commit()
    connection.begin()
    connection.execute(ADD, ("dropped",))
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(ADD, ("done",))
    connection.rollback()
    connection.rollback()  # As a pool does once more with what comes back to it.
    assert _texts(connection) == ["kept", "done"]


def test_an_error_that_ended_everything_is_known(connection: UndoableConnection) -> None:
    connection.begin()
    connection.execute(ADD, ("lost",))
    assert connection.is_undoable
    connection.execute("ROLLBACK")  # As SQLite does by itself where memory or disk end.
    connection.rollback()
    assert not connection.is_undoable


def test_whoever_asks_the_engine_for_a_transaction_gets_one_of_its_own() -> None:
    engine = sa.create_engine(
        "sqlite://", creator=lambda: open_undoable(_content()), poolclass=StaticPool
    )
    begin_by_savepoint(engine)
    add = sa.text("INSERT INTO notes (text) VALUES (:text)")
    with engine.begin() as one:
        one.execute(add, {"text": "done"})

    def fail() -> None:
        with engine.begin() as other:
            other.execute(add, {"text": "dropped"})
            other.execute(add, {"text": "done"})

    with pytest.raises(sa.exc.IntegrityError):
        fail()
    with engine.connect() as look:
        found = look.execute(sa.text("SELECT text FROM notes ORDER BY id")).scalars().all()
    assert found == ["kept", "done"]
    engine.dispose()


def test_a_store_in_memory_keeps_units_atomic_reads_harmless_and_is_put_back() -> None:
    store = HouseStore(_content(), is_shared=False)
    store.keep()

    def fail(connection: sa.Connection) -> None:
        connection.exec_driver_sql(ADD, ("half",))
        raise KeyError("half")

    store.write(lambda c: c.exec_driver_sql(ADD, ("done",)))
    with pytest.raises(KeyError):
        store.write(fail)
    store.read(lambda c: c.exec_driver_sql(ADD, ("by a reader",)))
    look = sa.text("SELECT text FROM notes ORDER BY id")
    assert store.read(lambda c: list(c.execute(look).scalars())) == ["kept", "done"]
    store.put_back()
    assert store.read(lambda c: list(c.execute(look).scalars())) == ["kept"]
    # Even where an error ended the one long transaction, and nothing can be undone any more.
    store.write(lambda c: c.exec_driver_sql(ADD, ("done",)))
    with pytest.raises(sqlite3.OperationalError, match="no such savepoint"):
        store.write(lambda c: c.exec_driver_sql("ROLLBACK"))
    store.put_back()
    assert store.read(lambda c: list(c.execute(look).scalars())) == ["kept"]
    store.dispose()
