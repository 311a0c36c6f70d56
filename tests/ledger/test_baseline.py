import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from swarm.core.order import Baseline, CostBand, HoursBand, OrderState, Plan, PlannedTask
from swarm.ledger.baseline import estimate
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.plan import longest_chain
from swarm.ledger.baseline.rates import find_rate, own_rate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOURS = st.decimals(min_value="0.1", max_value="2000", places=2)


def task(index: int, hours: object, *, kind: str = "", after: tuple[str, ...] = ()) -> PlannedTask:
    return PlannedTask(
        id=f"t{index}",
        role="cto",
        title="Build",
        brief="Build it.",
        deliverable="A file",
        human_hours=Decimal(str(hours)),
        kind=kind,
        depends_on=after,
    )


def plan_of(*hours: object, kind: str = "") -> Plan:
    tasks = (task(index, amount, kind=kind) for index, amount in enumerate(hours))
    return Plan(approach="One after the other", tasks=tuple(tasks))


def made(plan: Plan) -> Baseline:
    return estimate(plan, author="ceo", at=NOW)


def test_effort_elapsed_time_and_price_are_three_bands_around_the_planners_estimate() -> None:
    baseline = made(plan_of(5, kind="writing"))

    assert baseline.hours.p10 < Decimal(4)
    assert Decimal(4) < baseline.hours.p50 < Decimal(6)
    assert baseline.hours.p90 > Decimal(6)
    assert baseline.elapsed is not None
    assert baseline.elapsed.p50 > 4 * baseline.hours.p50, "an article waits longer than it takes"
    assert baseline.cost.p10 < Decimal(300) < baseline.cost.p90
    assert (baseline.author, baseline.frozen_at) == ("ceo", NOW)


def test_a_single_number_is_not_a_legal_value() -> None:
    for band in ({"p10": 4, "p50": 4, "p90": 4}, {"p10": 4, "p50": 5, "p90": 5}, {"p50": 4}):
        with pytest.raises(ValidationError):
            HoursBand.model_validate(band)
    with pytest.raises(ValidationError):
        CostBand.model_validate({"p10": 0, "p50": 1, "p90": 2, "currency": "EUR"})
    with pytest.raises(ValidationError):
        HoursBand.model_validate({"p10": 1, "p50": 2, "p90": "NaN"})


def test_the_kind_of_work_changes_the_band() -> None:
    bug, writing = made(plan_of(5, kind="bug")).hours, made(plan_of(5, kind="writing")).hours

    assert bug != writing
    assert estimate(plan_of(5), author="ceo", at=NOW, kind="bug").hours == bug


def test_a_kind_nobody_measured_is_all_kinds_together_and_says_so() -> None:
    method = made(plan_of(5, kind="translation")).method

    assert "'translation' was not measured: 'documentation' stands for it" in method
    assert made(plan_of(5, kind="juggling")).hours == made(plan_of(5, kind="other")).hours


def test_many_tasks_stay_wider_than_if_their_errors_were_independent() -> None:
    one, many = made(plan_of(4)).hours, made(plan_of(*[4] * 60)).hours

    def width(band: HoursBand) -> float:
        return float(band.p90 / band.p10)

    # Independent errors would leave about 1.4 of it.
    assert 2.5 < width(many) < width(one)


@settings(deadline=None, max_examples=8)
@given(hours=st.lists(HOURS, min_size=1, max_size=6))
def test_a_band_always_rises_and_is_written_without_an_exponent(hours: list[Decimal]) -> None:
    baseline = made(plan_of(*hours))

    for band in (baseline.hours, baseline.elapsed, baseline.cost, baseline.rate):
        assert band is not None
        assert 0 < band.p10 < band.p50 < band.p90
        assert "E" not in f"{band.p10} {band.p50} {band.p90}"


