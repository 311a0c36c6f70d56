"""Work that was enqueued where the engine's library is not loaded: it waits in a table of its own.

Whoever listens enqueues and never works, and the library would take more of its memory than all it
has to say. So what it enqueues stands here, committed with what it follows from, until a worker of
the same SQLite home hands it to the engine, in one transaction with its end here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from swarm.runtime.engine import Argument

_TABLE = (
    "CREATE TABLE IF NOT EXISTS waiting_work (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
    "workflow TEXT NOT NULL, arguments TEXT NOT NULL, is_urgent INTEGER NOT NULL)"
)
_IS_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'waiting_work'"
_ADD = (
    "INSERT INTO waiting_work (id, workflow, arguments, is_urgent) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (id) DO NOTHING"
)
_ALL = "SELECT id, workflow, arguments, is_urgent FROM waiting_work ORDER BY number"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One workflow that is not with the engine yet."""

    workflow_id: str
    workflow: str
    arguments: tuple[Argument, ...]
    is_urgent: bool


def put(connection: Connection, work: Waiting) -> None:
    """Let work wait, within the caller's transaction; the same id twice is one workflow."""
    connection.exec_driver_sql(_TABLE)
    row = (work.workflow_id, work.workflow, json.dumps(work.arguments), int(work.is_urgent))
    connection.exec_driver_sql(_ADD, row)


def is_any(connection: Connection) -> bool:
    """Say whether anything waits."""
    if connection.exec_driver_sql(_IS_THERE).first() is None:
        return False
    return connection.exec_driver_sql(f"{_ALL} LIMIT 1").first() is not None


def take(connection: Connection) -> Sequence[Waiting]:
    """Return what waits, the oldest first, and let it wait no more."""
    if not is_any(connection):
        return []
    rows = connection.exec_driver_sql(_ALL).all()
    connection.exec_driver_sql("DELETE FROM waiting_work")
    return [Waiting(row[0], row[1], tuple(json.loads(row[2])), bool(row[3])) for row in rows]
