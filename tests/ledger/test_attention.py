"""The founder's minutes: the rule, what it never does, and the log it is read from."""

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DatabaseError

from swarm.ledger.attention import (
    Action,
    ActionKind,
    FounderTimeConfig,
    founder_time,
    founder_times,
    founder_week,
    gaps,
    minutes_of,
    rule,
)
from swarm.ledger.attention.gaps import clock_faults
from swarm.ledger.attention.spent import price, week_of
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from tests.ledger.founder_log import MONDAY, at, did, noted, placed

CAP = timedelta(minutes=5)
K = ActionKind


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database; to copy one is far faster than to create it."""
    path = tmp_path_factory.mktemp("template") / "swarm.db"
    store = Store(sqlite_url(path))
    schema.upgrade(store)
    store.close()
    return path


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Iterator[Store]:
    shutil.copy(template, tmp_path)
    store = Store(sqlite_url(tmp_path / template.name))
    yield store
    store.close()


def minutes(actions: list[Action], order_id: str | None = "o1") -> float:
    found = gaps(actions, cap=CAP)
    spent = sum((g.length for g in found if g.order_id == order_id), timedelta())
    return spent.total_seconds() / 60


def test_time_between_own_actions_counts_for_the_order_acted_on() -> None:
    actions = [did(K.ORDERED, 0), did(K.ORDERED, 3, "o2"), did(K.CANCELLED, 7)]
    assert minutes(actions) == 4
    assert minutes(actions, "o2") == 3


def test_a_gap_counts_at_most_the_cap() -> None:
    assert minutes([did(K.ORDERED, 0), did(K.CANCELLED, 60)]) == 5


def test_the_first_action_of_all_counts_nothing_since_nobody_knows_when_it_began() -> None:
    assert minutes([did(K.ORDERED, 0)]) == 0


def test_from_shown_to_answered_counts_and_not_from_long_before() -> None:
    actions = [did(K.ORDERED, 0), did(K.ANSWERED, 32, since=30)]
    assert minutes(actions) == 2


def test_an_answer_hours_after_it_was_shown_counts_the_cap() -> None:
    assert minutes([did(K.ORDERED, 0), did(K.ANSWERED, 600, since=30)]) == 5


def test_two_questions_shown_together_do_not_count_the_same_minutes_twice() -> None:
    actions = [
        did(K.ORDERED, 0),
        did(K.ORDERED, 0, "o2"),
        did(K.ANSWERED, 33, "o1", since=30),
        did(K.ANSWERED, 34, "o2", since=30),
    ]
    assert minutes(actions, "o1") == 3
    assert minutes(actions, "o2") == 1


def test_a_look_after_a_long_pause_begins_anew() -> None:
    actions = [did(K.ORDERED, 0), did(K.LOOKED, 600), did(K.ANSWERED, 601, since=300)]
    assert minutes(actions) == 1


def test_a_look_within_the_cap_counts() -> None:
    assert minutes([did(K.ORDERED, 0), did(K.OPENED, 4)]) == 4


def test_a_look_at_the_books_counts_for_no_order() -> None:
    actions = [did(K.ORDERED, 0), did(K.BOOKS, 4)]
    assert minutes(actions) == 0
    assert minutes(actions, None) == 4


def test_what_is_shown_is_no_action_of_the_founders() -> None:
    assert minutes([did(K.ORDERED, 0), did(K.SHOWN, 2), did(K.SHOWN, 3)]) == 0


def test_an_answer_before_its_showing_counts_nothing_and_is_said() -> None:
    actions = [did(K.ORDERED, 0), did(K.ANSWERED, 10, since=70)]
    assert minutes(actions) == 0
    (fault,) = clock_faults(actions)
    assert "The clock was set back" in fault
    assert "counts 0" in fault


def test_an_order_acted_on_before_it_was_placed_takes_no_time_for_its_placing() -> None:
    actions = [did(K.ORDERED, -30, "o0"), did(K.CANCELLED, -10), did(K.ORDERED, 0)]
    assert minutes(actions) == 5
    assert [g.length for g in gaps(actions, cap=CAP)][-1] == timedelta(0)


def test_rows_written_later_with_an_earlier_time_are_said() -> None:
    early, late = did(K.LOOKED, 90, id=1), did(K.CANCELLED, 30, id=2)
    (fault,) = clock_faults([early, late])
    assert fault.startswith("The clock was set back from 2026-03-02 10:30:00 to 09:30:00 UTC")


def test_two_processes_that_write_within_two_seconds_are_no_fault() -> None:
    assert clock_faults([did(K.LOOKED, 1, id=1), did(K.CANCELLED, 0.98, id=2)]) == []


def test_an_action_before_its_order_was_placed_is_said() -> None:
    (fault,) = clock_faults([did(K.ORDERED, 30), did(K.CANCELLED, 10, id=4)])
    assert "o1 was cancelled at 2026-03-02 09:10:00 UTC, before it was placed" in fault


KINDS = st.sampled_from(list(ActionKind))
MOMENTS = st.integers(0, 20_000).map(lambda s: MONDAY + timedelta(seconds=s))
ACTIONS = st.lists(
    st.builds(
        Action,
        kind=KINDS,
        at=MOMENTS,
        order_id=st.sampled_from(["o1", "o2", "o3", None]),
        since=st.none() | MOMENTS,
    ),
    max_size=25,
)
CAPS = st.integers(1, 3600).map(lambda s: timedelta(seconds=s))


def numbered(actions: list[Action]) -> list[Action]:
    return [
        Action(a.kind, a.at, order_id=a.order_id, since=a.since, id=n)
        for n, a in enumerate(actions, start=1)
    ]


@settings(deadline=None)
@given(ACTIONS, CAPS)
def test_minutes_are_never_more_than_the_wall_saw_nor_counted_twice(
    actions: list[Action], cap: timedelta
) -> None:
    found = gaps(numbered(actions), cap=cap)
    union, reached = timedelta(), datetime.min.replace(tzinfo=MONDAY.tzinfo)
    for gap in sorted(found, key=lambda g: (g.start, g.end)):
        assert timedelta(0) <= gap.length <= cap
        union += max(gap.end - max(gap.start, reached), timedelta())
        reached = max(reached, gap.end)
    total = sum((gap.length for gap in found), timedelta())
    assert total == union
    moments = [a.at for a in actions] + [a.since for a in actions if a.since]
    assert total <= (max(moments) - min(moments) if moments else timedelta())


@settings(deadline=None)
@given(ACTIONS, CAPS)
def test_the_orders_add_up_to_the_whole(actions: list[Action], cap: timedelta) -> None:
    found = gaps(numbered(actions), cap=cap)
    by_order = {key: timedelta() for key in ("o1", "o2", "o3", None)}
    for gap in found:
        by_order[gap.order_id] += gap.length
    assert sum(by_order.values(), timedelta()) == sum((g.length for g in found), timedelta())


@settings(deadline=None)
@given(ACTIONS.flatmap(lambda a: st.tuples(st.just(numbered(a)), st.permutations(numbered(a)))))
def test_the_order_of_insertion_makes_no_difference(
    both: tuple[list[Action], list[Action]],
) -> None:
    one, other = both
    assert gaps(one, cap=CAP) == gaps(other, cap=CAP)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions=ACTIONS, cap=st.integers(1, 20))
def test_one_order_read_alone_has_the_minutes_it_has_in_the_whole(
    tmp_path_factory: pytest.TempPathFactory, template: Path, actions: list[Action], cap: int
) -> None:
    path = tmp_path_factory.mktemp("one") / "swarm.db"
    shutil.copy(template, path)
    store = Store(sqlite_url(path))
    for number, order_id in enumerate(("o1", "o2", "o3")):
        placed(store, order_id, number * 50)
    noted(store, *(a for a in actions if a.kind is not K.ORDERED))
    config = FounderTimeConfig(absence_minutes=Decimal(cap))
    whole = store.read(lambda c: founder_times(c, at(-1), at(100_000), config=config))
    for order_id in ("o1", "o2", "o3"):
        with store.engine.connect() as connection:
            alone = founder_time(connection, order_id, config=config)
        assert alone.seconds == whole[order_id].seconds
    week = store.read(lambda c: founder_week(c, MONDAY, config=config))
    assert week.seconds == sum(spent.seconds for spent in week.by_order.values())
    store.close()


def test_the_placing_of_an_order_is_read_from_its_own_row(store: Store) -> None:
    placed(store, "o1", 0)
    placed(store, "o2", 3)
    placed(store, "o3", 4, origin="customer")
    assert store.read(lambda c: founder_time(c, "o2")).seconds == 180
    third = store.read(lambda c: founder_time(c, "o3"))
    assert third.seconds == third.touches == 0


def test_touches_decisions_options_and_reversals_are_counted(store: Store) -> None:
    placed(store, "o1", 0)
    noted(
        store,
        Action(K.SHOWN, at(1), order_id="o1", asks=("q1",), options=3),
        Action(K.SHOWN, at(1.5), order_id="o1", asks=("q1",), options=3),
        did(K.LOOKED, 2),
        did(K.CHOSEN, 3, asks=("q1",), refused=2),
        did(K.ANSWERED, 4, asks=("q2", "q3")),
        did(K.APPROVED, 5, asks=("q4",)),
        did(K.REWORK, 6, refused=1),
        did(K.BOOKS, 7),
        did(K.CANCELLED, 8),
    )
    spent = store.read(lambda c: founder_time(c, "o1"))
    assert spent.touches == 7
    assert spent.decisions == 6
    assert (spent.options_shown, spent.options_refused) == (3, 3)
    assert spent.reversals == 2
    # The minute before a look at the books is the company's.
    assert spent.seconds == 7 * 60


def test_cancelling_what_nobody_signed_is_no_reversal(store: Store) -> None:
    placed(store, "o1", 0)
    noted(store, did(K.CANCELLED, 1))
    assert store.read(lambda c: founder_time(c, "o1")).reversals == 0


def test_a_rate_turns_minutes_into_money_to_the_last_digit(store: Store) -> None:
    placed(store, "o1", 0)
    noted(store, did(K.CANCELLED, 1))
    config = FounderTimeConfig(rate_per_hour=Decimal(100), currency="EUR")
    cost = store.read(lambda c: founder_time(c, "o1", config=config, currency="USD")).cost
    assert cost is not None
    assert (cost.amount, cost.currency) == (Decimal("1.666666666667"), "EUR")
    assert store.read(lambda c: founder_time(c, "o1")).cost is None


@settings(deadline=None)
@given(
    st.integers(0, 10**15).map(lambda us: Decimal(us) / 1_000_000),
    st.decimals(0, 1_000_000, places=4),
)
def test_the_money_is_the_nearest_to_time_times_rate(seconds: Decimal, rate: Decimal) -> None:
    cost = price(seconds, config=FounderTimeConfig(rate_per_hour=rate), currency="USD")
    assert cost is not None
    exact = (int(seconds * 10**6) * int(rate * 10**4), 3600 * 10**10)
    numerator = int(cost.amount.scaleb(12))
    assert abs(numerator * exact[1] - exact[0] * 10**12) * 2 <= exact[1]


def test_a_week_runs_from_monday_to_sunday_in_utc_and_warns_beyond_its_budget(
    store: Store,
) -> None:
    placed(store, "o1", -1)
    noted(store, did(K.CANCELLED, 0), did(K.LOOKED, 1, None))
    config = FounderTimeConfig(weekly_hours=Decimal("0.03"))
    week = store.read(lambda c: founder_week(c, at(60 * 24 * 6), config=config))
    assert week.start.isoformat() == "2026-03-02T00:00:00+00:00"
    assert week_of(week.end - timedelta(microseconds=1)) == week.start
    assert week.seconds == 120
    assert week.is_over
    assert {key: spent.seconds for key, spent in week.by_order.items()} == {None: 60, "o1": 60}
    free = FounderTimeConfig(weekly_hours=None)
    assert not store.read(lambda c: founder_week(c, at(0), config=free)).is_over


def test_a_gap_over_midnight_on_monday_counts_in_the_week_it_ends_in(store: Store) -> None:
    placed(store, "o1", -9 * 60 - 1)
    noted(store, did(K.CANCELLED, -9 * 60 + 1))
    assert store.read(lambda c: founder_week(c, at(-9 * 60 - 1))).seconds == 0
    assert store.read(lambda c: founder_week(c, at(0))).seconds == 120


@pytest.mark.parametrize("table", ["founder_actions", "founder_corrections"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET order_id = 'x'", "DELETE FROM {}"])
def test_the_database_refuses_to_change_the_log(store: Store, table: str, verb: str) -> None:
    noted(store, did(K.CANCELLED, 0))
    store.write(
        lambda c: c.exec_driver_sql(
            "INSERT INTO founder_corrections (id, at, who, kind, seconds, about_at) "
            "VALUES ('c1', '2026-03-02T09:00:00.000000Z', 'w', 'add', 1, "
            "'2026-03-02T09:00:00.000000Z')"
        )
    )
    with pytest.raises(DatabaseError, match="append-only"), store.engine.begin() as connection:
        connection.exec_driver_sql(verb.format(table))


def test_the_rule_says_its_own_cap() -> None:
    assert "at most 5 minutes each" in rule(FounderTimeConfig())
    assert "at most 1 minute each" in rule(FounderTimeConfig(absence_minutes=Decimal(1)))


def test_an_order_nobody_touched_has_taken_no_time(store: Store) -> None:
    spent = store.read(lambda c: founder_time(c, "o1"))
    assert spent.seconds == spent.touches == 0
    assert spent.last_at is None
    assert store.read(lambda c: minutes_of(c, "o1", config=FounderTimeConfig())) == []
