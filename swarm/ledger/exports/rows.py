"""Stream the ledger's rows, a few thousand at a time, whatever their number."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.ledger.reports.period import Period
from swarm.store.tables import ledger

BATCH = 2_000
TEXTS = ("prompt", "answer")
"""Long, and what customers wrote may be in them."""


def columns(*, has_texts: bool) -> list[Any]:
    """Return the ledger's columns, with or without what was asked and answered."""
    return [column for column in ledger.c if has_texts or column.name not in TEXTS]


def stream(
    connection: Connection, period: Period | None, *, has_texts: bool = False
) -> Iterator[Any]:
    """Yield ledger rows, the oldest first; those of a period by when they were begun."""
    query = sa.select(*columns(has_texts=has_texts))
    if period is None:
        query = query.order_by(ledger.c.id)
    else:
        query = query.where(
            ledger.c.started_at >= period.start, ledger.c.started_at < period.end
        ).order_by(ledger.c.started_at, ledger.c.id)
    with connection.execution_options(yield_per=BATCH).execute(query) as result:
        yield from result


def batches(rows: Iterator[Any], size: int = BATCH) -> Iterator[Sequence[Any]]:
    """Take rows together, so many at a time."""
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch
