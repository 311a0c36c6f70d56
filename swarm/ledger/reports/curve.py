"""What the next order of a kind costs: c_n = c_inf + b * n^-a over the orders of one kind.

A shape is fitted to statistics, so floats are enough; the amounts it is fitted to stay exact.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

LEAST_ORDERS = 8
"""Three unknowns need more than a handful of points to mean anything."""
BINS_PER_DOUBLING = 4
EXPONENTS = tuple(step / 20 for step in range(1, 61))
"""Tried for a: 0.05 to 3."""


@dataclass(frozen=True, slots=True)
class OrderCost:
    """One order of a kind."""

    number: int
    """Its place in the sequence in which they came; the first is 1."""
    amount: Decimal
    is_accepted: bool
    cached_tokens: int
    prompt_tokens: int
    """All of them, read from a cache or not."""


@dataclass(frozen=True, slots=True)
class Point:
    """Orders that stand near each other in the sequence, taken together."""

    first: int
    """Number of the first of them."""
    last: int
    orders: int
    """How many were looked at."""
    mean: Decimal
    accepted: int
    cached_share: float | None

    @property
    def middle(self) -> float:
        """Return where it stands in the sequence, in logs."""
        return math.sqrt(self.first * self.last)


@dataclass(frozen=True, slots=True)
class Curve:
    """The fitted shape."""

    floor: float
    """c_inf: what an order costs in the long run."""
    extra: float
    """b: what the first one costs on top."""
    exponent: float
    """a: how fast that goes away."""
    r_squared: float
    """Share of the points' variance that the shape explains; 0 where it explains none."""

    def at(self, n: float) -> float:
        """Return the cost of the n-th order."""
        return self.floor + self.extra * float(n**-self.exponent)


def points(orders: Sequence[OrderCost]) -> list[Point]:
    """Take orders together in bins that grow with their number, so that a long history stays small.

    Args:
        orders: By rising number; some may be missing.
    """
    bins: dict[int, list[OrderCost]] = {}
    for order in orders:
        bins.setdefault(int(math.log2(order.number) * BINS_PER_DOUBLING), []).append(order)
    return [_point(part) for part in bins.values()]


def _point(part: list[OrderCost]) -> Point:
    prompt = sum(order.prompt_tokens for order in part)
    cached = sum(order.cached_tokens for order in part)
    return Point(
        first=part[0].number,
        last=part[-1].number,
        orders=len(part),
        mean=sum((order.amount for order in part), Decimal(0)) / len(part),
        accepted=sum(order.is_accepted for order in part),
        cached_share=cached / prompt if prompt else None,
    )


def fit(found: Sequence[Point]) -> Curve | None:
    """Fit the shape by least squares, weighted by orders; None where no cost falls with n.

    For each exponent the best floor and extra follow in closed form; neither may be below zero.
    """
    if sum(point.orders for point in found) < LEAST_ORDERS:
        return None
    weights = [float(point.orders) for point in found]
    costs = [float(point.mean) for point in found]
    total = sum(weights)
    mean = sum(w * c for w, c in zip(weights, costs, strict=True)) / total
    spread = sum(w * (c - mean) ** 2 for w, c in zip(weights, costs, strict=True))
    best: tuple[float, Curve] | None = None
    for exponent in EXPONENTS:
        falls = [point.middle**-exponent for point in found]
        floor, extra = _line(falls, costs, weights)
        if extra <= 0:
            continue
        errors = zip(weights, costs, falls, strict=True)
        error = sum(w * (c - floor - extra * f) ** 2 for w, c, f in errors)
        explained = 1 - error / spread if spread > 0 else 0.0
        if best is None or error < best[0]:
            best = (error, Curve(floor, extra, exponent, max(explained, 0.0)))
    return best[1] if best else None


def _line(
    falls: Sequence[float], costs: Sequence[float], weights: Sequence[float]
) -> tuple[float, float]:
    """Return floor and extra of the weighted least squares, with the floor held at zero or above."""
    total = sum(weights)
    mean_f = sum(w * f for w, f in zip(weights, falls, strict=True)) / total
    mean_c = sum(w * c for w, c in zip(weights, costs, strict=True)) / total
    both = zip(weights, falls, costs, strict=True)
    covariance = sum(w * (f - mean_f) * (c - mean_c) for w, f, c in both)
    variance = sum(w * (f - mean_f) ** 2 for w, f in zip(weights, falls, strict=True))
    if variance <= 0:
        return mean_c, 0.0
    extra = covariance / variance
    floor = mean_c - extra * mean_f
    if floor >= 0:
        return floor, extra
    squares = sum(w * f * f for w, f in zip(weights, falls, strict=True))
    products = zip(weights, falls, costs, strict=True)
    return 0.0, sum(w * f * c for w, f, c in products) / squares
