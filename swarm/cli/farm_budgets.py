"""Hold instances to what they may spend in a month."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from swarm.app import App
from swarm.cli import exits
from swarm.cli.farm_amounts import read_budget
from swarm.cli.farm_opened import machine, opened_farm
from swarm.cli.terminal import say, show_json
from swarm.core.clock import iso
from swarm.core.errors import Conflict, InvalidInput, SwarmError
from swarm.core.money import plain
from swarm.farm.base import InstanceSpec, Price
from swarm.farm.farm import Farm
from swarm.farm.records import RUNNING, STOPPED, Record
from swarm.ledger.hosting.allowance import (
    LONGEST_MONTH,
    Allowance,
    Level,
    allowance,
    inside,
    seat_of,
)
from swarm.ledger.hosting.seats import month_of, report
from swarm.settings import Settings


@dataclass(frozen=True, slots=True)
class Held:
    """One instance, how its month stands, and what was done about it."""

    record: Record
    allowance: Allowance
    problem: str = ""
    """Why it could not be asked now."""
    did: str = ""
    """`stopped` or `started`; empty for nothing."""


async def allowances(app: App, farm: Farm, records: Sequence[Record]) -> dict[str, Allowance]:
    """Return how the months of instances stand, by what is known of them."""
    now = app.clock.now()
    month = f"{now:%Y-%m}"
    made = report(
        await farm.entries(), now=now, span=month_of(month), machine=machine(app.settings)
    )
    settings = app.settings
    return {
        record.name: allowance(
            record, seat_of(made.seats, record.name), month=month, rates=settings.rates,
            counts_notional=settings.budget.notional,
        )
        for record in records
    }  # fmt: skip


async def asked(farm: Farm, records: Sequence[Record]) -> dict[str, str]:
    """Ask all running instances what they spent, side by side; return why some could not be."""

    async def one(record: Record) -> str:
        if record.state != RUNNING:
            return "it does not run" if record.reading is None else ""
        try:
            return (await farm.read(record.name)).problem
        except SwarmError as error:
            return str(error)

    told = await asyncio.gather(*map(one, records))
    return {record.name: problem for record, problem in zip(records, told, strict=True)}


def check(*, names: list[str], as_json: bool) -> int:
    """Ask instances, warn of budgets, stop what is over its own, start what may go on."""
    with opened_farm() as (app, farm):
        held = asyncio.run(_checked(app, farm, names))
    if as_json:
        show_json([_held(one) for one in held])
    else:
        say("\n".join(_sentence(one) for one in held) or "There is no instance yet.")
    is_over = any(one.allowance.level is Level.OVER for one in held)
    return exits.STOPPED if is_over else exits.DONE


async def _checked(app: App, farm: Farm, names: list[str]) -> list[Held]:
    records = [farm.records.get(name) for name in names] or farm.records.all()
    problems = await asked(farm, records)
    records = [farm.records.get(record.name) for record in records]
    found = await allowances(app, farm, records)
    return [
        await _acted(farm, record, found[record.name], problems[record.name]) for record in records
    ]


async def _acted(farm: Farm, record: Record, stand: Allowance, problem: str) -> Held:
    """Stop an instance that spent its budget, or start one that was stopped for that and may go on."""
    is_over = stand.level is Level.OVER
    did = ""
    try:
        if record.state == RUNNING and is_over:
            await farm.stop(record.name, halted=stand.month)
            did = "stopped"
        elif record.state == STOPPED and record.halted is not None and not is_over:
            await farm.start(record.name)
            did = "started"
        elif record.state == RUNNING:
            await farm.hold(record.name)
    except SwarmError as error:
        problem = str(error)
    return Held(farm.records.get(record.name), stand, problem, did)


def _sentence(held: Held) -> str:
    name, stand = held.record.name, held.allowance
    text = f"{name}: {amounts(stand)}"
    if held.did == "stopped":
        text += (
            f". It is over its budget of the month and was stopped, with all it has; `swarm farm budget "
            f"{name} AMOUNT` raises it"
        )
    elif held.did == "started":
        text += ". It has money again and was started"
    elif stand.level is Level.OVER:
        text += ". It is over its budget of the month" + (
            " and stays stopped" if held.record.state == STOPPED else ""
        )
    elif stand.level is Level.NEAR:
        text += ". Warning: four fifths of its budget of the month are spent"
    reasons = [*stand.problems, *([held.problem] if held.problem else [])]
    return text + (f" ({'; '.join(dict.fromkeys(reasons))})." if reasons else ".")


def amounts(stand: Allowance) -> str:
    """Say what a month took: `4.10 of 20 USD (21 %)`."""
    least = "at least " if stand.is_at_least else ""
    spent = f"{least}{stand.spent:.2f}"
    if stand.limit is None or stand.share is None:
        return f"{spent} {stand.currency} this month, no limit"
    return f"{spent} of {plain(stand.limit)} {stand.currency} this month ({stand.share:.0%})"


def document(stand: Allowance) -> dict[str, Any]:
    """Return how a month stands."""
    return {
        "month": stand.month,
        "limit": None if stand.limit is None else plain(stand.limit),
        "spent": plain(stand.spent),
        "hosting": plain(stand.hosting),
        "models": plain(stand.models),
        "currency": stand.currency,
        "is_at_least": stand.is_at_least,
        "share": None if stand.share is None else plain(round(stand.share, 4)),
        "level": stand.level.value,
        "problems": list(stand.problems),
        "asked_at": None if stand.asked_at is None else iso(stand.asked_at),
    }


def _held(held: Held) -> dict[str, Any]:
    return {
        "name": held.record.name,
        "for": held.record.spec.owner,
        "state": held.record.state,
        "did": held.did or None,
        "problem": held.problem or None,
        "halted": held.record.halted,
        "budget": document(held.allowance),
    }


def budget(*, name: str, amount: str | None, as_json: bool) -> None:
    """Show what an instance may spend in a month, or set it."""
    with opened_farm() as (app, farm):
        record = farm.records.get(name)
        if amount is not None:
            record = asyncio.run(_set(app, farm, record, amount))
        stand = asyncio.run(allowances(app, farm, [record]))[name]
    if as_json:
        show_json({"name": name, "budget": document(stand)})
        return
    say(f"{name}: {amounts(stand)}.")
    if record.halted is not None:
        say(f"It is stopped for its budget: `swarm farm check {name}` starts it if it may go on.")


async def _set(app: App, farm: Farm, record: Record, amount: str) -> Record:
    if amount.strip().lower() == "none":
        return await farm.limit(record.name, None, None)
    limit, period = read_budget(amount)
    if period != "month":
        raise InvalidInput("A budget that is changed is a month's: 20/month, or none.")
    price = await farm.price(record.spec, driver=record.driver)
    return await farm.limit(record.name, limit, models_of(app.settings, limit, price, record.spec))


def models_of(settings: Settings, limit: Decimal, price: Price, spec: InstanceSpec) -> Decimal:
    """Return what an instance may spend on models in a month: its budget without its hosting.

    Raises:
        InvalidInput: Its hosting alone takes the budget.
    """
    month = price.per_day * LONGEST_MONTH if price.per_day is not None else None
    left = inside(
        limit, month, currency=spec.currency, hosting_currency=price.currency, rates=settings.rates
    )
    if left <= 0:
        raise InvalidInput(
            f"A budget of {plain(limit)} {spec.currency} a month is less than the hosting of "
            f"{spec.name} alone, {month:.2f} {price.currency}: give it more."
        )
    return left


def check_startable(record: Record, month: str) -> None:
    """Refuse to start what was stopped in this month because its budget is spent.

    Raises:
        Conflict: It was.
    """
    if record.halted == month:
        raise Conflict(
            f"{record.name} has spent its budget of {month}: `swarm farm budget {record.name} AMOUNT` "
            f"raises it, then `swarm farm check {record.name}` starts it; or wait for next month."
        )
