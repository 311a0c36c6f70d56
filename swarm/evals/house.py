"""A house for many replays: one database and one engine, put back as they were between two orders.

The order is worked by a plain engine, unless production's is asked for: what a durable engine does
beside, for the sake of a process that dies, is in no recording, and takes half of the time.

Opening a company's home costs more than playing an order in it: tables, connections, statements to
compile, the launch of the engine. A house does that once. Each order still finds a company of its
own: its folder is empty, its database holds what a new one holds, byte for byte, and all parts of
the app are made anew. What one order left is gone before the next one comes.
"""

import asyncio
import contextvars
import itertools
import shutil
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.pool import QueuePool, StaticPool

from swarm.app import ENGINES
from swarm.core.errors import InvalidInput
from swarm.evals.homes import empty_database
from swarm.evals.undoing import (
    UndoableConnection,
    begin_by_savepoint,
    driver_of,
    open_undoable,
)
from swarm.runtime import plain_engine
from swarm.runtime.engine import SEGMENT, TASK, Argument, Engine, Workflow
from swarm.runtime.plain_engine import PlainEngine
from swarm.settings import make_home
from swarm.store.database import Store
from swarm.store.subseconds import teach_subseconds

T = TypeVar("T")

PLAIN, DURABLE = "plain", "dbos"
"""The engines that a house may have: one that waits for nobody, and production's own."""
POLL_S = 0.003
"""How often the engine looks for work, while there is any: work that it took has begun by then."""
REST_S = 0.25
"""How long a look for work is put off at most, where none was enqueued."""
LOOKER = "queue-worker"
"""What the engine's threads that look for work are called. By another name they would find the same
work, and cost more."""
SETTLE_S = 2.0
"""How long the engine may take to write that work has ended, before it is begun anew."""
LOOK_S = 0.001
CONCURRENCY = 8
"""Orders at work at once; a scenario has two or three."""
WAIT_S = 60.0
"""How long a thread waits for the one connection."""


class Work:
    """Whether anything waits to be begun, for threads that would look for it in vain."""

    def __init__(self) -> None:
        self._is_there = threading.Event()
        self._count = 0
        self._is_over = False

    def came(self) -> None:
        """Note that work was enqueued."""
        self._count += 1
        self._is_there.set()

    def began(self) -> None:
        """Note that enqueued work is being done."""
        self._count = max(self._count - 1, 0)
        if not self._count and not self._is_over:
            self._is_there.clear()

    def clear(self) -> None:
        """Note that nothing waits any more."""
        self._count = 0
        self.began()

    def end(self) -> None:
        """Keep nobody waiting from now on."""
        self._is_over = True
        self._is_there.set()

    def wait(self) -> None:
        """Wait for work, but not for long: what was never noted is found all the same."""
        self._is_there.wait(REST_S)


