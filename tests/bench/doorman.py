"""Measure who listens while nothing is to be done: memory, what a company more takes, processor time.

Each figure is of a process of its own, `swarm up` as an operator starts it. Companies with Telegram
have a bot each on the scripted server. Memory is read when all of them poll and the process has been
left alone for a while, and again after an order was worked and its worker has gone.

The same is taken of `swarm worker` and `swarm up` on a Postgres of their own, with the transactions
that the server counts meanwhile, where the machine has the programs.

What is shared with other processes (the interpreter's own file, libraries) counts in full as
resident memory (`rss`), and by its share in `pss`; only the latter adds up over processes.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.bench.telegram import children_of, halted
from tests.servers.company import CompanyScript, PlannedTask
from tests.servers.postgres import Server, missing
from tests.servers.provider import ScriptedProvider
from tests.servers.telegram import Bot, TelegramServer

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
COMPANIES = 20
"""Companies in the process of which a company's own share is taken."""
CROWD = 50
"""Companies of the process whose idle processor time is taken."""
IDLE_S = 60.0
SETTLE_S = 5.0
REST_S = 20.0
"""After its start a process on Postgres looks for work; how long it takes to rest, in seconds."""
START_S = 120.0
TOKEN = "{id}:AAFakeTokenForTestsOnly_0123456789abcde"


def settings(bot: Bot | None, server: TelegramServer | None) -> dict[str, Any]:
    """Return what a company's `company.yaml` says."""
    document: dict[str, Any] = {"name": "Idle", "channels": []}
    if bot is not None and server is not None:
        document["telegram"] = {"token": bot.token, "base_url": server.base_url, "founders": [1]}
    return document


def empty(folder: Path, **variables: str) -> Path:
    """Return a company's database without a row: to make one takes a second."""
    environment = {**os.environ, "SWARM_HOME": str(folder), **variables}
    argv = [sys.executable, "-m", "swarm.cli", "init"]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, env=environment)
    return folder / "swarm.db"


def make(home: Path, document: Mapping[str, Any], database: Path) -> None:
    """Write a company's folder."""
    home.mkdir(parents=True)
    # JSON is YAML, too.
    (home / "company.yaml").write_text(json.dumps(document), encoding="utf-8")
    shutil.copyfile(database, home / "swarm.db")


