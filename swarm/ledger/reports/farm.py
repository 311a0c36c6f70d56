"""What the instances of a home's farm cost in a period, for its operator's report."""

from datetime import datetime

from sqlalchemy.engine import Connection

from swarm.farm.docker.config import DockerConfig
from swarm.farm.journal import entries_of
from swarm.ledger.hosting.seats import Span, report
from swarm.ledger.reports.document import (
    FarmDocument,
    FarmIdleDocument,
    FarmSeatDocument,
    FarmTotalDocument,
)
from swarm.ledger.reports.others import bounds
from swarm.ledger.reports.period import Period


def farm_part(
    connection: Connection, period: Period, *, now: datetime, machine: DockerConfig
) -> FarmDocument | None:
    """Return what the instances of this home's farm cost up to now; None where it begins later.

    Args:
        connection: Only read from.
        period: What is reported.
        now: The end of what goes on.
        machine: Terms of this home's own machine.
    """
    start, end = bounds(period, now)
    if end <= start:
        return None
    found = report(entries_of(connection), now=now, span=Span(start, end), machine=machine)
    idle = (*found.idle, *((found.machine,) if found.machine else ()))
    return FarmDocument(
        seats=[
            FarmSeatDocument(
                instance=seat.instance, owner=seat.owner, amount=seat.amount,
                currency=seat.currency, tax=seat.tax, status=seat.status,
                per_day=None if seat.per_day is None else round(seat.per_day, 12),
                is_there=seat.is_there,
            )
            for seat in found.seats
        ],
        idle=[
            FarmIdleDocument(
                host=item.host, amount=round(item.amount, 12), of=round(item.whole, 12),
                share=round(item.share, 4), currency=item.currency,
            )
            for item in idle
        ],
        totals=[
            FarmTotalDocument(amount=t.amount, currency=t.currency, tax=t.tax)
            for t in found.bill.totals
        ],
        status=found.bill.status,
        is_at_least=found.bill.is_at_least,
    )  # fmt: skip
