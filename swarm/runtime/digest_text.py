"""What a digest says: what was done, what waits, what failed, what it cost, and whose time it took."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.core.money import CostStatus, from_pico, plain
from swarm.core.order import OrderStatus
from swarm.core.text import shorten
from swarm.ledger.attention import FounderTimeConfig, founder_week
from swarm.ledger.budget import BudgetConfig
from swarm.runtime.cards import rounded
from swarm.runtime.customers import of_customers
from swarm.runtime.people import Person
from swarm.runtime.phrases import say, status
from swarm.runtime.quiet_desk import QuietDesk
from swarm.store.tables import ledger, orders, outbox

LISTED = 5
"""Orders that each part names; the rest are counted."""
GOAL_SIGNS = 60
WEEK = timedelta(days=7)
_WAITING = (OrderStatus.WAITING.value, OrderStatus.PARKED.value)
_DONE = (OrderStatus.DELIVERED.value, OrderStatus.ACCEPTED.value)


@dataclass(frozen=True, slots=True)
class _Spent:
    """What model calls of a span cost."""

    text: str
    is_any: bool


class DigestText:
    """Write digests for one company."""

    def __init__(
        self,
        *,
        quiet: QuietDesk,
        budgets: BudgetConfig,
        founder_time: FounderTimeConfig,
        currency: str,
    ) -> None:
        self._quiet = quiet
        self._budgets = budgets
        self._founder_time = founder_time
        self._currency = currency

    def write(
        self, connection: Connection, person: Person, since: datetime, now: datetime
    ) -> str | None:
        """Return a person's digest of a span of time; None where nothing happened and nothing waits."""
        lang = person.language
        done = _orders(connection, orders.c.status.in_(_DONE), orders.c.delivered_at >= iso(since))
        waiting = _orders(connection, orders.c.status.in_(_WAITING))
        failed = _orders(
            connection,
            orders.c.status == OrderStatus.FAILED.value,
            sa.or_(orders.c.created_at >= iso(since), orders.c.id.in_(_failed_since(since))),
        )
        spent = _spent(connection, since, now)
        if not (done or waiting or failed or spent.is_any):
            return None
        zone = self._quiet.of(connection, person.channel, person.platform_id).zone
        day = now.astimezone(zone).date() if zone is not None else now.date()
        lines = [f"**{say('digest', lang, day=day.isoformat())}**"]
        for key, found in (("digest_done", done), ("digest_waiting", waiting)):
            lines += _part(key, found, lang)
        lines += _part("digest_failed", failed, lang)
        lines.append(self._money(connection, spent, since, now, lang))
        lines.append(self._time(connection, now, lang))
        return "\n".join(lines)

    def _money(
        self,
        connection: Connection,
        spent: _Spent,
        since: datetime,
        now: datetime,
        lang: str | None,
    ) -> str:
        week = _spent(connection, now - WEEK, now)
        hours = max(round((now - since).total_seconds() / 3600), 1)
        limit = self._budgets.day
        if limit is None:
            return say("digest_spent", lang, hours=hours, day=spent.text, week=week.text)
        facts = {
            "hours": hours,
            "day": spent.text,
            "week": week.text,
            "a_day": f"{plain(limit)} {self._currency}",
            "a_week": f"{plain(limit * 7)} {self._currency}",
        }
        return say("digest_spent_of", lang, **facts)

    def _time(self, connection: Connection, now: datetime, lang: str | None) -> str:
        week = founder_week(connection, now, config=self._founder_time, currency=self._currency)
        minutes = (week.seconds / 60).quantize(Decimal(1), ROUND_HALF_EVEN)
        if week.limit_seconds is None:
            return say("digest_time", lang, minutes=minutes)
        sign = "⚠️ " if week.is_over else ""
        most = plain((week.limit_seconds / 60).quantize(Decimal(1), ROUND_HALF_EVEN))
        return sign + say("digest_time_of", lang, minutes=minutes, most=most)


def _failed_since(since: datetime) -> Any:
    """Return the orders whose failure was told since a moment: an order keeps no time of its own."""
    return sa.select(outbox.c.order_id).where(
        outbox.c.card == OrderStatus.FAILED.value,
        outbox.c.created_at >= iso(since),
        outbox.c.order_id.is_not(None),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """Orders of one part: how many, and the newest of them."""

    count: int
    newest: tuple[Any, ...]

    def __bool__(self) -> bool:
        return self.count > 0


def _orders(connection: Connection, *conditions: Any) -> _Found:
    # What customers were answered is no order of the founder's.
    conditions = (*conditions, sa.not_(of_customers()))
    count = connection.execute(
        sa.select(sa.func.count()).select_from(orders).where(*conditions)
    ).scalar_one()
    query = sa.select(orders.c.id, orders.c.status, orders.c.state).where(*conditions)
    newest = query.order_by(orders.c.created_at.desc(), orders.c.id).limit(LISTED)
    return _Found(int(count), tuple(connection.execute(newest)))


def _part(key: str, found: _Found, lang: str | None) -> list[str]:
    if not found:
        return []
    lines = [say(key, lang, count=found.count)]
    for row in found.newest:
        state = json.loads(row.state)
        what = shorten((state.get("frame") or {}).get("goal") or state["text"], GOAL_SIGNS)
        # A model's words, or a stranger's: they format nothing here.
        plain_one = what.replace("*", "").replace("`", "'").replace("](", "] (")
        lines.append(f"• {row.id} {status(row.status, lang)}: {plain_one}")
    left = found.count - len(found.newest)
    return [*lines, f"… +{left}"] if left else lines


def _spent(connection: Connection, since: datetime, until: datetime) -> _Spent:
    """Add up the calls that began within a span, each currency apart; a lower bound says so."""
    is_unpriced = sa.case((ledger.c.cost_status == CostStatus.UNPRICED.value, 1), else_=0)
    is_notional = ledger.c.cost_status == CostStatus.NOTIONAL.value
    rows = connection.execute(
        sa.select(
            ledger.c.currency,
            is_notional.label("is_notional"),
            sa.cast(sa.func.sum(ledger.c.cost_pico), sa.BigInteger).label("pico"),
            sa.func.max(is_unpriced).label("is_bound"),
        )
        .where(ledger.c.started_at >= iso(since), ledger.c.started_at < iso(until))
        .group_by(ledger.c.currency, is_notional)
        .order_by(ledger.c.currency, is_notional)
    ).all()
    parts = []
    for row in rows:
        at_least = "≥ " if row.is_bound else ""
        amount = rounded(from_pico(int(row.pico)))
        parts.append(f"{at_least}{amount} {row.currency}{' (notional)' if row.is_notional else ''}")
    return _Spent(", ".join(parts) or "0", bool(rows))
