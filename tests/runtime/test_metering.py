"""The meter: what the process and its sandboxes use, and for whom."""

import asyncio
import mmap
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.clock import SystemClock, parse_iso
from swarm.core.money import CostStatus
from swarm.ledger.hosting.attribution import hosting_of_order, hosting_of_period
from swarm.ledger.hosting.books import UsageRow
from swarm.ledger.hosting.terms import HostingConfig
from swarm.runtime import metering
from swarm.runtime.metering import Keeper, Meter
from swarm.sandbox.base import CommandResult, Used
from swarm.sandbox.fake import FakeSandbox
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import hosting_events, hosting_usage, metadata
from tests.acceptance.at_work import at_work, provider_of

HOUR = timedelta(hours=1)


class World:
    """A clock and a process that do what a test says."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.cpu = 0
        self.kib = 1000
        self.jump = timedelta(0)

    def now(self) -> datetime:
        return datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=self.at_s) + self.jump

    def monotonic(self) -> float:
        return self.at_s

    def meter(self) -> Meter:
        return Meter(self, cpu_us=lambda: self.cpu, memory_kib=lambda: self.kib)

    def passes(self, seconds: float, *, cpu_us: int = 0) -> None:
        self.at_s += seconds
        self.cpu += cpu_us


def by_whom(rows: tuple[UsageRow, ...]) -> dict[tuple[str | None, str | None], UsageRow]:
    return {(row.order_id, row.task_id): row for row in rows}


def test_tasks_in_flight_share_the_process_in_equal_parts_and_the_rest_is_idle() -> None:
    world = World()
    meter = world.meter()
    world.passes(1, cpu_us=5)
    with meter.working("a", "t1", 1):
        world.passes(2, cpu_us=100)
        with meter.working("b", "t1", 1):
            world.passes(3, cpu_us=61)
        world.passes(1, cpu_us=7)
    world.passes(4, cpu_us=11)
    found = by_whom(meter.rows())
    assert found["a", "t1"].cpu_us == 100 + 31 + 7
    assert found["b", "t1"].cpu_us == 30
    assert found[None, None].cpu_us == 16
    assert found["a", "t1"].memory_kib_ms == 1000 * (2000 + 1500 + 1000)
    assert found[None, None].memory_kib_ms == 1000 * 5000
    assert [found[k].elapsed_ms for k in (("a", "t1"), ("b", "t1"), (None, None))] == [
        6000, 3000, 11000
    ]  # fmt: skip


def test_an_order_s_own_steps_count_while_none_of_its_tasks_is_in_flight() -> None:
    world = World()
    meter = world.meter()
    with meter.working("a", None, 1):
        world.passes(1, cpu_us=10)
        with meter.working("a", "t1", 1), meter.working("a", "t2", 1):
            world.passes(1, cpu_us=10)
        world.passes(1, cpu_us=10)
    found = by_whom(meter.rows())
    assert [found["a", t].cpu_us for t in (None, "t1", "t2")] == [20, 5, 5]


async def test_what_a_command_uses_is_its_task_s_alone(tmp_path: Path) -> None:
    world = World()
    meter = world.meter()
    used = Used(elapsed_s=2, cpu_s=1.5, memory_mib_s=10, peak_mib=20)
    sandbox = FakeSandbox({"make": CommandResult(0, "", "", used=used)})
    with meter.working("a", "t1", 1), meter.working("b", "t1", 1):
        watched = meter.watched(sandbox, "a", "t1")
        assert watched is not None
        for _ in range(2):
            await watched.run(["make"], workspace=tmp_path)
        assert (await watched.self_test()).holds
    found = by_whom(meter.rows())
    assert found["a", "t1"].sandbox_cpu_us == 3_000_000
    assert found["a", "t1"].sandbox_memory_kib_ms == 20 * 1024 * 1000
    assert found["a", "t1"].peak_kib == 20 * 1024
    assert found["b", "t1"].sandbox_cpu_us == 0
    assert meter.watched(None, "a", "t1") is None


def test_a_clock_that_jumps_back_makes_no_negative_time() -> None:
    world = World()
    meter = world.meter()
    with meter.working("a", "t1", 1):
        world.jump = timedelta(days=-2)
        world.passes(10)
    row = by_whom(meter.rows())["a", "t1"]
    assert row.elapsed_ms == 10_000
    assert parse_iso(row.ended_at) - parse_iso(row.started_at) == timedelta(seconds=10)


def test_a_row_of_more_than_an_hour_is_begun_anew_without_a_gap() -> None:
    world = World()
    meter = world.meter()
    with meter.working("a", "t1", 1):
        world.passes(3700, cpu_us=10)
        first = meter.rows()
        meter.written(first)
        world.passes(100, cpu_us=5)
        second = meter.rows()
    old, new = by_whom(first)["a", "t1"], by_whom(second)["a", "t1"]
    assert (old.cpu_us, new.cpu_us) == (10, 5)
    assert new.started_at == old.ended_at
    assert new.seq != old.seq
    assert by_whom(second)[None, None].started_at == by_whom(first)[None, None].ended_at


_STEP = st.one_of(
    st.tuples(st.just("pass"), st.integers(0, 5000), st.integers(0, 10**6)),
    st.tuples(st.just("begin"), st.sampled_from("abc"), st.sampled_from(["t1", "t2", None])),
    st.tuples(st.just("end"), st.integers(0, 9), st.just(None)),
    st.tuples(st.just("write"), st.just(None), st.just(None)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_STEP, max_size=30))
def test_whatever_happens_all_that_the_process_used_is_somebody_s_once(steps: list[Any]) -> None:
    world = World()
    meter = world.meter()
    kept: dict[int, UsageRow] = {}
    inside: list[Any] = []
    held = set()
    for step, first, second in steps:
        if step == "pass":
            world.passes(first, cpu_us=second)
        elif step == "begin" and (first, second) not in held:
            held.add((first, second))
            work = meter.working(first, second, 1)
            work.__enter__()
            inside.append(((first, second), work))
        elif step == "end" and inside:
            key, work = inside.pop(first % len(inside))
            work.__exit__(None, None, None)
            held.discard(key)
        elif step == "write":
            rows = meter.rows()
            kept |= {row.seq: row for row in rows}
            meter.written(rows)
    kept |= {row.seq: row for row in meter.rows()}
    assert sum(row.cpu_us for row in kept.values()) == world.cpu
    assert all(row.elapsed_ms >= 0 and row.memory_kib_ms >= 0 for row in kept.values())
    assert sum(row.memory_kib_ms for row in kept.values()) == pytest.approx(world.at_s * 10**6)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(sqlite_url(tmp_path / "swarm.db"))
    metadata.create_all(store.engine)
    yield store
    store.close()


def rows_of(store: Store) -> list[Any]:
    return list(store.read(lambda c: c.execute(sa.select(hosting_usage)).all()))


def events_of(store: Store) -> list[str]:
    return list(store.read(lambda c: c.execute(sa.select(hosting_events.c.event)).scalars()))


async def test_who_is_killed_loses_what_was_not_written_and_that_is_idle(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "TICK_S", 0.01)
    world = World()
    meter = world.meter()
    config = HostingConfig.model_validate(
        {"provider": "own", "price_month": "31", "billed": "existence", "cpus": "1"}
    )
    job = asyncio.create_task(Keeper(meter, store, world, config).run())
    with meter.working("a", "t1", 1):
        world.passes(60, cpu_us=30_000_000)
        while not any(row.order_id == "a" for row in rows_of(store)):  # noqa: ASYNC110  # a row sets no event
            await asyncio.sleep(0.01)
        job.cancel()  # Nothing more is written, as after kill -9.
        world.passes(60, cpu_us=60_000_000)
    end = datetime(2026, 5, 1, tzinfo=UTC) + HOUR
    found = store.read(lambda c: hosting_of_period(c, end - HOUR, end))
    assert [task.cpu_s for task in found.tasks] == [30]
    assert found.bill is not None
    assert found.idle is not None
    assert found.tasks[0].direct is not None
    assert found.bill.amount == found.idle.amount + found.tasks[0].direct.amount
    assert found.idle.amount > 0
    assert events_of(store) == ["started"]


async def test_a_meter_with_nothing_to_do_writes_every_fifth_minute(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    enough = asyncio.Event()

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 11:
            enough.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("swarm.runtime.metering.asyncio.sleep", nap)
    world, writes = World(), 0
    keeper = Keeper(world.meter(), store, world, HostingConfig())
    write = keeper.write

    async def counted() -> None:
        nonlocal writes
        writes += 1
        await write()

    monkeypatch.setattr(keeper, "write", counted)
    job = asyncio.create_task(keeper.run())
    await enough.wait()
    job.cancel()
    assert set(naps) == {60.0}
    assert writes == 2
    assert len(rows_of(store)) == 1


async def test_a_stop_writes_the_rest_and_a_database_that_hangs_does_not_hold_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    keeper = Keeper(world.meter(), store, world, HostingConfig())
    await keeper.end(grace_s=5)
    assert events_of(store) == ["started", "stopped"]
    assert len(rows_of(store)) == 1

    async def hangs(work: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "awrite", hangs)
    await asyncio.wait_for(
        Keeper(world.meter(), store, world, HostingConfig()).end(0.05), timeout=5
    )


def test_a_look_at_the_process_takes_next_to_nothing() -> None:
    meter = Meter(SystemClock())
    began = time.process_time()
    for _ in range(2000):
        with meter.working("a", "t1", 1):
            pass
        meter.written(meter.rows())
    # Some ten microseconds each; with a tick a minute that is far below a hundredth of a processor.
    assert (time.process_time() - began) / 2000 < 0.002


def test_the_process_s_own_numbers_grow_with_what_it_does() -> None:
    before, held = metering.own_cpu_us(), metering.own_memory_kib()
    until = time.process_time() + 0.05
    # Pages of its own: what an allocator gives may be memory that the process held already.
    block = mmap.mmap(-1, 8 * 1024 * 1024)
    block.write(os.urandom(8 * 1024 * 1024))
    while time.process_time() < until:
        pass
    assert metering.own_cpu_us() - before >= 40_000
    assert metering.own_memory_kib() >= held + 4 * 1024
    del block


async def test_an_order_worked_for_real_has_its_hosting_on_the_books(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with at_work(
        home,
        provider_of(),
        hosting__provider="hetzner",
        hosting__server_type="cx33",
        hosting__location="fsn1",
        hosting__since="2026-05-01",
    ) as work:
        document = await work.deliver()
        share = work.app.store.read(lambda c: hosting_of_order(c, document.id))
        assert share.status is CostStatus.PAID
        assert share.direct is not None
        assert share.full is not None
        assert 0 < share.direct.amount < share.full.amount
        assert share.cpu_s > 0
        assert share.memory_mib_s > 0
    books = Store(sqlite_url(home / "swarm.db"))
    assert events_of(books) == ["started", "stopped"]
    books.close()
