"""Amounts, durations and sizes as people read them."""

from decimal import Decimal

from swarm.core.document import CostDocument
from swarm.core.money import CostStatus, plain


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


def counted(count: int, word: str) -> str:
    """Write how many there are of something."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Write a file's size."""
    return counted(count, "byte")
