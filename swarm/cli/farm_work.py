"""Do what `swarm farm` says."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import typer

from swarm.app import App
from swarm.cli import exits, farm_budgets, farm_costs, farm_views
from swarm.cli.farm_amounts import positive, read_budget
from swarm.cli.farm_opened import machine, opened_farm
from swarm.cli.farm_secrets import missing, secrets_of
from swarm.cli.terminal import is_lively, say, show_json
from swarm.core.errors import InvalidInput
from swarm.core.money import plain
from swarm.farm.base import InstanceSpec, Price, Secrets, check_name
from swarm.farm.farm import BUDGET_MONTH, Farm, Started
from swarm.ledger.hosting import seats
from swarm.ledger.hosting.allowance import Allowance
from swarm.settings import Settings

T = TypeVar("T")
MOST_OWNER = 80


def up(
    *, name: str, person: str, budget: str | None, driver: str | None, image: str | None,
    memory_mib: int | None, cpus: str | None, port: int | None, secrets: str | None,
    secret: list[str], within_s: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Start an instance."""
    check_name(name)
    owner = _owner(person)
    with opened_farm() as (app, farm):
        config = app.settings.farm
        spec = InstanceSpec(
            name=name, owner=owner, image=image or config.image,
            memory_mib=memory_mib or config.memory_mib,
            cpus=config.cpus if cpus is None else positive(cpus, "--cpus"), pids=config.pids,
            environment=environment(app.settings, name, owner, budget),
            budget_month=_by_month(budget), currency=app.settings.currency, port=port,
            healthy_within_s=within_s or config.healthy_within_s,
        )  # fmt: skip
        is_known = farm.records.find(name) is not None
        given = secrets_of(secrets, secret, prompts=not is_known and _may_ask())
        farm.site.say(f"starting {name} for {owner}")
        started = asyncio.run(_started(app.settings, farm, spec, given, driver or config.driver))
        lacks = missing(started.record.secrets)
    if as_json:
        show_json(farm_views.started(started, lacks))
    else:
        say(_ready(started, lacks))


async def _started(
    settings: Settings, farm: Farm, spec: InstanceSpec, given: Secrets, driver: str
) -> Started:
    """Start an instance that holds itself to its budget of the month, its hosting taken off."""
    if spec.budget_month is not None and farm.records.find(spec.name) is None:
        price = await farm.price(spec, driver=driver)
        models = farm_budgets.models_of(settings, spec.budget_month, price, spec)
        spec = replace(spec, environment={**spec.environment, BUDGET_MONTH: plain(models)})
    return await farm.up(spec, given, driver=driver)


def environment(settings: Settings, name: str, owner: str, budget: str | None) -> dict[str, str]:
    """Return the variables that an instance is given, none of them a secret.

    Raises:
        InvalidInput: The budget is no amount, or its period is unknown.
    """
    given = {"SWARM_NAME": name, "SWARM_FOUNDER": owner, "SWARM_CURRENCY": settings.currency}
    if settings.rates:
        rates = ", ".join(f"{key}: {plain(value)}" for key, value in settings.rates.items())
        given["SWARM_RATES"] = f"{{{rates}}}"
    if budget is not None:
        amount, period = read_budget(budget)
        if period != "month":
            given[f"SWARM_BUDGET__{period.upper()}"] = plain(amount)
    return given


def _by_month(budget: str | None) -> Decimal | None:
    if budget is None:
        return None
    amount, period = read_budget(budget)
    return amount if period == "month" else None


def _owner(person: str) -> str:
    owner = " ".join(person.split())
    if not owner or len(owner) > MOST_OWNER or not owner.isprintable():
        raise InvalidInput(f"--for takes a person's name, of 1 to {MOST_OWNER} signs.")
    return owner


def _may_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and is_lively()


