"""Parts of a second for a SQLite that knows none.

`unixepoch('subsec')` came with SQLite 3.42; Debian 12 and the official Python images on it have
3.40, where it is NULL. DBOS takes it for granted from Python 3.12 on, in the defaults of its tables
and in its queries, so there no workflow could be stored. Each connection is therefore taught the
word before anything is asked of it, whoever opens it: DBOS opens its own.
"""

import sqlite3
import time
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import Pool

SINCE = (3, 42, 0)
"""The first SQLite that knows it by itself."""


@cache
def teach_subseconds() -> None:
    """Teach every SQLite connection that SQLAlchemy opens in this process from now on."""
    if sqlite3.sqlite_version_info < SINCE:
        sa.event.listen(Pool, "connect", _teach)


def _teach(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        # Of one argument alone: with more or fewer, SQLite's own function is still meant.
        connection.create_function("unixepoch", 1, _unixepoch)


def _unixepoch(word: Any) -> float | int:
    """Answer as newer versions do, for the words that mean this moment."""
    if word in ("subsec", "subsecond"):
        return round(time.time(), 3)
    if word == "now":
        return int(time.time())
    raise ValueError(f"unixepoch({word!r}): this SQLite is taught 'subsec' and 'now' alone")
