"""Two companies on one Postgres: no command of one shows or changes anything of the other.

The second company holds a copy of every row of the first, with the same keys and other words and
amounts, a copy with keys of its own, and a row of made-up words in every table. So whatever forgot
whose rows it reads says something else as soon as they are there.
"""

import asyncio
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
import typer
from sqlalchemy.engine import Connection
from typer.main import get_command

from swarm.app import App
from swarm.cli import exits
from swarm.cli.entry import COMMANDS, run
from swarm.cli.lazy import load as load_command
from swarm.core.clock import SystemClock
from swarm.core.order import OrderStatus
from swarm.settings import load
from swarm.store.tables import asks, customer_turns, handovers, metadata, people
from tests.acceptance.at_work import at_work, provider_of, settings_of
from tests.cli.terminal import Seen, Terminal
from tests.servers.postgres import Addresses, Server, missing

NOWHERE = "http://127.0.0.1:9/v1"
OURS, THEIRS = "alderwood", "berylstone"
"""Words that stand in whatever a person of each company writes."""
COMPANY, OTHER = "alder", "beryl"
NOW = datetime(2031, 5, 5, 12, tzinfo=UTC)
"""Later than all that was done, and always the same moment."""

READS: Mapping[str, Sequence[str]] = {
    "orders": ("orders", "orders --json"),
    "show": ("show {order}", "show {waiting} --json"),
    "wait": ("wait {order} --json",),
    "inbox": ("inbox", "inbox --json"),
    "budget": ("budget", "budget --json"),
    "ledger": ("ledger", "ledger --json", "ledger {order} --json"),
    "roles": ("roles --json",),
    "schema": ("schema order",),
    "rules list": ("rules list --json",),
    "baseline show": ("baseline show {order} --json",),
    "baseline compare": ("baseline compare {order} --json",),
    "baseline predict": ("baseline predict {predict} --own --json",),
    "baseline calibrate": ("baseline calibrate --json",),
    "memory list": ("memory list", "memory list --all --json"),
    "memory search": ("memory search page --json", f"memory search {THEIRS} --json"),
    "memory export": ("memory export",),
    "hosting bill": ("hosting bill {bill} --provider hetzner --until 2026-06-01 --json",),
    "hosting farm": ("hosting farm --json",),
    "hosting prices": ("hosting prices --provider hetzner --json",),
    "receipt": ("receipt {order}", "receipt {order} --json"),
    "time list": ("time list --json", "time list {order} --json"),
    "time week": ("time week --json", "time week {day}"),
    "prices cost": ("prices cost {calls} --json",),
    "prices list": ("prices list gpt-4o-mini --json",),
    "prices show": ("prices show openai/gpt-4o-mini --json",),
    "report": (
        "report --from {day} --to {day} --json",
        "report --from {day} --to {day} --html {html}",
    ),
    "export focus": ("export focus --from {day} --to {day} --csv -",),
    "export otel": ("export otel --from {day} --to {day} --json -",),
    "export ledger": ("export ledger --jsonl - --texts",),
    "audit verify": ("audit verify --json",),
    "audit export": ("audit export",),
    "audit head": ("audit head --json",),
    "audit key": ("audit key --json",),
    "explain": ("explain {order} --json",),
    "skills list": ("skills list --json",),
    "mcp list": ("mcp list --json",),
    "pairing list": ("pairing list", "pairing list --json"),
    "customers list": ("customers list", "customers list --json"),
    "customers show": ("customers show telegram_customers:77 --json",),
    "channels list": ("channels list --json",),
    "doctor": ("doctor --json",),
    "farm ls": ("farm ls --json",),
    "farm status": ("farm status bakery --json",),
    "farm budget": ("farm budget bakery --json",),
    "farm check": ("farm check --json",),
    "farm cost": ("farm cost --json", "farm cost --events"),
    "db status": ("db status", "db status --json"),
    "db companies": ("db companies --json",),
}
"""What each reading command is asked; run with the other company's rows there, and without."""

