"""What the total of a receipt does not count, derived from what is absent."""

from collections.abc import Iterator

from swarm.core.money import CostStatus
from swarm.ledger.book import INTENT
from swarm.ledger.receipt.sheet import Sheet

_OWN_DOORS = ("terminal", "console", "web")
"""Doors that belong to Swarm itself: nobody charges for them."""


def left_out(sheet: Sheet) -> list[str]:
    """Say in plain words what the total leaves out, the largest first as far as one can know."""
    return [*_time(sheet), *_machines(sheet), *_calls(sheet), *_others(sheet)]


def _time(sheet: Sheet) -> Iterator[str]:
    if sheet.founder.seconds and sheet.founder.cost is None:
        yield "What the founder's minutes are worth: no rate per hour is set."
    yield (
        "Time the founder spent away from Swarm, and over the inbox and receipts: `swarm time add` "
        "and `swarm time week`."
    )


def _machines(sheet: Sheet) -> Iterator[str]:
    if sheet.hosting is None or sheet.hosting.full is None:
        yield "The machine Swarm runs on: its price is not known here."
    if any(row.cost_status == CostStatus.NOTIONAL.value for row in sheet.rows):
        yield (
            "Electricity and wear of own hardware, or the fee of a subscription: its calls stand "
            "here at list price."
        )


def _calls(sheet: Sheet) -> Iterator[str]:
    unanswered = sum(row.state == INTENT for row in sheet.rows)
    if unanswered:
        calls = "a call" if unanswered == 1 else f"{unanswered:,} calls"
        yield f"What the provider may charge for {calls} whose answer never arrived."
    if any(row.cost_status == CostStatus.UNPRICED.value for row in sheet.rows):
        yield "Model calls without a price: `swarm ledger` names them."
    if sheet.foreign_tools:
        yield f"What tools of others charge by themselves: {', '.join(sheet.foreign_tools)}."
    if sheet.is_on_web:
        yield "What web pages and searches cost beyond the model's reading of them."


def _others(sheet: Sheet) -> Iterator[str]:
    if sheet.channel not in _OWN_DOORS:
        yield f"Your subscription of {sheet.channel}, and the phone it is on."
    yield "Taxes: list prices are net."
    if any(row.currency != sheet.currency and row.cost_pico for row in sheet.rows):
        yield "What your bank takes for changing money."
