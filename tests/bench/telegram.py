"""Measure a flood of chats: how soon Telegram is told, how soon a person sees something, and RSS.

Fifty people write once a second each to a company in a process of its own, whose model answers at
once. Every tenth message is an order; the rest is what people say in between. A message counts as
acknowledged when the platform may forget it, that is when it is on disk. A person sees a sign when
the first reply is sent: a bot may send thirty messages a second in all, so fifty people who all
write once a second cannot all be answered as fast.

What else the machine did meanwhile is told beside it: the load, and for how long threads of the
company that could have run had to wait for a processor.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import connect
from typing import Any

from tests.servers.telegram import Person, TelegramServer

ROOT = Path(__file__).resolve().parents[2]
ORDER_EVERY = 10
BETWEEN = ("/status", "thanks", "/help", "how much so far?", "/inbox", "/team", "hello", "/cost")
START_S = 60.0
WARM_S = 90.0
SIGNS = """
SELECT (julianday(o.sent_at) - julianday(i.received_at)) * 86400000
FROM inbox i JOIN outbox o ON o.dedupe_key = 'reply/' || i.id || '/1'
WHERE o.state = 'sent'
"""
"""How long each message waited for the first reply to it, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much is said."""

    chats: int = 50
    seconds: int = 60
    warm_s: int = 10
    """How long it is said before anything counts, in seconds: what is loaded on first use is then."""
    order_every: int = ORDER_EVERY


async def run(home: Path, load: Load, provider_url: str) -> dict[str, Any]:
    """Let people write to a company in `home` and return what was seen."""
    async with TelegramServer() as server:
        people = [server.person(f"P{number}") for number in range(load.chats)]
        for person in people:
            person.chat()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "swarm.cli", "up"),
            cwd=ROOT,
            env={**os.environ, **environment(home, server, people, provider_url)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await server.listened(timeout_s=START_S)
            await speak(server, people, load, load.warm_s)
            with suppress(TimeoutError):
                await warmed(home)
            first = len(server.requests)
            before = await asyncio.to_thread(use_of, process.pid)
            said = await speak(server, people, load, load.seconds)
            after = await asyncio.to_thread(use_of, process.pid)
            with suppress(TimeoutError):
                await server.drained(timeout_s=60)
            return {
                **figures(server, home, said, first),
                "telegram_rss_mib": round(after.rss_kib / 1024, 1),
                "telegram_rss_growth_mib": round((after.rss_kib - before.rss_kib) / 1024, 1),
                "telegram_doorman_rss_mib": round(
                    await asyncio.to_thread(rss_kib, process.pid) / 1024, 1
                ),
                "telegram_cpu_s": round(after.cpu_s - before.cpu_s, 1),
                "telegram_doorman_cpu_s": round(after.own_cpu_s - before.own_cpu_s, 1),
                "telegram_waited_for_cpu_s": round(after.waited_s - before.waited_s, 1),
                "telegram_threads": after.threads,
                "telegram_load_average": round(os.getloadavg()[0], 1),
            }
        finally:
            process.terminate()
            await process.wait()


async def warmed(home: Path) -> None:
    """Wait until an order came to a halt: what is loaded on first use is loaded by then."""
    async with asyncio.timeout(WARM_S):
        while not await asyncio.to_thread(halted, home):
            await asyncio.sleep(0.2)


def halted(home: Path) -> int:
    """Return how many orders neither wait for work nor are worked."""
    with closing(connect(home / "swarm.db")) as database:
        query = "SELECT COUNT(*) FROM orders WHERE status NOT IN ('queued', 'working')"
        return int(database.execute(query).fetchone()[0])


def environment(
    home: Path, server: TelegramServer, people: Sequence[Person], url: str
) -> dict[str, str]:
    """Return the settings of a company whose founders are those people."""
    return {
        "SWARM_HOME": str(home),
        "SWARM_LLM__API_BASE": url,
        "SWARM_LLM__MODEL": "openai/gpt-4o-mini",
        "SWARM_BUDGET__DAY": "100000",
        "SWARM_CHANNELS": "[]",
        "SWARM_TELEGRAM__TOKEN": server.token,
        "SWARM_TELEGRAM__BASE_URL": server.base_url,
        "SWARM_TELEGRAM__FOUNDERS": ",".join(str(person.id) for person in people),
    }


async def speak(
    server: TelegramServer, people: Sequence[Person], load: Load, seconds: int
) -> dict[int, float]:
    """Let everybody write once a second, spread over it; return when each update was made."""
    loop = asyncio.get_running_loop()
    start, said = loop.time(), dict[int, float]()
    for number in range(seconds * len(people)):
        await asyncio.sleep(max(start + number / len(people) - loop.time(), 0))
        second, who = divmod(number, len(people))
        turn = second + who
        is_order = turn % load.order_every == 0
        text = f"Write page {number} for me." if is_order else BETWEEN[turn % len(BETWEEN)]
        before = server.world.clock()
        people[who].says(text)
        said[max(server.updates().created)] = before
    return said


def figures(
    server: TelegramServer, home: Path, said: dict[int, float], first: int
) -> dict[str, Any]:
    """Return how long each took, in milliseconds, and whether a limit was passed."""
    polls = [r for r in server.requests[first:] if r.method.lower() == "getupdates"]
    offsets = [record.call.integer("offset") for record in polls]
    acknowledged = [
        (polls[place].at - at) * 1_000
        for number, at in said.items()
        if (place := bisect_left(offsets, number + 1)) < len(polls)
    ]
    with closing(connect(home / "swarm.db")) as database:
        stored = database.execute("SELECT COUNT(*) FROM inbox").fetchone()[0]
        handled = database.execute("SELECT COUNT(*) FROM inbox WHERE state = 'done'").fetchone()[0]
        orders = database.execute("SELECT COUNT(*) FROM orders").fetchone()[0]
        query = "SELECT status, COUNT(*) FROM orders GROUP BY status ORDER BY status"
        statuses = dict(database.execute(query).fetchall())
        unsent = database.execute("SELECT COUNT(*) FROM outbox WHERE state = 'pending'").fetchone()[
            0
        ]
        signs = [float(row[0]) for row in database.execute(SIGNS)]
    return {
        "telegram_messages": len(said),
        "telegram_never_acknowledged": len(said) - len(acknowledged),
        "telegram_ack_ms_p50": round(statistics.median(acknowledged), 1),
        "telegram_ack_ms_p95": round(statistics.quantiles(acknowledged, n=20)[18], 1),
        "telegram_ack_ms_max": round(max(acknowledged), 1),
        "telegram_stored": stored,
        "telegram_handled_at_end": handled,
        "telegram_sign_ms_p50": round(statistics.median(signs), 1) if signs else None,
        "telegram_sign_ms_p95": round(statistics.quantiles(signs, n=20)[18], 1) if signs else None,
        "telegram_unsent_at_end": unsent,
        "telegram_orders": orders,
        "telegram_orders_by_status": statuses,
        "telegram_limits_exceeded": len(server.rates.exceeded),
        "telegram_floods_disobeyed": len(server.rates.disobeyed),
        "telegram_busiest_second": server.rates.busiest_second,
    }


@dataclass(frozen=True, slots=True)
class Use:
    """What a company's processes used so far."""

    rss_kib: int
    cpu_s: float
    own_cpu_s: float
    """Of the process that listens alone."""
    waited_s: float
    """For how long their threads stood in line for a processor, summed."""
    threads: int


