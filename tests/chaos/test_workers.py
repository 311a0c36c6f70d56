"""Many workers on one Postgres: killed, stalled and doubled, and every order is delivered once."""

import asyncio
import random
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from swarm.core.order import OrderStatus
from tests.chaos.audit import (
    Books,
    check_all,
    check_budgets,
    check_calls,
    check_files,
    check_messages,
    check_orders,
)
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.nursery import Child, Nursery
from tests.chaos.script import CALLS, KeyedCompany, jitter
from tests.chaos.site import Site, until, within
from tests.chaos.test_kill import ACCEPT_S, MANY_MS
from tests.servers import postgres
from tests.servers.provider import ScriptedProvider

BESIDE: dict[str, Any] = {"is_front": False}
IN_HASTE: dict[str, Any] = {"spacing_ms": MANY_MS}
SIGNED = {"SWARM_BUDGET__SIGN_ABOVE": "0"}


async def test_workers_killed_beside_each_other_lose_and_mix_nothing(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    await campaign(nursery, shared, tmp_path, orders=4, kills=4)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_fifty_killed_workers_lose_and_mix_nothing(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    await campaign(nursery, shared, tmp_path, orders=60, kills=50)


async def test_a_stalled_worker_is_succeeded_and_wakes_up_to_change_nothing(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(3), 0.02, 0.05))
    async with (
        ScriptedProvider(script) as provider,
        shared.site(tmp_path, nursery, api_base=provider.url) as site,
    ):
        sleeper = site.worker(**BESIDE)
        await site.ready(sleeper)
        await site.place(0)
        await within(script.arrival(4))
        sleeper.signal(signal.SIGSTOP)
        heir = site.worker()
        await site.halted(heir)
        assert site.statuses() == dict.fromkeys(site.keys, OrderStatus.DELIVERED)
        books = Books(site)
        before = [books.rows(f"SELECT * FROM {name}") for name in ("orders", "tasks", "outbox")]
        sleeper.signal(signal.SIGCONT)
        # It comes back to work under its name, as new.
        workers = "SELECT name FROM workers"
        assert await until(lambda: len(books.rows(workers)) == 2)
        again = [books.rows(f"SELECT * FROM {name}") for name in ("orders", "tasks", "outbox")]
        assert again == before
        assert await site.end(sleeper) == 0
        await site.halted(heir)
        assert await site.end(heir) == 0
        check_all(site, script)
        assert books.rows(workers) == []


async def test_a_second_worker_of_one_name_refuses_to_start(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    async with shared.site(
        tmp_path,
        nursery,
        api_base="http://127.0.0.1:9/v1",
        settings={"SWARM_WORKER__NAME": "ada"},
    ) as site:
        first = site.worker(**BESIDE)
        await site.ready(first)
        second = site.worker(**BESIDE)
        assert await within(second.event("ended")) == 2
        assert "A worker named 'ada' already works on " in site.stderr.read_text()
        assert f"(process {first.pid})" in site.stderr.read_text()
        assert await site.end(first) == 0


async def test_an_order_that_kills_its_workers_is_parked_and_the_others_are_delivered(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(4), 0.01, 0.03))
    async with (
        ScriptedProvider(script) as provider,
        shared.site(tmp_path, nursery, api_base=provider.url) as site,
    ):
        front = site.worker(takes_orders=False)
        await site.ready(front)
        poison = await site.place(0)
        for number in range(1, 4):
            await site.place(number)
        # Their spacing is shortened, since each death takes a second to be seen as it is.
        deadly: dict[str, Any] = {**BESIDE, "deadly": "KEY-0000", "spacing_ms": 0}
        lives = 0
        while site.statuses()[poison].is_moving:
            lives += 1
            assert lives <= 12, site.shown()
            worker = site.worker(**deadly)
            await until(partial(_is_over, site, worker))
        worker = site.worker(**deadly)
        # A signal before it is ready is the end of any process.
        await site.ready(worker)
        await site.halted(worker)
        assert site.statuses().pop(poison) is OrderStatus.PARKED
        others = {key: status for key, status in site.statuses().items() if key != poison}
        assert set(others.values()) == {OrderStatus.DELIVERED}
        books = Books(site)
        [row] = books.rows("SELECT reason FROM orders WHERE status = 'parked'")
        assert "died 6 times at the same place" in row["reason"]
        told = books.rows("SELECT order_id FROM outbox WHERE strpos(body, 'died 6 times') > 0")
        assert told == [{"order_id": poison}]
        actions = {r["action"] for r in books.rows("SELECT action FROM reaper_actions")}
        assert actions == {"resumed", "isolated", "parked"}
        for child in (worker, front):
            assert await site.end(child) == 0


@pytest.mark.chaos
async def test_work_of_a_version_that_nobody_runs_any_more_is_finished_by_the_next(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(9), 0.02, 0.05))
    async with (
        ScriptedProvider(script) as provider,
        shared.site(tmp_path, nursery, api_base=provider.url, settings=SIGNED) as site,
    ):
        waiting, running, handed = [await site.place(number) for number in range(3)]
        old = site.worker()
        await site.halted(old)
        for order_id in (running, handed):
            await asyncio.to_thread(site.app.office.approve, order_id, by="Ada")
        await within(script.arrival(script.count + 3))
        # One dies in the middle of work; its last colleague stops cleanly, and hands its own back.
        await site.end(old, signal.SIGKILL)
        last = site.worker()
        await site.ready(last)
        assert await site.end(last) == 0
        queued = await site.place(3)
        new = site.worker(version="2")
        assert await until(lambda: site.statuses()[queued] is OrderStatus.WAITING)
        for order_id in (waiting, queued):
            await asyncio.to_thread(site.app.office.approve, order_id, by="Ada")
        await site.halted(new)
        assert await site.end(new) == 0
        assert set(site.statuses().values()) == {OrderStatus.DELIVERED}, site.shown()
        assert script.mixed == []
        assert site.faults() == ""