WRITES: Mapping[str, Sequence[str]] = {
    "order": (f"order {OURS}-again --json",),
    "show": ("show {order} --json",),
    "wait": ("wait {order}",),
    "cancel": ("cancel {waiting}",),
    "resume": ("resume {waiting}",),
    "answer": ("answer {ask} yes", "answer {waiting} yes"),
    "choose": ("choose {ask} 1", "choose {waiting} 1"),
    "approve": ("approve {waiting}", "approve {ask}"),
    "reject": ("reject {waiting} no", "reject {ask} no"),
    "accept": ("accept {order} --sign Mallory",),
    "rules allow": ("rules allow marketcom web_fetch --to example.com --json",),
    "rules revoke": ("rules revoke {rule}",),
    "budget": ("budget {order} 9", "budget day 7"),
    "baseline show": ("baseline show {order}",),
    "baseline compare": ("baseline compare {order}",),
    "baseline revise": ("baseline revise {order}",),
    "baseline import": ("baseline import {actuals} --json",),
    "memory add": (f"memory add {OURS}-is-a-wood --subject wood --json",),
    "memory edit": ("memory edit {memory} other",),
    "memory confirm": ("memory confirm {memory}",),
    "memory forget": ("memory forget {memory} --yes",),
    "memory import": ("memory import {memories} --json",),
    "receipt": ("receipt {order}",),
    "time list": ("time list {order}",),
    "time away": ("time away {order} 1m",),
    "time add": ("time add {order} 15m",),
    "time revoke": ("time revoke {correction}",),
    "record": ("record {order}",),
    "explain": ("explain {order}",),
    "pairing approve": ("pairing approve {code}",),
    "pairing invite": ("pairing invite --json",),
    "pairing revoke": ("pairing revoke {person}",),
    "customers show": ("customers show {customer}",),
    "customers answer": ("customers answer {handover} hello", "customers answer {customer} hello"),
    "customers take": ("customers take {handover}", "customers take {customer}"),
    "customers give-back": ("customers give-back {handover}",),
    "customers forget": ("customers forget {customer} --yes",),
    "audit head": ("audit head --sign --json",),
    "farm status": ("farm status {instance}",),
    "farm budget": ("farm budget {instance} 9",),
    "farm logs": ("farm logs {instance}",),
    "farm stop": ("farm stop {instance}",),
    "farm start": ("farm start {instance}",),
    "farm upgrade": ("farm upgrade {instance}",),
    "farm backup": ("farm backup {instance}",),
    "farm rm": ("farm rm {instance} --yes",),
    "init": ("init --json",),
    "db upgrade": ("db upgrade --json",),
    "db move": ("db move",),
}
"""What each writing command is asked to do to rows of the other company, or to its own."""

OWN = frozenset(
    {
        "order", "rules allow", "budget day", "baseline import", "memory add", "memory import",
        "pairing invite", "audit head", "init", "db upgrade",
    }
)  # fmt: skip
"""Those that have no other company's row to name: they do what they do to their own."""

ELSEWHERE: Mapping[str, str] = {
    "prices check": "reads the price book alone",
    "prices diff": "compares two files",
    "prices import": "writes a file of the home, from a file",
    "replay": "plays cassettes in a home of its own; the company's database is not opened",
    "eval": "plays scenarios in homes of their own",
    "import-trace": "turns one file into another",
    "skills show": "reads a folder of the home",
    "skills approve": "writes a file of the home",
    "skills revoke": "writes a file of the home",
    "mcp show": "starts a server that the home's settings name",
    "mcp approve": "writes a file of the home",
    "mcp revoke": "writes a file of the home",
    "mcp test": "starts a server that the home's settings name",
    "channels test": "waits for a platform; what it stores passes the same store as an order does",
    "up": "works orders: the company at work below does, beside the other one's rows",
    "worker": "works orders: the company at work below does, beside the other one's rows",
    "farm up": "makes a machine: its journal passes the same store as all else",
    "farm restore": "makes a machine from a file",
    "farm reconcile": "asks every driver of this machine",
    "farm render": "writes files",
}
"""Commands that are not run here, and why."""

GUARDED: Mapping[str, str] = {
    "orders": "orders --json",
    "ledger": "export ledger --jsonl - --texts",
    "memories": "memory list --all --json",
    "budgets": "doctor --json",
    "audit": "audit verify --json",
    "people": "pairing list --json",
    "customer_turns": "customers show telegram_customers:77 --json",
    "standing_rules": "rules list --json",
    "founder_corrections": "time list --json",
}
"""Tables whose policy is taken away, each with a command that must then say something else."""


