"""The thread that writes: who goes first, and for how long a commit gathers."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from swarm.store import writer
from swarm.store.database import Store, sqlite_url


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(sqlite_url(tmp_path / "swarm.db"))
    yield made
    made.close()


class Gate:
    """A unit of work that lets the test queue others behind it."""

    def __init__(self) -> None:
        self.began, self.open = threading.Event(), threading.Event()

    def __call__(self, _: Connection) -> None:
        self.began.set()
        assert self.open.wait(10)


async def test_what_is_urgent_goes_before_all_that_waits_and_commits_without_it(
    store: Store,
) -> None:
    gate, ran = Gate(), list[int | str]()
    committed_after: list[int] = []

    async def urgent() -> None:
        await store.awrite(lambda _: ran.append("urgent"), is_urgent=True)
        committed_after.append(len(ran))

    jobs: list[asyncio.Task[Any]] = [asyncio.create_task(store.awrite(gate))]
    await asyncio.to_thread(gate.began.wait)

    def slow(name: int, _: Connection) -> None:
        time.sleep(0.05)
        ran.append(name)

    jobs += [asyncio.create_task(store.awrite(partial(slow, n))) for n in range(5)]
    jobs.append(asyncio.create_task(urgent()))
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(*jobs)
    assert ran == ["urgent", 0, 1, 2, 3, 4]
    # It was on disk before the last of the others had even run.
    assert committed_after[0] < len(ran)


async def test_a_commit_gathers_for_a_short_time_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GROUP_S", 0.01)
    gate, ran = Gate(), list[int]()
    jobs: list[asyncio.Task[Any]] = [asyncio.create_task(store.awrite(gate))]
    await asyncio.to_thread(gate.began.wait)

    def work(_: Connection) -> int:
        time.sleep(0.02)
        ran.append(1)
        return len(ran)

    jobs += [asyncio.create_task(store.awrite(work)) for _ in range(10)]
    await asyncio.sleep(0)
    gate.open.set()
    await jobs[1]
    assert len(ran) < 10
    await asyncio.gather(*jobs)
    assert len(ran) == 10


async def test_what_fails_is_undone_alone_whoever_was_urgent(store: Store) -> None:
    await store.awrite(lambda c: c.exec_driver_sql("CREATE TABLE t (n INTEGER)"))

    def broken(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        raise ValueError("no")

    def good(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")

    ended = await asyncio.gather(
        store.awrite(broken, is_urgent=True),
        store.awrite(good),
        store.awrite(good, is_urgent=True),
        return_exceptions=True,
    )
    assert [type(end) for end in ended] == [ValueError, type(None), type(None)]
    rows = await store.aread(lambda c: c.exec_driver_sql("SELECT n FROM t").scalars().all())
    assert rows == [2, 2]


async def test_a_closed_store_writes_again_when_it_is_used_again(store: Store) -> None:
    assert await store.awrite(lambda _: 1) == 1
    store.close()
    assert await store.awrite(lambda _: 2) == 2
