"""Read the amounts that `swarm farm` is given."""

from decimal import Decimal, InvalidOperation

from swarm.core.errors import InvalidInput

PERIODS = ("month", "day", "order", "company")


def read_budget(text: str) -> tuple[Decimal, str]:
    """Read `20/month`; an amount alone is a month's.

    Raises:
        InvalidInput: It is none.
    """
    amount, _, period = text.partition("/")
    period = period.strip() or "month"
    if period not in PERIODS:
        raise InvalidInput(f"{text!r}: a budget is for a month, day, order or company: 20/month.")
    return positive(amount, "--budget"), period


def positive(text: str, option: str) -> Decimal:
    """Read an amount above zero. Raises InvalidInput."""
    try:
        amount = Decimal(text.strip())
    except InvalidOperation as error:
        raise InvalidInput(f"{option}: {text!r} is no number: write it as 2.50.") from error
    if not amount.is_finite() or amount <= 0:
        raise InvalidInput(f"{option}: {text!r} must be more than 0.")
    return amount
