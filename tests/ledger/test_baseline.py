import math
import random
from datetime import UTC, datetime
from decimal import Decimal
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.order import Plan, PlannedTask
from swarm.ledger.baseline import estimate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOURS = st.decimals(min_value="0.001", max_value="100000", places=3)


def plan_of(*hours: Decimal | float | str) -> Plan:
    tasks = (
        PlannedTask(
            id=f"t{index}",
            role="cto",
            title="Build",
            brief="Build it.",
            deliverable="A file",
            human_hours=Decimal(str(amount)),
        )
        for index, amount in enumerate(hours)
    )
    return Plan(approach="One after the other", tasks=tuple(tasks))


def test_one_task_is_its_estimate_times_and_over_four() -> None:
    baseline = estimate(plan_of(8), author="ceo", at=NOW)

    band = baseline.hours
    assert (band.p10, band.p50, band.p90) == (Decimal(2), Decimal(8), Decimal(32))
    assert (baseline.author, baseline.frozen_at) == ("ceo", NOW)


def test_money_is_hours_times_an_hourly_band_combined_in_logs() -> None:
    cost = estimate(plan_of(8), author="ceo", at=NOW).cost

    down = math.exp(math.hypot(math.log(4), math.log(44 / 33.5)))
    up = math.exp(math.hypot(math.log(4), math.log(75 / 44)))
    assert cost.currency == "EUR"
    assert float(cost.p50) == 352
    assert float(cost.p10) == pytest.approx(352 / down, rel=0.005)
    assert float(cost.p90) == pytest.approx(352 * up, rel=0.005)


def test_the_sum_agrees_with_a_simulation_that_shares_one_factor() -> None:
    hours = [1.0, 2.0, 4.0, 8.0, 8.0, 16.0]
    sigma = math.log(4) / 1.2815515655446004
    rng = random.Random(7)

    def total() -> float:
        common = rng.gauss(0, 1)
        errors = (math.sqrt(0.5) * (common + rng.gauss(0, 1)) for _ in hours)
        return sum(h * math.exp(sigma * error) for h, error in zip(hours, errors, strict=True))

    deciles = quantiles([total() for _ in range(20_000)], n=10)
    band = estimate(plan_of(*hours), author="ceo", at=None).hours

    assert float(band.p10) == pytest.approx(deciles[0], rel=0.12)
    assert float(band.p50) == pytest.approx(deciles[4], rel=0.12)
    assert float(band.p90) == pytest.approx(deciles[8], rel=0.12)


def test_many_tasks_stay_wider_than_if_their_errors_were_independent() -> None:
    band = estimate(plan_of(*[4] * 100), author="ceo", at=None).hours

    # Independent errors would shrink to about x/÷1.2; a common factor of 0.5 leaves x/÷2.7.
    assert Decimal("2.5") < band.p90 / band.p50 < Decimal(4)


@given(hours=st.lists(HOURS, min_size=1, max_size=30))
def test_a_band_always_rises_and_is_written_without_an_exponent(hours: list[Decimal]) -> None:
    baseline = estimate(plan_of(*hours), author="ceo", at=NOW)

    for band in (baseline.hours, baseline.cost):
        assert 0 < band.p10 < band.p50 < band.p90
        assert "E" not in f"{band.p10} {band.p50} {band.p90}"


@given(hours=st.lists(HOURS, min_size=1, max_size=10), more=HOURS)
def test_another_task_never_needs_fewer_hours(hours: list[Decimal], more: Decimal) -> None:
    fewer = estimate(plan_of(*hours), author="ceo", at=NOW)
    all_of_them = estimate(plan_of(*hours, more), author="ceo", at=NOW)

    assert all_of_them.hours.p50 >= fewer.hours.p50
    assert all_of_them.cost.p50 >= fewer.cost.p50


@given(hours=st.lists(HOURS, min_size=1, max_size=10), seed=st.integers())
def test_the_order_of_the_tasks_changes_nothing(hours: list[Decimal], seed: int) -> None:
    shuffled = list(hours)
    random.Random(seed).shuffle(shuffled)

    assert estimate(plan_of(*hours), author="ceo", at=NOW) == estimate(
        plan_of(*shuffled), author="ceo", at=NOW
    )


def test_the_method_and_the_sources_say_what_was_done() -> None:
    baseline = estimate(plan_of(2, 3), author="ceo", at=NOW)

    for word in ("x/÷4", "80 %", "correlation 0.5", "2 tasks", "33.5 / 44 / 75 EUR", "n = 0 own"):
        assert word in baseline.method
    assert "tasks added" not in estimate(plan_of(2), author="ceo", at=NOW).method
    sources = " ".join(baseline.sources)
    assert "Jones and Cullum, arXiv 1901.01621" in sources
    assert "Eurostat" in sources
    assert "2024" in sources


def test_a_plan_without_tasks_has_no_baseline() -> None:
    with pytest.raises(ValueError, match="without tasks"):
        estimate(plan_of(), author="ceo", at=NOW)
