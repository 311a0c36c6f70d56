"""Counts of a provider's usage object, taken one by one and believed only where they can be true."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from swarm.core.usage import Usage

Document: TypeAlias = Mapping[str, Any]

MAX_COUNT = 10**9
"""A count above this is a mistake of the provider: a hundred times the longest prompt of any model."""

MAX_COST = 10**5
"""A call that costs more is a mistake too. A sum of 92 such still fits the column that keeps it."""

INPUT = "input"
CACHE_READ = "cache_read"
CACHE_WRITE_5M = "cache_write_5m"
CACHE_WRITE_1H = "cache_write_1h"
AUDIO_INPUT = "audio_input"
AUDIO_CACHE_READ = "audio_cache_read"
TOOL_INPUT = "tool_input"
OUTPUT = "output"
REASONING = "reasoning"
AUDIO_OUTPUT = "audio_output"
IMAGE_OUTPUT = "image_output"
VIDEO_OUTPUT = "video_output"

PROMPT_BUCKETS = (
    INPUT,
    CACHE_READ,
    CACHE_WRITE_5M,
    CACHE_WRITE_1H,
    AUDIO_INPUT,
    AUDIO_CACHE_READ,
    TOOL_INPUT,
)
ANSWER_BUCKETS = (OUTPUT, REASONING, AUDIO_OUTPUT, IMAGE_OUTPUT, VIDEO_OUTPUT)
"""Disjoint as well: `output` is what is neither reasoning nor sound nor picture."""


class UsageFaultError(ValueError):
    """Say in a sentence why a usage object cannot be priced."""


class UnknownShapeError(UsageFaultError):
    """Say that no reader knows the words of a usage object."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one model used in one turn of a call."""

    counts: Mapping[str, int]
    """Tokens by bucket. Disjoint; a bucket that is left out had none."""
    model: str | None = None
    """The model that took this turn, where the provider names it."""
    is_main: bool = True
    """Whether the model that was asked took the turn; if not, `model` is to be named."""

    @property
    def prompt_tokens(self) -> int:
        """Return the size of the turn's whole prompt."""
        return sum(self.counts.get(bucket, 0) for bucket in PROMPT_BUCKETS)

    def usage(self) -> Usage:
        """Return the same in the buckets of the ledger."""
        get = self.counts.get
        return Usage(
            input_tokens=get(INPUT, 0),
            cache_read_tokens=get(CACHE_READ, 0) + get(AUDIO_CACHE_READ, 0),
            cache_write_tokens=get(CACHE_WRITE_5M, 0),
            output_tokens=sum(get(bucket, 0) for bucket in ANSWER_BUCKETS),
            reasoning_tokens=get(REASONING, 0),
            cache_write_1h_tokens=get(CACHE_WRITE_1H, 0),
            audio_tokens=get(AUDIO_INPUT, 0),
            tool_tokens=get(TOOL_INPUT, 0),
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """A usage object, understood."""

    samples: tuple[Sample, ...]
    units: Mapping[str, int]
    """What is billed by the piece: searches, sources, seconds."""
    tier: str | None
    """The service tier the provider names; None where it names none."""
    region: str | None
    """The place of inference that is billed apart; None where it is none."""

    def usage(self) -> Usage:
        """Return the sum of all turns."""
        first, *others = (sample.usage() for sample in self.samples)
        return sum(others, first)


def count(holder: Document, key: str) -> int:
    """Return a count that has to be there.

    Raises:
        UsageFaultError: It is missing, or no whole number from 0 to `MAX_COUNT`.
    """
    value = optional(holder, key)
    if value is None:
        raise UsageFaultError(f"{key} is missing")
    return value


def optional(holder: Document, key: str) -> int | None:
    """Return a count, or None where there is none.

    Raises:
        UsageFaultError: It is no whole number from 0 to `MAX_COUNT`.
    """
    value = holder.get(key)
    if value is None:
        return None
    if type(value) is not int:
        raise UsageFaultError(f"{key} is no whole number")
    if value < 0:
        raise UsageFaultError(f"{key} is below zero")
    if value > MAX_COUNT:
        raise UsageFaultError(f"{key} is larger than any call can be")
    return value


def agreed(name: str, *places: tuple[Document, str]) -> int:
    """Return a count that may stand in several places, and 0 where it stands in none.

    A place that says 0 beside one that says more does not count: several libraries fill the fields
    they do not know with zeros.

    Raises:
        UsageFaultError: Two places say different numbers.
    """
    values = {value for holder, key in places if (value := optional(holder, key))}
    if len(values) > 1:
        raise UsageFaultError(f"{name} is given as {' and as '.join(map(str, sorted(values)))}")
    return values.pop() if values else 0


def mapping(holder: Document, key: str) -> Document:
    """Return a nested object, an empty one where there is none.

    Raises:
        UsageFaultError: Something else stands there.
    """
    value = holder.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageFaultError(f"{key} is no object")
    return value


def listed(holder: Document, key: str) -> list[Document]:
    """Return a nested list of objects, an empty one where there is none.

    Raises:
        UsageFaultError: Something else stands there.
    """
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise UsageFaultError(f"{key} is no list of objects")
    return value


def rest(whole: int, *parts: int, name: str) -> int:
    """Return what is left of a whole.

    Raises:
        UsageFaultError: The parts are more than the whole.
    """
    left = whole - sum(parts)
    if left < 0:
        raise UsageFaultError(f"{name} of {whole} is less than its parts, {sum(parts)}")
    return left


def amount(value: Any) -> Decimal | None:
    """Return a sum of money as a provider writes it; None for what is none, or below zero."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = Decimal(str(value))
    except ArithmeticError:
        return None
    # Beyond these bounds it is no price of a call, and its digits could fill the memory.
    is_money = found.is_finite() and 0 <= found <= MAX_COST
    return found if is_money and found.as_tuple().exponent >= -30 else None  # type: ignore[operator]