class HouseStore(Store):
    """A database in memory, on one connection that one thread has at a time.

    Nothing waits for a disk, so nothing is handed to a thread that waits for it.
    """

    def __init__(self, content: bytes, *, is_shared: bool = True) -> None:
        """Open a database with the pages of another.

        Args:
            content: The pages.
            is_shared: Whether others use it than those who come by `write` and `read`: an engine
                with threads of its own.
        """
        self._content = content
        self._is_shared = is_shared
        self._kept: tuple[Connection, UndoableConnection] | None = None
        self._turn = threading.Lock()
        self.work = Work()
        super().__init__("sqlite://")

    def _make_engine(self) -> sa.Engine:
        teach_subseconds()
        if not self._is_shared:
            content = self._content
            engine = sa.create_engine(
                "sqlite://", creator=lambda: open_undoable(content), poolclass=StaticPool
            )
            begin_by_savepoint(engine)
            return engine
        pool = _OneConnection(cast(Any, self._open), pool_size=1, max_overflow=0, timeout=WAIT_S)
        pool.work = self.work
        return sa.create_engine("sqlite://", pool=pool)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            ":memory:", check_same_thread=False, isolation_level="IMMEDIATE"
        )
        connection.deserialize(self._content)
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction and commit it."""
        if self._is_shared:
            return super().write(work)
        # What SQLAlchemy and its pool do around a transaction costs more than most statements.
        with self._turn:
            connection, driver = self._held()
            driver.begin()
            try:
                done = work(connection)
            except BaseException:
                driver.rollback()
                raise
            driver.commit()
            return done

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the same connection, between two transactions."""
        if self._is_shared:
            return super().read(work)
        with self._turn:
            connection, driver = self._held()
            driver.begin()
            try:
                return work(connection)
            finally:
                driver.rollback()

    def _held(self) -> tuple[Connection, UndoableConnection]:
        """Return the one connection, in a transaction that SQLAlchemy never ends, and its driver's."""
        if self._kept is None:
            connection = self.engine.connect()
            connection.begin()
            driver = driver_of(connection)
            driver.commit()
            self._kept = connection, driver
        return self._kept

    async def awrite(self, work: Callable[[Connection], T], *, is_urgent: bool = False) -> T:
        """Run `work` in one transaction, here and now."""
        # A company's writer is a thread that knows nothing of whose work it is: what it reads of
        # the clock is the order's time, not the task's, and so it must be here.
        return contextvars.Context().run(self.write, work)

    async def aread(self, work: Callable[[Connection], T]) -> T:
        """Run `work` here and now."""
        return self.read(work)

    def keep(self) -> None:
        """Take what the database holds now for what `put_back` brings back."""
        with self.engine.connect() as connection:
            driver = driver_of(connection)
            self._content = driver.serialize()
            if isinstance(driver, UndoableConnection):
                driver.keep()

    def put_back(self) -> None:
        """Let the database hold again what it held at the last `keep`, and nothing else."""
        self.work.clear()
        kept = self._kept
        if kept is not None and kept[1].is_undoable:
            kept[1].undo()
            return
        self._kept = None
        with kept[0] if kept else self.engine.connect() as connection:
            # The next one opens anew. Other pages under an open connection are no way: what its
            # full-text index holds in memory would point into the old ones.
            connection.invalidate()

    def close(self) -> None:
        """Stay open: an app that ends leaves the house to the next one."""

    def dispose(self) -> None:
        """Let go of the database."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[0].close()
        super().close()


class _OneConnection(QueuePool):
    """The pool of one connection; whoever looks for work gets it once there may be some."""

    work: Work

    def connect(self) -> Any:
        """Return the connection, once nobody else has it."""
        # A work's transaction has the connection by then, so the look sees what it commits.
        if threading.current_thread().name.startswith(LOOKER):
            self.work.wait()
        return super().connect()


class StandingEngine:
    """An engine that stays launched, while one app after another gives it its workflows."""

    def __init__(self, inner: Engine, store: HouseStore, *, unfinished: str) -> None:
        """Take an engine.

        Args:
            inner: The engine.
            store: Its database.
            unfinished: The query that finds a row while it has work.
        """
        self._inner = inner
        self._unfinished = unfinished
        self._store = store
        self._functions: Mapping[str, Workflow] = {}
        self._has_functions = asyncio.Event()
        self._running: set[asyncio.Future[None]] = set()
        self._ended = asyncio.Event()
        """Set whenever a segment ends, however it ended."""

    async def launch(self) -> None:
        """Launch the engine; what is enqueued before `start` is done after it."""
        await self._inner.start({name: partial(self._act, name) for name in (SEGMENT, TASK)})

    async def end(self) -> None:
        """End the engine for good."""
        await self.stop()
        self._store.work.end()
        await self._inner.stop()

    def prepare(self) -> None:
        """Do nothing: the tables are those of the house."""

    def prepare_shared(self, owner: Store, *, role: str | None) -> None:
        """Do nothing: the house is no server."""

    def enqueue(
        self,
        connection: Connection,
        workflow: str,
        workflow_id: str,
        *arguments: Argument,
        lane: str = "",
        is_urgent: bool = False,
    ) -> None:
        """Enqueue in the caller's transaction."""
        self._store.work.came()
        self._inner.enqueue(
            connection, workflow, workflow_id, *arguments, lane=lane, is_urgent=is_urgent
        )

    async def start(self, workflows: Mapping[str, Workflow]) -> None:
        """Work with these from now on."""
        self._functions = workflows
        self._has_functions.set()

    async def run_child(self, workflow: str, workflow_id: str, *arguments: Argument) -> None:
        """Run a workflow in this process and wait for its end."""
        await self._inner.run_child(workflow, workflow_id, *arguments)

    async def stop(self) -> None:
        """Give up what runs; the engine stays."""
        for job in tuple(self._running):
            job.cancel()
        if self._running:
            await asyncio.wait(self._running)
        self._functions = {}
        self._has_functions.clear()

    async def halted(self, is_moving: Callable[[], bool]) -> None:
        """Wait until no segment moves an order any more, looking whenever one has ended."""
        while True:
            self._ended.clear()
            if not is_moving():
                return
            await self._ended.wait()

    async def is_settled(self) -> bool:
        """Wait until the engine has written the end of all its work; False where it does not."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while self._store.read(self._is_at_work):  # noqa: ASYNC110  # another thread writes it
                    await asyncio.sleep(LOOK_S)
                return True
        return False

    def _is_at_work(self, connection: Connection) -> bool:
        return connection.exec_driver_sql(self._unfinished).first() is not None

    async def _act(self, name: str, *arguments: Argument) -> None:
        if name == SEGMENT:
            self._store.work.began()
        await self._has_functions.wait()
        job: asyncio.Future[None] = asyncio.ensure_future(self._functions[name](*arguments))
        self._running.add(job)
        job.add_done_callback(self._running.discard)
        try:
            await job
        finally:
            if name == SEGMENT:
                self._ended.set()


_UNFINISHED = {
    DURABLE: "SELECT 1 FROM workflow_status WHERE status IN ('ENQUEUED', 'PENDING') LIMIT 1",
    PLAIN: plain_engine.UNFINISHED,
}


class House:
    """Where orders are played one after another, on one event loop."""

    def __init__(
        self, folder: Path, content: bytes | None = None, *, engine: str | None = None
    ) -> None:
        """Take a folder to make homes in.

        Args:
            folder: Belongs to the house; it is emptied.
            content: The pages of a new company's database; made here where they are not given.
            engine: `plain`, the default, or `dbos` to work orders with what production has.

        Raises:
            InvalidInput: There is no such engine.
        """
        self._folder = folder
        self._kind = engine or PLAIN
        if self._kind not in _UNFINISHED:
            raise InvalidInput(
                f"There is no engine {engine!r}: `plain` is the quick one, `dbos` production's."
            )
        self._content = content
        self._numbers = itertools.count(1)
        self._home: Path | None = None
        self._is_open = self._is_used = False
        self.store: HouseStore
        self.engine: StandingEngine

    @property
    def never_waits(self) -> bool:
        """Whether nobody who uses its database is ever kept waiting by another thread."""
        return self._kind == PLAIN

    async def __aenter__(self) -> "House":
        """Return itself; it is opened when the first home is asked for."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """End the engine, and let go of all; asked for a home, it opens again."""
        if self._is_open:
            await self._end()
        self._forget()

    async def fresh_home(self) -> Path:
        """Return an empty home, with the database of a new company."""
        self._forget()
        if self._is_used and not await self.engine.is_settled():
            # Work that was cut off has no end; it must not be taken up in another order's place.
            await self._end()
        elif self._is_used:
            self.store.put_back()
        if not self._is_open:
            await self._open()
        self._is_used = True
        self._home = self._folder / str(next(self._numbers))
        make_home(self._home)
        return self._home

    def open_store(self, url: str) -> Store:
        """Return the database, whatever address the settings give it."""
        return self.store

    async def _open(self) -> None:
        if self._content is None:
            self._content = await asyncio.to_thread(empty_database)
        self.store = HouseStore(self._content, is_shared=self._kind != PLAIN)
        self.engine = StandingEngine(self._inner(), self.store, unfinished=_UNFINISHED[self._kind])
        await self.engine.launch()
        self.store.keep()
        self._is_open = True

    def _inner(self) -> Engine:
        if self._kind == PLAIN:
            plain = PlainEngine(self.store, concurrency=CONCURRENCY)
            plain.prepare()
            return plain
        durable: Engine = ENGINES.load(self._kind)(
            self.store,
            executor_id="house",
            poll_s=POLL_S,
            concurrency=CONCURRENCY,
            may_rest=False,
        )
        return durable

    async def _end(self) -> None:
        self._is_open = self._is_used = False
        await self.engine.end()
        self.store.dispose()

    def _forget(self) -> None:
        home, self._home = self._home, None
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
