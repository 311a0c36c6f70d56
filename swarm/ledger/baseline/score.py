"""How good intervals are, told by what came out: coverage, width, and how far off the middle is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swarm.ledger.baseline.spread import Spread, score

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often an interval of a level held what came out."""

    level: float
    held: int
    count: int
    low: float
    """Bounds of the true share with 95 % confidence (Clopper and Pearson, exact binomial)."""
    high: float
    width: float
    """Median of upper over lower bound."""
    interval_score: float
    """Mean interval score on natural logs (Gneiting and Raftery 2007): lower is better."""

    @property
    def share(self) -> float:
        """Return the share held."""
        return self.held / self.count


@dataclass(frozen=True, slots=True)
class Scores:
    """How a set of predictions did."""

    count: int
    coverage: tuple[Coverage, ...]
    median_abs_log_error: float
    """Of the median, in natural logs: 0.69 is a factor of two."""
    bias: float
    """Geometric mean of actual over predicted median: above 1, work took longer."""
    within_2x: float
    """Share of medians within a factor of two."""
    total_over_predicted: float
    """Sum of actuals over sum of predicted medians."""


def scores(
    predicted: Sequence[Spread], actual: Sequence[float], *, levels: Sequence[float] = LEVELS
) -> Scores:
    """Score predictions against what came out; both in one order, at least one."""
    errors = [
        math.log(value) - spread.log_at(0.0)
        for spread, value in zip(predicted, actual, strict=True)
    ]
    medians = sum(math.exp(spread.log_at(0.0)) for spread in predicted)
    return Scores(
        count=len(errors),
        coverage=tuple(_coverage(predicted, actual, level) for level in levels),
        median_abs_log_error=_median([abs(error) for error in errors]),
        bias=math.exp(sum(errors) / len(errors)),
        within_2x=sum(abs(error) <= math.log(2) + 1e-12 for error in errors) / len(errors),
        total_over_predicted=sum(actual) / medians,
    )


def _coverage(predicted: Sequence[Spread], actual: Sequence[float], level: float) -> Coverage:
    edge = score((1 + level) / 2)
    held, penalties, widths = 0, 0.0, []
    for spread, value in zip(predicted, actual, strict=True):
        low, high, log = spread.log_at(-edge), spread.log_at(edge), math.log(value)
        outside = max(low - log, log - high, 0.0)
        held += outside <= 1e-9
        widths.append(high - low)
        penalties += high - low + 2 / (1 - level) * outside
    count = len(widths)
    low, high = binomial_bounds(held, count)
    return Coverage(level, held, count, low, high, math.exp(_median(widths)), penalties / count)


def binomial_bounds(held: int, count: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact bounds of a share of which `held` of `count` were seen."""
    tail = (1 - confidence) / 2
    low = 0.0 if held == 0 else _solve(lambda p: _at_least(held, count, p) - tail)
    high = 1.0 if held == count else _solve(lambda p: tail - _at_most(held, count, p))
    return low, high


def _solve(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def _at_least(held: int, count: int, p: float) -> float:
    # Of the other outcome, at most the rest: the same sum with the ends changed over.
    return _at_most(count - held, count, 1 - p)


def _at_most(held: int, count: int, p: float) -> float:
    """Return the probability of at most so many, summed down from the largest of them."""
    if not 0 < p < 1:
        return float(p <= 0 or held >= count)
    log = math.lgamma(count + 1) - math.lgamma(held + 1) - math.lgamma(count - held + 1)
    term = math.exp(log + held * math.log(p) + (count - held) * math.log1p(-p))
    whole, odds = term, (1 - p) / p
    for k in range(held, 0, -1):
        term *= k / (count - k + 1) * odds
        whole += term
        if term < whole * 1e-15:
            break
    return min(whole, 1.0)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
