"""What a period took of the founder and of the machines, as their own rooms count it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import parse_iso
from swarm.ledger.attention import FounderTimeConfig, founder_times, rule
from swarm.ledger.hosting.attribution import hosting_of_period
from swarm.ledger.reports.document import FounderDocument, HostingDocument
from swarm.ledger.reports.period import Period
from swarm.store.tables import farm_journal, founder_actions, hosting_events, orders

MOST_ACTIONS = 20_000
"""More than a person does in a year; adding them up would take seconds."""


def founder_part(
    connection: Connection, period: Period, *, config: FounderTimeConfig, currency: str
) -> FounderDocument | None:
    """Return what a period took of the founder's time; None where it holds too much to add up."""
    if _actions(connection, period) > MOST_ACTIONS:
        return None
    start, end = parse_iso(period.start), parse_iso(period.end)
    times = founder_times(connection, start, end, config=config, currency=currency).values()
    costs = [time.cost for time in times if time.cost is not None]
    is_priced = config.rate_per_hour is not None
    return FounderDocument(
        seconds=sum((time.seconds for time in times), Decimal(0)),
        touches=sum(time.touches for time in times),
        decisions=sum(time.decisions for time in times),
        decisions_per_order=None,
        options_shown=sum(time.options_shown for time in times),
        options_refused=sum(time.options_refused for time in times),
        reversals=sum(time.reversals for time in times),
        amount=sum((cost.amount for cost in costs), Decimal(0)) if is_priced else None,
        currency=(config.currency or currency) if is_priced else None,
        rule=rule(config),
    )


def _actions(connection: Connection, period: Period) -> int:
    acted = sa.select(sa.func.count()).where(
        founder_actions.c.at >= period.start, founder_actions.c.at < period.end
    )
    placed = sa.select(sa.func.count()).where(
        orders.c.created_at >= period.start, orders.c.created_at < period.end
    )
    return int(connection.execute(acted).scalar_one()) + int(
        connection.execute(placed).scalar_one()
    )


def has_farm(connection: Connection) -> bool:
    """Say whether this home ever ran a farm, whose costs `reports.farm` adds up."""
    return connection.execute(sa.select(farm_journal.c.id).limit(1)).first() is not None


def bounds(period: Period, now: datetime) -> tuple[datetime, datetime]:
    """Return the first moment of a period, and its end or now, whichever is first."""
    start = datetime.combine(period.first, datetime.min.time(), UTC)
    end = datetime.combine(period.last, datetime.min.time(), UTC) + timedelta(days=1)
    return start, min(end, now)


def hosting_part(
    connection: Connection, period: Period, *, now: datetime
) -> HostingDocument | None:
    """Return what the machines of a period cost up to now; None where none was ever metered."""
    if connection.execute(sa.select(hosting_events.c.id).limit(1)).first() is None:
        return None
    start, end = bounds(period, now)
    if end <= start:
        return None
    found = hosting_of_period(connection, start, end)
    return HostingDocument(
        amount=found.bill.amount if found.bill else None,
        currency=found.bill.currency if found.bill else None,
        idle=found.idle.amount if found.idle else None,
        status=found.status,
        note=found.note,
    )
