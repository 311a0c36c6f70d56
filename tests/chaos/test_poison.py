"""An order that kills whoever works it, on a home with one worker at a time."""

import random
import signal
from functools import partial
from pathlib import Path
from typing import Any

from swarm.core.order import OrderStatus
from tests.chaos.audit import Books
from tests.chaos.nursery import Child, Nursery
from tests.chaos.script import KeyedCompany, jitter
from tests.chaos.site import Site, until, within
from tests.servers.provider import ScriptedProvider


async def test_an_order_that_kills_its_worker_is_parked_and_the_others_are_delivered(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(4), 0.01, 0.03))
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        poison, *others = [await site.place(number) for number in range(4)]
        # Their spacing is shortened, since each start takes a second as it is.
        deadly: dict[str, Any] = {"deadly": "KEY-0000", "spacing_ms": 0}
        lives = 0
        worker = site.worker(**deadly)
        while site.statuses()[poison].is_moving:
            await until(partial(is_over, site, worker, poison))
            if not worker.is_alive:
                lives += 1
                assert lives <= 12, site.shown()
                worker = site.worker(**deadly)
        await site.halted(worker)
        assert site.statuses() == dict.fromkeys(others, OrderStatus.DELIVERED) | {
            poison: OrderStatus.PARKED
        }
        books = Books(site)
        [row] = books.rows("SELECT reason FROM orders WHERE status = 'parked'")
        assert "died 6 times at the same place" in row["reason"]
        told = books.rows("SELECT order_id FROM outbox WHERE body LIKE '%died 6 times%'")
        assert told == [{"order_id": poison}]
        assert await site.end(worker) == 0
        assert script.mixed == []


async def test_a_clean_stop_is_no_death_and_a_kill_is_one(
    nursery: Nursery, template: Path, tmp_path: Path
) -> None:
    script = KeyedCompany(lambda: 60.0)
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        await site.place(0)
        deaths = "SELECT deaths FROM recoveries"
        for how, found in [(signal.SIGTERM, []), (signal.SIGKILL, [1])]:
            asked = script.arrival(script.count + 1)
            worker = site.worker()
            await within(asked)
            await site.end(worker, how)
            heir = site.worker()
            await site.ready(heir)
            await site.end(heir)
            assert [row["deaths"] for row in Books(site).rows(deaths)] == found


def is_over(site: Site, worker: Child, order_id: str) -> bool:
    """Say whether the worker died, or the order came to a halt."""
    return not worker.is_alive or not site.statuses()[order_id].is_moving