def use_of(pid: int) -> Use:
    """Read what a company used so far: the process that listens, and those that it started."""
    alive = [one for one in (_use_of(pid), *map(_use_of, children_of(pid))) if one is not None]
    fields = _stat(pid)
    # Those that ended meanwhile are counted with the one that started them.
    ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return Use(
        rss_kib=sum(one.rss_kib for one in alive),
        cpu_s=sum(one.cpu_s for one in alive) + ended,
        own_cpu_s=alive[0].cpu_s,
        waited_s=sum(one.waited_s for one in alive),
        threads=sum(one.threads for one in alive),
    )


def children_of(pid: int) -> list[int]:
    """Return the processes that a process started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _use_of(pid: int) -> Use | None:
    """Read what one process used so far, of all its threads that still run; None if it is gone."""
    try:
        fields = _stat(pid)
        resident = rss_kib(pid)
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return None
    waited = 0
    for task in tasks:
        with suppress(OSError):
            waited += int((task / "schedstat").read_text().split()[1])
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Use(resident, cpu_s, cpu_s, waited / 1e9, int(fields[17]))


def rss_kib(pid: int) -> int:
    """Return the resident memory of a process, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def measure(load: Load | None = None) -> dict[str, Any]:
    """Measure with a fresh company and a provider of its own."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        subprocess.run(
            [sys.executable, "-m", "swarm.cli", "init"],
            check=True,
            capture_output=True,
            env={**os.environ, "SWARM_HOME": str(home)},
        )
        argv = [sys.executable, "-m", "tests.bench.provider", "--delay", "0"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
            try:
                assert process.stdout is not None
                url = json.loads(process.stdout.readline())["url"]
                return asyncio.run(run(home, load or Load(), url))
            finally:
                process.terminate()
                process.wait(10)


def main() -> None:
    """Print what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--chats", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--warm", type=int, default=Load().warm_s)
    parser.add_argument("--order-every", type=int, default=ORDER_EVERY)
    options = parser.parse_args()
    found = measure(
        Load(
            chats=options.chats,
            seconds=options.seconds,
            warm_s=options.warm,
            order_every=options.order_every,
        )
    )
    for name, value in found.items():
        sys.stdout.write(f"{name:34} {value}\n")


if __name__ == "__main__":
    main()
