"""A worker's seat on a shared Postgres, under a name of its own.

It holds a lock on the server for as long as it lives. The server drops it when the process dies, and
whoever looks then takes its orders over. A process that only stalls keeps its connections; so it
also gives a sign of life every second, and without one it is cut off. When it wakes up, it finds
itself succeeded, lets go of all it had in hand and begins anew.

On the same connection it hears the bell, and the sign of life asks who else is silent: a worker
without work says nothing else to the server.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol, Self

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from swarm.core.clock import Clock, iso
from swarm.core.errors import ConfigError, SwarmError
from swarm.runtime.cluster_ear import Ear
from swarm.runtime.reaper import BEATS, SILENT_SHARE, Reaper, lock_of
from swarm.runtime.seat import Runs
from swarm.runtime.shared_bell import WORDS, WORK
from swarm.store import postgres
from swarm.store.database import Store
from swarm.store.tables import workers

log = structlog.get_logger("swarm.seat")

GRAB_S = 4.0
"""How long a name may be held by somebody who only looks after the dead, in seconds."""
LOOK_AGAIN_S = 0.2
SETTLE_S = 4.0
"""How long the living have to come back after the server was away, in seconds."""
SWEEP_BEATS, RESTING_SWEEP_S = 5, 60.0
"""How often work is looked for of versions that nobody runs any more: after so many signs of life, and
after so many seconds where there is no work at all."""
MOST_SEATS = 1_000
LEAVE_S = 5.0
"""How long a stop waits for the database to take the orders back, in seconds."""
FRONT = "swarm front"
"""What the one process holds that listens to the channels and sends."""


class SeatedEngine(Protocol):
    """An engine that works under the name of its seat."""

    def be(self, name: str, *, most: int) -> None:
        """Work under a name; no worker takes more than `most` orders at once."""

    async def pause(self) -> None:
        """Let go of all that runs."""

    async def resume(self) -> None:
        """Begin again."""

    def be_rung(self) -> Callable[[str], None]:
        """Rest while there is no work; return what is to be called with each ring."""

    @property
    def is_resting(self) -> bool:
        """Say whether there is no work."""


class ClusterSeat:
    """One of many workers on a Postgres."""

    def __init__(
        self,
        *,
        store: Store,
        engine: SeatedEngine,
        reaper: Reaper,
        clock: Clock,
        name: str,
        concurrency: int,
        version: str,
        is_front: bool,
        takes_orders: bool,
        stale_s: float,
    ) -> None:
        """Take what the worker is.

        Args:
            store: The company's database.
            engine: Works under the name that is found.
            reaper: Takes over what this and other workers left.
            clock: For the time of the start.
            name: Of the worker; empty finds a free one that begins with this host's.
            concurrency: Orders it works at the same time.
            version: Of the work it can do.
            is_front: It listens to the channels and sends, which one process alone may do.
            takes_orders: It works orders.
            stale_s: After how many seconds without a sign of life others give it up.
        """
        self._beat_s = stale_s / BEATS
        self._silent_ms = round(stale_s * 1000 * SILENT_SHARE)
        self._store = store
        self._engine = engine
        self._reaper = reaper
        self._clock = clock
        self._wanted = name
        self._concurrency = concurrency
        self._version = version
        self._is_front = is_front
        self._takes_orders = takes_orders
        self.name = ""
        self._generation = 0
        self._connection: Connection | None = None
        self._raw: Any = None
        self._ear = Ear(self._rung)
        self._ring = engine.be_rung()
        self._heard: Callable[[str], None] | None = None
        self._settled_at = 0.0
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._is_over = self._is_anyone_silent = self._is_lost = False

    async def __aenter__(self) -> Self:
        """Find a free name and register; orders of an earlier life go back in line.

        Raises:
            ConfigError: A worker of this name works already.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._take)
        except BaseException:
            await asyncio.to_thread(self._disconnect)
            self._ear.close()
            raise
        self._start_keeping()
        return self

    def _start_keeping(self) -> None:
        self._thread = threading.Thread(target=self._keep, name="swarm-seat", daemon=True)
        self._thread.start()

    def _take(self) -> None:
        try:
            self._connection = self._connect()
            if self._is_front and not _grabbed(self._connection, self._front):
                raise ConfigError(
                    "Another `swarm up` listens to this company's channels already: one does, and "
                    "as many `swarm worker` as you like work beside it."
                )
            if self._takes_orders:
                self.name = self._found_name(self._connection)
        except DBAPIError as error:
            raise postgres.explained(error, self._store.engine.url) from error
        self._register()

    def _found_name(self, connection: Connection) -> str:
        if self._wanted:
            if not _grabbed(connection, lock_of(self._store, self._wanted)):
                raise ConfigError(self._taken_text())
            return self._wanted
        for name in _names():
            if _try(connection, lock_of(self._store, name)):
                return name
        raise ConfigError(f"{MOST_SEATS} workers work on this host; give this one a `--name`.")

    def _taken_text(self) -> str:
        query = sa.select(workers).where(workers.c.name == self._wanted)
        row = self._store.read(lambda c: c.execute(query).first())
        where = f" on {row.host} (process {row.pid})" if row else ""
        return (
            f"A worker named {self._wanted!r} already works{where}: two of one name would take each "
            "other's orders. Give this one another `--name`, or none at all."
        )

    def _connect(self) -> Connection:
        connection = self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Not the pool's any more: the lock lives exactly as long as this connection.
        connection.detach()
        # It has no transactions to say it in.
        postgres.settle(connection, self._store.company)
        self._raw = connection.connection.driver_connection
        # A sign of life that a crash of the server undoes is none the worse for it.
        connection.exec_driver_sql("SET synchronous_commit = off")
        self._ear.open(connection, self._store.company)
        return connection

    def _register(self) -> None:
        """Begin a new life under the name, and put back in line what the last one left."""
        if not self._takes_orders:
            return
        # What an earlier life left is counted as a death: a clean stop hands all of it back.
        self._reaper.take_over(self.name)
        self._generation, most = self._store.write(self._enrol)
        self._engine.be(self.name, most=most)

    def _enrol(self, connection: Connection) -> tuple[int, int]:
        values = {
            "tag": self._store.tag,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "concurrency": self._concurrency,
            "version": self._version,
            "started_at": iso(self._clock.now()),
            "seen_ms": postgres.now_ms(connection),
        }
        row = insert(workers).values(name=self.name, generation=1, **values)
        put = row.on_conflict_do_update(
            # By its name: on Postgres the key has the company's column as well.
            constraint=f"{workers.name}_pkey",
            set_={**values, "generation": workers.c.generation + 1},
        ).returning(workers.c.generation)
        generation = int(connection.execute(put).scalar_one())
        most = connection.execute(sa.select(sa.func.max(workers.c.concurrency))).scalar_one()
        return generation, int(most)

    def tell(self, heard: Callable[[str], None]) -> bool:
        """Call with each ring of the bell, on the loop that entered; True: it can be relied on."""
        self._heard = heard
        return True

    def _rung(self, sign: str) -> None:
        self._ring(sign)
        if self._heard is not None and self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._heard, sign)

    def _keep(self) -> None:
        """Give signs of life, in a thread of its own: a busy event loop is no dead one."""
        while True:
            self._ear.wait(self._beat_s)
            if self._ending.is_set():
                return
            try:
                is_ours = self._beat()
            except (DBAPIError, SwarmError) as error:
                log.warning("the worker's lock is lost", worker=self.name, reason=str(error)[:200])
                is_ours = self._retaken()
            if not is_ours and not self._ending.is_set():
                self._is_over = True
                self._tell()
                return

    def _beat(self) -> bool:
        """Give a sign of life, and have the dead looked after where somebody else gives none."""
        assert self._connection is not None
        row = {"name": self.name, "generation": self._generation, "silent_ms": self._silent_ms}
        found = self._connection.execute(_BEAT, row).one()
        if found.is_anyone_silent and time.monotonic() >= self._settled_at:
            self._is_anyone_silent = True
            self._tell()
        return bool(found.is_ours) or not self._takes_orders

    def _retaken(self) -> bool:
        """Connect anew and lock again; False where somebody took our orders over meanwhile."""
        while not self._ending.is_set():
            with suppress(DBAPIError):
                self._disconnect()
                self._connection = self._connect()
                if all(_grabbed(self._connection, lock) for lock in self._locks()):
                    # The others take theirs again, too; and nobody knows what was rung meanwhile.
                    self._settled_at = time.monotonic() + SETTLE_S
                    self._rung(WORK)
                    self._rung(WORDS)
                    return self._beat()
                self._is_lost = True
                return False
            self._ending.wait(self._beat_s)
        return False

    def _locks(self) -> list[str]:
        own = lock_of(self._store, self.name)
        return [self._front] * self._is_front + [own] * self._takes_orders

    @property
    def _front(self) -> str:
        return f"{FRONT} {self._store.company}"

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        raw, self._raw = self._raw, None
        if raw is not None:
            # One that was lost is no longer known to the library, which would leave it open.
            raw.close()
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()

    def _tell(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._changed.set)

    async def watch(self, run: Runs) -> None:
        """Look for dead workers, and begin anew where others took this one for dead.

        Args:
            run: Runs a coroutine where the engine works.

        Raises:
            ConfigError: Somebody else has the seat now.
        """
        loop = asyncio.get_running_loop()
        wait_s, swept_at = self._beat_s, -RESTING_SWEEP_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            self._changed.clear()
            wait_s = self._beat_s * SWEEP_BEATS
            if self._is_over:
                self._is_over = False
                await self._begin_anew(run)
            sweep_s = RESTING_SWEEP_S if self._engine.is_resting else wait_s
            is_due = loop.time() - swept_at >= sweep_s
            if not is_due and not self._is_anyone_silent:
                continue
            try:
                if self._is_anyone_silent:
                    self._is_anyone_silent = False
                    await asyncio.to_thread(self._reaper.look, self.name)
                if is_due:
                    await asyncio.to_thread(self._reaper.sweep)
                    swept_at = loop.time()
            except (DBAPIError, SwarmError) as error:
                log.warning("nobody can be looked after", reason=str(error)[:200])
                # Whoever lost the server too takes its lock again first.
                await asyncio.sleep(SETTLE_S)
            except Exception:
                # Whoever works goes on; the dead are looked after again in a moment.
                log.exception("looking after dead workers broke")

    async def _begin_anew(self, run: Runs) -> None:
        log.warning("others took this worker for dead; it begins anew", worker=self.name)
        if self._takes_orders:
            await run(self._engine.pause)
        if self._is_lost:
            raise ConfigError(
                f"Another process took the seat {self.name!r} while this one could not reach the "
                "database: this one ends. What it had in hand is worked by others."
            )
        await asyncio.to_thread(self._register)
        self._start_keeping()
        if self._takes_orders:
            await run(self._engine.resume)

    async def __aexit__(self, *_: object) -> None:
        """Hand back what was not finished, for others to take up at once, and sign off."""
        self._ending.set()
        self._ear.wake()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, LEAVE_S)
        with suppress(TimeoutError, DBAPIError, SwarmError):
            async with asyncio.timeout(LEAVE_S):
                await asyncio.to_thread(self._sign_off)
        await asyncio.to_thread(self._disconnect)
        if self._thread is None or not self._thread.is_alive():
            self._ear.close()

    def _sign_off(self) -> None:
        if self.name and self._connection is not None and self._beat():
            self._reaper.take_over(self.name, is_clean=True)
            key = (workers.c.name == self.name, workers.c.generation == self._generation)
            self._store.write(lambda c: c.execute(workers.delete().where(*key)))