def _ready(started: Started, lacks: list[str]) -> str:
    name, talk = started.record.name, started.talk
    if not started.is_new:
        head = f"{name} is there already, for {started.record.spec.owner}: {started.instance.state}"
        remedy = f"; `swarm farm start {name}`" if started.instance.state == "stopped" else ""
        return f"{head}{remedy}."
    took = (started.record.ready_ms or 0) / 1000
    lines = [
        f"{name} is ready after {took:.1f} s" + (f": talk to @{talk.bot}." if talk.bot else ".")
    ]
    if talk.code:
        lines.append(f"{started.record.spec.owner} sends it `/start {talk.code}` within an hour.")
    if talk.problem:
        lines.append(f"Its bot is not known: {talk.problem}. See `swarm farm logs {name}`.")
    lines += [f"It lacks {thing}: give it with --secrets." for thing in lacks]
    if (month := started.record.spec.budget_month) is not None:
        currency = started.record.spec.currency
        lines.append(
            f"Budget: {plain(month)} {currency} a month, hosting included. It holds itself to "
            f"{Decimal(started.record.spec.environment.get(BUDGET_MONTH, '0')):.2f} {currency} of models "
            "each month; `swarm farm check`, run every hour, warns at 80 % and stops it when the month's "
            "is spent."
        )
    lines.append(farm_views.price_line(started.price))
    return "\n".join(lines)


def listed(*, as_json: bool) -> int:
    """List the instances."""
    with opened_farm(is_told=False) as (app, farm):
        found = asyncio.run(_with_prices(farm, farm.seen()))
        months = asyncio.run(farm_budgets.allowances(app, farm, farm.records.all()))
    if as_json:
        show_json([_entry(seen, price, months) for seen, price in found])
    else:
        said = {name: farm_budgets.amounts(stand) for name, stand in months.items()}
        say(
            farm_views.table(found, said)
            or "There is no instance yet: `swarm farm up NAME --for PERSON`."
        )
    return exits.USAGE if any(seen.problem for seen, _ in found) else exits.DONE


def _entry(seen: Any, price: Price | None, months: dict[str, Allowance]) -> dict[str, Any]:
    stand = months.get(seen.record.name) if seen.record else None
    shown = farm_views.entry(seen, price)
    return shown | {"budget": None if stand is None else farm_budgets.document(stand)}


async def _with_prices(farm: Farm, seen: Awaitable[list[Any]]) -> list[tuple[Any, Price | None]]:
    found = await seen
    prices = seats.prices_now(await farm.entries())
    return [
        (item, prices.get(item.record.name if item.record else item.instance.name))
        for item in found
    ]


def status(*, name: str, as_json: bool) -> int:
    """Show one instance."""
    with opened_farm(is_told=False) as (app, farm):
        ((seen, price),) = asyncio.run(_with_prices(farm, farm.seen(name)))
        kept = farm.kept(name)
        months = asyncio.run(farm_budgets.allowances(app, farm, [farm.records.get(name)]))
    document = _entry(seen, price, months) | {"backups": [str(path) for path in kept]}
    if as_json:
        show_json(document)
    else:
        say(farm_views.card(document))
    return exits.USAGE if seen.problem else exits.DONE


def logs(*, name: str, lines: int, as_json: bool) -> None:
    """Print what an instance wrote last."""
    with opened_farm(is_told=False) as (_, farm):
        text = asyncio.run(farm.logs(name, lines=lines))
    if as_json:
        show_json({"name": name, "lines": text.splitlines()})
    else:
        say(text)


def stop(*, name: str, as_json: bool) -> None:
    """Stop an instance."""
    _switch(name, Farm.stop, as_json=as_json)


def start(*, name: str, as_json: bool) -> None:
    """Start an instance."""
    _switch(name, Farm.start, as_json=as_json)


def _switch(name: str, verb: Callable[[Farm, str], Awaitable[Any]], *, as_json: bool) -> None:
    with opened_farm() as (app, farm):
        if verb is Farm.start:
            month = f"{app.clock.now():%Y-%m}"
            farm_budgets.check_startable(farm.records.get(name), month)
        farm.site.say(f"{verb.__name__}: {name}")
        instance = asyncio.run(_awaited(verb(farm, name)))
    if as_json:
        show_json(farm_views.of_instance(instance))
    else:
        say(f"{name}: {instance.state}.")


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def upgrade(*, name: str, image: str | None, within_s: float | None, as_json: bool) -> None:
    """Run a newer image."""
    with opened_farm() as (app, farm):
        record = farm.records.get(name)
        instance = asyncio.run(
            farm.upgrade(
                name, image or record.pending or record.spec.image,
                within_s=within_s or app.settings.farm.healthy_within_s,
            )
        )  # fmt: skip
    if as_json:
        show_json(farm_views.of_instance(instance))
    else:
        say(f"{name} runs {instance.image} ({instance.image_id[:19]}).")


