"""A day's orders drained by workers of which one dies: all done, soon taken over, nobody starved."""

import asyncio
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import parse_iso
from swarm.core.message import InboundMessage
from swarm.core.order import OrderStatus
from swarm.store.tables import orders, workers
from tests.acceptance.at_work import script
from tests.chaos.cluster import Cluster
from tests.chaos.nursery import Child, Nursery
from tests.chaos.site import Site, until
from tests.servers.provider import ScriptedProvider

TENANTS, LARGE = 8, 0.6
CONCURRENCY, OF_ONE = 6, 12
CALLS = 7
"""Requests of one order: frame, plan, three of the task, its review, the delivery."""


@dataclass
class Seen:
    """What was seen of the engine while it drained."""

    most_of_one: int = 0
    most_of_worker: int = 0
    recovered_s: float = -1.0
    samples: int = field(default=0)


async def test_a_short_queue_is_drained_though_a_worker_dies(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    await drain(nursery, shared, tmp_path, count=24, crew=2)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_a_thousand_orders_are_drained_though_a_worker_dies(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    await drain(nursery, shared, tmp_path, count=1_000, crew=4)


async def drain(nursery: Nursery, shared: Cluster, folder: Path, *, count: int, crew: int) -> None:
    settings = {
        "SWARM_WORKER__CONCURRENCY": str(CONCURRENCY),
        "SWARM_WORKER__PER_PERSON": str(OF_ONE),
        "SWARM_LIMITS__POLL_S": "0.2",
        "SWARM_WORKER__STALE_S": "6",
    }
    async with (
        ScriptedProvider(script()) as provider,
        shared.site(folder, nursery, api_base=provider.url, settings=settings) as site,
    ):
        await asyncio.to_thread(place_all, site, count)
        began, seen = time.monotonic(), Seen()
        started_at = datetime.now(UTC)
        hands = [site.worker(is_front=False) for _ in range(crew)]
        watching = asyncio.create_task(sample(site, seen))
        await reached(site, 0.4 * count)
        await kill(site, hands.pop(), seen)
        await reached(site, count)
        took = time.monotonic() - began
        watching.cancel()
        for hand in hands:
            assert await site.end(hand) == 0, site.shown()
        firsts = first_replies(site, started_at)
        report(count, crew, took, seen, firsts, len(provider.bodies))
        assert set(site.statuses().values()) == {OrderStatus.DELIVERED}, site.shown()
        assert 0 <= seen.recovered_s <= 10
        assert seen.most_of_one <= OF_ONE
        assert seen.most_of_worker <= CONCURRENCY
        if count >= 1_000:
            small = [s for tenant, s in firsts.items() if tenant != "t0"]
            assert max(small) <= took / 4
        # What the dead worker asked and never stored is asked again, and nothing else.
        assert len(provider.bodies) <= CALLS * count + CONCURRENCY * 2


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


async def reached(site: Site, count: float) -> None:
    """Wait until so many orders do not move any more."""
    done = sa.select(sa.func.count()).where(orders.c.status.not_in(["queued", "working"]))

    def is_reached() -> bool:
        return bool(site.app.store.read(lambda c: c.execute(done).scalar_one()) >= count)

    while not await until(is_reached):
        sys.stdout.write("still draining\n")


async def kill(site: Site, worker: Child, seen: Seen) -> None:
    """Kill a worker for good, and see how long its runs are nobody's."""
    query = sa.select(workers.c.name).where(workers.c.pid == worker.pid)
    name = site.app.store.read(lambda c: c.execute(query).scalar_one())
    await site.end(worker, signal.SIGKILL)
    at = time.monotonic()

    def is_nobodys(connection: Connection) -> bool:
        rows = connection.exec_driver_sql(
            "SELECT 1 FROM workflow_status WHERE executor_id = %s AND status = 'PENDING' LIMIT 1",
            (name,),
        )
        return rows.first() is None

    assert await until(lambda: site.app.store.read(is_nobodys))
    seen.recovered_s = time.monotonic() - at


async def sample(site: Site, seen: Seen) -> None:
    """Look again and again at how much runs at once."""
    of = "SELECT count(*) FROM workflow_status WHERE status = 'PENDING' AND name = 'segment'"

    def look(connection: Connection) -> list[list[int]]:
        return [
            [row[0] for row in connection.exec_driver_sql(f"{of} GROUP BY {column}")]
            for column in ("queue_partition_key", "executor_id")
        ]

    while True:
        of_one, of_worker = await asyncio.to_thread(site.app.store.read, look)
        seen.most_of_one = max([seen.most_of_one, *of_one])
        seen.most_of_worker = max([seen.most_of_worker, *of_worker])
        seen.samples += 1
        await asyncio.sleep(0.25)


def first_replies(site: Site, began_at: datetime) -> dict[str, float]:
    """Return after how many seconds each tenant had a first result."""
    query = sa.select(orders.c.sender_id, orders.c.delivered_at)
    found: dict[str, list[float]] = defaultdict(list)
    for row in site.app.store.read(lambda c: c.execute(query).all()):
        at = parse_iso(row.delivered_at) if row.delivered_at else datetime.max.replace(tzinfo=UTC)
        found[row.sender_id].append((at - began_at).total_seconds())
    return {tenant: min(times) for tenant, times in sorted(found.items())}


def report(
    count: int, crew: int, took: float, seen: Seen, firsts: dict[str, float], calls: int
) -> None:
    lines = [
        f"{count} orders, {TENANTS} tenants, {crew} workers of which one was killed at 40 %:",
        f"drained in {took:.1f} s, {count / took:.1f} orders/s",
        f"its runs taken over after {seen.recovered_s:.1f} s",
        f"first replies after {', '.join(f'{t} {s:.1f} s' for t, s in firsts.items())}",
        f"the last small tenant's at {max(s for t, s in firsts.items() if t != 't0') / took:.0%}",
        f"{calls} calls for {CALLS * count} needed",
        f"at most {seen.most_of_one} at once of one tenant ({OF_ONE}), "
        f"{seen.most_of_worker} of one worker ({CONCURRENCY}), in {seen.samples} looks",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
