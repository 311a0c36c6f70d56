"""A house for callers without an event loop: one loop and one house for as many runs as there are."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from swarm.evals.house import House

T = TypeVar("T")


class WarmHouse:
    """Run one thing after another in the same house; nothing is opened before it is needed."""

    def __init__(self, *, engine: str | None = None) -> None:
        """Take which engine the house has; see `House`."""
        self._folder = tempfile.TemporaryDirectory(prefix="swarm-house-")
        self._runner = asyncio.Runner()
        self._house = House(Path(self._folder.name), engine=engine)

    def __enter__(self) -> "WarmHouse":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def run(self, play: Callable[[House], Coroutine[Any, Any, T]]) -> T:
        """Return what comes of playing something in the house."""
        return self._runner.run(play(self._house))

    def close(self) -> None:
        """End the engine and the loop, and delete the homes."""
        try:
            self._runner.run(self._house.close())
        finally:
            self._runner.close()
            self._folder.cleanup()
