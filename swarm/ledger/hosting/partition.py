"""Divide an amount by what was used of a machine, so that the parts are the whole to the last digit.

Half of the price is for processors, half for memory (a setting). Somebody's part is the share of
the machine's processor-seconds and of its memory-seconds that were theirs, each of its half; what
nobody used is idle, a part of its own. Where more was used than the machine has (the settings name
a smaller one), the parts shrink in proportion and idle is zero, never negative.

All is whole numbers: 1e-12 parts of the currency, microseconds, KiB-milliseconds. What is left over
by rounding goes, one by one, to the largest remainders (ties in the order of the names).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Use(NamedTuple):
    """What somebody used, or had kept for them."""

    cpu_us: int
    memory_kib_ms: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machine had to give in the same time, of which `cpu_part` of the price is for processors."""

    cpu_us: int
    memory_kib_ms: int
    cpu_part: Decimal = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class Parts(Generic[K]):
    """A divided amount in 1e-12 parts. `direct` and `idle` are the whole; so are `full` and `rest`."""

    direct: Mapping[K, int]
    idle: int
    full: Mapping[K, int]
    """With the idle part spread over all in proportion to their direct parts."""
    rest: int
    """Idle that nobody is there to bear; zero where anybody worked."""


def partition(amount: int, uses: Mapping[K, Use], capacity: Capacity) -> Parts[K]:
    """Divide an amount among all that used the machine, and idle.

    Args:
        amount: In 1e-12 parts, at least 0.
        uses: By whom; a negative use counts as none.
        capacity: All that there was to use.
    """
    keys = list(uses)
    cpu = [max(use.cpu_us, 0) for use in uses.values()]
    memory = [max(use.memory_kib_ms, 0) for use in uses.values()]
    all_cpu = max(capacity.cpu_us, sum(cpu), 1)
    all_memory = max(capacity.memory_kib_ms, sum(memory), 1)
    part = Fraction(capacity.cpu_part)
    # Over one denominator: no fraction is ever made of a weight.
    for_cpu, for_memory = part.numerator, part.denominator - part.numerator
    weights = [
        for_cpu * c * all_memory + for_memory * m * all_cpu
        for c, m in zip(cpu, memory, strict=True)
    ]
    whole = part.denominator * all_cpu * all_memory
    shares = apportion(amount, [*weights, whole - sum(weights)])
    direct = dict(zip(keys, shares[:-1], strict=True))
    idle = shares[-1]
    spread = apportion(idle, weights if any(weights) else [1] * len(keys)) if keys else []
    full = {key: direct[key] + extra for key, extra in zip(keys, spread, strict=True)}
    return Parts(direct, idle, full, 0 if keys else idle)


def apportion(amount: int, weights: Sequence[int]) -> list[int]:
    """Divide a whole number in proportion to weights; the parts add up to it.

    Args:
        amount: At least 0.
        weights: At least 0, one of them more.
    """
    total = sum(weights)
    assert total > 0
    parts: list[int] = []
    remainders: list[int] = []
    for weight in weights:
        part, remainder = divmod(amount * weight, total)
        parts.append(part)
        remainders.append(remainder)
    order = sorted(range(len(parts)), key=lambda at: (-remainders[at], at))
    for at in order[: amount - sum(parts)]:
        parts[at] += 1
    return parts
