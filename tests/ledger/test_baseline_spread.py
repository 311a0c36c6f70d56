"""Spreads are exact where they can be, and agree with a simulation elsewhere."""

import math
import random
from collections.abc import Callable
from itertools import pairwise
from statistics import quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.ledger.baseline.spread import (
    Spread,
    around,
    at_least,
    between,
    longest,
    mixture,
    product,
    through,
    total,
)

LEVELS = st.lists(st.floats(0.01, 0.995), min_size=1, max_size=8)
DRAWS = 20_000


def drawn(draw: Callable[[random.Random], float]) -> list[float]:
    rng = random.Random(11)
    return quantiles([draw(rng) for _ in range(DRAWS)], n=20)


def assert_agrees(spread: Spread, draw: Callable[[random.Random], float], *, rel: float) -> None:
    found = drawn(draw)
    for share, place in ((0.05, 0), (0.1, 1), (0.5, 9), (0.9, 17), (0.95, 18)):
        assert spread.quantile(share) == pytest.approx(found[place], rel=rel), share


def test_a_lognormal_has_its_eighty_percent_between_over_and_times_the_factor() -> None:
    band = around(8, 4).interval(0.8)

    assert band.low == pytest.approx(2)
    assert band.high == pytest.approx(32)
    assert around(8, 4).median == pytest.approx(8)


def test_three_quantiles_are_met_exactly() -> None:
    spread = between(0.4, 1, 2)

    assert [round(spread.quantile(p), 9) for p in (0.1, 0.5, 0.9)] == [0.4, 1, 2]


@settings(deadline=None, max_examples=25)
@given(levels=LEVELS, median=st.floats(0.01, 1e5), factor=st.floats(1.01, 50))
def test_intervals_of_rising_levels_lie_inside_each_other(
    levels: list[float], median: float, factor: float
) -> None:
    spread = mixture([(1, around(median, factor)), (2, around(2 * median, 1.5))])
    bands = [spread.interval(level) for level in sorted(set(levels))]

    for inner, outer in pairwise(bands):
        assert outer.low <= inner.low < inner.high <= outer.high
    assert all(band.low < spread.median < band.high for band in bands)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0.001, 1e4), min_size=5, max_size=5), st.floats(0.02, 0.98))
def test_quantile_and_probability_undo_each_other(values: list[float], share: float) -> None:
    spread = through((0.1, 0.3, 0.5, 0.7, 0.9), sorted(values))

    assert spread.below(math.log(spread.quantile(share))) == pytest.approx(share, abs=1e-6)


def test_a_mixture_is_one_of_its_parts() -> None:
    parts = ((0.3, around(2, 2)), (0.7, around(20, 3)))

    def draw(rng: random.Random) -> float:
        part = parts[0][1] if rng.random() < 0.3 else parts[1][1]
        return math.exp(part.log_at(rng.gauss(0, 1)))

    assert_agrees(mixture(parts), draw, rel=0.06)


def test_a_product_of_independent_amounts_agrees_with_a_simulation() -> None:
    hours, rate = between(2, 5, 30), between(33.5, 44, 75)

    def draw(rng: random.Random) -> float:
        return math.exp(hours.log_at(rng.gauss(0, 1)) + rate.log_at(rng.gauss(0, 1)))

    assert_agrees(product(hours, rate), draw, rel=0.05)


@pytest.mark.parametrize("parts", [[around(8, 2)] * 5, [around(h, 3) for h in (1, 2, 4, 8, 16)]])
def test_a_sum_agrees_with_a_simulation_that_shares_one_factor(parts: list[Spread]) -> None:
    def draw(rng: random.Random) -> float:
        common = rng.gauss(0, 1)
        scores = [math.sqrt(0.5) * (common + rng.gauss(0, 1)) for _ in parts]
        return sum(math.exp(p.log_at(z)) for p, z in zip(parts, scores, strict=True))

    assert_agrees(total(parts), draw, rel=0.07)


def test_the_greatest_of_several_agrees_with_a_simulation() -> None:
    parts = [around(8, 2), around(8, 2), around(12, 3)]

    def draw(rng: random.Random) -> float:
        common = rng.gauss(0, 1)
        scores = [math.sqrt(0.5) * (common + rng.gauss(0, 1)) for _ in parts]
        return max(math.exp(p.log_at(z)) for p, z in zip(parts, scores, strict=True))

    assert_agrees(longest(parts), draw, rel=0.05)


def test_one_part_is_its_own_sum() -> None:
    part = between(1, 2, 9)

    assert total([part]) is part
    assert longest([part]) is part


def test_equal_parts_without_a_common_factor_would_look_too_sure() -> None:
    parts = [around(8, 3)] * 9

    shared, alone = total(parts).interval(0.8), total(parts, correlation=0.0).interval(0.8)

    assert shared.high / shared.low > 2 * alone.high / alone.low


def test_a_floor_holds_at_every_quantile() -> None:
    held = at_least(around(8, 4), around(6, 1.1))

    assert all(held.quantile(p) >= around(6, 1.1).quantile(p) - 1e-9 for p in (0.01, 0.1, 0.5, 0.9))
    assert held.quantile(0.9) == pytest.approx(32)
