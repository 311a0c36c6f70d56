"""Amounts: decimals with a currency, and what is known about whether they are owed."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

PICO = Decimal("1e-12")
"""The smallest amount stored. A token of the cheapest model costs about 1e-8."""


class CostStatus(StrEnum):
    """Say what an amount means."""

    PAID = "paid"
    NOTIONAL = "notional"
    """List-price value of something covered by a subscription or own hardware."""
    UNPRICED = "unpriced"
    """Nobody knows: no price row, or no usage reported. Never counted as zero."""


def worst_status(statuses: "list[CostStatus]") -> CostStatus:
    """Return the least certain of several: unpriced, then paid, then notional; paid when empty."""
    if CostStatus.UNPRICED in statuses:
        return CostStatus.UNPRICED
    if statuses and all(s is CostStatus.NOTIONAL for s in statuses):
        return CostStatus.NOTIONAL
    return CostStatus.PAID


@dataclass(frozen=True, slots=True)
class Money:
    """An amount with its currency; sums of two currencies are refused."""

    amount: Decimal
    currency: str

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)


def to_pico(amount: Decimal) -> int:
    """Turn a decimal into whole 1e-12 parts, rounded up so that no part of a cost is lost."""
    quantum = amount.scaleb(12)
    whole = int(quantum)
    return whole if whole == quantum else whole + (1 if quantum > 0 else 0)


def from_pico(pico: int) -> Decimal:
    """Turn whole 1e-12 parts back into an exact decimal."""
    return Decimal(pico).scaleb(-12)


def plain(amount: Decimal) -> str:
    """Write an amount without exponent and without useless zeros: `0.0000375`, `12`."""
    text = format(amount.normalize(), "f")
    return "0" if text in ("-0", "0") else text
