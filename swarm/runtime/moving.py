"""Move a company from its SQLite file into a Postgres: all of it and proven, or nothing.

The Postgres may hold other companies: their rows are neither seen nor touched.

The engine's own rows stay behind. Between segments an order is one row of ours, so it is enough to
enqueue anew what was queued or at work; answers on the books are not asked for again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, DBAPIError

from swarm.core.errors import ConfigError
from swarm.core.order import OrderStatus
from swarm.runtime.engine import SEGMENT, Engine
from swarm.runtime.records import lane_of, segment_id
from swarm.store import postgres
from swarm.store.audit import verify
from swarm.store.database import Store
from swarm.store.tables import (
    audit,
    budgets,
    ledger,
    meta,
    metadata,
    orders,
    rate_gates,
    reaper_actions,
    recoveries,
    workers,
)

BATCH, BATCH_CHARS = 500, 4_000_000
"""Rows read and written at once, and the characters in them: a row may hold a long answer."""
_OF_WORKERS = frozenset({workers.name, recoveries.name, reaper_actions.name, rate_gates.name})
"""What speaks of the workers of one database alone."""

KEY = "moved_from"
"""Under which the target keeps what was moved into it, so that a move that was cut off after it was
kept is known for what it is."""

Tell = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved."""

    rows: dict[str, int]
    """By table."""
    enqueued: int
    """Orders that were queued or at work."""
    audit_rows: int
    audit_head: str
    """Hash of the last row of the audit chain; empty where there is none."""
    is_repeated: bool = False
    """It had arrived before, and nothing was copied now."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What is done as a move gets on."""

    tell: Tell
    """Called with each table and the number of its rows."""
    about_to_keep: Callable[[], None] = lambda: None
    """Called once all is proven, just before the target keeps it."""
    kept: Callable[[], None] = lambda: None
    """Called once the target has it, while nobody can write to the source yet."""


def move(
    source: Store, target: Store, engine: Engine, *, keys: Sequence[bytes] | None, steps: Steps
) -> Moved:
    """Copy everything in one transaction, and commit it only once it is proven the same.

    Args:
        source: The SQLite file; nobody can write to it meanwhile.
        target: A database of this version's schema, without a row of its company.
        engine: Of the target.
        keys: Public keys that may have signed the audit chain's heads; None leaves them unchecked.
        steps: What is done meanwhile.

    Raises:
        ConfigError: The target is not empty, or what arrived is not the same; it is as before then.
        Unavailable: One of the two cannot be reached; the target is as before.
    """
    try:
        with source.engine.connect() as old:
            # An order that came in now would be left behind, so it has to wait.
            old.exec_driver_sql("BEGIN IMMEDIATE")
            moved = target.write(
                lambda new: _move(old, new, engine, keys, steps, company=target.company)
            )
            steps.kept()
            return moved
    except DataError as error:
        text = " ".join(str(error.orig).split())
        raise ConfigError(
            f"Postgres cannot hold what stands in the SQLite file; nothing was moved. ({text[:200]})"
        ) from error
    except DBAPIError as error:
        raise postgres.explained(error, target.engine.url) from error


def _move(
    old: Connection,
    new: Connection,
    engine: Engine,
    keys: Sequence[bytes] | None,
    steps: Steps,
    *,
    company: str,
) -> Moved:
    # The server would take the time in which the file is read for a stall.
    postgres.take_time(new)
    if earlier := _earlier(old, new):
        return earlier
    _refuse_full(new, company)
    counts: dict[str, int] = {}
    content = hashlib.sha256()
    for table in moved_tables():
        counts[table.name] = _copy(old, new, table, content.update)
        _count_on(new, table)
        steps.tell(table.name, counts[table.name])
    _compare(old, new, counts)
    rows, head = _check_chain(old, new, keys)
    moved = Moved(counts, _enqueue(new, engine), rows, head)
    note = {"content": content.hexdigest(), "moved": asdict(moved)}
    new.execute(meta.insert().values(key=KEY, value=json.dumps(note)))
    steps.about_to_keep()
    return moved


def _earlier(old: Connection, new: Connection) -> Moved | None:
    """Return what was moved before, where it was this file as it is now.

    Raises:
        ConfigError: The company there came from this file, which was written to since.
    """
    noted = new.execute(sa.select(meta.c.value).where(meta.c.key == KEY)).scalar()
    if noted is None:
        return None
    note = json.loads(noted)
    moved = Moved(**note["moved"] | {"is_repeated": True})
    content = hashlib.sha256()
    for table in moved_tables():
        for batch in _rows(old, table):
            _digest(batch, content.update)
    if content.hexdigest() == note["content"]:
        return moved
    if _is_one_company(old, new):
        raise ConfigError(
            "This company is in the target database already, and its SQLite file was written to "
            "after it was moved: nothing was moved now. Go on with the Postgres (set "
            "SWARM_DATABASE_URL), and say again there what was said here since."
        )
    return None


