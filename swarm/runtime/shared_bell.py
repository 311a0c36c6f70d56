"""The bell of a company on Postgres: whoever writes what others wait for rings it, with its commit.

The server carries a ring to every process that listens, at once and without being asked. A ring may
be lost with a connection, so whoever listens looks by itself as well, once in a while.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.store.companies import checked

WORK = "work"
"""There is something for workers."""
WORDS = "words"
"""There is something for whoever hears and sends."""
_RING = sa.text("SELECT pg_notify('swarm_' || current_setting('swarm.company'), :sign)")


def ring(connection: Connection, sign: str) -> None:
    """Ring for the company of a transaction, with its commit; on SQLite do nothing.

    The same sign twice in one transaction is one ring.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_RING, {"sign": sign})


def listen(connection: Connection, company: str) -> None:
    """Have the server tell a connection of each ring, from now on.

    Args:
        connection: One that commits each statement by itself and is nobody else's.
        company: Whose bell it is.
    """
    connection.exec_driver_sql(f'LISTEN "swarm_{checked(company)}"')
