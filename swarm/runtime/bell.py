"""The bell of a SQLite home: whoever enqueues rings it, and it says whether all that rang is done.

Two numbers in the file's header hold it, which are read in microseconds and committed with the rest.
"""

from sqlalchemy.engine import Connection

from swarm.runtime import waiting_work

MOST_RUNG = 2**30
"""The count starts again here; the header holds 32 bits with a sign."""


def ring(connection: Connection) -> None:
    """Say, within the caller's transaction, that there is work."""
    connection.exec_driver_sql(f"PRAGMA user_version={(rung(connection) + 1) % MOST_RUNG}")


def rung(connection: Connection) -> int:
    """Return how often the bell was rung."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def is_quiet(connection: Connection) -> bool:
    """Say whether all work was done when the bell was rung last.

    The other number of the header then holds one more, so that a file without any is not quiet.
    """
    noted = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    return bool(noted == rung(connection) + 1)


def note_quiet(at: int, connection: Connection) -> bool:
    """Note that all work was done after so many rings.

    False where it was rung since, or where work waits that the engine does not know of yet.
    """
    if rung(connection) != at or waiting_work.is_any(connection):
        return False
    connection.exec_driver_sql(f"PRAGMA application_id={at + 1}")
    return True
