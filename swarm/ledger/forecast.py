"""What the work on a plan should cost in model calls, from the least to a generous most.

This is a forecast, not a limit: budgets stop an order, and the receipt says what it cost. The
sizes of calls below are assumptions stated once; they are priced with the book's own lines.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from swarm.core.order import Forecast, Plan
from swarm.core.usage import Usage
from swarm.ledger.price_rates import Price
from swarm.ledger.prices import PriceBook, UnknownPrice

SMALL = Usage(input_tokens=1_500, output_tokens=300)
"""A call of an order that goes smoothly: the prompt of a role and a brief, a short answer."""
LARGE = Usage(input_tokens=16_000, output_tokens=2_000)
"""A call late in a long task, with files and tool results in the prompt and a long answer. Nothing
is taken as read from a cache, so a cached prompt comes cheaper."""

CALLS_LOW = 2
"""Calls of a task that succeeds at once: one acts, one says it is done."""
STEPS_HIGH = 10
"""Steps of one attempt in a troubled task, if the step limit allows as many."""
ATTEMPTS_HIGH = 3
"""The first and two reworks, the most a review may ask for; each is reviewed."""


@dataclass(frozen=True, slots=True)
class _Calls:
    """So many calls to one model, at least and at most."""

    model: str
    low: int
    high: int


def forecast(
    plan: Plan,
    *,
    book: PriceBook,
    model_of: Callable[[str], str],
    reviewer_of: Callable[[str], str | None],
    head: str,
    at: datetime,
    max_steps: int,
    spent_calls: int,
) -> Forecast:
    """Forecast the model cost of an order from its plan.

    Args:
        plan: Each task is worked by its role, reviewed by that role's reviewer, and the head
            writes the final answer.
        book: Prices as of `at`.
        model_of: A role's model, provider-qualified.
        reviewer_of: The role that reviews a role's work; None where nobody can.
        head: The role that planned and will deliver.
        at: When the forecast is made, aware.
        max_steps: Most model calls of one attempt at a task, at least 1.
        spent_calls: Calls the head made before and for the plan; they are part of the order.

    Returns:
        Both bounds in the prices' currency, `low` <= `high`. Both are None where a model has no
        price, or where two models bill in different currencies, whose sum is no amount; the
        calls are counted all the same.
    """
    calls = _planned(plan, model_of, reviewer_of, steps=max_steps)
    calls.append(_Calls(model_of(head), spent_calls + 1, spent_calls + 1))
    prices = _prices(book, {item.model for item in calls}, at)
    currencies = {price.currency for price in prices.values()}
    is_summable = len(currencies) == 1
    low = _total(book, prices, ((item.model, item.low) for item in calls), SMALL)
    high = _total(book, prices, ((item.model, item.high) for item in calls), LARGE)
    return Forecast(
        low=low if is_summable else None,
        high=high if is_summable else None,
        currency=currencies.pop() if is_summable else book.currency,
        calls_low=sum(item.low for item in calls),
        calls_high=sum(item.high for item in calls),
    )


def _planned(
    plan: Plan,
    model_of: Callable[[str], str],
    reviewer_of: Callable[[str], str | None],
    *,
    steps: int,
) -> list[_Calls]:
    """List the calls of the tasks and of their reviews."""
    calls: list[_Calls] = []
    for task in plan.tasks:
        most = ATTEMPTS_HIGH * min(steps, STEPS_HIGH)
        calls.append(_Calls(model_of(task.role), min(steps, CALLS_LOW), most))
        if reviewer := reviewer_of(task.role):
            calls.append(_Calls(model_of(reviewer), 1, ATTEMPTS_HIGH))
    return calls


def _prices(book: PriceBook, models: set[str], at: datetime) -> dict[str, Price]:
    """Return the price of every model, or nothing where one of them has none."""
    try:
        return {model: book.find(model, at=at) for model in sorted(models)}
    except UnknownPrice:
        return {}


def _total(
    book: PriceBook, prices: dict[str, Price], calls: Iterable[tuple[str, int]], usage: Usage
) -> Decimal:
    """Price so many calls of one size to each model; a model without a price adds nothing.

    Each call is priced by itself, because a tier counts the prompt of one call.
    """
    amounts = (
        count * book.cost(usage, prices[model]).amount for model, count in calls if model in prices
    )
    return sum(amounts, Decimal(0))