def backup(*, name: str, output: str | None, as_json: bool) -> None:
    """Write an instance's home to a file."""
    with opened_farm() as (app, farm):
        target = None if output is None else Path(output).absolute()
        held = asyncio.run(farm.backup(name, target))
        is_sealed = app.settings.farm.backup_recipient is not None
    if as_json:
        show_json(farm_views.of_backup(held))
        return
    say(f"{held.path}: {held.files} files, {held.orders} orders, {held.rows} rows, checked.")
    if not is_sealed:
        say(
            "Whoever reads it reads everything: set farm.backup_recipient to seal backups with age."
        )


def restore(
    *, name: str, file: str, identity: str | None, yes: bool, as_json: bool
) -> int:  # fmt: skip
    """Put a backup in place."""
    with opened_farm() as (_, farm):
        farm.records.get(name)
        _ask(f"Put {file} in place of all that {name} has now?", yes=yes)
        done = asyncio.run(
            farm.restore(name, Path(file), identity=None if identity is None else Path(identity))
        )
    if as_json:
        show_json(farm_views.restored(done))
    else:
        say(farm_views.restored_lines(name, done))
    return exits.DONE if done.is_audit_whole else exits.FAILED


def remove(*, name: str, keeps_backup: bool, yes: bool, as_json: bool) -> None:
    """Remove an instance."""
    with opened_farm() as (_, farm):
        record = farm.records.get(name)
        kept_words = "a backup is kept" if keeps_backup else "WITHOUT a backup"
        _ask(
            f"Remove {name}, which is {record.spec.owner}'s, with all its data ({kept_words})?",
            yes=yes,
        )
        kept = asyncio.run(farm.remove(name, keeps_backup=keeps_backup))
    if as_json:
        show_json({"name": name, "removed": True, "backup": None if kept is None else str(kept)})
    else:
        say(f"{name} is removed." + (f" Its backup: {kept}" if kept else ""))


def cost(*, month: str | None, shows_events: bool, as_json: bool) -> None:
    """Show what the machines cost, and what the instances' companies spent beside."""
    with opened_farm(is_told=False) as (app, farm):
        if shows_events:
            show_json(seats.events_of(asyncio.run(farm.entries())))
            return
        span = None if month is None else seats.month_of(month)
        asyncio.run(farm_budgets.asked(farm, farm.records.all()))
        records = farm.records.all()
        months = asyncio.run(farm_budgets.allowances(app, farm, records))
        report = seats.report(
            asyncio.run(farm.entries()), now=app.clock.now(), span=span,
            machine=machine(app.settings),
        )  # fmt: skip
    idle = {r.name: r.reading.idle for r in records if r.reading and r.reading.idle is not None}
    if as_json:
        show_json(farm_costs.document(report, months, idle))
    else:
        say(farm_costs.lines(report, months, idle))


def reconcile(*, drivers: list[str], mends: bool, yes: bool, as_json: bool) -> int:
    """Hold what there is against the books."""
    with opened_farm(is_told=False) as (app, farm):
        names = drivers or _drivers(app, farm)
        found = asyncio.run(farm.reconcile(names, mends=False))
        if mends and found:
            doomed = sorted({f"{f.kind} {f.name}" for f in found if f.advice == "delete"})
            if doomed:
                _ask(f"Delete {', '.join(doomed)}?", yes=yes)
            found = asyncio.run(farm.reconcile(names, mends=True))
    if as_json:
        show_json([farm_views.of_finding(f) for f in found])
    else:
        say(
            "\n".join(farm_views.finding_line(f) for f in found)
            or "The books and the places agree."
        )
    return exits.DONE if all(f.is_mended for f in found) else exits.WAITING


def _drivers(app: App, farm: Farm) -> list[str]:
    """Return the drivers that have, or had, something."""
    entries = asyncio.run(farm.entries())
    used = {entry.intent.provider for entry in entries}
    used |= {record.driver for record in farm.records.all()}
    return sorted(used) or [app.settings.farm.driver]


def _ask(question: str, *, yes: bool) -> None:
    """Ask a person.

    Raises:
        InvalidInput: Nobody is there to be asked.
        Abort: They said no.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidInput("Nobody is there to be asked: say --yes if that is what you want.")
    typer.confirm(question, abort=True, err=True)
