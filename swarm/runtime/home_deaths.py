"""Whether the last worker of a SQLite home died at work.

A clean stop says so. Without its word, the worker was killed, and what it had in hand may be what
killed it: see `recoveries`. On Postgres the lock that a worker holds tells the same.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.store.tables import meta

AT_WORK = "worker_at_work"


def begin(connection: Connection) -> bool:
    """Note that a worker works; True where the last one never said that it stopped."""
    key = meta.c.key == AT_WORK
    if connection.execute(sa.select(meta.c.value).where(key)).first() is not None:
        return True
    connection.execute(meta.insert().values(key=AT_WORK, value="1"))
    return False


def forgive(connection: Connection) -> None:
    """Hold the last death against nothing: whoever listens died along, so no order was to blame."""
    end(connection)


def end(connection: Connection) -> None:
    """Note that it stopped by itself."""
    connection.execute(meta.delete().where(meta.c.key == AT_WORK))