@settings(deadline=None, max_examples=8)
@given(hours=st.lists(HOURS, min_size=1, max_size=5), more=HOURS)
def test_another_task_never_needs_fewer_hours(hours: list[Decimal], more: Decimal) -> None:
    fewer, all_of_them = made(plan_of(*hours)), made(plan_of(*hours, more))

    # Sums are worked out to about half a percent.
    assert all_of_them.hours.p50 >= fewer.hours.p50 * Decimal("0.99")
    assert all_of_them.cost.p50 >= fewer.cost.p50 * Decimal("0.99")


@settings(deadline=None, max_examples=8)
@given(hours=st.lists(HOURS, min_size=1, max_size=5), seed=st.integers())
def test_the_order_of_the_tasks_changes_no_figure(hours: list[Decimal], seed: int) -> None:
    shuffled = list(hours)
    random.Random(seed).shuffle(shuffled)
    one, other = made(plan_of(*hours)), made(plan_of(*shuffled))

    assert (one.hours, one.cost, one.elapsed) == (other.hours, other.cost, other.elapsed)


def test_elapsed_time_follows_the_longest_chain_not_the_sum() -> None:
    tasks = (task(1, 2), task(2, 2), task(3, 2, after=("t1",)), task(4, 1, after=("t2", "t3")))
    plan = Plan(approach="A graph", tasks=tasks)

    chain = longest_chain(plan, {"t1": 10, "t2": 25, "t3": 10, "t4": 1})

    assert chain == ["t2", "t4"]
    in_a_row = (task(1, 8), task(2, 8, after=("t1",)))
    side_by_side = made(plan_of(8, 8)).elapsed
    after_each_other = made(Plan(approach="A row", tasks=in_a_row)).elapsed
    assert side_by_side is not None
    assert after_each_other is not None
    assert after_each_other.p50 > side_by_side.p50


def test_a_large_estimate_is_read_as_one_of_a_project() -> None:
    baseline = made(plan_of(1186))

    # Budgets of tasks are seldom used up; first estimates of projects were right in the middle.
    assert Decimal(900) < baseline.hours.p50 < Decimal(1500)
    assert any("Kitchenham" in source for source in baseline.sources)


def test_the_rate_is_a_band_with_its_country_and_a_source() -> None:
    french = estimate(plan_of(5), author="ceo", at=NOW, rate=find_rate("FR", "freelance"))
    own = estimate(plan_of(5), author="ceo", at=NOW, rate=own_rate(Decimal(90), "CHF"))

    assert french.rate is not None
    assert french.rate.currency == french.cost.currency == "EUR"
    assert "freelance in FR, 2024" in french.method
    assert any("Eurostat" in source and "read 2026-11-22" in source for source in french.sources)
    assert own.cost.currency == "CHF"
    assert own.rate is not None
    assert own.rate.p10 < own.rate.p50 == Decimal(90) < own.rate.p90


def test_the_method_says_what_was_done_and_whose_experience_it_is() -> None:
    baseline = made(plan_of(2, 3, kind="bug"))

    for word in ("correlation 0.5", "2 tasks", "EUR per hour", "borrowed, n = 0 of your own"):
        assert word in baseline.method
    assert "tasks added" not in made(plan_of(2)).method
    assert any("arXiv 1901.01621" in source for source in baseline.sources)
    assert baseline.reference_cases > 1000
    learnt = estimate(plan_of(2), author="ceo", at=NOW, history=History(count=31))
    assert "fitted on n = 31 of your own" in learnt.method.casefold()
    assert (learnt.own_cases, learnt.calibration_id != baseline.calibration_id) == (31, True)


def test_a_plan_without_tasks_has_no_baseline() -> None:
    with pytest.raises(ValueError, match="without tasks"):
        made(plan_of())


def test_a_baseline_of_the_first_version_is_still_read() -> None:
    stored = (
        '{"text": "x", "baseline": {"hours": {"p10": "2", "p50": "8", "p90": "32"}, "cost": '
        '{"p10": "85", "p50": "352", "p90": "1550", "currency": "EUR"}, "method": "m", '
        '"sources": [], "author": "ceo", "frozen_at": null}}'
    )

    baseline = OrderState.model_validate_json(stored).baseline

    assert baseline is not None
    assert (baseline.calibration_id, baseline.elapsed) == ("borrowed-x4", None)
