"""One home with its orders, its provider and the workers that live and die on it."""

import asyncio
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa

from swarm.app import App
from swarm.core.order import OrderStatus
from swarm.settings import load
from swarm.store.tables import orders, outbox
from tests.chaos import jobs
from tests.chaos.nursery import Child, Nursery

T = TypeVar("T")
Ground: TypeAlias = Callable[..., "Site"]
"""Opens a company in a folder, with `api_base` and perhaps `settings`, on one of the databases."""

MODEL = "openai/gpt-4o-mini"
PATIENCE_S = 100.0
"""Longest wait for anything; reached only where something is broken."""
LOOK_S = 0.02
SHOWN = 40
"""Rows of each kind in the report of a failed test."""
UNFINISHED = """
SELECT workflow_uuid, status, application_version FROM workflow_status
WHERE status IN ('PENDING', 'ENQUEUED')
"""
"""Work that the engine still has to do."""
_LOST = ("database is locked", "DBOSUnexpectedStep", "Traceback", "never retrieved")


async def within(awaited: "Awaitable[T] | Future[T]", timeout_s: float = PATIENCE_S) -> T:
    """Wait for an event, but not for ever."""
    if isinstance(awaited, Future):
        awaited = asyncio.wrap_future(awaited)
    return await asyncio.wait_for(awaited, timeout_s)


async def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Wait for what another process commits, which is no event that this one could await.

    Returns:
        True once it came about, False where it did not in a long time.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True


class Site:
    """A home, seen by the test: it places orders and looks, while workers work and are killed."""

    def __init__(
        self,
        folder: Path,
        nursery: Nursery,
        *,
        template: Path,
        api_base: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        shutil.copytree(template, self.home)
        self.sent = folder / "sent.jsonl"
        self.sent.touch()
        self.stderr = folder / "stderr.txt"
        self.stderr.touch()
        self.environment = environment(self.home, api_base) | dict(settings or {})
        self.app = App(load(self.environment))
        self.keys: dict[str, str] = {}
        """The key of each order, by its id."""
        self._nursery = nursery
        self._children: list[Child] = []

    async def __aenter__(self) -> "Site":
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._children:
            child.signal(signal.SIGKILL)
        for child in self._children:
            await within(child.event("ended"))
        self.app.close()

    async def place(self, number: int) -> str:
        """Place the order of that number; its key is made of it."""
        key = f"KEY-{number:04d}"
        message = jobs.message(f"{key}: write it down in three parts.", f"u{number}")
        order_id = await asyncio.to_thread(self.app.intake.place, message)
        self.keys[order_id] = key
        return order_id

    def child(self, job: str, **arguments: Any) -> Child:
        """Start a job on this home in a process of its own."""
        child = self._nursery.start(job, self.environment, stderr=self.stderr, **arguments)
        self._children.append(child)
        return child

    def worker(self, **options: Any) -> Child:
        """Start a worker, with the options of `jobs.work`."""
        return self.child("work", sent=str(self.sent), **options)

    async def ready(self, worker: Child) -> None:
        """Wait until the worker takes work.

        Raises:
            AssertionError: It ended before; with what it wrote to standard error.
        """
        ready, ended = (asyncio.wrap_future(worker.event(name)) for name in ("ready", "ended"))
        await within(asyncio.wait([ready, ended], return_when=asyncio.FIRST_COMPLETED))
        assert ready.done(), f"the worker ended:\n{self.shown()}"

    async def end(self, worker: Child, number: signal.Signals = signal.SIGTERM) -> int:
        """End a worker by a signal and return its exit code."""
        worker.signal(number)
        return int(await within(worker.event("ended")))

    def statuses(self) -> dict[str, OrderStatus]:
        """Return where each order stands."""
        rows = self.app.store.read(lambda c: c.execute(sa.select(orders.c.id, orders.c.status)))
        return {row.id: OrderStatus(row.status) for row in rows}

    @property
    def is_working(self) -> bool:
        """True where a worker has an order in its hands."""
        return OrderStatus.WORKING in self.statuses().values()

    async def halted(self, worker: Child, patience_s: float = PATIENCE_S) -> None:
        """Wait until no order moves any more and every message is out.

        Raises:
            AssertionError: The worker ended before.
        """

        def is_halted() -> bool:
            assert worker.is_alive, f"the worker ended:\n{self.shown()}"
            return self._is_quiet()

        assert await until(is_halted, patience_s), f"no halt:\n{self.shown()}"

    def shown(self) -> str:
        """Return where all stands, for the report of a failed test."""
        queries = (
            "SELECT id, status, reason FROM orders WHERE status != 'delivered'",
            UNFINISHED,
            "SELECT order_id, node, attempt, state, error_text FROM ledger WHERE state != 'used'",
            "SELECT order_id, state FROM outbox WHERE state != 'sent'",
        )
        rows = self.app.store.read(
            lambda c: [
                tuple(row) for query in queries for row in c.exec_driver_sql(query).fetchmany(SHOWN)
            ]
        )
        return "\n".join([*map(str, rows), self.stderr.read_text()[-2000:]])

    def _is_quiet(self) -> bool:
        if any(status.is_moving for status in self.statuses().values()):
            return False
        unsent = sa.select(outbox.c.id).where(outbox.c.state.in_(["pending", "sending"])).limit(1)
        return self.app.store.read(
            lambda c: (
                c.execute(unsent).first() is None and c.exec_driver_sql(UNFINISHED).first() is None
            )
        )

    def faults(self) -> str:
        """Return standard error from where it first tells of something broken, lost or mixed."""
        text = self.stderr.read_text()
        found = [text.find(word) for word in _LOST if word in text]
        return text[min(found) :][:4000] if found else ""


def environment(home: Path, api_base: str) -> dict[str, str]:
    """Return a worker's environment: a priced model at a provider on loopback, quick to look."""
    return {
        "SWARM_HOME": str(home),
        "HOME": str(home),
        "SWARM_LLM__MODEL": MODEL,
        "SWARM_LLM__API_BASE": api_base,
        "SWARM_LLM__API_KEY": "sk-test",
        "SWARM_LIMITS__POLL_S": "0.05",
        "SWARM_BUDGET__DAY": "100000",
    }
