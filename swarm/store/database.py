"""Open the company's database, write to it in grouped commits, read beside the writer."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError, OperationalError

from swarm.core.errors import ConfigError, Unavailable
from swarm.store.subseconds import teach_subseconds

log = structlog.get_logger("swarm.store")

T = TypeVar("T")
Work = Callable[[Connection], T]
_Unit = tuple[Work[Any], Future[Any]]

BUSY_TIMEOUT_S = 30
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
"""How long a worker waits before it tries again to write."""
GROUP_SIZE = 64
"""Most units of work in one commit: one disk flush then serves them all."""


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy address of a SQLite file."""
    return f"sqlite:///{path}"


class Store:
    """The database of one company.

    On SQLite all asynchronous writes go through one thread that commits them in groups, each unit
    in its own savepoint: units stay atomic, and a hundred orders in flight share a disk flush.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine = self._make_engine()
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._is_ending = False

    def _make_engine(self) -> Engine:
        if not self.is_sqlite:
            return sa.create_engine(self.url, pool_size=10, max_overflow=10, pool_pre_ping=True)
        teach_subseconds()
        engine = sa.create_engine(
            self.url,
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            pool_size=20,
            max_overflow=20,
        )
        sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine

    def write(self, work: Work[T]) -> T:
        """Run `work` in one transaction and commit it. Blocks; safe from any thread.

        Raises:
            Unavailable: The disk is full, read-only or busy; nothing was changed.
            ConfigError: The database is damaged.
        """
        try:
            with self.engine.begin() as connection:
                self._begin(connection)
                return work(connection)
        except DatabaseError as error:
            raise _explained(error) from error

    def read(self, work: Work[T]) -> T:
        """Run `work` on a connection that writes nothing. Blocks; safe from any thread."""
        try:
            with self.engine.connect() as connection:
                return work(connection)
        except DatabaseError as error:
            raise _explained(error) from error

    async def awrite(self, work: Work[T]) -> T:
        """Run `work` as an atomic unit of a grouped commit; return once it is on disk.

        Where nothing can be stored (a full disk, say) it waits and tries again: a worker has
        nothing better to do, and what it holds may have been paid for.

        Raises:
            Exception: Whatever `work` raises comes back, and only it is undone.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self._awrite_once(work)
            except Unavailable as error:
                log.warning("waiting for the database", reason=str(error), seconds=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _awrite_once(self, work: Work[T]) -> T:
        if not self.is_sqlite:
            return await asyncio.to_thread(self.write, work)
        future: Future[T] = Future()
        self._ensure_writer()
        self._queue.put((work, future))
        return await asyncio.wrap_future(future)

    async def aread(self, work: Work[T]) -> T:
        """Run `work` on a read connection, off the event loop."""
        return await asyncio.to_thread(self.read, work)

    def close(self) -> None:
        """Finish what was queued and let go of the file."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()
        self.engine.dispose()

    def _begin(self, connection: Connection) -> None:
        # The driver would begin only at the first change; reads before it could then be stale.
        if self.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def _ensure_writer(self) -> None:
        with self._lock:
            if self._thread is None:
                self._is_ending = False
                self._thread = threading.Thread(
                    target=self._write_loop, name="swarm-writer", daemon=True
                )
                self._thread.start()

    def _write_loop(self) -> None:
        connection: Connection | None = None
        while (group := self._next_group()) is not None:
            try:
                # Kept open between groups: taking one from the pool costs as much as a write.
                connection = connection or self.engine.connect()
                results = self._commit(connection, group)
            except BaseException as error:  # noqa: BLE001  # every waiter must hear of it
                if connection is not None:
                    connection.invalidate()
                    connection = None
                shown = _explained(error) if isinstance(error, DatabaseError) else error
                for _, future in group:
                    if not future.done():
                        future.set_exception(shown)
            else:
                for future, result in results:
                    future.set_result(result)
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[_Unit] | None:
        """Wait for work and return what has gathered; None after the last of it."""
        if self._is_ending or (first := self._queue.get()) is None:
            return None
        group = [first]
        while len(group) < GROUP_SIZE:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._is_ending = True
                break
            group.append(item)
        return group

    def _commit(self, connection: Connection, group: list[_Unit]) -> list[tuple[Future[Any], Any]]:
        """Commit the units together; one that fails is undone alone and its waiter told."""
        results: list[tuple[Future[Any], Any]] = []
        with connection.begin():
            self._begin(connection)
            for work, future in group:
                if not future.set_running_or_notify_cancel():
                    continue
                connection.exec_driver_sql("SAVEPOINT unit")
                try:
                    results.append((future, work(connection)))
                except OperationalError:
                    # The disk or the file failed: the whole group is undone.
                    raise
                except Exception as error:  # noqa: BLE001  # one unit's fault is its own
                    connection.exec_driver_sql("ROLLBACK TO unit")
                    future.set_exception(error)
                connection.exec_driver_sql("RELEASE unit")
        return results


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # Same as the engine room's own connections: changes take the write lock at once.
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    connection.execute("PRAGMA journal_mode=WAL")
    # NORMAL loses acknowledged commits at a power cut.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _explained(error: BaseException) -> BaseException:
    text = str(getattr(error, "orig", error)).lower()
    if not isinstance(error, OperationalError | DatabaseError):
        return error
    if "full" in text or "no space" in text:
        return Unavailable("The disk is full: nothing was changed. Free some space and try again.")
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return Unavailable(
            f"The company's database cannot be written ({text}): check the rights of its folder."
        )
    if "malformed" in text or "not a database" in text:
        return ConfigError(
            "The company's database is damaged: restore swarm.db from a backup "
            "(`swarm doctor` shows the details)."
        )
    if "disk i/o error" in text:
        return Unavailable("The disk reported an error; nothing was changed. Check the disk.")
    if "locked" in text or "busy" in text:
        return Unavailable("The company's database is busy; nothing was changed. Try again.")
    return error
