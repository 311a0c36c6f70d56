"""A worker that sleeps through its own succession wakes up and changes nothing."""

import asyncio
import itertools
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos.audit import Books, check_all
from tests.chaos.nursery import ROOT, Child, Nursery
from tests.chaos.script import CALLS, KeyedCompany
from tests.chaos.site import Site, until, within
from tests.servers.provider import ScriptedProvider

LONG_S = 1.0
"""Far longer than a worker takes from one answer to its next request."""
SHOWN = "SELECT * FROM orders", "SELECT * FROM tasks", "SELECT * FROM outbox"


# The frame; a step of two tasks side by side; a review; the last words.
@pytest.mark.parametrize("nth", [1, 4, 7, CALLS])
async def test_a_worker_that_wakes_up_late_changes_nothing(
    nursery: Nursery, template: Path, tmp_path: Path, nth: int
) -> None:
    script = held(*[0.03] * (nth - 1), 1.0)
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        await site.place(0)
        sleeper = site.worker()
        await within(script.arrival(nth))
        await asyncio.to_thread(fall_asleep, site, sleeper)
        asked_before = script.count
        # A lock on another host's disk would not be seen either.
        (site.home / "worker.lock").unlink()
        heir = site.worker()
        await site.halted(heir)
        books = Books(site)
        open_calls = _count(books, "intent")
        before = [books.rows(query) for query in SHOWN]
        sleeper.signal(signal.SIGCONT)
        # Its answer lay in the socket all the time.
        assert await until(lambda: _count(books, "intent") == 0)
        assert await site.end(sleeper) == 0
        assert await site.end(heir) == 0
        assert [books.rows(query) for query in SHOWN] == before
        assert script.count <= asked_before + CALLS
        assert _count(books, "superseded") == open_calls >= 1
        check_all(site, script)


async def test_a_worker_that_wakes_up_amid_its_heirs_work_sets_nothing_back(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    # The sleeper's frame; the heir's frame and plan; the heir's first tasks, side by side.
    script = held(1.0, 0.03, 0.03, 1.0, 1.0)
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        sleeper, heir = await succeed(site, script, sleeper_at=1, heir_at=5)
        books = Books(site)
        before = books.rows("SELECT * FROM orders")
        assert json.loads(before[0]["state"])["plan"] is not None
        sleeper.signal(signal.SIGCONT)
        assert await until(lambda: _count(books, "superseded") == 1)
        await asks_nothing(script)
        assert books.rows("SELECT * FROM orders") == before
        assert await site.end(sleeper) == 0
        await finish(site, heir)
        assert script.count == CALLS + 1
        check_all(site, script)


async def test_a_worker_that_wakes_up_amid_its_heirs_task_asks_no_model_again(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    # Frame and plan; the sleeper's first tasks, side by side; the same ones of the heir.
    script = held(0.03, 0.03, 1.0, 1.0, 1.0, 1.0)
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        sleeper, heir = await succeed(site, script, sleeper_at=4, heir_at=6)
        books = Books(site)
        before = books.rows("SELECT * FROM tasks")
        sleeper.signal(signal.SIGCONT)
        # Its answers are the first ones, so they are those in use.
        assert await until(lambda: _count(books, "used") == 4)
        await asks_nothing(script)
        assert books.rows("SELECT * FROM tasks") == before
        assert await site.end(sleeper) == 0
        await finish(site, heir)
        assert _count(books, "superseded") == 2
        assert script.count == CALLS + 2
        check_all(site, script)


def held(*pauses: float) -> KeyedCompany:
    """Return a company whose first answers take as long as said, and the others no time."""
    rest = itertools.chain(pauses, itertools.repeat(0.03))
    return KeyedCompany(lambda: next(rest))


async def succeed(
    site: Site, script: KeyedCompany, *, sleeper_at: int, heir_at: int
) -> tuple[Child, Child]:
    """Let a worker fall asleep at one request and its heir at another; return both."""
    await site.place(0)
    workers = []
    for nth in (sleeper_at, heir_at):
        # A lock on another host's disk would not be seen either.
        (site.home / "worker.lock").unlink(missing_ok=True)
        worker = site.worker()
        await within(script.arrival(nth))
        await asyncio.to_thread(fall_asleep, site, worker)
        workers.append(worker)
    return workers[0], workers[1]


async def asks_nothing(script: KeyedCompany) -> None:
    """Give the only worker that is awake the time for one more request, and see it make none."""
    with pytest.raises(TimeoutError):
        await within(script.arrival(script.count + 1), LONG_S)


async def finish(site: Site, heir: Child) -> None:
    """Let the heir wake up and do the rest."""
    heir.signal(signal.SIGCONT)
    await site.halted(heir)
    assert await site.end(heir) == 0


def fall_asleep(site: Site, worker: Child) -> None:
    """Stop the worker outside of a commit: on one machine it would stop everybody with it."""
    while True:
        worker.signal(signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(site.home / "swarm.db", timeout=0.1)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        except sqlite3.OperationalError:
            worker.signal(signal.SIGCONT)
        else:
            return


async def test_a_second_worker_refuses_to_start_and_names_the_first(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    async with Site(tmp_path, nursery, template=template, api_base="http://127.0.0.1:9/v1") as site:
        first = site.worker()
        await site.ready(first)
        second = subprocess.run(  # noqa: ASYNC221 - nothing else is to be done meanwhile
            [sys.executable, "-m", "swarm.cli", "worker"],
            env=site.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 2
        assert f"process id {first.pid} " in second.stderr
        assert first.is_alive
        assert await site.end(first) == 0


async def test_a_killed_workers_home_is_free_at_once(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    async with Site(tmp_path, nursery, template=template, api_base="http://127.0.0.1:9/v1") as site:
        first = site.worker()
        await site.ready(first)
        await site.end(first, signal.SIGKILL)
        second = site.worker()
        await site.ready(second)
        assert await site.end(second) == 0


def _count(books: Books, state: str) -> int:
    return len(books.rows("SELECT id FROM ledger WHERE state = ?", [state]))
