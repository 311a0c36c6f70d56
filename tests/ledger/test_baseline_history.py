"""What the company learns from its own orders, and baselines that stay as they were written."""

import hashlib
import math
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from swarm.core.clock import SystemClock
from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.core.order import Baseline, Frame, OrderState, Plan, PlannedTask
from swarm.ledger.baseline import actuals, columns
from swarm.ledger.baseline.actuals import Actual
from swarm.ledger.baseline.calibration import borrowed
from swarm.ledger.baseline.columns import read_table
from swarm.ledger.baseline.config import BaselineConfig
from swarm.ledger.baseline.fit import Case
from swarm.ledger.baseline.frozen import VIEW, BaselineBook, in_force, stored
from swarm.ledger.baseline.history import ENOUGH, History, learn
from swarm.ledger.baseline.spread import around
from swarm.ledger.baseline.trial import read_cases, run_trial
from swarm.store import schema
from swarm.store.audit import AuditChain, items
from swarm.store.chain import Link
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import baselines, orders

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TABLE = borrowed().tasks
PLAN = Plan(
    approach="Simple",
    tasks=tuple(
        PlannedTask(
            id=f"t{n}",
            role="cto",
            title="Fix",
            brief="Fix it.",
            deliverable="A patch",
            human_hours=Decimal(hours),
            kind="bug",
        )
        for n, hours in ((1, "3"), (2, "5"))
    ),
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "swarm.db"
    store = Store(sqlite_url(path))
    schema.upgrade(store)
    store.close()
    return path


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Iterator[Store]:
    (tmp_path / "swarm.db").write_bytes(template.read_bytes())
    store = Store(sqlite_url(tmp_path / "swarm.db"))
    yield store
    store.close()


def book(**config: Any) -> BaselineBook:
    chain = AuditChain(clock=SystemClock(), key=None)
    return BaselineBook(audit=chain, config=BaselineConfig(**config), company_currency="EUR")


def frozen(store: Store, *, order_id: str = "o1", kind: str = "frozen") -> Baseline:
    made = book().estimate(PLAN, author="ceo", at=NOW, kind="software", history=History())
    store.write(
        lambda c: book().freeze(
            c, made, order_id=order_id, plan_revision=0, initiator="console:1", kind=kind
        )
    )
    return made


def order(store: Store, order_id: str, status: str, *, plan: Plan | None = PLAN) -> None:
    state = OrderState(
        text="Fix it", plan=plan, frame=Frame(goal="g", success_criteria=("c",), kind="software")
    )
    row = {
        "id": order_id, "created_at": "2026-11-01T00:00:00Z", "channel": "console",
        "account": "a", "update_id": order_id, "chat_id": "c", "sender_id": "s",
        "status": status, "segment": 0, "is_auto_signed": False,
        "state": state.model_dump_json(),
    }  # fmt: skip
    store.write(lambda c: c.execute(orders.insert().values(**row)))


def take_in(store: Store, *rows: Actual) -> actuals.Stored:
    return store.write(
        lambda c: actuals.store(c, [actuals.complete(c, row) for row in rows], by="ada", at=NOW)
    )


def cases_of(store: Store) -> list[Case]:
    return store.read(actuals.own_cases)


def own(count: int, ratio: float, *, sigma: float = 0.3) -> list[Case]:
    rng = random.Random(5)
    found = []
    for _ in range(count):
        estimate = rng.choice([1.0, 2.0, 4.0, 8.0])
        found.append(Case("bug", estimate * ratio * math.exp(rng.gauss(0, sigma)), estimate))
    return found


# Learning


def test_without_own_cases_the_borrowed_band_stays_as_it_is() -> None:
    band = around(8, 4)

    assert learn([], TABLE).apply(band) is band
    assert learn([Case("bug", 3.0)], TABLE).count == 0, "a case without an estimate teaches nothing"


@pytest.mark.parametrize("ratio", [0.4, 1.0, 2.5])
def test_from_thirty_own_cases_on_the_band_is_ones_own(ratio: float) -> None:
    history = learn(own(60, ratio), TABLE)
    band = history.apply(TABLE.ratio("bug", 4.0))
    held = [
        math.exp(band.log_at(-1.2816)) <= case.actual / (case.estimate or 1) <= band.quantile(0.9)
        for case in own(400, ratio)[60:]
    ]

    assert band.median == pytest.approx(ratio, rel=0.25)
    assert 0.65 <= sum(held) / len(held) <= 0.97
    assert history.words == "fitted on n = 60 of your own"


def test_a_few_own_cases_move_the_band_a_little() -> None:
    none = TABLE.ratio("bug", 4.0).median
    few, many = learn(own(5, 3.0), TABLE), learn(own(40, 3.0), TABLE)
    some = few.apply(TABLE.ratio("bug", 4.0))

    # Five of thirty parts: the middle stays near, and the far end is that of the own cases.
    assert none <= some.median < 1.3 * none
    assert many.apply(TABLE.ratio("bug", 4.0)).median > 2 * none
    assert few.words == "borrowed, n = 5 of your own"
    assert some.interval(0.9).high > TABLE.ratio("bug", 4.0).interval(0.9).high


def test_cases_that_agree_to_the_minute_make_no_point_of_a_band() -> None:
    history = learn([Case("bug", 4.0, 4.0)] * ENOUGH, TABLE)
    band = history.apply(TABLE.ratio("bug", 4.0)).interval(0.8)

    assert band.high / band.low > 1.08


# Rows


def test_an_order_that_people_did_teaches_once_it_is_accepted(store: Store) -> None:
    order(store, "o1", "delivered")
    take_in(store, Actual(Decimal(12), order_id="o1"))
    assert cases_of(store) == []

    store.write(lambda c: c.execute(orders.update().values(status="accepted")))

    assert cases_of(store) == [Case("bug", actual=12.0, estimate=8.0)]


def test_the_estimate_of_a_task_comes_from_the_plan_that_was_made_before(store: Store) -> None:
    order(store, "o1", "accepted")
    take_in(store, Actual(Decimal(4), order_id="o1", task_id="t2"))

    assert cases_of(store) == [Case("bug", actual=4.0, estimate=5.0)]


def test_the_same_row_counts_once_and_equal_rows_of_one_table_all_count(store: Store) -> None:
    row = Actual(Decimal(3), work="bug", estimate_hours=Decimal(2))

    assert take_in(store, row, row) == actuals.Stored(added=2, known=0)
    assert take_in(store, row, row) == actuals.Stored(added=0, known=2)
    assert len(cases_of(store)) == 2


def test_a_corrected_row_takes_the_place_of_the_one_before(store: Store) -> None:
    order(store, "o1", "accepted")
    take_in(store, Actual(Decimal(12), order_id="o1", source="ada's team"))
    take_in(store, Actual(Decimal(14), order_id="o1", source="ada's team"))
    take_in(store, Actual(Decimal(20), order_id="o1", source="a freelancer"))

    assert [row.hours for row in store.read(lambda c: actuals.of_order(c, "o1"))] == [14, 20]


def test_an_order_or_task_that_is_not_there_is_named(store: Store) -> None:
    order(store, "o1", "accepted")
    order(store, "o2", "queued", plan=None)
    for row, error, words in (
        (Actual(Decimal(1), order_id="o3"), NotFound, "no order 'o3'"),
        (Actual(Decimal(1), order_id="o1", task_id="t9"), NotFound, "no task 't9'"),
        (Actual(Decimal(1), order_id="o2"), InvalidInput, "no plan"),
    ):
        with pytest.raises(error, match=words):
            take_in(store, row)


def test_a_frozen_baseline_is_read_back_with_its_hash_in_the_audit_chain(store: Store) -> None:
    made = frozen(store)

    row = store.read(lambda c: stored(c, "o1"))[0]
    audited = [item for item in store.read(lambda c: list(items(c))) if isinstance(item, Link)]
    assert row.baseline == made
    assert row.is_intact
    assert row.digest == hashlib.sha256(made.model_dump_json().encode()).hexdigest()
    assert [item.kind for item in audited] == ["baseline"]
    assert row.digest in audited[0].body
    assert (audited[0].order_id, audited[0].actor) == ("o1", "ceo")


def test_a_later_view_is_a_new_row_and_does_not_count(store: Store) -> None:
    frozen(store)
    frozen(store, kind=VIEW)

    rows = store.read(lambda c: stored(c, "o1"))
    assert [row.revision for row in rows] == [0, 1]
    assert in_force(rows).revision == 0
    frozen(store)
    assert in_force(store.read(lambda c: stored(c, "o1"))).revision == 2, "a new plan was frozen"
    with pytest.raises(NotFound, match="no baseline yet"):
        in_force([])


@pytest.mark.parametrize("table", ["baselines", "actuals"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET digest = 'x'", "DELETE FROM {}"])
def test_the_database_refuses_to_edit_or_delete_a_row(store: Store, table: str, verb: str) -> None:
    frozen(store)
    take_in(store, Actual(Decimal(3), work="bug", estimate_hours=Decimal(2)))

    with pytest.raises(DatabaseError, match="append-only"):
        store.write(lambda c: c.execute(sa.text(verb.format(table))))


def test_a_row_that_was_altered_behind_our_back_shows(store: Store) -> None:
    frozen(store)

    def meddle(connection: Any) -> None:
        connection.execute(sa.text("DROP TRIGGER baselines_no_update"))
        body = connection.execute(sa.select(baselines.c.body)).scalar()
        connection.execute(baselines.update().values(body=body.replace("ceo", "cfo")))

    store.write(meddle)

    assert not store.read(lambda c: stored(c, "o1"))[0].is_intact


def test_the_companys_money_decides_whom_it_is_compared_with_unless_it_says_so() -> None:
    def rate(currency: str, **config: Any) -> Any:
        return BaselineBook(
            audit=None, config=BaselineConfig(**config), company_currency=currency
        ).rate

    assert rate("USD").country == "US"
    assert rate("EUR").country == "EU"
    assert rate("SEK").country == "EU"
    assert rate("USD", country="fr", contract="agency").country == "FR"
    assert (rate("CHF", rate="120").currency, rate("CHF", rate="120").p50) == ("CHF", 120)
    with pytest.raises(ConfigError, match=r"company.yaml: baseline.country: .* 'XX'"):
        rate("EUR", country="XX")


# Tables


def test_columns_are_found_under_many_names_and_separators() -> None:
    for text in (
        "class,estimate,actual\nbug,2,3\n",
        "SubCategory;HoursEstimate;HoursActual\nbug;2,0;3,0\n",
        "\ufeffKind of work\tEstimated hours\tTime spent\nbug\t2h\t3 h\n",
        'type,planned,effort,note\nbug,2,3,"a, note\nover two lines"\n\n',
    ):
        cases, faults = read_cases(
            read_table(text.encode(), needed=("estimate", "actual"), name="x.csv")
        )
        assert (cases, faults) == ([Case("bug", actual=3.0, estimate=2.0)], []), text


def test_rows_that_make_no_sense_are_refused_with_their_line() -> None:
    text = "class,estimate,actual,date\nbug,0,3,\nbug,2,-1,\nbug,x,1,\nbug,2,nan,\nbug,2,3,soon\n"
    cases, faults = read_cases(
        read_table(text.encode(), needed=("estimate", "actual"), name="x.csv")
    )

    assert cases == []
    assert [fault.line for fault in faults] == [2, 3, 4, 5, 6]
    assert "not above 0" in faults[0].reason
    assert "no number" in faults[2].reason
    assert "no day" in faults[4].reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"class,estimat\nbug,2\n", "no column for the estimate; did you mean 'estimat'"),
        (b"\xff\xfe\x00", "no column for the estimate"),
        (b'class,estimate,actual\n"' + b"x" * 200_000, "is no table"),
    ],
)
def test_what_is_no_table_is_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_table(data, needed=("estimate", "actual"), name="x.csv")


