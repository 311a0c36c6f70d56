"""A worker's sign of life: a file of the home that is touched as long as its event loop turns.

Whoever looks at an instance from outside (a container's health check, a farm) reads its age, and
needs neither the program nor the database for that.
"""

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import structlog

log = structlog.get_logger("swarm.heartbeat")

FILE = "heartbeat"
BEAT_S = 10.0
"""Between two touches. One that is older than a few of these belongs to a worker that hangs."""


class Life(Protocol):
    """A sign of life, from entering to leaving."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        ...

    async def run(self) -> None:
        """Give it until cancelled."""
        ...


class Heartbeat:
    """Hold the file of a home: there while somebody takes work, gone when nobody does.

    What a killed worker left is removed at the start, and comes back with the first beat. Of a home
    that workers on several hosts share, each has a file of its own, named after its host.
    """

    def __init__(self, home: Path, *, beat_s: float = BEAT_S, is_shared: bool = False) -> None:
        self._path = home / (f"{FILE}.{os.uname().nodename}" if is_shared else FILE)
        self._beat_s = beat_s

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._path.unlink(missing_ok=True)

    async def run(self) -> None:
        """Beat until cancelled. A full disk stops no worker: it is logged once until it passes."""
        is_failing = False
        while True:
            try:
                os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                os.utime(self._path)
                is_failing = False
            except OSError as error:
                if not is_failing:
                    log.warning("no sign of life can be given", path=str(self._path), error=error)
                is_failing = True
            await asyncio.sleep(self._beat_s)
