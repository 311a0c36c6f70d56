"""An engine of one process and one SQLite database, for work that nobody waits long for.

Where the durable engine polls, leases and fences for the sake of other processes, this one keeps a
row per workflow and runs it on the event loop that started it. What a stop cut off is taken up by
the next start; what another process enqueues is found late. A replay is played with it.
"""

import asyncio
import contextvars
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from swarm.runtime.engine import Argument, Workflow
from swarm.store.database import Store
from swarm.store.prepared import SqliteText

log = structlog.get_logger("swarm.engine")

LOOK_S = 0.25
"""How often work is looked for that no bell told of: another process's, or a slow commit's."""
NEW_ORDER, DECIDED = 10, 1
"""Priorities; the lower goes first."""
WAITS, RUNS, ENDED = "waits", "runs", "ended"

_TABLE = (
    "CREATE TABLE IF NOT EXISTS plain_work (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
    "workflow TEXT NOT NULL, arguments TEXT NOT NULL, priority INTEGER NOT NULL, "
    "state TEXT NOT NULL, is_child INTEGER NOT NULL)"
)
_ADD = SqliteText(
    "INSERT INTO plain_work (id, workflow, arguments, priority, state, is_child) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
_TAKE_UP = SqliteText("UPDATE plain_work SET state = 'waits' WHERE state = 'runs'")
_WAITING = SqliteText(
    "SELECT id, workflow, arguments FROM plain_work WHERE state = 'waits' AND is_child = 0 "
    "ORDER BY priority, number LIMIT ?"
)
_MOVE = SqliteText("UPDATE plain_work SET state = ? WHERE id = ?")
_STATE = SqliteText("SELECT state FROM plain_work WHERE id = ?")
UNFINISHED = (
    "SELECT 1 FROM plain_work WHERE state = 'runs' OR (state = 'waits' AND is_child = 0) LIMIT 1"
)
"""Finds a row where anything is left to be done. A child that was cut off is its parent's to do."""


class PlainEngine:
    """Run workflows on this event loop, each once, by the rows of one SQLite database."""

    def __init__(self, store: Store, *, concurrency: int) -> None:
        """Take a database, and how many orders are at work at once."""
        assert store.is_sqlite
        self._store = store
        self._concurrency = concurrency
        self._functions: Mapping[str, Workflow] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._count = 0
        """Orders at work; their children are not counted."""

    def prepare(self) -> None:
        """Create the engine's table."""
        self._store.write(lambda c: c.exec_driver_sql(_TABLE))

    def prepare_shared(self, owner: Store, *, role: str | None) -> None:
        """Do nothing: it has no place on a server."""

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
        priority = DECIDED if is_urgent else NEW_ORDER
        _add(connection, workflow, workflow_id, arguments, priority=priority, is_child=False)
        if self._loop is not None:
            # Looked for once this transaction has ended, where all share one connection.
            self._loop.call_soon_threadsafe(self._bell.set)

    async def start(self, workflows: Mapping[str, Workflow]) -> None:
        """Begin with what lies there, and with what an earlier process left."""
        self._functions = workflows
        await self._store.awrite(_TAKE_UP.run)
        self._loop = asyncio.get_running_loop()
        self._bell.set()
        self._looking = self._loop.create_task(self._look(), context=contextvars.Context())

    async def run_child(self, workflow: str, workflow_id: str, *arguments: Argument) -> None:
        """Run a workflow here and wait for its end; a known id is waited for."""
        job = self._jobs.get(workflow_id)
        if job is None:
            if await self._store.awrite(lambda c: _begin(c, workflow, workflow_id, arguments)):
                return
            # Asked for twice at once, the first one began it meanwhile.
            job = self._jobs.get(workflow_id) or self._run(workflow, workflow_id, arguments)
        await asyncio.shield(job)

    async def stop(self) -> None:
        """Give up what runs; the next start takes it up again."""
        looking, self._looking, self._loop = self._looking, None, None
        jobs = [*self._jobs.values(), *([looking] if looking else [])]
        for job in jobs:
            job.cancel()
        if jobs:
            await asyncio.wait(jobs)

    async def _look(self) -> None:
        """Begin what waits, whenever the bell rings."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._bell.wait()
            self._bell.clear()
            free = self._concurrency - self._count
            taken = await self._store.awrite(partial(_take, free))
            for workflow_id, workflow, arguments in taken:
                self._count += 1
                job = self._run(workflow, workflow_id, json.loads(arguments))
                job.add_done_callback(self._order_ended)

    def _order_ended(self, job: "asyncio.Task[None]") -> None:
        self._count -= 1
        self._bell.set()

    def _run(self, workflow: str, workflow_id: str, arguments: Any) -> "asyncio.Task[None]":
        # Outside the caller's context: a workflow knows nothing of who began it.
        job = asyncio.get_running_loop().create_task(
            self._work(workflow, workflow_id, arguments), context=contextvars.Context()
        )
        self._jobs[workflow_id] = job
        job.add_done_callback(lambda _: self._jobs.pop(workflow_id, None))
        return job

    async def _work(self, workflow: str, workflow_id: str, arguments: Any) -> None:
        """Run a workflow to its end; one that was given up stays to be done."""
        try:
            await self._functions[workflow](*arguments)
        except Exception:
            log.exception("a workflow broke", workflow=workflow_id)
        await self._store.awrite(lambda c: _MOVE.run(c, ENDED, workflow_id))


def _add(
    connection: Connection,
    workflow: str,
    workflow_id: str,
    arguments: tuple[Argument, ...],
    *,
    priority: int,
    is_child: bool,
) -> None:
    _ADD.run(connection, workflow_id, workflow, json.dumps(arguments), priority, WAITS, is_child)


def _begin(
    connection: Connection, workflow: str, workflow_id: str, arguments: tuple[Argument, ...]
) -> bool:
    """Note that a child begins; True where it has come to its end before."""
    _add(connection, workflow, workflow_id, arguments, priority=NEW_ORDER, is_child=True)
    state = _STATE.scalar(connection, workflow_id)
    if state == WAITS:
        _MOVE.run(connection, RUNS, workflow_id)
    return bool(state == ENDED)


def _take(free: int, connection: Connection) -> list[tuple[Any, ...]]:
    """Take what waits, at most so many: its id, its workflow and the arguments as JSON."""
    rows = _WAITING.all(connection, free)
    for workflow_id, _, _ in rows:
        _MOVE.run(connection, RUNS, workflow_id)
    return rows
