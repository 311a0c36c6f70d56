"""A worker on a shared database that has nothing to do asks the server next to nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.core.clock import SystemClock
from swarm.core.ids import RandomIds
from swarm.runtime import cluster_seat, dbos_rest, shared_bell
from swarm.runtime.cluster_seat import ClusterSeat
from swarm.runtime.dbos_engine import DbosEngine
from swarm.runtime.reaper import Reaper
from swarm.store import schema
from swarm.store.database import Store
from tests.servers.postgres import Server, missing

PATIENCE_S = 30.0
STALE_S = 3.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        store = Store(server.url)
        schema.upgrade(store)
        made(store).prepare()
        store.close()
        yield server.url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store(url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def rests_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.runtime.dbos_engine.SHARED_REST_S", 0.05)
    monkeypatch.setattr(dbos_rest, "NET_S", 60.0)


def made(store: Store) -> DbosEngine:
    return DbosEngine(store, executor_id="", poll_s=0.05, concurrency=4)


def seat_of(store: Store, engine: DbosEngine, name: str) -> ClusterSeat:
    reaper = Reaper(
        store=store,
        engine=engine,
        clock=SystemClock(),
        ids=RandomIds(),
        stale_s=STALE_S,
        version=engine.version,
    )
    return ClusterSeat(
        store=store,
        engine=engine,
        reaper=reaper,
        clock=SystemClock(),
        name=name,
        concurrency=4,
        version=engine.version,
        is_front=False,
        takes_orders=True,
        stale_s=STALE_S,
    )


class AtWork:
    """A worker whose only workflow keeps what it was called with."""

    def __init__(self, store: Store, name: str) -> None:
        self.engine = made(store)
        self.seat = seat_of(store, self.engine, name)
        self.seen: asyncio.Queue[str] = asyncio.Queue()
        self.signs: asyncio.Queue[str] = asyncio.Queue()

    async def note(self, text: str, _: int) -> None:
        self.seen.put_nowait(text)

    async def next(self) -> str:
        return await asyncio.wait_for(self.seen.get(), PATIENCE_S)

    async def until_resting(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not self.engine.is_resting:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def at_work(store: Store, name: str) -> AsyncIterator[AtWork]:
    async def here(work: Any) -> None:
        await work()

    worker = AtWork(store, name)
    async with worker.seat:
        assert worker.seat.tell(worker.signs.put_nowait)
        await worker.engine.start({"segment": worker.note})
        watching = asyncio.create_task(worker.seat.watch(here))
        try:
            yield worker
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await worker.engine.stop()


def enqueue(url: str, name: str) -> None:
    """Enqueue as another process would."""
    other = Store(url)
    other.write(lambda c: made(other).enqueue(c, "segment", f"{name}:0", name, 0, lane="ada"))
    other.close()


async def test_a_worker_without_work_gives_its_sign_of_life_and_says_nothing_else(
    store: Store, url: str
) -> None:
    async with at_work(store, "quiet") as worker:
        await worker.until_resting()
        said: list[str] = []
        sa.event.listen(
            store.engine, "before_cursor_execute", lambda _1, _2, text, *_: said.append(text)
        )
        await asyncio.sleep(STALE_S / 2)
        others = [text for text in said if "UPDATE workers SET seen_ms" not in text]
        # Once a minute it asks for work of versions that nobody runs.
        assert len(others) <= 8, others
        assert 1 <= len(said) - len(others) <= 4
        for name in ("one", "two"):
            began = time.monotonic()
            await asyncio.to_thread(enqueue, url, name)
            assert await worker.next() == name
            assert time.monotonic() - began < PATIENCE_S / 3, "the ring was not heard"
            await worker.until_resting()
        assert worker.signs.get_nowait() == shared_bell.WORK


async def test_work_whose_ring_was_lost_is_found_all_the_same(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbos_rest, "NET_S", 0.2)
    async with at_work(store, "deaf") as worker:
        await worker.until_resting()
        with monkeypatch.context() as patch:
            patch.setattr(shared_bell, "ring", lambda *_: None)
            await asyncio.to_thread(enqueue, url, "unrung")
        assert await worker.next() == "unrung"


async def test_a_worker_whose_connection_is_cut_while_it_rests_hears_the_bell_again(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_seat, "SETTLE_S", 0.1)
    async with at_work(store, "cut") as worker:
        await worker.until_resting()
        cut = sa.text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = :tag AND pid <> pg_backend_pid()"
        )
        assert store.write(lambda c: c.execute(cut, {"tag": store.tag}).scalar_one()) >= 1
        # It rings by itself, for what may have been rung meanwhile.
        async with asyncio.timeout(PATIENCE_S):
            assert {await worker.signs.get(), await worker.signs.get()} == {"work", "words"}
        await asyncio.to_thread(enqueue, url, "after")
        assert await worker.next() == "after"


async def test_what_a_dead_worker_left_wakes_the_one_that_rests(store: Store, url: str) -> None:
    async with at_work(store, "heir") as worker:
        await worker.until_resting()
        enqueue(url, "left")
        assert await worker.next() == "left"
        await worker.until_resting()
        # As a worker leaves it that was killed with the order in hand.
        other = Store(url)
        other.write(
            lambda c: c.exec_driver_sql(
                "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'gone' "
                "WHERE workflow_uuid = 'left:0'"
            )
        )
        other.write(
            lambda c: c.exec_driver_sql(
                "INSERT INTO workers (name, generation, tag, host, pid, concurrency, version, "
                "started_at, seen_ms) VALUES ('gone', 1, 'none', 'h', 1, 1, '1', '2026', 0)"
            )
        )
        other.close()
        assert await worker.next() == "left"
