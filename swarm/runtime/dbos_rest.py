"""When DBOS may rest, and what wakes it: it looks for work several times a second, for nothing.

On SQLite each enqueued workflow rings a bell in the database, in its own transaction: a number in
the file's header, which is read in microseconds. On Postgres the server tells everybody who listens
of each ring; since one may be lost with a connection, work is looked for once in a while as well.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from swarm.core.errors import SwarmError
from swarm.runtime import bell
from swarm.runtime.dbos_recovery import DbosRecovery
from swarm.runtime.shared_bell import WORK
from swarm.store.database import Store

log = structlog.get_logger("swarm.engine")

LISTEN_S = 0.1
"""How often a worker of a SQLite home listens for the bell while DBOS rests, in seconds."""
REST_S = 30.0
"""After how long without work DBOS is put to rest on SQLite, in seconds."""
SHARED_REST_S = 10.0
"""The same on Postgres, in seconds. Waking takes an eighth of a second there."""
NET_S = 10.0
"""How often a resting worker on Postgres looks for work that no ring told it of, in seconds."""


class Rest(Protocol):
    """Know when there is nothing to do, and when there is again."""

    async def until_work(self) -> None:
        """Wait until work may have been enqueued."""

    async def may_begin(self) -> bool:
        """Say whether no work is left that this process could do."""

    def was_rung(self) -> bool:
        """Say whether somebody rang since this was asked last."""

    def ring(self, sign: str = WORK) -> None:
        """Hear a ring. From any thread."""


class HomeRest:
    """The only worker of a SQLite home."""

    def __init__(
        self,
        store: Store,
        *,
        recovery: Callable[[], DbosRecovery],
        take_in: Callable[[], Awaitable[bool]],
    ) -> None:
        """Take where to look.

        Args:
            store: The home's database.
            recovery: Returns the way to the engine's rows.
            take_in: Hands what waits to DBOS; False where nothing did.
        """
        self._store = store
        self._recovery = recovery
        self._take_in = take_in

    async def until_work(self) -> None:
        """Wait until the bell says that work may have been enqueued."""
        with self._store.engine.connect() as connection:
            while True:
                # Most often another process enqueues: its commit is no event of this loop.
                if not bell.is_quiet(connection):
                    return
                await asyncio.sleep(LISTEN_S)

    async def may_begin(self) -> bool:
        """Note that no work is left, if so: until the bell rings there is no need for DBOS."""
        try:
            rung = await self._store.aread(bell.rung)
            if await self._take_in() or await asyncio.to_thread(self._recovery().has_unfinished):
                return False
            return await asyncio.to_thread(self._store.write, partial(bell.note_quiet, rung))
        except (SwarmError, SQLAlchemyError) as error:
            # A full disk, say. Without the note, work is looked for where none may be.
            log.warning("the engine could not note that all work is done", error=str(error))
            return False

    def was_rung(self) -> bool:
        """Return False: the bell stands in the file, and is read when the rest may begin."""
        return False

    def ring(self, sign: str = WORK) -> None:
        """Do nothing: the bell stands in the file."""


class SharedRest:
    """One of many workers on a Postgres, whom its seat tells of each ring."""

    def __init__(
        self, *, recovery: Callable[[], DbosRecovery], executor: Callable[[], str]
    ) -> None:
        """Take where to look.

        Args:
            recovery: Returns the way to the engine's rows.
            executor: Returns under which name this worker works.
        """
        self._recovery = recovery
        self._executor = executor
        self._rung = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def ring(self, sign: str = WORK) -> None:
        """Hear a ring; one for others is passed by. From any thread."""
        if sign != WORK:
            return
        if self._loop is None:
            self._rung.set()
            return
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._rung.set)

    def was_rung(self) -> bool:
        """Say whether somebody rang since this was asked last."""
        self._loop = asyncio.get_running_loop()
        is_set = self._rung.is_set()
        self._rung.clear()
        return is_set

    async def until_work(self) -> None:
        """Wait for a ring, or until work is found that none told of."""
        self._loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(NET_S):
                    await self._rung.wait()
                    return
            if not await self._is_over():
                log.info("work was found that nobody rang for")
                return

    async def may_begin(self) -> bool:
        """Say whether no work is left that this worker could do.

        What is enqueued after that rings, and is heard by `until_work`.
        """
        return not self.was_rung() and await self._is_over()

    async def _is_over(self) -> bool:
        try:
            return not await asyncio.to_thread(self._has_work)
        except (SwarmError, SQLAlchemyError) as error:
            log.warning("nobody could look whether all work is done", error=str(error)[:200])
            return False

    def _has_work(self) -> bool:
        return self._recovery().has_work_for(self._executor())
