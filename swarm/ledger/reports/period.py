"""Whole days in UTC, from the first to the last."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from swarm.core.clock import iso
from swarm.core.errors import InvalidInput

DAYS_PER_MONTH = Decimal("30.4375")
"""A year of 365.25 days, by twelve."""
WEEK, MONTH = 7, 30


@dataclass(frozen=True, slots=True)
class Period:
    """A span of days, both ends in it."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """Return how many days it has."""
        return (self.last - self.first).days + 1

    @property
    def months(self) -> Decimal:
        """Return its length in months of 30.4375 days."""
        return Decimal(self.days) / DAYS_PER_MONTH

    @property
    def start(self) -> str:
        """Return its first moment, as times are stored."""
        return iso(datetime.combine(self.first, datetime.min.time(), UTC))

    @property
    def end(self) -> str:
        """Return the first moment after it, as times are stored."""
        return iso(datetime.combine(self.last, datetime.min.time(), UTC) + timedelta(days=1))


def chosen(
    *,
    is_week: bool = False,
    is_month: bool = False,
    first: str | None = None,
    last: str | None = None,
    today: date,
) -> Period:
    """Return the period that a person named; the last seven days where they named none.

    Args:
        is_week: The seven days up to today.
        is_month: The thirty days up to today.
        first: A day as `2026-11-01`.
        last: A day; today where only `first` is given.
        today: In UTC.

    Raises:
        InvalidInput: Two periods at once, no such day, or an end before its start.
    """
    if is_week + is_month + (first is not None or last is not None) > 1:
        raise InvalidInput("Say one period: --week, --month, or --from and --to.")
    if first is None and last is not None:
        raise InvalidInput("--to needs --from: say the first day too, as in --from 2026-11-01.")
    if first is not None:
        period = Period(_day(first, "--from"), _day(last, "--to") if last else today)
        if period.last < period.first:
            raise InvalidInput(
                f"The period ends on {period.last}, before it begins on {period.first}."
            )
        return period
    length = MONTH if is_month else WEEK
    return Period(today - timedelta(days=length - 1), today)


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{option} {text!r} is no day: write it as 2026-11-01.") from error
