"""The durable engine, started for real on a database of its own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from swarm.runtime import bell, dbos_engine, waiting_work
from swarm.runtime.dbos_engine import DbosEngine
from swarm.store import fresh
from swarm.store.database import Store, sqlite_url

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    assert fresh.place(tmp_path / "swarm.db")
    opened = Store(sqlite_url(tmp_path / "swarm.db"))
    yield opened
    opened.close()


def made(store: Store) -> DbosEngine:
    return DbosEngine(store, executor_id="home-1", poll_s=0.05, concurrency=4)


def enqueue(store: Store, name: str) -> None:
    """Enqueue as another process would: with a store and an engine of its own."""
    other = Store(store.url)
    other.write(lambda c: made(other).enqueue(c, "note", name, name))
    other.close()


class Notes:
    """A workflow that keeps what it was called with."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[str] = asyncio.Queue()
        self.held = asyncio.Event()
        self.held.set()

    async def note(self, text: str) -> None:
        self.seen.put_nowait(text)
        await self.held.wait()

    async def next(self) -> str:
        return await asyncio.wait_for(self.seen.get(), PATIENCE_S)


@asynccontextmanager
async def at_work(store: Store, notes: Notes) -> AsyncIterator[DbosEngine]:
    engine = made(store)
    await engine.start({"note": notes.note})
    try:
        yield engine
    finally:
        await engine.stop()


async def until_resting(store: Store) -> None:
    """Wait for a note in the database, which is no event that a test could await."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if store.read(bell.is_quiet):
                return
            await asyncio.sleep(0.01)


async def test_work_that_another_process_enqueues_wakes_a_resting_engine(store: Store) -> None:
    notes = Notes()
    async with at_work(store, notes) as engine:
        assert engine._dbos is None, "a new home has no work"
        enqueue(store, "one")
        assert await notes.next() == "one"


async def test_an_engine_rests_after_its_work_and_wakes_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbos_engine, "REST_S", 0.05)
    notes = Notes()
    async with at_work(store, notes):
        for name in ("one", "two"):
            enqueue(store, name)
            assert await notes.next() == name
            await until_resting(store)
    assert notes.seen.empty()


async def test_an_engine_does_not_rest_while_work_is_under_way(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbos_engine, "REST_S", 0.05)
    notes = Notes()
    notes.held.clear()
    async with at_work(store, notes) as engine:
        enqueue(store, "one")
        assert await notes.next() == "one"
        # As often as it would have looked for its rest by now.
        for _ in range(6):
            await asyncio.sleep(0.05)
            assert engine._rest is not None
            assert not await engine._rest.may_begin()
        assert not store.read(bell.is_quiet)
        notes.held.set()
        await until_resting(store)


async def test_work_given_up_at_a_stop_is_taken_up_at_the_next_start(store: Store) -> None:
    notes = Notes()
    notes.held.clear()
    async with at_work(store, notes):
        enqueue(store, "one")
        assert await notes.next() == "one"
    assert not store.read(bell.is_quiet)
    notes.held.set()
    async with at_work(store, notes):
        assert await notes.next() == "one"


async def test_work_enqueued_while_nobody_worked_is_found_at_the_start(store: Store) -> None:
    async with at_work(store, Notes()):
        pass
    enqueue(store, "one")
    notes = Notes()
    async with at_work(store, notes):
        assert await notes.next() == "one"


def test_an_enqueueing_that_is_undone_rings_no_bell(store: Store) -> None:
    with store.engine.connect() as connection, connection.begin() as transaction:
        made(store).enqueue(connection, "note", "one", "one")
        transaction.rollback()
    assert store.read(bell.is_quiet)


def test_a_note_of_rest_is_refused_where_the_bell_was_rung_since(store: Store) -> None:
    rung = store.read(bell.rung)
    enqueue(store, "one")
    assert not store.write(lambda c: bell.note_quiet(rung, c))
    assert not store.read(bell.is_quiet)


def test_a_home_with_work_left_by_an_older_version_is_not_taken_for_quiet(store: Store) -> None:
    enqueue(store, "one")
    # Such a version knew no bell.
    store.write(lambda c: c.exec_driver_sql("PRAGMA user_version=0"))
    store.write(lambda c: c.exec_driver_sql("PRAGMA application_id=0"))
    made(store).prepare()
    assert not store.read(bell.is_quiet)


WAIT_FOR_WORK = """
import asyncio, sys
from swarm.runtime.dbos_engine import DbosEngine
from swarm.store.database import Store

async def main():
    store = Store(sys.argv[1])
    engine = DbosEngine(store, executor_id="home-1", poll_s=0.05, concurrency=4)
    await engine.start({})
    await engine.stop()
    store.close()

asyncio.run(main())
print(*{"dbos", "langgraph", "litellm"} & set(sys.modules))
"""


def test_a_worker_without_work_does_not_load_the_engine(store: Store) -> None:
    argv = [sys.executable, "-c", WAIT_FOR_WORK, store.url]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == []


def let_wait(store: Store, *names: str) -> None:
    """Enqueue as whoever listens does: without the engine's library."""
    other = Store(store.url)
    engine = made(other)
    engine.let_wait()
    for name in names:
        other.write(lambda c, name=name: engine.enqueue(c, "note", name, name))  # type: ignore[misc]
    other.close()


async def test_what_waits_is_worked_once_in_its_order_by_the_worker_that_looks_or_starts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_wait(store, "one", "one")
    assert not store.read(bell.is_quiet)
    notes = Notes()
    async with at_work(store, notes) as engine:
        assert await notes.next() == "one"
        let_wait(store, "one", "two", "three")
        engine.look()
        assert {await notes.next(), await notes.next()} == {"two", "three"}
        assert not store.read(waiting_work.is_any)
        monkeypatch.setattr(engine, "_rest_s", 0.05)
        await until_resting(store)
    assert notes.seen.empty()


async def test_no_rest_is_noted_while_something_waits_that_cannot_be_taken_over(
    store: Store,
) -> None:
    async with at_work(store, Notes()):
        pass
    let_wait(store, "one")
    rung = store.read(bell.rung)
    assert not store.write(lambda c: bell.note_quiet(rung, c))
    with store.engine.connect() as connection, connection.begin() as transaction:
        assert [work.workflow_id for work in waiting_work.take(connection)] == ["one"]
        transaction.rollback()
    assert store.read(waiting_work.is_any)


LISTEN = """
import sys
from swarm.store import lean
lean.begin()
from swarm.cli.service import up
from swarm.runtime.dbos_engine import DbosEngine
from swarm.runtime.front import Front
from swarm.runtime.doorman import Doorman
from swarm.store.database import Store

store = Store(sys.argv[1])
engine = DbosEngine(store, executor_id="home-1", poll_s=0.05, concurrency=4)
engine.let_wait()
store.write(lambda c: engine.enqueue(c, "note", "one", "one"))
store.close()
heavy = {"dbos", "langgraph", "litellm", "sqlmodel", "sqlalchemy.orm", "telegram", "alembic",
         "sqlalchemy.dialects.postgresql", "cryptography", "faster_whisper"}
print(*sorted(heavy & set(sys.modules)))
"""


def test_who_listens_enqueues_without_any_of_the_heavy_libraries(store: Store) -> None:
    argv = [sys.executable, "-c", LISTEN, store.url]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == []
    assert store.read(waiting_work.is_any)
