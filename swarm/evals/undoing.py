"""A SQLite connection on which all that is done can be undone, at the price of a rollback.

To open a database anew costs its schema read again and every statement compiled again; with the
triggers of ours that is a third of an order. So the house has one connection in one transaction
that is never committed: what its users know as transactions are savepoints within, and what an
order left is gone with a rollback. Schema and statements stay.
"""

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

STATEMENTS = 512
"""Compiled ones that the driver keeps: more than a company has, so that none is compiled twice."""


class UndoableConnection(sqlite3.Connection):
    """A connection whose `commit` and `rollback` end a savepoint within one long transaction."""

    _is_in_turn = False

    @property
    def is_undoable(self) -> bool:
        """Whether `undo` brings back what `keep` kept; an error that ends all takes that away."""
        return self.in_transaction

    def keep(self) -> None:
        """Let `undo` come back to what is there now."""
        self._is_in_turn = False
        super().commit()
        self.execute("BEGIN")

    def undo(self) -> None:
        """Take back all that was done since `keep`, committed or not."""
        self._is_in_turn = False
        super().rollback()
        self.execute("BEGIN")

    def begin(self) -> None:
        """Begin what the next `commit` or `rollback` ends."""
        if not self._is_in_turn:
            self.execute("SAVEPOINT turn")
            self._is_in_turn = True

    def commit(self) -> None:
        """Keep what was done since `begin`, until it is undone with all else."""
        if self._is_in_turn:
            self.execute("RELEASE turn")
            self._is_in_turn = False

    def rollback(self) -> None:
        """Take back what was done since `begin`."""
        is_in_turn, self._is_in_turn = self._is_in_turn, False
        # An error that ended the long transaction ended this one too.
        if is_in_turn and self.in_transaction:
            self.execute("ROLLBACK TO turn")
            self.execute("RELEASE turn")


def open_undoable(content: bytes) -> UndoableConnection:
    """Open a database in memory that holds these pages; any thread may use it, one at a time."""
    connection = sqlite3.connect(
        ":memory:",
        check_same_thread=False,
        isolation_level=None,
        cached_statements=STATEMENTS,
        factory=UndoableConnection,
    )
    connection.deserialize(content)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.keep()
    return connection


def begin_by_savepoint(engine: Engine) -> None:
    """Let each transaction of an engine whose connections are undoable be a savepoint."""
    sa.event.listen(engine, "begin", _begin)


def driver_of(connection: Connection) -> Any:
    """Return the driver's connection."""
    return connection.connection.driver_connection


def _begin(connection: Connection) -> None:
    driver_of(connection).begin()