@pytest.mark.parametrize(
    "text", ["2026-05-01", "01-May-26", "01.05.2026", "2026-05-01T10:00:00Z", "2026-05-01 10:00"]
)
def test_a_day_is_read_as_people_write_it(text: str) -> None:
    assert columns.day(text) == date(2026, 5, 1)


def test_a_trial_holds_out_the_newest_rows_or_folds() -> None:
    rng = random.Random(3)
    rows = [
        Case("bug", 4 * math.exp(rng.gauss(0, 0.7)), 4.0, at=date(2026, 1, 1 + n % 28))
        for n in range(300)
    ]
    undated = [Case(row.work, row.actual, row.estimate) for row in rows]

    newest = run_trial(rows, levels=(0.5, 0.8, 0.9), split=None)
    folds = run_trial(undated, levels=(0.5, 0.8, 0.9), split=None)
    chosen = run_trial(rows, levels=(0.8,), split=date(2026, 1, 15))

    assert newest.split.startswith("in time")
    assert 40 <= newest.scores.count <= 75
    assert folds.split.startswith("by fold")
    assert folds.scores.count == 300
    assert 130 <= chosen.scores.count <= 160
    assert 0.74 <= folds.scores.coverage[1].share <= 0.95
    with pytest.raises(InvalidInput, match="too few"):
        run_trial(rows[:20], levels=(0.8,), split=None)
    with pytest.raises(InvalidInput, match="Choose another day"):
        run_trial(rows, levels=(0.8,), split=date(2027, 1, 1))
