"""Said twenty times at once, it is done once; torn in the middle, it was never said."""

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from swarm.core.order import OrderStatus
from tests.chaos.audit import Books, check_all, check_engine
from tests.chaos.nursery import Child, Nursery
from tests.chaos.script import CALLS, KeyedCompany, jitter
from tests.chaos.site import Ground, Site, until, within
from tests.servers.provider import ScriptedProvider

NOWHERE = "http://127.0.0.1:9/v1"
SIGNED = {"SWARM_BUDGET__SIGN_ABOVE": "0"}


async def together(*children: Child) -> None:
    """Let the children act at the same moment."""
    for child in children:
        await within(child.event("set"))
    for child in children:
        child.signal(signal.SIGUSR1)


async def test_the_same_update_twenty_times_at_once_is_one_order(
    ground: Ground, tmp_path: Path
) -> None:
    async with ground(tmp_path, api_base=NOWHERE) as site:
        update: dict[str, Any] = {"text": "KEY-0000: write it.", "update_id": "u1", "times": 5}
        doors = [site.child("place", **update) for _ in range(4)]
        await together(*doors)
        ids = [order_id for door in doors for order_id in await within(door.event("placed"))]
        assert len(ids) == 20
        assert len(set(ids)) == 1
        books = Books(site)
        assert books.rows("SELECT id FROM orders") == [{"id": ids[0]}]
        queued = books.rows("SELECT workflow_uuid FROM workflow_status")
        assert queued == [{"workflow_uuid": f"{ids[0]}:0"}]
        assert site.faults() == ""


async def test_the_same_approval_twenty_times_at_once_is_one_next_segment(
    ground: Ground, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(6), 0.0, 0.02))
    async with (
        ScriptedProvider(script) as provider,
        ground(tmp_path, api_base=provider.url, settings=SIGNED) as site,
    ):
        order_id = await site.place(0)
        worker = site.worker()
        await site.halted(worker)
        assert site.statuses() == {order_id: OrderStatus.WAITING}
        doors = [site.child("approve", order_id=order_id, times=5) for _ in range(4)]
        await together(*doors)
        said = [result for door in doors for result in await within(door.event("approved"))]
        assert Counter(said) == {order_id: 1, "conflict": 19}
        await site.halted(worker)
        assert await site.end(worker) == 0
        assert site.statuses() == {order_id: OrderStatus.DELIVERED}
        assert script.count == CALLS
        books = Books(site)
        segments = books.rows("SELECT workflow_uuid FROM workflow_status WHERE name = 'segment'")
        assert {row["workflow_uuid"] for row in segments} == {f"{order_id}:0", f"{order_id}:1"}
        sent = books.rows("SELECT kind, state FROM outbox ORDER BY id")
        assert [row["kind"] for row in sent] == ["decision", "answer"]
        assert {row["state"] for row in sent} == {"sent"}
        check_engine(books)


async def test_an_approval_that_races_a_cancel_leaves_one_of_both(
    ground: Ground, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(7), 0.0, 0.02))
    async with (
        ScriptedProvider(script) as provider,
        ground(tmp_path, api_base=provider.url, settings=SIGNED) as site,
    ):
        ids = [await site.place(number) for number in range(4)]
        worker = site.worker()
        await site.halted(worker)
        for order_id in ids:
            await race(site, order_id)
        await site.halted(worker)
        assert await site.end(worker) == 0
        assert site.statuses() == dict.fromkeys(ids, OrderStatus.CANCELLED)
        books = Books(site)
        check_engine(books)
        assert books.rows("SELECT id FROM ledger WHERE reserved_pico != 0") == []
        assert books.rows("SELECT scope FROM budgets WHERE reserved_pico != 0") == []
        assert site.faults() == ""


async def test_children_that_nobody_waits_for_any_more_come_to_an_end(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    async with Site(tmp_path, nursery, template=template, api_base=NOWHERE) as site:
        parent = site.child("leave_children")
        await within(parent.event("left"))
        books = Books(site)
        unfinished = "SELECT workflow_uuid FROM workflow_status WHERE status != 'SUCCESS'"
        assert await until(lambda: books.rows(unfinished) == []), books.rows(unfinished)
        assert parent.is_alive
        assert site.faults() == ""


async def race(site: Site, order_id: str) -> None:
    """Sign and cancel at the same moment; both may act, then in this order."""
    approving = site.child("approve", order_id=order_id, times=1)
    cancelling = site.child("cancel", order_id=order_id)
    await together(approving, cancelling)
    approved = await within(approving.event("approved"))
    assert await within(cancelling.event("cancelled")) == [order_id]
    segments = Books(site).rows(
        "SELECT workflow_uuid FROM workflow_status WHERE workflow_uuid IN (?, ?)",
        [f"{order_id}:1", f"{order_id}:2"],
    )
    assert len(segments) == (1 if approved == [order_id] else 0)


@pytest.mark.parametrize("is_after", [False, True], ids=["before the queue", "after the queue"])
async def test_an_order_torn_before_its_commit_leaves_nothing_behind(
    ground: Ground, tmp_path: Path, is_after: bool
) -> None:
    update = {"text": "KEY-0000: write it.", "update_id": "u1"}
    async with ground(tmp_path, api_base=NOWHERE) as site:
        torn = site.child("place_and_hang", **update, is_after=is_after)
        await within(torn.event("inside"))
        assert await site.end(torn, signal.SIGKILL) == -signal.SIGKILL
        books = Books(site)
        for table in ("orders", "workflow_status", "workflow_input", "budgets", "outbox"):
            assert books.rows(f"SELECT * FROM {table}") == [], table
        # Told again, as a platform does with what was not acknowledged, it is taken.
        again = site.child("place", **update, times=1)
        await together(again)
        [order_id] = await within(again.event("placed"))
        assert books.rows("SELECT id, status FROM orders") == [{"id": order_id, "status": "queued"}]
        assert len(books.rows("SELECT * FROM workflow_status")) == 1
        if site.app.store.is_sqlite:
            assert books.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


async def test_orders_from_many_doors_beside_a_worker_never_find_the_database_locked(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(8), 0.0, 0.02))
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        worker = site.worker()
        await site.ready(worker)
        await asyncio.gather(*(site.place(number) for number in range(8)))
        await site.halted(worker)
        assert await site.end(worker) == 0
        check_all(site, script)
        assert script.count == CALLS * 8
