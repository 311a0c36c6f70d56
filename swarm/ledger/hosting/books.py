"""The rows of hosting: when an instance ran, on which terms, and for whom it worked."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.ledger.hosting.terms import Terms
from swarm.store.prepared import Prepared
from swarm.store.tables import hosting_events, hosting_usage

STARTED, STOPPED = "started", "stopped"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One row as it stands now; written again, it takes the place of what it was."""

    instance: str
    seq: int
    order_id: str | None
    task_id: str | None
    segment: int | None
    started_at: str
    ended_at: str
    elapsed_ms: int
    cpu_us: int
    memory_kib_ms: int
    sandbox_cpu_us: int
    sandbox_memory_kib_ms: int
    peak_kib: int


def write_usage(connection: Connection, rows: Iterable[UsageRow]) -> None:
    """Store rows whose numbers are totals: to write one twice, or a newer one, is safe."""
    for row in rows:
        # By name: a general copy of each value takes longer than the statement.
        values = {name: getattr(row, name) for name in _NAMES}
        changed = {f"new_{name}": values[name] for name in _CHANGING}
        changed |= {"of_instance": row.instance, "of_seq": row.seq}
        if _UPDATE.run(connection, changed) == 0:
            _INSERT.run(connection, values)


def write_event(
    connection: Connection, *, instance: str, at: datetime, event: str, terms: Terms | None = None
) -> None:
    """Note that an instance started or stopped; a start says on which terms."""
    text = None if terms is None else terms.model_dump_json()
    values = {"instance": instance, "at": iso(at), "event": event, "terms": text}
    _EVENT.run(connection, values)


_NAMES = tuple(UsageRow.__dataclass_fields__)
_CHANGING = (
    "ended_at", "elapsed_ms", "cpu_us", "memory_kib_ms", "sandbox_cpu_us", "sandbox_memory_kib_ms",
    "peak_kib",
)  # fmt: skip
# Written once: building a statement costs more than running it.
_UPDATE = Prepared(
    hosting_usage.update()
    .where(
        hosting_usage.c.instance == sa.bindparam("of_instance"),
        hosting_usage.c.seq == sa.bindparam("of_seq"),
    )
    .values({name: sa.bindparam(f"new_{name}") for name in _CHANGING})
)
_INSERT = Prepared(hosting_usage.insert())
_EVENT = Prepared(hosting_events.insert())
