"""A day's orders drained by workers of which one dies, on a server that goes away once.

pytest -m chaos tests/chaos/test_workers_drain.py --drain-orders 100 -s
"""

import asyncio
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import parse_iso
from swarm.core.errors import SwarmError
from swarm.core.message import InboundMessage
from swarm.core.order import OrderStatus
from swarm.store.tables import ledger, orders, workers
from tests.acceptance.at_work import kind_of, script
from tests.chaos.cluster import Cluster
from tests.chaos.nursery import Child, Nursery
from tests.chaos.site import Site
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body

T = TypeVar("T")

TENANTS, LARGE = 8, 0.6
CONCURRENCY, OF_ONE = 6, 12
CALLS = 7
"""Requests of one order: frame, plan, three of the task, its review, the delivery."""
KILLED_AT, AWAY_AT = 0.4, 0.6
"""After which part of the orders a worker dies, and the server goes away for a moment."""
RECOVERED_S = 10
FAIR_FROM = 200
"""From so many orders on, a quarter of the drain is more than the start of the workers."""
LOOK_S = 0.25
DRAINED_S = 1_800.0


class Counted:
    """A sensible company, and how many orders it was asked to deliver."""

    def __init__(self) -> None:
        self.delivered = 0
        self._play = script()
        self._arrived = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    def __call__(self, request: Body) -> Body:
        if kind_of(request) == "delivery":
            self.delivered += 1
            task = asyncio.get_running_loop().create_task(self._wake())
            self._waking.add(task)
            task.add_done_callback(self._waking.discard)
        return self._play(request)

    async def reached(self, count: float) -> None:
        """Wait until so many were to be delivered."""
        async with asyncio.timeout(DRAINED_S), self._arrived:
            await self._arrived.wait_for(lambda: self.delivered >= count)

    async def _wake(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()


@dataclass
class Seen:
    """What was seen of the engine while it drained."""

    took_s: float = 0.0
    most_of_one: int = 0
    most_of_worker: int = 0
    recovered_s: float = -1.0
    away_s: float = 0.0
    samples: int = 0
    states: dict[str, int] = field(default_factory=dict)


async def test_a_short_queue_is_drained_though_a_worker_dies_and_the_server_restarts(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    await drain(nursery, shared, tmp_path, count=16, crew=2)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_a_thousand_orders_are_drained_though_a_worker_dies_and_the_server_restarts(
    nursery: Nursery, shared: Cluster, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = request.config.getoption("--drain-orders", 1_000)
    await drain(nursery, shared, tmp_path, count=count, crew=4)


async def drain(nursery: Nursery, shared: Cluster, folder: Path, *, count: int, crew: int) -> None:
    settings = {
        "SWARM_WORKER__CONCURRENCY": str(CONCURRENCY),
        "SWARM_WORKER__PER_PERSON": str(OF_ONE),
        "SWARM_LIMITS__POLL_S": "0.2",
        "SWARM_WORKER__STALE_S": "6",
    }
    play, seen = Counted(), Seen()
    async with (
        ScriptedProvider(play) as provider,
        shared.site(folder, nursery, api_base=provider.url, settings=settings) as site,
    ):
        await asyncio.to_thread(place_all, site, count)
        began, started_at = time.monotonic(), datetime.now(UTC)
        hands = [site.worker(is_front=False) for _ in range(crew)]
        watching = asyncio.create_task(sample(site, seen))
        await play.reached(KILLED_AT * count)
        await kill(site, hands.pop(), seen)
        await play.reached(AWAY_AT * count)
        seen.away_s = await away(shared)
        await play.reached(count)
        await halted(site)
        seen.took_s = time.monotonic() - began
        watching.cancel()
        for hand in hands:
            assert await site.end(hand) == 0, site.shown()
        firsts = first_replies(site, started_at)
        seen.states = await looked(site, states)
        report(count, crew, seen, firsts, len(provider.bodies))
        check(site, count, seen, firsts, len(provider.bodies))


def check(site: Site, count: int, seen: Seen, firsts: dict[str, float], calls: int) -> None:
    assert set(site.statuses().values()) == {OrderStatus.DELIVERED}, site.shown()
    assert 0 <= seen.recovered_s <= RECOVERED_S
    assert seen.most_of_one <= OF_ONE
    assert seen.most_of_worker <= CONCURRENCY
    assert seen.samples > 0
    if count >= FAIR_FROM:
        assert max(firsts.values()) <= seen.took_s / 4
    # What the dead worker asked and never stored is asked again, and nothing else.
    assert seen.states["used"] == CALLS * count
    assert calls <= CALLS * count + CONCURRENCY * 2
    assert calls <= sum(seen.states.values())


def place_all(site: Site, count: int) -> None:
    """Place the orders: the large tenant's first, then the others' in turn."""
    large = round(LARGE * count)
    tenants = ["t0"] * large + [f"t{1 + n % (TENANTS - 1)}" for n in range(count - large)]
    for number, tenant in enumerate(tenants):
        site.app.intake.place(
            InboundMessage(
                channel="terminal",
                account="test",
                update_id=f"u{number}",
                chat_id=tenant,
                thread_id=None,
                sender_id=tenant,
                text=f"Write page {number} for the bakery.",
                received_at=datetime.now(UTC),
            )
        )


async def halted(site: Site) -> None:
    """Wait until no order moves any more; their last requests have arrived."""
    moving = sa.select(orders.c.id).where(orders.c.status.in_(["queued", "working"])).limit(1)
    async with asyncio.timeout(DRAINED_S):
        while await looked(site, lambda c: c.execute(moving).first()) is not None:  # noqa: ASYNC110  # a row sets no event
            await asyncio.sleep(LOOK_S)


async def looked(site: Site, look: Callable[[Connection], T]) -> T:
    """Look into the database, however long it is away."""
    while True:
        with suppress(SwarmError):
            return await asyncio.to_thread(site.app.store.read, look)
        await asyncio.sleep(LOOK_S)


async def kill(site: Site, worker: Child, seen: Seen) -> None:
    """Kill a worker for good, and see how long its runs are nobody's."""
    query = sa.select(workers.c.name).where(workers.c.pid == worker.pid)
    name = await looked(site, lambda c: c.execute(query).scalar_one())
    await site.end(worker, signal.SIGKILL)
    at = time.monotonic()

    def is_somebodys(connection: Connection) -> bool:
        rows = connection.exec_driver_sql(
            "SELECT 1 FROM workflow_status WHERE executor_id = %s AND status = 'PENDING' LIMIT 1",
            (name,),
        )
        return rows.first() is not None

    async with asyncio.timeout(10 * RECOVERED_S):
        while await looked(site, is_somebodys):  # noqa: ASYNC110  # a row sets no event
            await asyncio.sleep(0.05)
    seen.recovered_s = time.monotonic() - at


async def away(shared: Cluster) -> float:
    """Let the server crash and start again; return for how long it was away."""
    at = time.monotonic()
    await asyncio.to_thread(shared.server.stop)
    await asyncio.to_thread(shared.server.start)
    return time.monotonic() - at


async def sample(site: Site, seen: Seen) -> None:
    """Look again and again at how much runs at once."""
    running = "SELECT count(*) FROM workflow_status WHERE status = 'PENDING' AND name = 'segment'"

    def look(connection: Connection) -> list[list[int]]:
        return [
            [row[0] for row in connection.exec_driver_sql(f"{running} GROUP BY {column}")]
            for column in ("queue_partition_key", "executor_id")
        ]

    while True:
        of_one, of_worker = await looked(site, look)
        seen.most_of_one = max([seen.most_of_one, *of_one])
        seen.most_of_worker = max([seen.most_of_worker, *of_worker])
        seen.samples += 1
        await asyncio.sleep(LOOK_S)


def states(connection: Connection) -> dict[str, int]:
    """Count the ledger's lines by state."""
    query = sa.select(ledger.c.state, sa.func.count()).group_by(ledger.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def first_replies(site: Site, began_at: datetime) -> dict[str, float]:
    """Return after how many seconds each tenant had a first result."""
    query = sa.select(orders.c.sender_id, orders.c.delivered_at)
    found: dict[str, list[float]] = defaultdict(list)
    for row in site.app.store.read(lambda c: c.execute(query).all()):
        at = parse_iso(row.delivered_at) if row.delivered_at else datetime.max.replace(tzinfo=UTC)
        found[row.sender_id].append((at - began_at).total_seconds())
    return {tenant: min(times) for tenant, times in sorted(found.items())}


def report(count: int, crew: int, seen: Seen, firsts: dict[str, float], calls: int) -> None:
    shares = ", ".join(f"{t} {s:.1f} s ({s / seen.took_s:.0%})" for t, s in firsts.items())
    lines = [
        f"{count} orders, {TENANTS} tenants, {crew} workers of which one was killed at 40 %:",
        f"drained in {seen.took_s:.1f} s, {count / seen.took_s:.1f} orders/s",
        f"its runs taken over after {seen.recovered_s:.1f} s; the server away for {seen.away_s:.1f} s",
        f"first replies: {shares}",
        f"the last tenant's at {max(firsts.values()) / seen.took_s:.0%} of the drain",
        f"{calls} calls for {CALLS * count} needed; on the books {seen.states}",
        f"at most {seen.most_of_one} at once of one tenant ({OF_ONE}), "
        f"{seen.most_of_worker} of one worker ({CONCURRENCY}), in {seen.samples} looks",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
