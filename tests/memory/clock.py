"""A clock that a test sets."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


class HandClock:
    """Stand still, a millisecond further at every look, until told otherwise."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        """Return the moment."""
        self._now += timedelta(milliseconds=1)
        return self._now

    def monotonic(self) -> float:
        """Return its seconds since it began."""
        return (self._now - START).total_seconds()

    def forward(self, **units: float) -> None:
        """Let time pass."""
        self._now += timedelta(**units)