@pytest.mark.chaos
async def test_a_database_that_goes_away_in_mid_flight_is_waited_for(
    nursery: Nursery, tmp_path: Path
) -> None:
    if reason := postgres.missing():
        pytest.skip(reason)
    script = KeyedCompany(jitter(random.Random(5), 0.02, 0.06))
    with cluster(tmp_path) as own:
        async with (
            ScriptedProvider(script) as provider,
            own.site(tmp_path / "site", nursery, api_base=provider.url) as site,
        ):
            crew = [site.worker(), site.worker(**BESIDE)]
            for number in range(4):
                await site.place(number)
            await within(script.arrival(12))
            await asyncio.to_thread(own.server.stop)
            # Requests that were out end; nothing can be stored meanwhile.
            await asyncio.sleep(1.0)
            await asyncio.to_thread(own.server.start)
            await site.halted(crew[0])
            for worker in crew:
                assert await site.end(worker) == 0, site.shown()
            assert script.mixed == []
            books = Books(site)
            check_orders(site, books)
            # What was answered while nothing could be stored is kept until it can, and not asked
            # for again.
            check_calls(site, books, provider_calls=script.count)
            states = Counter(row["state"] for row in books.rows("SELECT state FROM ledger"))
            assert states == {"used": CALLS * len(site.keys)}, states
            check_budgets(books)
            check_files(site, books)
            check_messages(site, books)
            assert "waiting for the database" in site.stderr.read_text()


def _is_over(site: Site, worker: Child) -> bool:
    """Say whether a worker died, or has nothing left to do."""
    is_moving = any(status.is_moving for status in site.statuses().values())
    return not worker.is_alive or not is_moving


async def campaign(
    nursery: Nursery, shared: Cluster, folder: Path, *, orders: int, kills: int
) -> None:
    """Kill one of three workers after another, and begin another in its place."""
    seed = random.SystemRandom().randrange(1_000_000)
    # Shown when the test fails.
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    script = KeyedCompany(jitter(rng, 0.02, 0.06))
    async with (
        ScriptedProvider(script) as provider,
        shared.site(folder, nursery, api_base=provider.url) as site,
    ):
        front = {"accept_s": ACCEPT_S, **IN_HASTE}
        beside = {**BESIDE, **IN_HASTE}
        crew = [site.worker(**front), site.worker(**beside), site.worker(**beside)]
        for number in range(kills):
            due = max(round(orders * (number + 1) / kills), 1)
            for order in range(len(site.keys), due):
                await site.place(order)
            await within(_some_work(site, script, crew, rng))
            place = rng.randrange(len(crew))
            await site.end(crew[place], signal.SIGKILL)
            crew[place] = site.worker(**(beside if place else front))
        await site.halted(crew[0])
        for worker in crew:
            assert await site.end(worker) == 0, site.shown()
        check_all(site, script)


async def _some_work(
    site: Site, script: KeyedCompany, crew: list[Child], rng: random.Random
) -> None:
    """Wait for some requests, or until nothing moves any more."""
    arrived = asyncio.ensure_future(script.arrival(script.count + rng.randint(1, 14)))
    halted = asyncio.ensure_future(site.halted(crew[0]))
    await asyncio.wait([arrived, halted], return_when=asyncio.FIRST_COMPLETED)
    for waiting in (arrived, halted):
        waiting.cancel()
    await asyncio.gather(arrived, halted, return_exceptions=True)
    await asyncio.sleep(rng.uniform(0, 0.1))
