"""What is not known exactly: a positive amount with all of its quantiles.

A spread is kept as the logs of its quantiles on a fixed grid of normal scores, straight in
between. So every level can be asked for, intervals of rising levels lie inside each other, and
sums, products and mixtures come out the same on every run: nothing here is drawn at random.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

STEP = 0.1
GRID = tuple(round(-3.5 + STEP * index, 1) for index in range(71))
"""Normal scores at which quantiles are kept: from 1 in 4,300 to all but 1 in 4,300."""
CORRELATION = 0.5
"""Of the logs of two parts' errors: one planner, one team, one optimism."""
_LEAST_RISE = 0.002
"""Least growth of a log quantile per step, so that no spread is a single number."""
_POINTS = 161
_VALUES = 16
"""How finely a sum is worked out, at each value of the common factor."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle `level` of a spread."""

    level: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """A positive amount; `logs` are natural logs of its quantiles at `GRID`, strictly rising."""

    logs: tuple[float, ...]

    def quantile(self, probability: float) -> float:
        """Return the amount that is not passed with a probability between 0 and 1, exclusive."""
        return math.exp(self.log_at(score(probability)))

    @property
    def median(self) -> float:
        """Return the amount that is passed as often as not."""
        return self.quantile(0.5)

    def interval(self, level: float) -> Interval:
        """Return the middle `level` (between 0 and 1, exclusive), cut evenly at both ends."""
        tail = (1 - level) / 2
        return Interval(level, self.quantile(tail), self.quantile(1 - tail))

    def log_at(self, normal_score: float) -> float:
        """Return the log quantile at a normal score; beyond the grid it goes on straight."""
        place = (normal_score - GRID[0]) / STEP
        index = min(max(int(place), 0), len(GRID) - 2)
        low, high = self.logs[index], self.logs[index + 1]
        return low + (high - low) * (place - index)

    def score_of(self, log: float) -> float:
        """Return the normal score at which the log quantile has a value."""
        index = min(max(bisect_right(self.logs, log) - 1, 0), len(GRID) - 2)
        low, high = self.logs[index], self.logs[index + 1]
        return GRID[index] + STEP * (log - low) / (high - low)

    def below(self, log: float) -> float:
        """Return the probability of staying below an amount, given its log."""
        return share_below(self.score_of(log))

    def times(self, factor: float) -> "Spread":
        """Return this amount times a known factor."""
        shift = math.log(factor)
        return Spread(tuple(log + shift for log in self.logs))

    def stretched(self, factor: float) -> "Spread":
        """Return the same median with all distances from it, in logs, times a factor."""
        middle = self.log_at(0.0)
        return of_logs([middle + (log - middle) * factor for log in self.logs])

    def to_power(self, exponent: float) -> "Spread":
        """Return this amount to a positive power."""
        return of_logs([log * exponent for log in self.logs])


@cache
def score(probability: float) -> float:
    """Return the normal score of a probability between 0 and 1, exclusive."""
    # Costs the start of a command more than all that is above it, and only predictions need it.
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)


def share_below(normal_score: float) -> float:
    """Return the probability that belongs to a normal score."""
    return math.erfc(-normal_score / math.sqrt(2)) / 2


def of_logs(logs: Sequence[float]) -> Spread:
    """Make a spread of log quantiles at `GRID`, lifted where they do not rise."""
    rising: list[float] = []
    for log in logs:
        rising.append(max(log, rising[-1] + _LEAST_RISE) if rising else log)
    return Spread(tuple(rising))


def around(median: float, factor: float) -> Spread:
    """Return the lognormal whose middle 80 % lies between `median` over and times `factor`."""
    sigma = math.log(factor) / score(0.9)
    return of_logs([math.log(median) + sigma * z for z in GRID])


def between(low: float, median: float, high: float) -> Spread:
    """Return the spread with these 10, 50 and 90 % quantiles: two halves of lognormals."""
    down, up = math.log(median / low) / score(0.9), math.log(high / median) / score(0.9)
    return of_logs([math.log(median) + (up if z > 0 else down) * z for z in GRID])


def through(probabilities: Sequence[float], quantiles: Sequence[float]) -> Spread:
    """Return the spread through given quantiles, in normal scores straight between and beyond."""
    scores = [score(p) for p in probabilities]
    logs = [math.log(q) for q in quantiles]
    found = []
    for z in GRID:
        index = min(max(bisect_right(scores, z) - 1, 0), len(scores) - 2)
        rise = (logs[index + 1] - logs[index]) / (scores[index + 1] - scores[index])
        found.append(logs[index] + rise * (z - scores[index]))
    return of_logs(found)


def blend(near: Spread, far: Spread, share: float) -> Spread:
    """Return what lies between two spreads, quantile by quantile; `share` 1 is all `far`."""
    pairs = zip(near.logs, far.logs, strict=True)
    return of_logs([a + (b - a) * share for a, b in pairs])


def mixture(parts: Sequence[tuple[float, Spread]]) -> Spread:
    """Return the spread that is one of several, with the given weights; at least one is positive."""
    real = [(weight, part) for weight, part in parts if weight > 0]
    if len(real) == 1:
        return real[0][1]
    whole = sum(weight for weight, _ in real)
    low = min(part.logs[0] for _, part in real)
    high = max(part.logs[-1] for _, part in real)
    return _inverted(
        low, high, lambda log: sum(weight * part.below(log) for weight, part in real) / whole
    )


