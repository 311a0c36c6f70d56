"""What holds where many processes write to one Postgres at the same moment."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.errors import ConfigError, LimitExceeded, Unavailable
from swarm.core.money import to_pico
from swarm.ledger import budget
from swarm.runtime import shared_home
from swarm.runtime.rates import RateGate
from swarm.runtime.worker_config import Rate, WorkerConfig
from swarm.store import schema
from swarm.store.database import Store
from swarm.store.tables import budgets, meta
from tests.servers.postgres import Server, missing

AT_ONCE = 8


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        store = Store(server.url)
        try:
            schema.upgrade(store)
            yield store
        finally:
            store.close()


def at_once(act: Callable[[int], Any]) -> list[Any]:
    """Act from many threads at the same moment; return what each came to, errors too."""
    barrier, results = threading.Barrier(AT_ONCE), list[Any]()

    def one(number: int) -> None:
        barrier.wait()
        try:
            results.append(act(number))
        except Exception as error:  # noqa: BLE001  # what it came to
            results.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_scope_that_all_open_at_once_exists_once_and_nobody_fails(store: Store) -> None:
    def open_it(connection: Connection) -> None:
        budget.open_scope(connection, "day:2026-11-22", limit=None, currency="USD")
        # So that all have looked before the first one commits.
        connection.exec_driver_sql("SELECT pg_sleep(0.05)")

    assert at_once(lambda _: store.write(open_it)) == [None] * AT_ONCE
    query = sa.select(sa.func.count()).where(budgets.c.scope == "day:2026-11-22")
    assert store.read(lambda c: c.execute(query).scalar_one()) == 1


def test_a_budget_is_never_overdrawn_by_calls_at_the_same_moment(store: Store) -> None:
    limit = Decimal(5)
    store.write(lambda c: budget.open_scope(c, "order:o1", limit=limit, currency="USD"))

    def hold(_: int) -> None:
        store.write(lambda c: budget.reserve(c, ["order:o1"], to_pico(Decimal(1))))

    results = at_once(hold)
    assert results.count(None) == 5
    assert all(isinstance(error, LimitExceeded) for error in results if error is not None)


def test_what_others_give_back_meanwhile_is_neither_missed_nor_a_fault(store: Store) -> None:
    limit, worst = Decimal(1), to_pico(Decimal(1))
    store.write(lambda c: budget.open_scope(c, "order:o2", limit=limit, currency="USD"))

    def hold_and_give_back(_: int) -> list[object]:
        seen: list[object] = []
        for _ in range(25):
            try:
                store.write(lambda c: budget.reserve(c, ["order:o2"], worst))
            except LimitExceeded:
                continue
            store.write(lambda c: budget.settle(c, ["order:o2"], reserved_pico=worst, cost_pico=0))
            seen.append(None)
        return seen

    results = at_once(hold_and_give_back)
    assert all(isinstance(result, list) for result in results), results
    assert sum(map(len, results)) > 0


def test_a_connection_that_dies_before_its_commit_changed_nothing(store: Store) -> None:
    def die(connection: Connection) -> None:
        connection.execute(meta.insert().values(key="torn", value="v"))
        number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with store.engine.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:number)"), {"number": number})

    with pytest.raises(Unavailable, match="cannot be reached; nothing was changed"):
        store.write(die)
    assert store.read(lambda c: c.execute(sa.select(meta.c.key)).scalars().all()) == []


async def test_a_providers_limit_holds_over_all_who_ask(store: Store) -> None:
    period_s = 0.5
    gates = [RateGate(store, {"openai": Rate(4, period_s)}) for _ in range(3)]
    begins: list[float] = []

    async def ask(gate: RateGate) -> None:
        await gate.turn("openai/gpt-4o-mini")
        begins.append(time.monotonic())

    await asyncio.gather(*(ask(gate) for gate in gates for _ in range(4)))
    begins.sort()
    # Twelve calls at four in half a second: the fifth after the first by as much, and so on.
    assert all(
        later - earlier >= period_s for earlier, later in zip(begins, begins[4:], strict=False)
    )
    assert [gates[0].binds(model) for model in ("openai/o3", "anthropic/claude")] == [True, False]


@pytest.mark.parametrize("text", ["10", "0/s", "10/0s", "ten/min", "10/day", "1001/s"])
def test_a_rate_that_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="10/2s, 60/min or 500/h"):
        WorkerConfig(rates={"openai": text})


def test_a_second_folder_is_not_taken_for_the_companys(store: Store, tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    ours.mkdir()
    other.mkdir()
    shared_home.claim(ours, store)
    shared_home.claim(ours, store)
    assert shared_home.is_shared(ours, store)
    assert not shared_home.is_shared(other, store)
    with pytest.raises(ConfigError, match="give all of them one SWARM_HOME"):
        shared_home.claim(other, store)
