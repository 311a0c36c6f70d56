"""Where orders are worked: an event loop in a thread of its own, away from those who talk to people.

Fifty orders whose models answer at once keep a loop busy for a second and more. Whoever listens to
a platform on the same loop would hear of nothing meanwhile, and could tell nobody that their
message is stored. On two loops both sides still share the interpreter, but each gets its turn
within milliseconds. They meet in the database, and nowhere else.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol, Self, TypeVar

T = TypeVar("T")


class RestingSelector(selectors.DefaultSelector):
    """Know for how long the loop rested: it waits nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.rested_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events as usual."""
        began = time.monotonic()
        try:
            return super().select(timeout)
        finally:
            self.rested_s += time.monotonic() - began


class Workplace(Protocol):
    """Somewhere that coroutines are run to their end."""

    async def __aenter__(self) -> Self:
        """Open the place."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        ...

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine and return what it comes to."""
        ...

    def rested_s(self) -> float | None:
        """Return for how long its loop had nothing to do so far, in seconds; None: not measured."""
        ...


class Here:
    """The loop of whoever asks: for a worker that talks to nobody."""

    def rested_s(self) -> float | None:
        """Return None: the loop is not ours."""
        return None

    async def __aenter__(self) -> Self:
        """Return itself; there is nothing to open."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave everything as it is."""

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine and return what it comes to."""
        return await work()


class Workshop:
    """A loop in a thread of its own, from entering to leaving."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None
        self._selector = RestingSelector()

    def rested_s(self) -> float | None:
        """Return for how long the loop had nothing to do so far, in seconds."""
        return self._selector.rested_s

    async def __aenter__(self) -> Self:
        """Start the thread; its loop runs when this returns."""
        home = asyncio.get_running_loop()
        is_open: asyncio.Future[None] = home.create_future()

        async def stay() -> None:
            self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
            home.call_soon_threadsafe(is_open.set_result, None)
            await self._over.wait()

        def work() -> None:
            make = partial(asyncio.SelectorEventLoop, self._selector)
            with asyncio.Runner(loop_factory=make) as runner:
                runner.run(stay())

        # A daemon: whoever is killed between two awaits must not hang on it.
        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()
        await is_open
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the loop, cancel what is still on it, and wait for the thread."""
        assert self._loop is not None
        assert self._over is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._over.set)
        await asyncio.to_thread(self._thread.join)

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the other loop and return what it comes to; a cancel goes along."""
        assert self._loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._loop))