def _is_one_company(old: Connection, new: Connection) -> bool:
    """Say whether an order of the one is in the other: their ids are random."""
    first = sa.select(orders.c.id).order_by(orders.c.created_at, orders.c.id).limit(1)
    found = old.execute(first).scalar()
    there = sa.select(orders.c.id).where(orders.c.id == found)
    return found is not None and new.execute(there).first() is not None


def moved_tables() -> list[sa.Table]:
    """Return the tables that are copied; what they are summed up in is made by the database."""
    return [table for table in metadata.sorted_tables if table.name not in _OF_WORKERS]


def _refuse_full(new: Connection, company: str) -> None:
    for table in moved_tables():
        if new.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            raise ConfigError(
                f"The company {company!r} in the target database is not empty ({table.name} has "
                "rows): nothing was moved. Give it another id with SWARM_COMPANY, or name an empty "
                "database, `CREATE DATABASE name;`."
            )


def _copy(
    old: Connection, new: Connection, table: sa.Table, digest: Callable[[bytes], None]
) -> int:
    count = 0
    for batch in _rows(old, table):
        _digest(batch, digest)
        new.execute(table.insert(), batch)
        count += len(batch)
    return count


def _rows(old: Connection, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    """Read a table in its order, some rows at a time."""
    rows = old.execute(sa.select(table).order_by(*table.primary_key.columns)).yield_per(BATCH)
    return _batches(rows.mappings())


def _batches(rows: Iterable[Any]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        batch.append(dict(row))
        size += sum(len(value) for value in row.values() if isinstance(value, str | bytes))
        if len(batch) == BATCH or size > BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _digest(batch: Iterable[Mapping[str, Any]], digest: Callable[[bytes], None]) -> None:
    for row in batch:
        digest(repr(tuple(row.values())).encode())


def _count_on(new: Connection, table: sa.Table) -> None:
    """Let the table number its next row after those that came with a number.

    All companies draw from one row of numbers, so it is only ever drawn from, never set back.
    """
    column = table.autoincrement_column
    if column is None:
        return
    name = {"of_table": table.name, "of_column": column.name}
    sequence = new.execute(_SEQUENCE, name).scalar()
    highest = new.execute(sa.select(sa.func.max(column))).scalar()
    if sequence is not None and highest is not None:
        drawn = new.execute(_DRAW, {"sequence": sequence, "count": 1}).scalar_one()
        new.execute(_DRAW, {"sequence": sequence, "count": max(highest - drawn, 0)})


_SEQUENCE = sa.text("SELECT pg_get_serial_sequence(:of_table, :of_column)")
_DRAW = sa.text("SELECT max(nextval(CAST(:sequence AS regclass))) FROM generate_series(1, :count)")
_SUMS = (
    sa.select(sa.func.sum(ledger.c.cost_pico), sa.func.sum(ledger.c.reserved_pico)),
    sa.select(sa.func.sum(budgets.c.spent_pico), sa.func.sum(budgets.c.reserved_pico)),
)


def _compare(old: Connection, new: Connection, counts: dict[str, int]) -> None:
    for table in moved_tables():
        query = sa.select(sa.func.count()).select_from(table)
        there, here = old.execute(query).scalar_one(), new.execute(query).scalar_one()
        if not there == here == counts[table.name]:
            raise ConfigError(f"{table.name}: {here} of {there} rows arrived; nothing was moved.")
    for amounts in _SUMS:
        sums = [
            [int(value or 0) for value in connection.execute(amounts).one()]
            for connection in (old, new)
        ]
        if sums[0] != sums[1]:
            raise ConfigError("The amounts on the books differ after the move; nothing was moved.")


def _check_chain(old: Connection, new: Connection, keys: Sequence[bytes] | None) -> tuple[int, str]:
    """Verify the audit chain where it arrived; a chain that was broken before is told apart."""
    last = sa.select(audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    here, there = verify(new, public_keys=keys), verify(old, public_keys=keys)
    heads = [connection.execute(last).scalar() for connection in (old, new)]
    if (here.first_bad, here.rows) != (there.first_bad, there.rows) or heads[0] != heads[1]:
        raise ConfigError(f"The audit chain did not arrive whole ({here.why}); nothing was moved.")
    if not there.is_whole:
        raise ConfigError(
            f"The audit chain of the SQLite file is broken at row {there.first_bad} ({there.why}): "
            "nothing was moved. `swarm audit verify` says more; restore a backup first."
        )
    return here.rows, str(heads[1] or "")


def _enqueue(new: Connection, engine: Engine) -> int:
    """Enqueue what was queued or at work; what waits for a person waits on."""
    moving = [status.value for status in OrderStatus if status.is_moving]
    rows = new.execute(
        sa.select(orders).where(orders.c.status.in_(moving)).order_by(orders.c.created_at)
    ).all()
    for row in rows:
        engine.enqueue(
            new,
            SEGMENT,
            segment_id(row.id, row.segment),
            row.id,
            row.segment,
            lane=lane_of(row.channel, row.sender_id, row.customer),
            is_urgent=row.segment > 0,
        )
    return len(rows)
