"""Do what `swarm farm` says."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import typer

from swarm.app import App
from swarm.cli import exits, farm_costs, farm_views
from swarm.cli.farm_opened import opened_farm
from swarm.cli.farm_secrets import missing, secrets_of
from swarm.cli.terminal import is_lively, say, show_json
from swarm.core.errors import InvalidInput
from swarm.core.money import plain
from swarm.farm.base import InstanceSpec, Price, check_name
from swarm.farm.farm import Farm, Started
from swarm.settings import Settings

T = TypeVar("T")
PERIODS = ("month", "day", "order", "company")
MOST_OWNER = 80
LONGEST_MONTH = 31
MICRO = Decimal("0.000001")


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
            cpus=config.cpus if cpus is None else _positive(cpus, "--cpus"), pids=config.pids,
            environment=environment(app.settings, name, owner, budget),
            budget_month=_by_month(budget), currency=app.settings.currency, port=port,
            healthy_within_s=within_s or config.healthy_within_s,
        )  # fmt: skip
        is_known = farm.records.find(name) is not None
        given = secrets_of(secrets, secret, prompts=not is_known and _may_ask())
        farm.site.say(f"starting {name} for {owner}")
        started = asyncio.run(farm.up(spec, given, driver=driver or config.driver))
        lacks = missing(started.record.secrets)
    if as_json:
        show_json(farm_views.started(started, lacks))
    else:
        say(_ready(started, lacks))


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
        if period == "month":
            amount, period = daily(amount), "day"
        given[f"SWARM_BUDGET__{period.upper()}"] = plain(amount)
    return given


def daily(month: Decimal) -> Decimal:
    """Return the limit of a day with which no calendar month passes an amount.

    A company has no limit by the month, and one of its own that is spent on the third would leave a
    person without help for four weeks.
    """
    return (month / LONGEST_MONTH).quantize(MICRO, ROUND_DOWN) or MICRO


def read_budget(text: str) -> tuple[Decimal, str]:
    """Read `20/month`; an amount alone is a month's.

    Raises:
        InvalidInput: It is none.
    """
    amount, _, period = text.partition("/")
    period = period.strip() or "month"
    if period not in PERIODS:
        raise InvalidInput(f"{text!r}: a budget is for a month, day, order or company: 20/month.")
    return _positive(amount, "--budget"), period


def _by_month(budget: str | None) -> Decimal | None:
    if budget is None:
        return None
    amount, period = read_budget(budget)
    return amount if period == "month" else None


def _positive(text: str, option: str) -> Decimal:
    try:
        amount = Decimal(text.strip())
    except InvalidOperation as error:
        raise InvalidInput(f"{option}: {text!r} is no number: write it as 2.50.") from error
    if not amount.is_finite() or amount <= 0:
        raise InvalidInput(f"{option}: {text!r} must be more than 0.")
    return amount


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
            f"Budget: {plain(month)} {currency} a month, kept as {daily(month):.2f} {currency} a day; what "
            "would pass it waits for the next day or for a signature."
        )
    lines.append(farm_views.price_line(started.price))
    return "\n".join(lines)


def listed(*, as_json: bool) -> int:
    """List the instances."""
    with opened_farm(is_told=False) as (_, farm):
        found = asyncio.run(_with_prices(farm, farm.seen()))
    if as_json:
        show_json([farm_views.entry(seen, price) for seen, price in found])
    else:
        say(
            farm_views.table(found)
            or "There is no instance yet: `swarm farm up NAME --for PERSON`."
        )
    return exits.USAGE if any(seen.problem for seen, _ in found) else exits.DONE


async def _with_prices(farm: Farm, seen: Awaitable[list[Any]]) -> list[tuple[Any, Price | None]]:
    found = await seen
    prices = farm_costs.prices_now(await farm.entries())
    return [
        (item, prices.get(item.record.name if item.record else item.instance.name))
        for item in found
    ]


def status(*, name: str, as_json: bool) -> int:
    """Show one instance."""
    with opened_farm(is_told=False) as (_, farm):
        ((seen, price),) = asyncio.run(_with_prices(farm, farm.seen(name)))
        kept = farm.kept(name)
    document = farm_views.entry(seen, price) | {"backups": [str(path) for path in kept]}
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
    with opened_farm() as (_, farm):
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
    """Show what the machines cost."""
    with opened_farm(is_told=False) as (app, farm):
        entries = asyncio.run(farm.entries())
        if shows_events:
            show_json(farm_costs.events_of(entries))
            return
        report = farm_costs.report(
            entries, app=app, now=app.clock.now(), month=month,
            machine=farm_costs.machine_of(app.settings),
        )  # fmt: skip
    if as_json:
        show_json(farm_costs.document(report))
    else:
        say(farm_costs.lines(report))


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