@asynccontextmanager
async def up(
    arguments: Sequence[str], *, command: str = "up", **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `swarm up`, or another command, until left; it is entered once all are heard."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "swarm.cli", command, *arguments),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(START_S):
            while b"Ctrl-C" not in (line := await process.stderr.readline()):
                assert line, "it ended"
        reading = asyncio.create_task(process.stderr.read())
        yield process
        reading.cancel()
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def memory_mib(pid: int) -> dict[str, float]:
    """Return the memory of a process: `rss`, `pss` and `uss`, its own alone."""
    kib: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        kib[name] = int(rest.split()[0])
    own = kib["Private_Clean"] + kib["Private_Dirty"]
    return {
        "rss": round(kib["Rss"] / 1024, 2),
        "pss": round(kib["Pss"] / 1024, 2),
        "uss": round(own / 1024, 2),
    }


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def homes(folder: Path, count: int, server: TelegramServer | None) -> None:
    """Make so many companies; each has a bot where there is a server."""
    with tempfile.TemporaryDirectory() as scratch:
        database = await asyncio.to_thread(empty, Path(scratch))
        for number in range(count):
            bot = None
            if server is not None:
                bot = server.add_bot(TOKEN.format(id=720_000_000 + number), f"idle{number}_bot")
            home = folder / f"c{number:03d}"
            await asyncio.to_thread(make, home, settings(bot, server), database)


async def heard(server: TelegramServer) -> None:
    """Wait until every company's bot hangs in a poll."""
    for bot in server.world.bots.values():
        if bot is not server.bot:
            await server.listened(bot=bot, timeout_s=START_S)


async def quiet(pid: int, *, idle_s: float) -> dict[str, float]:
    """Return memory of a process that is left alone, and its share of a core over so many seconds."""
    await asyncio.sleep(SETTLE_S)
    before = cpu_s(pid)
    await asyncio.sleep(idle_s)
    share = 100 * (cpu_s(pid) - before) / idle_s if idle_s else 0.0
    return memory_mib(pid) | {"cpu_percent": round(share, 2)}


async def many(count: int, *, has_bots: bool, idle_s: float) -> dict[str, float]:
    """Return what `swarm up --companies` takes that listens for so many."""
    with tempfile.TemporaryDirectory() as folder:
        async with TelegramServer() as server:
            await homes(Path(folder), count, server if has_bots else None)
            async with up(["--companies", folder]) as process:
                await heard(server)
                return await quiet(process.pid, idle_s=idle_s)


async def alone(*, idle_s: float, has_bot: bool = True) -> dict[str, float]:
    """Return what `swarm up` takes for one company, with its bot or on the terminal alone."""
    with tempfile.TemporaryDirectory() as folder:
        async with TelegramServer() as server:
            await homes(Path(folder), 1, server if has_bot else None)
            async with up([], SWARM_HOME=str(Path(folder) / "c000")) as process:
                await heard(server)
                return await quiet(process.pid, idle_s=idle_s)


async def on_postgres(command: str, *arguments: str, idle_s: float) -> dict[str, float]:
    """Return what a command takes for a company on a Postgres, and its transactions per second."""
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        # A database of its own, in whose count nobody else's transactions are.
        url = server.create("idle")
        home = Path(folder) / "home"
        home.mkdir()
        async with TelegramServer() as chats:
            document = settings(chats.bot, chats) if command == "up" else settings(None, None)
            (home / "company.yaml").write_text(json.dumps(document), encoding="utf-8")
            variables = {"SWARM_DATABASE_URL": url}
            await asyncio.to_thread(empty, home, **variables)
            async with up(arguments, command=command, SWARM_HOME=str(home), **variables) as process:
                await asyncio.sleep(REST_S)
                before = await asyncio.to_thread(transactions, server.url)
                found = await quiet(process.pid, idle_s=idle_s)
                after = await asyncio.to_thread(transactions, server.url)
    passed_s = idle_s + SETTLE_S
    return found | {"transactions_per_s": round((after - before) / passed_s, 2)}


def transactions(url: str) -> int:
    """Return how many transactions the database of `on_postgres` has seen, as the server tells."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        query = sa.text(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'idle'"
        )
        count = int(connection.execute(query).scalar_one())
    engine.dispose()
    return count


async def after_orders(count: int) -> dict[str, float]:
    """Return the memory of who listens before orders were given, and after their worker has gone."""
    script = CompanyScript((PlannedTask("Write the page", "cto", "Write it.", "page.md"),))
    with (
        tempfile.TemporaryDirectory() as folder,
        ScriptedProvider(script).in_thread() as provider,
    ):
        async with TelegramServer() as server:
            ada = server.person("Ada")
            home = Path(folder) / "home"
            document = settings(server.bot, server)
            document["telegram"]["founders"] = [ada.id]
            document["llm"] = {"model": "openai/gpt-4o-mini", "api_base": provider.url}
            document["worker"] = {"idle_s": 1.0}
            database = await asyncio.to_thread(empty, Path(folder) / "empty")
            await asyncio.to_thread(make, home, document, database)
            async with up([], SWARM_HOME=str(home)) as process:
                await server.listened(timeout_s=START_S)
                before = (await quiet(process.pid, idle_s=0))["rss"]
                for number in range(count):
                    ada.says(f"Write page {number}.")
                await _until_worked(home, count, process.pid)
                after = (await quiet(process.pid, idle_s=0))["rss"]
    return {"before": before, "after": after}


async def _until_worked(home: Path, count: int, pid: int) -> None:
    """Wait until so many orders are delivered and their worker has gone."""
    async with asyncio.timeout(START_S):
        while await asyncio.to_thread(halted, home) < count or children_of(pid):
            await asyncio.sleep(0.2)


async def figures(*, idle_s: float = IDLE_S) -> dict[str, Any]:
    """Return all that is measured, memory in MiB and processor time in percent of a core."""
    found: dict[str, Any] = {}
    one = await alone(idle_s=idle_s)
    bare = await alone(idle_s=0, has_bot=False)
    worked = await after_orders(3)
    for name in ("rss", "pss", "uss"):
        found[f"doorman_{name}_mib"] = one[name]
    found["doorman_console_alone_rss_mib"] = bare["rss"]
    found["doorman_cpu_percent"] = one["cpu_percent"]
    found["doorman_rss_mib_after_3_orders"] = worked["after"]
    for name, has_bots in (("telegram", True), ("no_channel", False)):
        first = await many(1, has_bots=has_bots, idle_s=0)
        last = await many(1 + COMPANIES, has_bots=has_bots, idle_s=0)
        share = (last["rss"] - first["rss"]) / COMPANIES
        found[f"company_more_{name}_mib"] = round(share, 2)
    if missing() is None:
        found |= await postgres_figures(idle_s=idle_s)
    crowd = await many(CROWD, has_bots=True, idle_s=idle_s)
    found[f"doorman_{CROWD}_companies_rss_mib"] = crowd["rss"]
    found[f"doorman_{CROWD}_companies_cpu_percent"] = crowd["cpu_percent"]
    return found


async def postgres_figures(*, idle_s: float) -> dict[str, float]:
    """Return what processes on Postgres take that have nothing to do."""
    found: dict[str, float] = {}
    for name, words in {
        "worker_on_postgres": ("worker", "--concurrency", "8"),
        "up_on_postgres": ("up",),
    }.items():
        one = await on_postgres(*words, idle_s=idle_s)
        for what in ("rss", "cpu_percent", "transactions_per_s"):
            found[f"{name}_{what}{'_mib' if what == 'rss' else ''}"] = one[what]
    return found


def measure() -> dict[str, Any]:
    """Measure with fresh companies and a chat server of their own."""
    return asyncio.run(figures())


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--postgres", action="store_true", help="only processes on Postgres")
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds of processor time")
    options = parser.parse_args()
    take = postgres_figures if options.postgres else figures
    for name, value in asyncio.run(take(idle_s=options.idle)).items():
        sys.stdout.write(f"{name:40} {value}\n")


if __name__ == "__main__":
    main()
