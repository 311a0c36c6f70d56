"""A provider's limit holds where calls go out, however long they take to get there."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.runtime import rates
from swarm.runtime.rates import RateGate
from swarm.runtime.worker_config import Rate
from swarm.store import schema
from swarm.store.database import Store, sqlite_url

MODEL = "openai/gpt"
CALLS, PERIOD_S, ALL = 5, 0.5, 25


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = Store(sqlite_url(tmp_path / "swarm.db"))
    await asyncio.to_thread(schema.upgrade, found)
    yield found
    found.close()


async def test_no_stretch_sees_more_calls_though_some_are_late_on_their_way_to_the_wire(
    store: Store,
) -> None:
    # Two workers of one company, each with a gate of its own.
    gates = [RateGate(store, {"openai": Rate(CALLS, PERIOD_S)}) for _ in range(2)]
    rng = random.Random(7)
    sent: list[float] = []

    async def call(gate: RateGate, late_s: float) -> None:
        await gate.turn(MODEL)
        # A library that is loaded, a prompt that is built, others' turns on the loop.
        await asyncio.sleep(late_s)
        await gate.pass_through(MODEL)
        sent.append(time.monotonic())

    began = time.monotonic()
    await asyncio.gather(*(call(gates[n % 2], rng.choice((0.0, 0.0, 0.4))) for n in range(ALL)))
    took = time.monotonic() - began
    sent.sort()
    gaps = [later - earlier for earlier, later in zip(sent, sent[CALLS:], strict=False)]
    assert min(gaps) >= PERIOD_S
    # Not bought with the rate: at most a tenth of it, besides what the last calls came late.
    stretches = (ALL - 1) // CALLS
    assert took <= stretches * PERIOD_S * 1.1 + 0.4 + 1.0
    assert rates.MARGIN < 1.1


async def test_a_clock_that_was_set_back_holds_a_call_up_for_one_stretch_and_no_longer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = RateGate(store, {"openai": Rate(1, 0.2)})
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3_600)
    await gate.pass_through(MODEL)
    monkeypatch.setattr(time, "time", lambda: now)
    waits = store.write(lambda c: gate._stamp(c, "openai", Rate(1, 0.2)))
    assert 0 < waits <= 216


async def test_a_model_without_a_limit_is_not_bound(store: Store) -> None:
    gate = RateGate(store, {"openai": Rate(1, 60)})
    assert gate.binds(MODEL)
    assert not gate.binds("anthropic/claude")
