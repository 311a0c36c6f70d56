"""Whether it pays, in a few exact formulas over decimals."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

PRECISION = 50


def share(part: Decimal, whole: Decimal) -> Decimal | None:
    """Return part over whole to 1e-6; None where the whole is nothing."""
    return ratio(part, whole, digits=6)


def ratio(amount: Decimal, over: Decimal, *, digits: int = 12) -> Decimal | None:
    """Divide, to so many decimal places, halves to even; None where there is nothing to divide by."""
    if over == 0:
        return None
    with localcontext() as context:
        context.prec = PRECISION
        return (amount / over).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)


def break_even(*, revenue: Decimal, cost: Decimal, model_cost: Decimal) -> Decimal | None:
    """Return k*, the factor on model prices at which the profit is gone.

    k* = 1 + (revenue - cost) / model cost. Below 1, it is gone already; at or below 0, no price of
    models alone would bring it back. None where models cost nothing: no factor ends it.

    Args:
        revenue: What was earned.
        cost: All of it, `model_cost` included.
        model_cost: What was paid for model calls.
    """
    left = ratio(revenue - cost, model_cost, digits=6)
    return None if left is None else 1 + left


def concentration(values: Iterable[Decimal]) -> Decimal | None:
    """Return the Herfindahl-Hirschman index of shares, 1/n for n equal ones to 1 for one alone.

    None where there is nothing to share. Values are at least 0.
    """
    amounts = list(values)
    total = sum(amounts, Decimal(0))
    if total == 0:
        return None
    with localcontext() as context:
        context.prec = PRECISION
        squares = sum(((amount / total) ** 2 for amount in amounts), Decimal(0))
        return squares.quantize(Decimal("1e-6"), ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much of what is used at list price is not paid for."""

    listed: Decimal
    paid: Decimal
    factor: Decimal | None
    """List price over what was paid; None where nothing was paid."""


def exposure(*, listed: Decimal, paid: Decimal) -> Exposure:
    """Hold the list price of what was used against what was paid for it."""
    return Exposure(listed, paid, ratio(listed, paid, digits=6))
