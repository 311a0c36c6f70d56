"""The narrow rows beside the ledger say what the ledger says, whoever wrote it and however."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from swarm.ledger.reports import check, sums
from swarm.store import migrations, schema
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import ledger, orders
from tests.ledger.ledgers import DAY, WEEK, call, company, order, unanswered
from tests.servers import postgres


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with company(tmp_path) as made:
        yield made


KINDS = st.sampled_from(["writing", "software", None])
NODES = st.sampled_from(
    ["frame/0", "plan/0.0", "plan/1.0", "t1/0.0/w0", "t1/0.0/w1", "t1/0.0/r2", "t1/0.1/w0", "x/w"]
)
STATES = st.sampled_from(["intent", "used", "failed", "superseded"])
STATUSES = st.sampled_from(["paid", "notional", "unpriced"])
COSTS = st.integers(min_value=0, max_value=10**14)
CALLS = st.fixed_dictionaries(
    {
        "node": NODES,
        "state": STATES,
        "cost_status": STATUSES,
        "cost_pico": COSTS,
        "listed_pico": st.none() | COSTS,
        "listed_currency": st.none() | st.sampled_from(["USD", "EUR"]),
        "currency": st.sampled_from(["USD", "EUR"]),
        "input_tokens": st.none() | st.integers(0, 10**9),
        "tool_tokens": st.none() | st.integers(0, 10**6),
        "role": st.sampled_from(["ceo", "cto"]),
        "model": st.sampled_from(["openai/gpt-5-mini", "a/b/c", "bare"]),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 1), CALLS),
        st.tuples(st.just("change"), st.integers(0, 30), CALLS),
        st.tuples(st.just("delete"), st.integers(0, 30), st.none()),
        st.tuples(st.just("order"), st.integers(0, 1), KINDS),
        st.tuples(st.just("frame"), st.integers(0, 1), KINDS),
        st.tuples(st.just("drop order"), st.integers(0, 1), st.none()),
    ),
    max_size=30,
)


def act(connection: Connection, number: int, step: tuple[str, int, Any]) -> None:
    """Do one thing to the books, of all that anybody could do to them."""
    what, which, given_ = step
    if what in ("change", "delete"):
        # One that is there, if any is.
        ids = connection.execute(sa.select(ledger.c.id).order_by(ledger.c.id)).scalars().all()
        which = ids[which % len(ids)] if ids else 0
    if what == "call":
        call(connection, f"o{which}", number, **given_)
    elif what == "change":
        connection.execute(ledger.update().where(ledger.c.id == which).values(**given_))
    elif what == "delete":
        connection.execute(ledger.delete().where(ledger.c.id == which))
    elif what == "order":
        known = sa.select(orders.c.id).where(orders.c.id == f"o{which}")
        if connection.execute(known).first() is None:
            order(connection, f"o{which}", kind=given_)
    elif what == "frame":
        state = json.dumps({"frame": {"kind": given_}}) if given_ else "not JSON at all"
        connection.execute(orders.update().where(orders.c.id == f"o{which}").values(state=state))
    else:
        connection.execute(orders.delete().where(orders.c.id == f"o{which}"))


@given(steps=STEPS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_done_to_the_ledger_the_narrow_rows_say_the_same(
    store: Store, steps: list[tuple[str, int, Any]]
) -> None:
    def work(connection: Connection) -> list[str]:
        with connection.begin_nested() as undone:
            for number, step in enumerate(steps):
                act(connection, number, step)
            found = check.faults(connection) + check.order_faults(connection)
            undone.rollback()
        return found

    assert store.write(work) == []


def test_calls_move_to_the_kind_of_their_order_and_leave_with_it(store: Store) -> None:
    def kinds() -> dict[str, int]:
        return {
            line.name: line.cost_pico
            for line in store.read(lambda c: sums.charged(c, WEEK)).by_kind
        }

    def frame(kind: str) -> None:
        state = json.dumps({"frame": {"kind": kind}})
        store.write(lambda c: c.execute(orders.update().values(state=state)))

    store.write(lambda c: call(c, "o1", 0, cost=Decimal(2)))
    assert kinds() == {"": 2 * 10**12}
    store.write(lambda c: order(c, "o1", kind="writing"))
    assert kinds() == {"writing": 2 * 10**12}
    frame("software")
    assert kinds() == {"software": 2 * 10**12}
    store.write(lambda c: c.execute(orders.delete()))
    assert kinds() == {"": 2 * 10**12}
    store.write(lambda c: c.execute(ledger.delete()))
    assert kinds() == {}


def test_a_charge_that_is_undone_leaves_no_trace_in_the_narrow_rows(store: Store) -> None:
    def half(connection: Connection) -> None:
        order(connection, "o1")
        call(connection, "o1")
        raise ValueError("the process died here")

    with pytest.raises(ValueError, match="died"):
        store.write(half)
    assert store.read(lambda c: sums.charged(c, WEEK).by_day) == []
    assert store.read(check.faults) == []


def test_a_narrow_row_that_was_tampered_with_is_found_and_made_anew(store: Store) -> None:
    def damage(connection: Connection) -> None:
        order(connection, "o1")
        call(connection, "o1", cost=Decimal("1.25"))
        connection.exec_driver_sql("UPDATE sums_by_day SET cost_pico = 1")

    store.write(damage)
    (fault,) = store.read(check.faults)
    assert "1250000000000" in fault
    store.write(check.rebuild)
    assert store.read(check.faults) == []


def test_an_upgrade_counts_what_was_there_before(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "old.db"))
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    try:
        with store.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0007")
            # Columns of later schemas are not there yet, so the rows are written by name.
            order(connection, "o1", kind="software")
            call(connection, "o1", cost=Decimal("0.1"), cost_status="paid")
            call(connection, "lost", 1, cost=Decimal("0.2"), node="t1/0.0/w3")
            unanswered(connection, "o1", 2)
        schema.upgrade(store)
        assert store.read(check.faults) == []
        lines = {
            line.name: line.cost_pico
            for line in store.read(lambda c: sums.charged(c, WEEK).by_kind)
            if line.calls and line.cost_pico
        }
        assert lines == {"software": 10**11, "": 2 * 10**11}
        assert store.read(lambda c: sums.charged(c, WEEK).rework[0].calls) == 1
    finally:
        store.close()


def test_work_done_again_is_told_by_its_place_in_the_order(store: Store) -> None:
    again = ["frame/1", "plan/1.0", "plan/0.2", "t1/0.0/w1", "t1/0.0/r1", "t2/1.0/w0", "t2/0.3/w0"]
    first = ["frame/0", "plan/0.0", "t1/0.0/w0", "t1/0.0/r0", "t10/0.0/w0/d3.1", "deliver/0.0"]

    def write(connection: Connection) -> None:
        for seq, node in enumerate([*again, *first]):
            call(connection, "o1", seq, node=node)

    store.write(write)
    assert store.read(lambda c: sums.charged(c, WEEK).rework[0].calls) == len(again)


def test_an_open_call_counts_as_unpriced_in_every_breakdown(store: Store) -> None:
    store.write(lambda c: unanswered(c, "o1", 0, role="cto"))
    found = store.read(lambda c: sums.charged(c, WEEK))
    assert found.unanswered == 1
    for lines in (found.by_role, found.by_day, found.by_model, found.by_kind, found.failed):
        assert [(line.calls, line.cost_status) for line in lines] == [(1, "unpriced")]


def test_postgres_adds_up_the_same_from_views() -> None:
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as url:
        store = Store(url)
        try:
            schema.upgrade(store)

            def write(connection: Connection) -> None:
                order(connection, "o1", kind="software")
                call(connection, "o1", 0, cost=Decimal("0.1"))
                call(connection, "o1", 1, node="t1/0.0/w1", cost=Decimal("0.2"))
                unanswered(connection, "o1", 2)

            store.write(write)
            found = store.read(lambda c: sums.charged(c, WEEK))
            assert sum(line.cost_pico for line in found.by_kind) == 3 * 10**11
            assert {line.name for line in found.by_kind} == {"software"}
            assert found.rework[0].calls == 1
            assert found.unanswered == 1
            (line, *_) = store.read(lambda c: list(sums.order_lines(c, until=WEEK.end)))
            assert (line.cost_pico, line.prompt_tokens) == (3 * 10**11, 1800)
            (sample,) = store.read(lambda c: sums.order_sample(c, until=WEEK.end))
            assert (sample.number, sample.cost_pico) == (1, 3 * 10**11)
            assert store.read(lambda c: sums.order_counts(c, WEEK))[0].accepted == 1
        finally:
            store.close()


def test_a_long_history_is_looked_at_in_a_bounded_sample(store: Store) -> None:
    def write(connection: Connection) -> None:
        for number in range(300):
            order(
                connection, f"o{number:04d}", at=DAY.replace(hour=number // 60, minute=number % 60)
            )
            call(connection, f"o{number:04d}", cost=Decimal(number + 1))

    store.write(write)
    found = store.read(lambda c: sums.order_sample(c, until=WEEK.end))
    numbers = [row.number for row in found]
    assert numbers[:63] == list(range(1, 64))
    assert numbers[63:] == [*range(64, 128, 2), *range(128, 256, 4), *range(256, 301, 8)]
    assert all(row.cost_pico == row.number * 10**12 for row in found)
