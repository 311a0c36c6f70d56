"""An instance's budget of a month: its own bill and what its company spent on models, against a limit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from swarm.core.errors import ConfigError
from swarm.core.money import CostStatus
from swarm.farm.records import Record
from swarm.ledger.budget import convert
from swarm.ledger.hosting.seats import Seat

WARNS_AT = Decimal("0.8")
LONGEST_MONTH = 31


class Level(StrEnum):
    """How a month's spending stands to its limit."""

    FREE = "free"
    """There is no limit."""
    OK = "ok"
    NEAR = "near"
    """Four fifths of it are spent."""
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Allowance:
    """One instance's month."""

    month: str
    currency: str
    limit: Decimal | None
    hosting: Decimal
    """Of this month until now; a lower bound where `is_at_least`."""
    models: Decimal
    """The same, as the instance said last."""
    is_at_least: bool
    """Whether something is unpriced, unknown, or in a currency without a rate."""
    problems: tuple[str, ...]
    """Why."""
    asked_at: datetime | None
    """When the instance said so; None: never this month."""

    @property
    def spent(self) -> Decimal:
        """Both together."""
        return self.hosting + self.models

    @property
    def share(self) -> Decimal | None:
        """The part of the limit that is spent; None without a limit."""
        return None if self.limit is None else self.spent / self.limit

    @property
    def level(self) -> Level:
        """How it stands."""
        if self.share is None:
            return Level.FREE
        if self.share >= 1:
            return Level.OVER
        return Level.NEAR if self.share >= WARNS_AT else Level.OK


def allowance(
    record: Record, seat: Seat | None, *, month: str, rates: Mapping[str, Decimal],
    counts_notional: bool,
) -> Allowance:  # fmt: skip
    """Return how an instance's month stands.

    Args:
        record: The instance, with what it said last.
        seat: Its bill of this month; None where it has none.
        month: `2026-11`.
        rates: Prices of one unit of other currencies, in that of the budget.
        counts_notional: Whether what nothing is owed for uses the budget up.
    """
    currency, problems = record.spec.currency, list[str]()
    hosting = Decimal(0)
    if seat is not None and seat.amount is None:
        problems.append(f"its hosting is unpriced: {seat.reason or 'in several currencies'}")
    elif seat is not None and seat.amount is not None and seat.currency is not None:
        if counts_notional or seat.status is not CostStatus.NOTIONAL:
            hosting = _turned(seat.amount, seat.currency, currency, rates, problems)
        if seat.status is CostStatus.UNPRICED:
            problems.append("a part of its hosting is unpriced")
    reading = record.reading if record.reading and record.reading.month == month else None
    models = Decimal(0)
    if reading is None:
        problems.append("what its company spent on models is not known")
    for spent in reading.models if reading else ():
        amount = spent.amount if counts_notional else spent.amount - spent.notional
        models += _turned(amount, spent.currency, currency, rates, problems)
        if spent.status is CostStatus.UNPRICED:
            problems.append("some of its model calls are unpriced")
    return Allowance(
        month, currency, record.spec.budget_month, hosting, models, bool(problems),
        tuple(dict.fromkeys(problems)), reading.at if reading else None,
    )  # fmt: skip


def inside(
    limit: Decimal, hosting_month: Decimal | None, *, currency: str, hosting_currency: str,
    rates: Mapping[str, Decimal],
) -> Decimal:  # fmt: skip
    """Return what an instance may spend on models in a month, its hosting taken off.

    It may be zero or less: hosting alone takes it all. Hosting without a price, or without a rate,
    is left to the farm's own count.
    """
    if hosting_month is None:
        return limit
    try:
        return limit - convert(hosting_month, hosting_currency, currency, dict(rates))
    except ConfigError:
        return limit


def _turned(
    amount: Decimal, currency: str, to: str, rates: Mapping[str, Decimal], problems: list[str]
) -> Decimal:
    """Return an amount in the budget's currency; without a rate it is left out, and that is said."""
    try:
        return convert(amount, currency, to, dict(rates))
    except ConfigError:
        if amount:
            problems.append(f"{currency} is left out: company.yaml has no rate from it to {to}")
        return Decimal(0)


def seat_of(seats: Iterable[Seat], name: str) -> Seat | None:
    """Return an instance's seat."""
    return next((seat for seat in seats if seat.instance == name), None)
