"""A budget holds against any number of calls that reserve from it at the same moment."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from swarm.core.errors import LimitExceeded
from swarm.core.money import to_pico
from swarm.ledger import budget
from swarm.store.database import Store
from tests.store import empty

SCOPES = ["order:o1", "day:2026-03-01", budget.COMPANY]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = empty.store(tmp_path)
    yield store
    store.close()


def limit(store: Store, scope: str, amount: Decimal | None) -> None:
    store.write(lambda c: budget.set_limit(c, scope, amount, currency="USD"))


def found(store: Store, scope: str) -> budget.Budget:
    one = store.read(lambda c: budget.find(c, scope))
    assert one is not None
    return one


def try_to_hold(store: Store, scopes: list[str], pico: int) -> bool:
    try:
        store.write(lambda c: budget.reserve(c, scopes, pico))
    except LimitExceeded:
        return False
    return True


def test_fifty_threads_never_hold_more_than_the_limit(store: Store) -> None:
    for scope in SCOPES:
        limit(store, scope, Decimal(1) if scope == budget.COMPANY else None)
    start, worst = threading.Barrier(50), to_pico(Decimal("0.03"))
    cost = to_pico(Decimal("0.02"))

    def work(number: int) -> tuple[int, int]:
        chance, held, spent = random.Random(number), 0, 0
        start.wait()
        for _ in range(6):
            if not try_to_hold(store, SCOPES, worst):
                continue
            held += 1
            now = found(store, budget.COMPANY)
            assert now.spent + now.reserved <= 1
            if chance.random() < 0.5:
                settle(store, worst, cost)
                spent += 1
        return held, spent

    with ThreadPoolExecutor(50) as pool:
        done = list(pool.map(work, range(50)))
    held, spent = sum(h for h, _ in done), sum(s for _, s in done)
    company = found(store, budget.COMPANY)
    assert company.spent == Decimal("0.02") * spent
    assert company.reserved == Decimal("0.03") * (held - spent)
    assert company.spent + company.reserved <= 1
    # Nearly all of it was given out: what is left does not cover another call.
    assert company.spent + company.reserved > 1 - Decimal("0.03")


def settle(store: Store, worst: int, cost: int) -> None:
    store.write(lambda c: budget.settle(c, SCOPES, reserved_pico=worst, cost_pico=cost))


@pytest.mark.parametrize("tight", SCOPES)
def test_a_hold_that_one_scope_refuses_is_held_in_none(store: Store, tight: str) -> None:
    for scope in SCOPES:
        limit(store, scope, Decimal("0.01") if scope == tight else Decimal(1))
    with pytest.raises(LimitExceeded) as caught:
        store.write(lambda c: budget.reserve(c, SCOPES, to_pico(Decimal("0.02"))))
    assert caught.value.limit == tight
    assert [found(store, scope).reserved for scope in SCOPES] == [0, 0, 0]


def test_a_limit_is_reached_exactly(store: Store) -> None:
    limit(store, budget.COMPANY, Decimal("0.03"))
    held = [try_to_hold(store, [budget.COMPANY], to_pico(Decimal("0.01"))) for _ in range(4)]
    assert held == [True, True, True, False]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    roof=st.integers(0, 1000),
    moves=st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1)), max_size=20),
)
def test_any_sequence_of_calls_stays_below_the_limit(
    store: Store, roof: int, moves: list[tuple[int, float]]
) -> None:
    def work(connection: Connection) -> None:
        scope = "order:any"
        connection.exec_driver_sql("DELETE FROM budgets")
        budget.open_scope(connection, scope, limit=Decimal(roof).scaleb(-12), currency="USD")
        for worst, share in moves:
            now = budget.find(connection, scope)
            assert now is not None
            fits = (now.spent + now.reserved).scaleb(12) + worst <= roof
            if not fits:
                with pytest.raises(LimitExceeded):
                    budget.reserve(connection, [scope], worst)
                continue
            budget.reserve(connection, [scope], worst)
            cost = int(worst * share)
            budget.settle(connection, [scope], reserved_pico=worst, cost_pico=cost)

    store.write(work)
