"""The clock, given by constructor so that a replay can hold it still."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tell the time. Durations come from `monotonic`, never from two `now` readings."""

    def now(self) -> datetime:
        """Return the aware UTC moment."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards, from an arbitrary start."""


class SystemClock:
    """Read the machine's clocks."""

    def now(self) -> datetime:
        """Return the aware UTC moment."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


def iso(moment: datetime) -> str:
    """Write an aware moment as UTC ISO-8601 with microseconds, so that texts sort as times do."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_iso(text: str) -> datetime:
    """Read what `iso` wrote.

    Raises:
        ValueError: Not such a text.
    """
    if not text.endswith("Z"):
        raise ValueError(f"not a UTC time: {text!r}")
    return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
