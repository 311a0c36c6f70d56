"""A new version takes over what the old one left: waiting, queued and running."""

import random
import signal
from pathlib import Path

import pytest

from swarm.core.order import OrderStatus
from tests.chaos.audit import Books, check_all, check_engine
from tests.chaos.nursery import Nursery
from tests.chaos.script import KeyedCompany, jitter
from tests.chaos.site import Site, until, within
from tests.servers.provider import ScriptedProvider

SIGNED = {"SWARM_BUDGET__SIGN_ABOVE": "0"}


async def test_a_new_version_finishes_what_waits_is_queued_and_runs(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(9), 0.02, 0.06))
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url, settings=SIGNED) as site,
    ):
        waiting, running = await site.place(0), await site.place(1)
        old = site.worker()
        await site.halted(old)
        site.app.office.approve(running, by="Ada")
        # Its tasks are at work, so that a parent and its children are both left behind.
        await within(script.arrival(script.count + 3))
        await site.end(old, signal.SIGKILL)
        queued = await site.place(2)
        left = Books(site).rows(
            "SELECT name, status FROM workflow_status WHERE application_version = '1'"
            " AND status = 'PENDING'"
        )
        assert {row["name"] for row in left} == {"segment", "task"}

        new = site.worker(version="2")
        assert await until(lambda: site.statuses()[queued] is OrderStatus.WAITING)
        for order_id in (waiting, queued):
            site.app.office.approve(order_id, by="Ada")
        await site.halted(new)
        assert await site.end(new) == 0
        assert site.statuses() == dict.fromkeys(site.keys, OrderStatus.DELIVERED)
        assert script.mixed == []
        assert site.faults() == ""
        check_engine(Books(site))


LEFT = {
    # It put its lost work back in line, and began none of it.
    "recovering": ("ENQUEUED", "2"),
    # It began to take the work over from a version before.
    "taking over": ("CANCELLED", "2"),
    # The database failed under the work itself; no deploy is needed for that.
    "erring": ("ERROR", None),
}


@pytest.mark.parametrize(("status", "version"), LEFT.values(), ids=LEFT)
async def test_work_of_a_worker_that_died_in_its_recovery_is_finished_too(
    nursery: Nursery, template: Path, tmp_path: Path, status: str, version: str | None
) -> None:
    script = KeyedCompany(jitter(random.Random(10), 0.02, 0.04))
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        await site.place(0)
        first = site.worker()
        await within(script.arrival(4))
        await site.end(first, signal.SIGKILL)
        leave_as(site, status)
        second = site.worker(version=version)
        await site.halted(second)
        assert await site.end(second) == 0
        check_all(site, script)


async def test_going_back_to_the_version_before_is_a_deploy_as_well(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(12), 0.02, 0.04))
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        await site.place(0)
        for number, version in enumerate(["1", "2"], start=1):
            worker = site.worker(version=version)
            await within(script.arrival(script.count + 3))
            await site.end(worker, signal.SIGKILL)
            await site.place(number)
        worker = site.worker(version="1")
        await site.halted(worker)
        assert await site.end(worker) == 0
        check_all(site, script)


def leave_as(site: Site, status: str) -> None:
    """Leave the engine's unfinished rows as a worker does that dies in its own recovery."""
    site.app.store.write(
        lambda c: c.exec_driver_sql(
            "UPDATE workflow_status SET status = ?, started_at_epoch_ms = NULL, owner_xid = NULL,"
            " queue_name = coalesce(queue_name, '_dbos_internal_queue') WHERE status = 'PENDING'",
            (status,),
        )
    )