class World(NamedTuple):
    """One company that did all sorts of things, alone in a database and beside another one."""

    server: Server
    alone: Addresses
    beside: Addresses
    """Of a copy of the database, with the rows of the other company."""
    home: Path
    ids: dict[str, str]
    """Of the first company, by what they name; files that commands read are among them."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("two")
    with Server() as server:
        at = server.share("two")
        home = folder / "home"
        for company, place in ((OTHER, folder / "other"), (COMPANY, home)):
            app = App(load(environment(place, at, company, database_owner_url=at.owner)))
            assert app.initialise() is True
            app.close()
        ids = asyncio.run(worked(home, at)) | files(folder)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(home, at, COMPANY).items():
                patch.setenv(name, value)
            patch.setattr(SystemClock, "now", lambda _: NOW)
            ids |= written(ids)
        server.create("beside", template="two")
        beside = Addresses(*(address.replace("/two?", "/beside?") for address in at))
        master = sa.create_engine(beside.superuser, poolclass=sa.NullPool)
        with master.begin() as connection:
            fill(connection, ids)
        master.dispose()
        yield World(server, at, beside, home, ids)


def environment(home: Path, at: Addresses, company: str, **more: str) -> dict[str, str]:
    return settings_of(home, NOWHERE, database_url=at.app, company=company, **more)


async def worked(home: Path, at: Addresses) -> dict[str, str]:
    """Let the company deliver an order and ask for a signature; return their ids."""
    async with at_work(
        home, provider_of(), database_url=at.app, company=COMPANY, budget__sign_above="0"
    ) as company:
        done = await company.work(f"Write a page about {OURS}.", is_auto_signed=True)
        waiting = await company.work(f"Write a poem about {OURS}.")
        assert (done.status, waiting.status) == (OrderStatus.DELIVERED, OrderStatus.WAITING)
        company.app.store.write(served)
        query = sa.select(asks.c.id).where(asks.c.order_id == waiting.id)
        ask = company.app.store.read(lambda c: c.execute(query).scalar_one())
    day = f"{done.created_at:%Y-%m-%d}"
    return {
        "order": done.id, "waiting": waiting.id, "ask": ask, "handover": "h2345678", "day": day,
        "person": "p2345678", "customer": "p3456789",
    }  # fmt: skip


def served(connection: Connection) -> None:
    """Write down a customer who waits for a person, and somebody of the team."""
    at = "2026-11-20T10:00:00.000000Z"
    channel = "telegram_customers"
    for row in (
        ("p2345678", "telegram", "4711", f"Ben of {OURS}", "team"),
        ("p3456789", channel, "77", f"Cleo of {OURS}", "customer"),
    ):
        names = ("id", "channel", "platform_id", "name", "role")
        more = {"chat_id": row[2], "added_at": at, "added_by": "terminal:1"}
        connection.execute(people.insert().values(dict(zip(names, row, strict=True)) | more))
    connection.execute(
        customer_turns.insert().values(
            channel=channel, person_id="77", at=at, side="customer", files="[]",
            text=f"Where is my {OURS}?",
        )
    )  # fmt: skip
    connection.execute(
        handovers.insert().values(
            id="h2345678", channel=channel, account="1", chat_id="77", person_id="77",
            name=f"Cleo of {OURS}", state="open", reason=f"asks for {OURS}",
            words=f"Where is my {OURS}?", asked_at=at, touched_at=at,
        )
    )  # fmt: skip


def files(folder: Path) -> dict[str, str]:
    """Write the files that commands read; return their paths."""
    texts = {
        "bill": '[{"at": "2026-05-01T00:00:00Z", "event": "created", "id": "s1", '
        '"server_type": "cx33", "location": "fsn1"}]',
        "predict": '{"sizing": {"method": "tasks", "items": []}}',
        "calls": '{"model": "openai/gpt-4o-mini", "usage": {"prompt_tokens": 5}}\n',
        "actuals": "actual,class,source\n3.5,web_page,Ada\n",
        "memories": f'{{"kind": "fact", "text": "{OURS} grows by the water"}}\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: str(folder / name) for name in texts} | {"html": str(folder / "report.html")}


@pytest.fixture
def terminal(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    terminal = Terminal(world.home, monkeypatch, capsys)
    for name, value in environment(world.home, world.alone, COMPANY).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)
    return terminal


def every_command() -> set[str]:
    """Return all commands that the program has, groups and their parts."""
    found: set[str] = set()
    for name, command in COMMANDS.items():
        declared = load_command(command.target)
        if isinstance(declared, typer.Typer):
            group: Any = get_command(declared)
            found |= {f"{name} {part}" for part in group.commands}
        else:
            found.add(name)
    return found


def test_every_command_is_tried_here_or_named_with_a_reason() -> None:
    assert every_command() == set(READS) | set(WRITES) | set(ELSEWHERE)
    assert not set(ELSEWHERE) & (set(READS) | set(WRITES))


def said(terminal: Terminal, line: str, ids: Mapping[str, str]) -> Seen:
    return terminal.run(*(word.format_map(ids) for word in line.split(" ")))


def all_said(terminal: Terminal, world: World, at: Addresses) -> dict[str, Seen]:
    """Run every reading command on a database; what one wrote to a file is part of what it said."""
    terminal.set(SWARM_DATABASE_URL=at.app)
    found = {}
    for line in (line for lines in READS.values() for line in lines):
        seen = said(terminal, line, world.ids)
        if "{html}" in line and seen.code == exits.DONE:
            text = Path(world.ids["html"]).read_text(encoding="utf-8")
            seen = Seen(seen.code, text, seen.err)
        # What may differ is the name of the database, and the room on this machine's disk.
        out = re.sub(r"[0-9.,]+ GiB free", "room", seen.out.replace("beside at", "two at"))
        found[line] = Seen(seen.code, out, seen.err)
    assert [(line, seen.err) for line, seen in found.items() if seen.code == exits.BUG] == []
    return found


def test_reading_says_the_same_to_the_byte_whatever_another_company_does(
    world: World, terminal: Terminal
) -> None:
    alone = all_said(terminal, world, world.alone)
    beside = all_said(terminal, world, world.beside)
    assert {line: seen for line, seen in beside.items() if seen != alone[line]} == {}
    told = "\n".join(seen.out + seen.err for line, seen in beside.items() if THEIRS not in line)
    assert OURS in told
    assert "alder: the database shows app_two no other company's rows" in told
    assert THEIRS not in told
    # The same must fail where one table is left open, or it proves nothing.
    unnoticed = set()
    for table, line in GUARDED.items():
        seen = left_open(terminal, world, table, line)
        # Each look at an order counts as a look, so the rest may differ by that alone.
        if THEIRS not in seen.out + seen.err and seen.code == alone[line].code:
            unnoticed.add(table)
    assert unnoticed == set()
    assert THEIRS not in said(terminal, "orders --json", world.ids).out


def left_open(terminal: Terminal, world: World, table: str, line: str) -> Seen:
    """Run a command while a table's policies are off."""
    owner = sa.create_engine(world.beside.owner, poolclass=sa.NullPool)
    try:
        with owner.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        return said(terminal, line, world.ids)
    finally:
        with owner.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        owner.dispose()


