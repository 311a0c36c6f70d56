"""Parts of a second, also on a SQLite that knows none."""

import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from swarm.store import subseconds
from swarm.store.database import Store, sqlite_url


def test_any_connection_of_this_process_knows_parts_of_a_second(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "own.db"))
    # As DBOS does: an engine that nobody prepared, and the word in a column's default.
    other = sa.create_engine(sqlite_url(tmp_path / "other.db"))
    before = time.time()
    with other.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE t (a INTEGER, at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))"
        )
        connection.exec_driver_sql("INSERT INTO t (a) VALUES (1)")
        at = connection.exec_driver_sql("SELECT at FROM t").scalar_one()
    assert before * 1000 - 1 <= at <= time.time() * 1000 + 1
    assert (
        store.read(lambda c: c.exec_driver_sql("SELECT unixepoch('subsec')").scalar()) is not None
    )
    store.close()
    other.dispose()


@pytest.mark.skipif(
    sqlite3.sqlite_version_info >= subseconds.SINCE, reason="this SQLite knows it by itself"
)
def test_other_words_mean_what_they_meant(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "own.db"))
    with store.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT unixepoch(), unixepoch('now'), unixepoch('1970-01-02', '+1 day')"
        ).one()
    store.close()
    assert abs(found[0] - time.time()) < 2
    assert abs(found[1] - time.time()) < 2
    assert found[2] == 172_800
