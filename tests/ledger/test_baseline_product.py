"""COCOMO II as published, and products by every size."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import InvalidInput
from swarm.ledger.baseline.calibration import borrowed
from swarm.ledger.baseline.cocomo import EFFORT, SCALE, Drivers, read_drivers
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.product import Product, need_of_product
from swarm.ledger.baseline.work import CALENDAR_MONTH_HOURS, Need


def need(**given: object) -> Need:
    product = Product(**given)  # type: ignore[arg-type]
    return need_of_product(product, calibration=borrowed(), history=History())


def test_the_nominal_model_gives_the_published_figures() -> None:
    nominal = Drivers()

    assert nominal.exponent == pytest.approx(1.0997)
    assert nominal.months_of_work(10.5) == pytest.approx(39, rel=0.01)
    assert nominal.nominal_months(39) == pytest.approx(11.8, rel=0.01)
    assert nominal.months_of_work(2.4) == pytest.approx(7.7, rel=0.02)
    assert nominal.nominal_months(7.8) == pytest.approx(7.1, rel=0.01)
    # 100 KSLOC: 465.3 person-months and 26.0 months, worked out by hand.
    assert nominal.months_of_work(100) == pytest.approx(2.94 * 100**1.0997)
    assert nominal.nominal_months(465.3) == pytest.approx(3.67 * 465.3**0.31794, rel=1e-6)


def test_drivers_multiply_and_scale_factors_bend_the_exponent() -> None:
    rated = read_drivers({"RELY": "very high", "acap": "H", "PREC": "low", "CPLX": 1.17})

    assert rated.multiplier == pytest.approx(1.26 * 0.85 * 1.17)
    assert rated.exponent == pytest.approx(1.0997 + 0.01 * (4.96 - 3.72))
    assert rated.named == 3


def test_names_of_the_earlier_model_are_understood() -> None:
    assert read_drivers({"aexp": 0.91, "VIRT": "high"}).multiplier == pytest.approx(0.91 * 1.15)


@pytest.mark.parametrize(
    ("drivers", "words"),
    [
        ({"CPLEX": "high"}, "no driver 'CPLEX'; did you mean"),
        ({"CPLX": "hihg"}, "CPLX has no level 'hihg'; did you mean 'high'"),
        ({"DATA": "very low"}, "DATA has no level 'very low'"),
        ({"RELY": 0}, "a number from 0.2 to 5"),
        ({"RELY": float("nan")}, "a number from 0.2 to 5"),
        ({"RELY": True}, "takes a level"),
        ({"RELY": None}, "takes a level"),
        ({"AEXP": 1.1, "APEX": 1.1}, "given twice"),
    ],
)
def test_a_wrong_driver_is_a_sentence(drivers: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_drivers(drivers)


def test_every_level_of_every_driver_rises_or_falls_with_it() -> None:
    for levels in (*SCALE.values(), *EFFORT.values()):
        known = [level for level in levels if level is not None]
        assert known in (sorted(known), sorted(known, reverse=True))


@settings(deadline=None, max_examples=10)
@given(
    size=st.sampled_from(["function_points", "ksloc", "use_cases", "use_case_points"]),
    amount=st.floats(0.5, 5_000),
    parts=st.integers(1, 6),
)
def test_a_larger_product_needs_more_of_everything(size: str, amount: float, parts: int) -> None:
    small, large = (
        need(size={size: amount}, parts=parts),
        need(size={size: 3 * amount}, parts=parts),
    )

    assert small.hours.median < large.hours.median
    assert small.elapsed.median < large.elapsed.median
    assert small.hours.quantile(0.1) < small.hours.median < small.hours.quantile(0.9)


def test_the_band_is_never_that_of_the_narrower_way_alone() -> None:
    both = need(size={"function_points": 400, "ksloc": 20}).hours.interval(0.8)

    assert both.high / both.low >= 5**2 * 0.95


def test_harder_drivers_cost_more_whatever_the_size_is_counted_in() -> None:
    for size in ({"function_points": 400.0}, {"ksloc": 20.0}, {"use_cases": 20.0}):
        hard = need(size=size, drivers=read_drivers({"CPLX": "extra high"})).hours.median
        assert hard == pytest.approx(1.74 * need(size=size).hours.median, rel=0.03)


def test_parts_side_by_side_share_the_size_and_end_sooner() -> None:
    whole, parts = need(size={"ksloc": 12.0}), need(size={"ksloc": 12.0}, parts=5)
    part = need(size={"ksloc": 2.4})

    assert part.elapsed.median < parts.elapsed.median < whole.elapsed.median * 1.1
    assert parts.hours.interval(0.8).high / parts.hours.interval(0.8).low < 49
    assert parts.hours.median > 5 * part.hours.median, (
        "the mean of a skewed part is above its median"
    )


def test_no_schedule_goes_below_three_quarters_of_the_nominal_one() -> None:
    squeezed = need(size={"ksloc": 10.5}, drivers=read_drivers({"SCED": "very low"}))
    calm = need(size={"ksloc": 10.5})

    assert squeezed.hours.median == pytest.approx(1.43 * calm.hours.median, rel=0.01)
    assert squeezed.floor_hours == pytest.approx(calm.floor_hours)
    assert squeezed.elapsed.median < calm.elapsed.median
    nominal = Drivers().nominal_months(calm.hours.median / 152) * CALENDAR_MONTH_HOURS
    assert calm.floor_hours == pytest.approx(0.75 * nominal, rel=1e-6)
    for share in (0.01, 0.1, 0.5):
        effort = squeezed.hours.quantile(share) / 1.43 / 152
        floor = 0.75 * Drivers().nominal_months(effort) * CALENDAR_MONTH_HOURS
        assert squeezed.elapsed.quantile(share) >= floor * (1 - 1e-6)


def test_an_estimate_made_before_is_a_way_of_its_own() -> None:
    alone = need(size={}, estimate_hours=1000)

    assert alone.hours.median == pytest.approx(1000, rel=0.05)
    assert 4 < alone.hours.interval(0.8).high / alone.hours.interval(0.8).low < 12
    assert math.isfinite(alone.elapsed.median)
