"""Many workers take from the same budgets on one Postgres, and none waits for another in a circle."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.money import from_pico
from swarm.ledger import budget
from swarm.store import schema
from swarm.store.database import Store
from tests.servers import postgres

ORDERS, ROUNDS = 8, 15
DAY = "day:2026-11-22"
WORST, COST = 7, 3
"""In 1e-12 parts."""


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as url:
        store = Store(url)
        try:
            schema.upgrade(store)
            yield store
        finally:
            store.close()


def scopes_of(number: int) -> list[str]:
    """Name an order's budgets, as often one way round as the other."""
    scopes = [budget.order_scope(f"o{number}"), DAY, budget.COMPANY]
    return scopes if number % 2 else scopes[::-1]


def opened(connection: Connection) -> None:
    # The shared rows lie on both sides of the orders' own, as they come to lie by and by.
    names = [DAY, *(budget.order_scope(f"o{n}") for n in range(ORDERS)), budget.COMPANY]
    for name in names:
        budget.open_scope(connection, name, limit=None, currency="EUR")


def deadlocks(connection: Connection) -> int:
    connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    text = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(connection.execute(sa.text(text)).scalar_one())


def test_holding_and_giving_back_side_by_side_is_never_a_deadlock(store: Store) -> None:
    store.write(opened)
    together = threading.Barrier(ORDERS)

    def work(number: int) -> None:
        scopes = scopes_of(number)
        for _ in range(ROUNDS):
            together.wait(30)
            store.write(lambda c: budget.reserve(c, scopes, WORST))
            store.write(lambda c: budget.settle(c, scopes, reserved_pico=WORST, cost_pico=COST))

    with ThreadPoolExecutor(ORDERS) as pool:
        for done in [pool.submit(work, number) for number in range(ORDERS)]:
            done.result()

    assert store.read(deadlocks) == 0
    company = store.read(lambda c: budget.find(c, budget.COMPANY))
    assert company is not None
    assert (company.spent, company.reserved) == (from_pico(ORDERS * ROUNDS * COST), from_pico(0))
