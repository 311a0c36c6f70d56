"""Amounts, durations and sizes as people read them."""

from datetime import datetime
from decimal import Decimal

from swarm.core.document import BandDocument, CostDocument, ForecastDocument, HoursDocument
from swarm.core.money import CostStatus, plain
from swarm.ledger.attention import FounderWeek


def amount(value: Decimal, currency: str) -> str:
    """Write an amount: cents from 1 up, three significant digits below, never a false zero."""
    if value == 0:
        return f"0 {currency}"
    if abs(value) >= 1:
        return f"{value:,.2f} {currency}"
    digits = value.quantize(Decimal(1).scaleb(value.adjusted() - 2))
    return f"{plain(digits)} {currency}"


def cost(value: CostDocument, *, calls: int = 1) -> str:
    """Write what is known of a cost: owed, at list price only, or a lower bound."""
    text = amount(value.amount, value.currency)
    if value.status is CostStatus.UNPRICED and value.amount == 0:
        return "unpriced: nobody knows what these calls cost"
    if value.status is CostStatus.UNPRICED:
        return f"at least {text} (unpriced: for some of it nobody knows a price)"
    if value.status is CostStatus.NOTIONAL:
        return f"{text} (notional: worth that at list price, nothing is owed)"
    return text if calls else f"{text} (no model was asked)"


def brief_cost(value: Decimal, currency: str, status: CostStatus) -> str:
    """Write a cost where there is room for a few signs only; what nobody knows is never a zero."""
    if status is CostStatus.UNPRICED:
        return f">={amount(value, currency)}" if value else "unpriced"
    mark = " notional" if status is CostStatus.NOTIONAL else ""
    return amount(value, currency) + mark


def duration(seconds: float) -> str:
    """Write a duration in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def week_warning(week: FounderWeek) -> str:
    """Say that the founder's weekly budget is passed; empty where it is not."""
    if not week.is_over or week.limit_seconds is None:
        return ""
    return over_budget(week.start, week.seconds, week.limit_seconds)


def over_budget(start: datetime, seconds: Decimal, limit_seconds: Decimal) -> str:
    """Say how much more of the founder's time a week took than it may."""
    return (
        f"Your week of {start:%Y-%m-%d} took {duration(float(seconds))} of your time, more than "
        f"the {duration(float(limit_seconds))} you allow (`founder_time: weekly_hours`)."
    )


def counted(count: int, word: str) -> str:
    """Write how many there are of something."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Write a file's size."""
    return counted(count, "byte")


def expected(forecast: ForecastDocument) -> str:
    """Write what the model cost was expected to be."""
    if forecast.low is None or forecast.high is None:
        return "unknown, because a model has no price"
    low = amount(forecast.low, forecast.currency)
    high = amount(forecast.high, forecast.currency)
    return low if low == high else f"{low} to {high}"


def band(money: BandDocument) -> str:
    """Write an amount that nobody knows exactly."""
    return f"{money.p10:,.0f} to {money.p90:,.0f} {money.currency}"


def hours(span: HoursDocument) -> str:
    """Write a number of hours that nobody knows exactly."""
    return f"{figure(span.p10)} to {figure(span.p90)}"


def figure(value: Decimal) -> str:
    """Write an estimate to a tenth."""
    return plain(value.quantize(Decimal("0.1")))


def percent(share: Decimal) -> str:
    """Write a share as a percentage, to a tenth."""
    return f"{share * 100:.1f} %"