def _names() -> Iterator[str]:
    host = os.uname().nodename.split(".")[0] or "host"
    return (f"{host}-{number}" for number in range(1, MOST_SEATS + 1))


def _try(connection: Connection, name: str) -> bool:
    return bool(connection.execute(_LOCK, {"name": name}).scalar())


def _grabbed(connection: Connection, name: str) -> bool:
    """Take a lock; whoever looks after the dead holds one for an instant."""
    waiting = threading.Event()
    for _ in range(round(GRAB_S / LOOK_AGAIN_S)):
        if _try(connection, name):
            return True
        waiting.wait(LOOK_AGAIN_S)
    return False


_LOCK = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
_BEAT = sa.text(
    "WITH moment AS (SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) AS ms), "
    "beat AS (UPDATE workers SET seen_ms = moment.ms FROM moment "
    "WHERE name = :name AND generation = :generation RETURNING 1) "
    "SELECT EXISTS (SELECT 1 FROM beat) AS is_ours, EXISTS (SELECT 1 FROM workers, moment "
    "WHERE name <> :name AND seen_ms <= moment.ms - :silent_ms) AS is_anyone_silent"
)


def at_work(store: Store, *, within_s: float) -> list[str]:
    """Return the names of workers on a shared database that gave a sign of life lately."""

    def work(connection: Connection) -> list[str]:
        oldest = postgres.now_ms(connection) - round(within_s * 1000)
        query = sa.select(workers.c.name).where(workers.c.seen_ms >= oldest)
        return [*connection.execute(query.order_by(workers.c.name)).scalars()]

    return store.read(work)
