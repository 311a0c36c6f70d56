"""Read the narrow rows that the database itself keeps in step with the ledger and the orders.

On SQLite they are tables that triggers write in the transaction of the charge; on Postgres they
are views. Both are made by the schema's migration and have no models, because nobody writes them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.money import CostStatus
from swarm.ledger.book import FAILED, INTENT, SUPERSEDED
from swarm.ledger.reports.period import Period
from swarm.store.tables import ledger

AMOUNTS = (
    "calls",
    "cost_pico",
    "listed_pico",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_tokens",
    "tool_tokens",
    "output_tokens",
    "reasoning_tokens",
)
AMOUNTS_OF_ORDER = ("calls", "cost_pico", "cached_tokens", "prompt_tokens")
BY_DAY = ("day", "kind", "role", "model", "currency", "cost_status", "state", "is_rework")
BY_ORDER = ("order_id", "currency", "model", "cost_status")
FACTS = ("order_id", "kind", "status", "created_at", "delivered_at", "accepted_at", "customer")

sums_by_day = sa.table("sums_by_day", *map(sa.column, (*BY_DAY, *AMOUNTS)))
sums_by_order = sa.table("sums_by_order", *map(sa.column, (*BY_ORDER, *AMOUNTS_OF_ORDER)))
order_facts = sa.table("order_facts", *map(sa.column, FACTS))


class Line(NamedTuple):
    """Calls that have a name, a currency and a status in common, added up."""

    name: str
    currency: str
    cost_status: str
    calls: int
    cost_pico: int
    listed_pico: int
    """At list price; 0 for calls without one."""
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    audio_tokens: int
    tool_tokens: int
    output_tokens: int
    reasoning_tokens: int


class Sums(NamedTuple):
    """All that was charged in a period, by each of its names."""

    by_role: list[Line]
    by_model: list[Line]
    by_kind: list[Line]
    """Empty where the order was never framed."""
    by_day: list[Line]
    rework: list[Line]
    """Work done again; without a name."""
    failed: list[Line]
    """Attempts without an answer that could be used; without a name."""
    unanswered: int
    """Calls that were begun and never closed."""


class OrderLine(NamedTuple):
    """What one order cost at one model, all its calls, whenever they were made."""

    order_id: str
    kind: str
    created_at: str
    is_accepted: bool
    currency: str
    model: str
    cost_status: str
    cost_pico: int
    cached_tokens: int
    prompt_tokens: int

    @property
    def provider(self) -> str:
        """Return who is asked, the first part of the model's name."""
        return provider_of(self.model)


class OrderCount(NamedTuple):
    """How many orders of a kind went which way within a period."""

    kind: str
    begun: int
    delivered: int
    accepted: int
    failed: int
    """Begun in the period, and failed or cancelled by now."""


def provider_of(model: str) -> str:
    """Return the provider in a model's name; all of it where it names none."""
    return model.partition("/")[0]


def one_view(connection: Connection) -> None:
    """Let all that is read on a connection from here on be as of one moment: others may write."""
    connection.exec_driver_sql(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        if connection.dialect.name == "postgresql"
        else "BEGIN"
    )


def charged(connection: Connection, period: Period) -> Sums:
    """Return all that was charged in a period, calls that were never answered included."""
    open_calls = _unanswered(connection, period)
    days = sums_by_day.c
    by_day = _grouped(connection, period, [days.day])
    # Few names in all, however many the days: the other breakdowns are taken from these.
    named = (days.kind, days.role, days.model, days.is_rework, days.state)
    cells = _grouped(connection, period, named)

    def lines(position: int) -> list[Line]:
        return [Line._make((cell[position], *cell[5:])) for cell in cells]

    def opened(position: int) -> list[Line]:
        return [_open_line(row[position], row.currency, row.calls) for row in open_calls]

    return Sums(
        by_day=[Line._make(row) for row in by_day] + opened(0),
        by_kind=lines(0) + opened(1),
        by_role=lines(1) + opened(2),
        by_model=lines(2) + opened(3),
        rework=[Line._make(("", *cell[5:])) for cell in cells if cell[3]],
        failed=[Line._make(("", *cell[5:])) for cell in cells if cell[4] in (FAILED, SUPERSEDED)]
        + [_open_line("", row.currency, row.calls) for row in open_calls],
        unanswered=sum(row.calls for row in open_calls),
    )


def _grouped(connection: Connection, period: Period, names: Sequence[Any]) -> list[Any]:
    """Add up by some names, then by currency and status."""
    days = sums_by_day.c
    keys = (*names, days.currency, days.cost_status)
    amounts = [sa.cast(sa.func.sum(days[column]), sa.BigInteger) for column in AMOUNTS]
    query = (
        sa.select(*keys, *amounts)
        .where(
            days.day >= period.first.isoformat(),
            days.day <= period.last.isoformat(),
            days.calls > 0,
        )
        .group_by(*keys)
    )
    return list(connection.execute(query))


def _open_line(name: str, currency: str, calls: int) -> Line:
    """Count open intents as unpriced: the provider may have billed them."""
    unknown = CostStatus.UNPRICED.value
    return Line._make((name, currency, unknown, calls, *[0] * (len(AMOUNTS) - 1)))