def written(ids: Mapping[str, str]) -> dict[str, str]:
    """Fill by commands what they can fill; return the ids of what they made."""

    def document(line: str) -> Any:
        with redirect_stdout(io.StringIO()) as out:
            code = run([word.format_map(ids) for word in line.split(" ")])
        assert code == exits.DONE, line
        return json.loads(out.getvalue())

    memory = document(f"memory add {OURS}-is-hard --subject {OURS} --json")
    rule = document(f"rules allow marketcom web_fetch --to {OURS}.example --note {OURS} --json")
    minutes = document(f"time add {{order}} 15m {OURS} --json")
    document("pairing invite --json")
    document("budget day 70 --json")
    document("baseline import {actuals} --json")
    document("audit head --sign --json")
    return {
        "memory": memory["id"],
        "rule": rule["id"],
        "correction": minutes["id"],
    }


def fill(connection: Connection, ids: Mapping[str, str]) -> None:
    """Give the other company its rows."""
    for table in metadata.sorted_tables:
        copy(connection, table, {OURS: THEIRS}, shift=0)
        copy(connection, table, {OURS: THEIRS} | others(ids), shift=1_000_000)
        invent(connection, table)


def others(ids: Mapping[str, str]) -> dict[str, str]:
    """Return an id of the other company's own for each of the first one's."""
    named = (
        "order",
        "waiting",
        "ask",
        "memory",
        "rule",
        "correction",
        "handover",
        "person",
        "customer",
    )
    return {ids[name]: other(ids[name]) for name in named} | {"4711": "1174", "77": "78"}


