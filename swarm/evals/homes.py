"""Homes that live for one replay: made by copying, on a database that never waits for the disk."""

import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.app import App
from swarm.core.order import OrderStatus
from swarm.settings import Environment, Settings, make_home
from swarm.store.database import Store


def furnish(home: Path) -> None:
    """Make a home with an empty database of this version; making the tables anew takes a second."""
    make_home(home)
    database = home / "swarm.db"
    if not database.exists():
        database.write_bytes(empty_database())


@cache
def empty_database() -> bytes:
    """Return the file of a new company's database; made once in a process."""
    with tempfile.TemporaryDirectory(prefix="swarm-empty-") as folder:
        home = Path(folder) / "home"
        app = App(
            Environment(
                home=home, settings=Settings(), provider_keys=(), user="founder", user_id="0"
            )
        )
        try:
            app.initialise()
            app.store.write(lambda connection: None)
        finally:
            app.close()
        # What the last writer left beside the file goes into it.
        connection = sqlite3.connect(home / "swarm.db")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # A database in memory has no log beside it; one in a file gets it back when it is opened.
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.close()
        return (home / "swarm.db").read_bytes()


def fleeting_store(url: str) -> Store:
    """Open a database that is gone after the replay: no commit waits until it is on the disk."""
    store = Store(url)
    if store.is_sqlite:
        sa.event.listen(store.engine, "connect", _without_waiting)
    return store


def _without_waiting(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")


class StatusLook:
    """See where an order stands, thousands of times a second if need be."""

    def __init__(self, home: Path, order_id: str) -> None:
        self._connection = sqlite3.connect(
            f"{(home / 'swarm.db').absolute().as_uri()}?mode=ro", uri=True, timeout=30
        )
        self._order_id = order_id

    def status(self) -> OrderStatus:
        """Return where the order stands."""
        query = "SELECT status FROM orders WHERE id = ?"
        (found,) = self._connection.execute(query, (self._order_id,)).fetchone()
        return OrderStatus(found)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