def _unanswered(connection: Connection, period: Period) -> list[Any]:
    """Count open intents by day, kind, role, model and currency; few are open at any moment."""
    # Literals, for a bound value in a select and in its groups is two expressions to Postgres.
    day = sa.func.substr(ledger.c.started_at, sa.text("1"), sa.text("10"))
    kind = sa.func.coalesce(order_facts.c.kind, sa.text("''"))
    names = (day, kind, ledger.c.role, ledger.c.model, ledger.c.currency)
    query = (
        sa.select(*names, sa.func.count().label("calls"))
        .select_from(ledger.outerjoin(order_facts, order_facts.c.order_id == ledger.c.order_id))
        .where(
            # A literal: a bound value could not be matched with the partial index.
            ledger.c.state == sa.literal_column(f"'{INTENT}'"),
            # Not by the column itself: the planner would walk all that began in the period, where
            # few calls are open.
            day >= period.first.isoformat(),
            day <= period.last.isoformat(),
        )
        .group_by(*names)
    )
    return list(connection.execute(query))


def order_counts(connection: Connection, period: Period) -> list[OrderCount]:
    """Count the orders that began, were delivered and were accepted within a period, by kind."""

    def within(column: Any) -> Any:
        return sa.and_(column >= period.start, column < period.end)

    def count(condition: Any) -> Any:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)

    facts = order_facts.c
    is_begun = within(facts.created_at)
    query = sa.select(
        facts.kind,
        count(is_begun),
        count(within(facts.delivered_at)),
        count(within(facts.accepted_at)),
        count(sa.and_(is_begun, facts.status.in_(["failed", "cancelled"]))),
    ).group_by(facts.kind)
    found = [OrderCount(*row) for row in connection.execute(query.order_by(facts.kind))]
    return [row for row in found if any(row[1:])]


class OrderSum(NamedTuple):
    """What one order cost in one currency, all its calls, whenever they were made."""

    kind: str
    number: int
    """The kind's first order is 1."""
    order_id: str
    accepted_at: str | None
    currency: str
    cost_pico: int
    cached_tokens: int
    prompt_tokens: int
    unpriced: int
    """How many of its lines hold calls without a price."""


ALL_UP_TO = 64
LARGEST = 2**30


def order_sample(connection: Connection, *, until: str) -> list[OrderSum]:
    """Return what orders that began before a moment cost, in the sequence of each kind.

    Of a long history a part is enough: all of the first 64 orders of a kind, then, spread evenly,
    32 of each doubling, so that a million orders are looked at as fast as a thousand.
    """
    sums, facts = sums_by_order.c, order_facts.c
    number = sa.func.row_number().over(
        partition_by=facts.kind, order_by=(facts.created_at, facts.order_id)
    )
    numbered = (
        # Only what the index holds; the rest is read of the few that are chosen.
        sa.select(facts.kind, number.label("number"), facts.order_id)
        .where(facts.created_at < until, facts.kind != "")
        .subquery()
    )
    n = numbered.c.number
    doublings, stride = [n < ALL_UP_TO], 2
    while ALL_UP_TO * stride <= LARGEST:
        within = sa.and_(n < ALL_UP_TO * stride, n >= ALL_UP_TO * stride // 2, n % stride == 0)
        doublings.append(within)
        stride *= 2
    chosen = sa.select(numbered).where(sa.or_(*doublings)).cte("chosen")
    of = order_facts.alias("of")
    is_unpriced = sa.case((sums.cost_status == CostStatus.UNPRICED.value, 1), else_=0)
    amounts = (sums.cost_pico, sums.cached_tokens, sums.prompt_tokens, is_unpriced)
    keys = (chosen.c.kind, chosen.c.number, chosen.c.order_id, of.c.accepted_at, sums.currency)
    query = (
        sa.select(*keys, *(sa.cast(sa.func.sum(a), sa.BigInteger) for a in amounts))
        .select_from(
            chosen.join(sums_by_order, sums.order_id == chosen.c.order_id).join(
                of, of.c.order_id == chosen.c.order_id
            )
        )
        .where(sums.calls > 0)
        .group_by(*keys)
        .order_by(chosen.c.kind, chosen.c.number)
    )
    return [OrderSum._make(row) for row in connection.execute(query)]


def orders_of_kinds(connection: Connection, *, until: str) -> dict[str, int]:
    """Count the orders of each kind that began before a moment."""
    facts = order_facts.c
    query = (
        sa.select(facts.kind, sa.func.count())
        .where(facts.created_at < until, facts.kind != "")
        .group_by(facts.kind)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def order_lines(
    connection: Connection, *, until: str, since: str | None = None
) -> Iterator[OrderLine]:
    """Yield what orders cost, in the sequence in which they came, streaming.

    Args:
        connection: Only read from.
        until: Orders that began before this moment.
        since: Orders that began at this moment or later; None for all.
    """
    sums, facts = sums_by_order.c, order_facts.c
    query = (
        sa.select(
            facts.order_id,
            facts.kind,
            facts.created_at,
            facts.accepted_at,
            sums.currency,
            sums.model,
            sums.cost_status,
            sums.cost_pico,
            sums.cached_tokens,
            sums.prompt_tokens,
        )
        .select_from(order_facts.join(sums_by_order, sums.order_id == facts.order_id))
        .where(facts.created_at < until, sums.calls > 0)
    )
    if since is not None:
        query = query.where(facts.created_at >= since)
    ordered = query.order_by(facts.created_at, facts.order_id)
    with connection.execution_options(yield_per=5_000).execute(ordered) as result:
        for row in result:
            yield OrderLine._make((*row[:3], row[3] is not None, *row[4:]))
