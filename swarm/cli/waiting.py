"""Wait for an order, as its worker or beside the one that has it."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from swarm.app import App
from swarm.cli.terminal import tell
from swarm.cli.views import View
from swarm.core.document import OrderDocument
from swarm.core.errors import ConfigError

POLL_S = 0.05
"""How often an order's status is read; one indexed row."""
STOPPING = "Stopping: calls under way are given a moment. Ctrl-C again stops at once."
LOST_RACES = 20
"""How often the lock of the home may be found taken, and free a moment later."""


async def wait_for(app: App, order_id: str, view: View) -> bool:
    """Wait until the order stands still; return False where a signal came first.

    While nobody else works this home, this process does, and it stops cleanly.

    Raises:
        ConfigError: This process had to work, and cannot.
    """
    stop = asyncio.Event()
    hands = _Hands(app)
    with stopped_by_signals(stop):
        try:
            while not stop.is_set():
                await hands.lend()
                if not await _is_moving(app, order_id, view, stop):
                    return True
            return False
        finally:
            view.close()
            if stop.is_set():
                tell(STOPPING)
            await hands.withdraw()


async def _is_moving(app: App, order_id: str, view: View, stop: asyncio.Event) -> bool:
    """Show the order, then look at its status until it ends or is to be shown again."""
    document, working = await asyncio.to_thread(_look, app, order_id)
    view.show(document, working)
    until = asyncio.get_running_loop().time() + min(view.poll_s, 1.0)
    status = document.status
    while status.is_moving and not stop.is_set() and asyncio.get_running_loop().time() < until:
        await pause(stop, POLL_S)
        status = await asyncio.to_thread(app.documents.status, order_id)
    if not status.is_moving:
        view.show(*await asyncio.to_thread(_look, app, order_id))
    return status.is_moving


def _look(app: App, order_id: str) -> tuple[OrderDocument, list[dict[str, str]]]:
    return app.documents.order(order_id), app.documents.working(order_id)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not beyond the moment `stop` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


class _Hands:
    """This process as a worker, while nobody else works the home."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._stop = asyncio.Event()
        self._is_at_work = False
        self._job: asyncio.Task[None] | None = None
        self._lost = 0

    async def lend(self) -> None:
        """Begin to work if nobody does; raise what ended the work."""
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            try:
                await job
            except ConfigError:
                # Between the look at the lock and the grip somebody else may have taken it.
                self._lost += 1
                if self._is_at_work or self._lost > LOST_RACES:
                    raise
        if self._job is None and not self._app.works_for:
            self._job = asyncio.create_task(self._work())

    async def withdraw(self) -> None:
        """Stop working; what is not finished is taken up by the next worker."""
        self._stop.set()
        if self._job is not None:
            job, self._job = self._job, None
            await job

    async def _work(self) -> None:
        await self._app.worker().run(self._stop, ready=self._note)

    def _note(self) -> None:
        self._is_at_work = True


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` at SIGINT or SIGTERM; a second one ends the process as usual.

    That is safe: whatever a killed process leaves is taken up by the next worker.
    """
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def note() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, note)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