def other(name: str) -> str:
    return name[0] + name[:0:-1]


NO_TEXT = (sa.Integer, sa.Float, sa.Boolean, sa.LargeBinary)
NUMBERED = ("update_id", "dedupe_key", "digest", "key")
"""Columns that name a thing once in a company, beside its id."""


def copy(connection: Connection, table: sa.Table, words: Mapping[str, str], *, shift: int) -> None:
    """Copy a table's rows to the other company, with other words and amounts."""
    values = []
    for column in table.columns:
        text = f'"{column.name}"'
        if not isinstance(column.type, NO_TEXT):
            for ours, theirs in words.items():
                text = f"replace({text}, '{ours}', '{theirs}')"
            if column.name in NUMBERED and shift:
                text = f"{text} || '-{shift}'"
        elif column.name.endswith("_pico"):
            text = f"{text} + 7000000000000"
        elif column is table.autoincrement_column:
            text = f"{text} + {shift}"
        values.append(text)
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({names}, company_id) SELECT {', '.join(values)}, '{OTHER}' "
        f"FROM {table.name} WHERE company_id = '{COMPANY}' ON CONFLICT DO NOTHING"
    )


def invent(connection: Connection, table: sa.Table) -> None:
    """Give the other company a row of made-up words."""
    kinds: dict[type, object] = {bytes: THEIRS.encode(), bool: False, float: 0.5, int: 99}
    values: dict[str, object] = {
        column.name: kinds.get(column.type.python_type, f"{THEIRS}-{column.name}")
        for column in table.columns
    }
    if table.name == "farm_instances":
        values["name"] = "bakery"
    connection.execute(sa.text(f"SET LOCAL swarm.company = '{OTHER}'"))
    connection.execute(table.insert().values(values))


def test_writing_finds_nothing_of_another_company_and_changes_none_of_its_rows(
    world: World, terminal: Terminal
) -> None:
    terminal.set(SWARM_DATABASE_URL=world.beside.app)
    master = sa.create_engine(world.beside.superuser, poolclass=sa.NullPool)
    with master.begin() as connection:
        theirs = their_ids(connection)
        before = digests(connection)
    assert all(before[name] for name in ("orders", "ledger", "audit", "memories"))
    ids = world.ids | theirs
    for line in (line for lines in WRITES.values() for line in lines):
        seen = said(terminal, line, ids)
        is_own = any(line.startswith(own) for own in OWN)
        assert seen.code == (exits.DONE if is_own else exits.USAGE), (line, seen.out, seen.err)
        assert THEIRS not in seen.out + seen.err, line
    with master.begin() as connection:
        assert digests(connection) == before
    master.dispose()


def their_ids(connection: Connection) -> dict[str, str]:
    """Return ids that the other company alone has."""

    def only(table: str, column: str = "id", condition: str = "true") -> str:
        query = (
            f"SELECT {column} FROM {table} WHERE company_id = '{OTHER}' AND {condition} "
            f"AND {column} NOT IN (SELECT {column} FROM {table} WHERE company_id = '{COMPANY}') "
            f"AND {column} NOT LIKE '{THEIRS}%%' ORDER BY 1"
        )
        return str(connection.exec_driver_sql(query).scalars().first())

    found = {
        "order": only("orders", condition="status = 'delivered'"),
        "waiting": only("orders", condition="status = 'waiting'"),
        "ask": only("asks"),
        "memory": only("memories"),
        "rule": only("standing_rules"),
        "correction": only("founder_corrections"),
        "handover": only("handovers"),
        "person": "telegram:1174",
        "customer": "telegram_customers:78",
        "code": "bcdf-ghjk",
        "instance": "bakery",
    }
    assert "None" not in found.values()
    return found


def digests(connection: Connection) -> dict[str, str]:
    """Return what the other company's rows come to, by table."""
    found = {}
    for table in metadata.sorted_tables:
        rows = connection.exec_driver_sql(
            f"SELECT CAST(t.* AS text) FROM {table.name} t WHERE company_id = '{OTHER}' ORDER BY 1"
        ).scalars()
        found[table.name] = digest(rows)
    return found


def digest(rows: Iterable[str]) -> str:
    text = "\n".join(rows)
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