def product(one: Spread, other: Spread) -> Spread:
    """Return the product of two independent amounts."""
    shifts = [(weight, other.log_at(z)) for z, weight in _factors()]
    low, high = one.logs[0] + other.logs[0], one.logs[-1] + other.logs[-1]
    return _inverted(
        low, high, lambda log: sum(weight * one.below(log - shift) for weight, shift in shifts)
    )


def total(parts: Sequence[Spread], *, correlation: float = CORRELATION) -> Spread:
    """Add amounts whose errors lean the same way.

    A common factor is held at each of its values in turn. The parts are then independent, and are
    added as lists of equally likely values. One part comes back as it is.
    """
    if len(parts) == 1:
        return parts[0]
    common, own = math.sqrt(correlation), math.sqrt(1 - correlation)
    # The smallest first, so that the same parts in another order give the same digits.
    groups = sorted(_counted(parts), key=lambda group: group[0].logs)
    sums = []
    for factor, weight in _factors():
        whole = [0.0]
        for part, count in groups:
            whole = _added(whole, _repeated(_values(part, common * factor, own), count))
        sums.append((weight, [math.log(value) for value in whole]))
    low = min(logs[0] for _, logs in sums)
    high = max(logs[-1] for _, logs in sums)
    found = _inverted(low, high, lambda log: sum(w * _share(logs, log) for w, logs in sums))
    # A sum of positive amounts is never below one of them; working it out in steps could be.
    for part, _ in groups:
        found = at_least(found, part)
    return found


def _values(part: Spread, shift: float, width: float) -> list[float]:
    """Return equally likely values of a part at a value of the common factor."""
    found = []
    for scores in _slices():
        amounts = [math.exp(part.log_at(shift + width * z)) for z in scores]
        found.append(sum(amounts) / len(amounts))
    return found


@cache
def _slices() -> tuple[tuple[float, ...], ...]:
    """Return where to look at equally likely slices: at the ends often, for there the tails are."""
    ends = (0, _VALUES - 1)
    return tuple(
        tuple(score((index + (place + 0.5) / many) / _VALUES) for place in range(many))
        for index in range(_VALUES)
        for many in (8 if index in ends else 1,)
    )


@cache
def _factors() -> tuple[tuple[float, float], ...]:
    """Return values of a normal common factor with their weights, far into its tails."""
    scores = [0.5 * index for index in range(-8, 9)]
    weights = [math.exp(-(z**2) / 2) for z in scores]
    whole = sum(weights)
    return tuple((z, weight / whole) for z, weight in zip(scores, weights, strict=True))


def _repeated(values: list[float], count: int) -> list[float]:
    """Return the sum of so many independent amounts, each with these equally likely values."""
    found, power = [0.0], values
    while count:
        if count % 2:
            found = _added(found, power)
        count //= 2
        if count:
            power = _added(power, power)
    return found


def _added(one: list[float], other: list[float]) -> list[float]:
    """Return the sum of two independent amounts, as equally likely values in rising order."""
    if len(one) == 1:
        return [one[0] + value for value in other]
    sums = sorted(first + second for first in one for second in other)
    size = len(sums) // _VALUES
    return [sum(sums[start : start + size]) / size for start in range(0, size * _VALUES, size)]


def _share(logs: Sequence[float], log: float) -> float:
    """Return the probability of staying below, where each of the values holds an equal slice."""
    count = len(logs)
    index = min(max(bisect_right(logs, log) - 1, 0), count - 2)
    rise = max(logs[index + 1] - logs[index], 1e-9)
    return min(max((index + 0.5 + (log - logs[index]) / rise) / count, 0.0), 1.0)


def longest(parts: Sequence[Spread], *, correlation: float = CORRELATION) -> Spread:
    """Return the greatest of amounts whose errors lean the same way."""
    if len(parts) == 1:
        return parts[0]
    common, own = math.sqrt(correlation), math.sqrt(1 - correlation)

    def below(log: float) -> float:
        scores = [(part.score_of(log), count) for part, count in _counted(parts)]
        shares = (
            weight * math.prod(share_below((z - common * f) / own) ** count for z, count in scores)
            for f, weight in _factors()
        )
        return sum(shares)

    return _inverted(
        min(part.logs[0] for part in parts), max(part.logs[-1] for part in parts) + 1, below
    )


def at_least(spread: Spread, floor: Spread) -> Spread:
    """Return an amount held, quantile by quantile, to what it cannot go below."""
    return of_logs([max(pair) for pair in zip(spread.logs, floor.logs, strict=True)])


def _counted(parts: Sequence[Spread]) -> list[tuple[Spread, int]]:
    """Return each part once, with how often it is there: equal parts are worked out once."""
    return list(Counter(parts).items())


@cache
def _grid_shares() -> tuple[float, ...]:
    return tuple(share_below(z) for z in GRID)


def _inverted(low: float, high: float, below: Callable[[float], float]) -> Spread:
    """Return the spread of which `below` gives the probability of staying under a log."""
    width = (high - low) / (_POINTS - 1)
    points = [low + width * index for index in range(_POINTS)]
    shares = [below(point) for point in points]
    logs = []
    for wanted in _grid_shares():
        index = min(max(bisect_right(shares, wanted) - 1, 0), _POINTS - 2)
        left, right = shares[index], shares[index + 1]
        place = (wanted - left) / (right - left) if right > left else 0.0
        logs.append(points[index] + width * min(max(place, 0.0), 1.0))
    return of_logs(logs)
