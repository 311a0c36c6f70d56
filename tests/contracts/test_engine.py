"""What every engine of one process keeps: its word to the transaction, to an id, and to a restart."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from swarm.runtime.dbos_engine import DbosEngine
from swarm.runtime.engine import SEGMENT, TASK, Engine
from swarm.runtime.plain_engine import PlainEngine
from swarm.store.database import Store
from tests.store import empty

PATIENCE_S = 20.0
Make: TypeAlias = Callable[[], Engine]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = empty.store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(params=["dbos", "plain"])
def make(request: pytest.FixtureRequest, store: Store) -> Make:
    """Return what makes the engine of the next process on the same database."""

    def durable() -> Engine:
        return DbosEngine(store, executor_id="home-1", poll_s=0.02, concurrency=1)

    def plain() -> Engine:
        return PlainEngine(store, concurrency=1)

    made: Make = durable if request.param == "dbos" else plain
    made().prepare()
    return made


class _Work:
    """Two workflows that keep what they were called with; a child is held until it is let go."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.begun: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.change = asyncio.Condition()
        self.may_end = asyncio.Event()

    async def segment(self, name: str, number: int) -> None:
        self.begun.append((name, number))
        await self._told()
        if name.startswith("parent"):
            await asyncio.gather(
                *(self._engine.run_child(TASK, "child", "child", n) for n in (1, 1))
            )
        self.ended.append(name)
        await self._told()

    async def task(self, name: str, number: int) -> None:
        self.begun.append((name, number))
        await self._told()
        await self.may_end.wait()
        self.ended.append(name)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.change:
            await self.change.wait_for(is_so)

    async def _told(self) -> None:
        async with self.change:
            self.change.notify_all()

    async def start(self) -> None:
        await self._engine.start({SEGMENT: self.segment, TASK: self.task})


def _enqueue(store: Store, engine: Engine, name: str, number: int, *, is_urgent: bool) -> None:
    store.write(lambda c: engine.enqueue(c, SEGMENT, name, name, number, is_urgent=is_urgent))


async def test_what_was_committed_is_done_once_and_what_is_decided_goes_first(
    make: Make, store: Store
) -> None:
    engine = make()
    _enqueue(store, engine, "new", 1, is_urgent=False)
    _enqueue(store, engine, "decided", 2, is_urgent=True)
    _enqueue(store, engine, "decided", 2, is_urgent=True)
    with store.engine.connect() as connection, connection.begin() as transaction:
        engine.enqueue(connection, SEGMENT, "undone", "undone", 3)
        transaction.rollback()
    work = _Work(engine)
    await work.start()
    await work.until(lambda: len(work.ended) == 2)
    _enqueue(store, engine, "later", 4, is_urgent=False)
    await work.until(lambda: len(work.ended) == 3)
    await engine.stop()
    assert work.begun == [("decided", 2), ("new", 1), ("later", 4)]


async def test_work_cut_off_by_a_stop_is_done_after_the_next_start_and_a_child_once(
    make: Make, store: Store
) -> None:
    engine = make()
    first = _Work(engine)
    await first.start()
    _enqueue(store, engine, "parent", 1, is_urgent=False)
    await first.until(lambda: ("child", 1) in first.begun)
    await engine.stop()
    assert first.begun == [("parent", 1), ("child", 1)]
    assert first.ended == []

    engine = make()
    second = _Work(engine)
    second.may_end.set()
    await second.start()
    await second.until(lambda: "parent" in second.ended)
    _enqueue(store, engine, "parent again", 2, is_urgent=False)
    await second.until(lambda: "parent again" in second.ended)
    await engine.stop()
    assert sorted(second.begun) == [("child", 1), ("parent", 1), ("parent again", 2)]
