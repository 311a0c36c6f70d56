"""What can be measured of a company at a glance: orders, queue, calls, tokens, cost, outbox.

All of it is read from the database, so it is the same whichever process is asked, and counts go on
over restarts. Names follow Prometheus: a unit at the end, `_total` for what only grows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, parse_iso
from swarm.core.money import from_pico
from swarm.core.order import OrderStatus
from swarm.ledger.reports.sums import AMOUNTS, provider_of, sums_by_day
from swarm.store.database import Store
from swarm.store.tables import asks, orders, outbox

BUCKETS = tuple(name for name in AMOUNTS if name.endswith("_tokens"))


class Metric(NamedTuple):
    """One measure: its name, what it says, and the names of its labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def is_counter(self) -> bool:
        """True for what only grows."""
        return self.name.endswith("_total")


METRICS = (
    Metric("swarm_orders", "Orders, by where they stand now.", ("status",)),
    Metric("swarm_orders_waiting", "Orders that wait for a person's word."),
    Metric("swarm_queue_depth", "Orders that could be worked now and that nobody works yet."),
    Metric("swarm_queue_age_seconds", "How long the oldest order of the queue has been there."),
    Metric(
        "swarm_model_calls_total",
        "Attempts at model calls, by how they ended.",
        ("provider", "model", "state"),
    ),
    Metric("swarm_tokens_total", "Tokens, by what they were.", ("bucket",)),
    Metric(
        "swarm_cost_total",
        "What model calls cost, in whole units of the currency; `unpriced` is a lower bound.",
        ("currency", "status"),
    ),
    Metric("swarm_outbox_pending", "Messages that are still to be sent."),
    Metric("swarm_outbox_age_seconds", "How long the oldest message that is due has been due."),
    Metric("swarm_reaper_actions_total", "Runs taken over from workers that died.", ("action",)),
    Metric("swarm_database_up", "Whether the database answered just now; 1 is yes."),
    Metric("swarm_local_inbox_rows", "Messages kept on this machine until the database is back."),
    Metric("swarm_local_inbox_age_seconds", "How long the oldest of them has been kept."),
    Metric(
        "swarm_local_inbox_passed_over",
        "Strangers' messages beyond their share of it, since the database went away.",
    ),
    Metric("swarm_worker_deaths_total", "Deaths of the process that works orders."),
    Metric("swarm_worker_failing", "Whether it dies again and again; 1 is yes."),
    Metric("swarm_build_info", "Always 1; its label names the version.", ("version",)),
)
NAMES = tuple(metric.name for metric in METRICS)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one metric; `labels` are in the metric's order."""

    name: str
    labels: tuple[str, ...]
    value: Decimal


class Vitals:
    """Read the measures of one company."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        version: str,
        reaped: Callable[[Connection], dict[str, int]] | None = None,
    ) -> None:
        """Take where to look.

        Args:
            store: The company's database.
            clock: Tells how old things are.
            version: Of the program.
            reaped: Counts what was taken over from dead workers, by action; None where nothing is
                ever taken over.
        """
        self._store = store
        self._clock = clock
        self._version = version
        self._reaped = reaped

    async def read(self) -> list[Reading]:
        """Return every measure, as of one moment."""
        return await self._store.aread(self.of)

    def of(self, connection: Connection) -> list[Reading]:
        """Return every measure as a connection shows it."""
        now = self._clock.now()
        found = _of_orders(connection)
        found += _of_queue(connection, now)
        found += _of_calls(connection)
        found += _of_outbox(connection, now)
        if self._reaped is not None:
            found += [
                reading("swarm_reaper_actions_total", count, action)
                for action, count in sorted(self._reaped(connection).items())
            ]
        return [*found, reading("swarm_build_info", 1, self._version)]


def reading(name: str, value: Decimal | float, *labels: str) -> Reading:
    """Return one value; `labels` are in the metric's order."""
    return Reading(name, labels, Decimal(str(value)))


def _of_orders(connection: Connection) -> list[Reading]:
    query = sa.select(orders.c.status, sa.func.count()).group_by(orders.c.status)
    counts = {str(status): int(count) for status, count in connection.execute(query)}
    # A status without an order is a zero, not a gap: alerts on a rate would never fire.
    found = [reading("swarm_orders", counts.get(s.value, 0), s.value) for s in OrderStatus]
    return [*found, reading("swarm_orders_waiting", counts.get(OrderStatus.WAITING.value, 0))]


_SINCE = sa.func.coalesce(
    sa.select(sa.func.max(asks.c.answered_at))
    .where(asks.c.order_id == orders.c.id)
    .correlate(orders)
    .scalar_subquery(),
    orders.c.created_at,
)
"""Since when a queued order could go on: the last answer it waited for, or its beginning."""


def _of_queue(connection: Connection, now: datetime) -> list[Reading]:
    query = sa.select(sa.func.count(), sa.func.min(_SINCE)).where(
        orders.c.status == OrderStatus.QUEUED.value
    )
    count, oldest = connection.execute(query).one()
    return [
        reading("swarm_queue_depth", count),
        reading("swarm_queue_age_seconds", _age(oldest, now)),
    ]


def _of_calls(connection: Connection) -> list[Reading]:
    sums = sums_by_day.c
    by_call = (
        sa.select(sums.model, sums.state, sa.func.sum(sums.calls))
        .group_by(sums.model, sums.state)
        .order_by(sums.model, sums.state)
    )
    found = [
        reading("swarm_model_calls_total", int(calls), provider_of(model), model, state)
        for model, state, calls in connection.execute(by_call)
    ]
    tokens = connection.execute(
        sa.select(*(sa.func.coalesce(sa.func.sum(sums[name]), 0) for name in BUCKETS))
    ).one()
    found += [
        reading("swarm_tokens_total", int(count), name.removesuffix("_tokens"))
        for name, count in zip(BUCKETS, tokens, strict=True)
    ]
    by_cost = (
        sa.select(sums.currency, sums.cost_status, sa.func.sum(sums.cost_pico))
        .group_by(sums.currency, sums.cost_status)
        .order_by(sums.currency, sums.cost_status)
    )
    return found + [
        reading("swarm_cost_total", from_pico(int(pico)), currency, status)
        for currency, status, pico in connection.execute(by_cost)
    ]


def _of_outbox(connection: Connection, now: datetime) -> list[Reading]:
    query = sa.select(sa.func.count(), sa.func.min(outbox.c.not_before)).where(
        outbox.c.state == "pending"
    )
    count, oldest = connection.execute(query).one()
    return [
        reading("swarm_outbox_pending", count),
        reading("swarm_outbox_age_seconds", _age(oldest, now)),
    ]


def _age(since: str | None, now: datetime) -> float:
    """Return the seconds since a moment; 0 where there is none, or it is still to come."""
    return 0.0 if since is None else max(0.0, (now - parse_iso(since)).total_seconds())
