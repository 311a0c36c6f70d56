"""Open the company's database, write to it in grouped commits, read beside the writer."""

import asyncio
import contextvars
import secrets
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from swarm.core.errors import ConfigError, Unavailable
from swarm.store import moved, postgres
from swarm.store.companies import MAIN, checked
from swarm.store.subseconds import teach_subseconds
from swarm.store.turns import Turns
from swarm.store.writer import Writer

log = structlog.get_logger("swarm.store")

T = TypeVar("T")
Work = Callable[[Connection], T]

BUSY_TIMEOUT_S = 30
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
"""How long a worker waits before it tries again to write."""
READERS = 4
"""Threads that read a SQLite file. More would only wait for each other in the interpreter, and each
keeps a connection with pages of its own."""
CACHE_KIB = 512
"""Pages of the file that each connection keeps, in KiB; the system's own cache holds the rest."""


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy address of a SQLite file."""
    return f"sqlite:///{path}"


class Store:
    """The database of one company.

    On SQLite all asynchronous writes go through one thread that commits them in groups, each unit
    in its own savepoint: units stay atomic, and a hundred orders in flight share a disk flush.
    """

    def __init__(self, url: str, *, company: str = MAIN) -> None:
        """Take where it is; nothing is opened yet.

        Args:
            url: SQLAlchemy address.
            company: Whose rows it is about, on a Postgres of many; a SQLite file holds one.

        Raises:
            ConfigError: One of the two is none.
        """
        self.company = checked(company)
        self.url = postgres.url_of(url)
        self.is_sqlite = url.startswith("sqlite")
        self.tag = f"swarm-{secrets.token_hex(8)}"
        """Names the connections of this process on a server, so that a stalled one's can be ended."""
        self.engine = self._make_engine()
        self._home = self._folder()
        self._writer = Writer(
            self.engine, begin=self._begin, explain=_explained, turns=self._turns()
        )
        self._readers: ThreadPoolExecutor | None = None
        self._shared: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def _make_engine(self) -> Engine:
        if not self.is_sqlite:
            return postgres.make_engine(self.url, tag=self.tag, company=self.company)
        teach_subseconds()
        engine = sa.create_engine(
            self.url,
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            pool_size=20,
            max_overflow=20,
            # The same few again and again: each keeps the schema and pages of its own.
            pool_use_lifo=True,
        )
        sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine

    def write(self, work: Work[T]) -> T:
        """Run `work` in one transaction and commit it. Blocks; safe from any thread.

        Raises:
            Unavailable: The disk is full, read-only or busy; nothing was changed.
            ConfigError: The database is damaged.
        """
        if not self.is_sqlite:
            return postgres.write(self.engine, work)
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
        except (DatabaseError, PoolTimeoutError) as error:
            raise self._meaning(error) from error

    async def awrite(self, work: Work[T], *, is_urgent: bool = False) -> T:
        """Run `work` as an atomic unit of a grouped commit; return once it is on disk.

        What `is_urgent` goes before all else that waits: for short work that somebody's time-out
        hangs on, and for nothing else.

        Where nothing can be stored (a full disk, say) it waits and tries again: a worker has
        nothing better to do, and what it holds may have been paid for.

        Raises:
            Exception: Whatever `work` raises comes back, and only it is undone.
        """
        return await self._waiting(lambda: self._awrite_once(work, is_urgent))

    async def _waiting(self, act: Callable[[], Awaitable[T]]) -> T:
        """Act as soon as the database can be used."""
        pause_s, is_waiting = FIRST_PAUSE_S, False
        while True:
            try:
                done = await act()
            except Unavailable as error:
                is_waiting = True
                log.warning("waiting for the database", reason=str(error), seconds=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                if is_waiting:
                    log.warning("the database is back")
                return done

    async def _awrite_once(self, work: Work[T], is_urgent: bool) -> T:
        if not self.is_sqlite:
            return await asyncio.to_thread(self.write, work)
        return await asyncio.wrap_future(self._writer.put(work, is_urgent=is_urgent))

    async def aread(self, work: Work[T]) -> T:
        """Run `work` on a read connection, off the event loop.

        A server that cannot be reached is waited for, as in `awrite`.
        """
        if self.is_sqlite:
            context = contextvars.copy_context()
            reading = self._reading().submit(lambda: context.run(self.read, work))
            return await asyncio.wrap_future(reading)
        return await self._waiting(lambda: asyncio.to_thread(self.read, work))

    def close(self) -> None:
        """Finish what was queued and let go of the file."""
        with self._lock:
            readers, self._readers = self._readers, None
        if readers is not None:
            readers.shutdown()
        self._writer.close()
        self.engine.dispose()

    def _folder(self) -> Path | None:
        """Return where the SQLite file lies; None where there is none."""
        path = self.engine.url.database if self.is_sqlite else None
        return Path(path).parent if path and path != ":memory:" else None

    def _turns(self) -> Turns | None:
        """Return where writers of several processes stand in line."""
        path = self.engine.url.database
        return Turns(Path(path)) if self._home is not None and path else None

    def _begin(self, connection: Connection) -> None:
        # The driver would begin only at the first change; reads before it could then be stale.
        if self.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            # Only now: whoever moves the company notes it before letting go of the write lock.
            if self._home is not None and (self._home / moved.FILE).exists():
                moved.refuse_moved(self._home)

    def _meaning(self, error: Exception) -> BaseException:
        if self.is_sqlite:
            return _explained(error)
        return postgres.explained(error, self.engine.url)

    def read_with(self, readers: ThreadPoolExecutor) -> None:
        """Read on the caller's threads, which many companies of one process share."""
        self._shared = readers

    def _reading(self) -> ThreadPoolExecutor:
        if self._shared is not None:
            return self._shared
        with self._lock:
            if self._readers is None:
                self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="swarm-reader")
            return self._readers


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # Same as the engine room's own connections: changes take the write lock at once.
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    connection.execute("PRAGMA journal_mode=WAL")
    # NORMAL loses acknowledged commits at a power cut.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")


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
