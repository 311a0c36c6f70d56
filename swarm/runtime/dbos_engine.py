"""DBOS behind the engine port. Its rows stand in the company's own database.

Only public names of `dbos` are used, and none of its steps: ours are ledger rows.
"""

import asyncio
import contextvars
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from swarm.core.errors import SwarmError
from swarm.runtime.engine import Argument, Workflow
from swarm.store.database import Store

if TYPE_CHECKING:
    from dbos import DBOSClient, DBOSConfig

log = structlog.get_logger("swarm.engine")

# Changed only when a running segment could not be run again from its start by newer code.
WORK_VERSION = "1"
QUEUE = "orders"
_UNFINISHED = ("PENDING", "ENQUEUED")
_BROKEN = ("CANCELLED", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
"""Nothing of ours ends a workflow so: a stop between two steps of `_take_over`, or the database."""
CHILD_POLL_S = 0.1
"""How often a parent looks for a child that another coroutine runs, in seconds."""
BUSY_S = 1.0
"""How long to wait before a child is tried again on a database that cannot be written."""
STOP_S = 2.0
"""How long a stop waits for workflows to let go, in seconds."""
LISTEN_S = 0.1
"""How often a worker listens for the bell while DBOS rests, in seconds."""
REST_S = 30.0
"""After how long without work DBOS is put to rest, in seconds."""
MOST_RUNG = 2**30
"""The bell's count starts again here; the header holds 32 bits with a sign."""
TROUBLE_S = 5.0
"""How long to wait before work is looked for again after an error, in seconds."""


class DbosEngine:
    """Work segments and tasks with DBOS, in this process.

    DBOS looks for work five times a second, and that costs a waiting company 3.5 % of a core. So
    on SQLite each enqueued workflow rings a bell in the database, in its own transaction: a number
    in the file's header, which is read in microseconds. A worker without work only listens to it,
    and does not even import DBOS where a clean stop noted that nothing was left to be done.
    On Postgres, where another process may leave work behind, DBOS is always at work.
    """

    def __init__(self, store: Store, *, executor_id: str, poll_s: float, concurrency: int) -> None:
        self._store = store
        self._executor_id = executor_id
        self._poll_s = poll_s
        self._concurrency = concurrency
        self._client: DBOSClient | None = None
        self._dbos: Any = None
        """The class `DBOS`, from its launch to its end."""
        self._functions: Mapping[str, Workflow] = {}
        self._workflows: dict[str, Any] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Task[None] | None = None
        self._starting: set[asyncio.Future[Any]] = set()

    def prepare(self) -> None:
        """Create or upgrade the engine's tables."""
        from dbos import DBOS

        _silence()
        DBOS.migrate(self._store.url)
        client = self._known_client()
        if self._store.is_sqlite and not client.list_workflows(limit=1, load_input=False):
            self._store.write(lambda c: _note_quiet_at(_rung(c), c))

    def enqueue(
        self, connection: Connection, workflow: str, workflow_id: str, *arguments: Argument
    ) -> None:
        """Enqueue in the caller's transaction, for whichever worker is the newest."""
        self._known_client().enqueue_in_transaction(
            connection,
            {"workflow_name": workflow, "queue_name": QUEUE, "workflow_id": workflow_id},
            *arguments,
        )
        if self._store.is_sqlite:
            connection.exec_driver_sql(f"PRAGMA user_version={(_rung(connection) + 1) % MOST_RUNG}")

    async def start(self, workflows: Mapping[str, Workflow]) -> None:
        """Take up what this executor left, and whatever is enqueued from now on."""
        self._functions = workflows
        if not self._store.is_sqlite or not await self._store.aread(_is_quiet):
            await self._launch()
        if self._store.is_sqlite:
            self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Let DBOS work while there is work, and rest while there is none."""
        while True:
            try:
                if self._dbos is None:
                    await self._until_bell()
                    await self._launch()
                await self._until_quiet()
                await self._halt()
            except Exception:
                log.exception("the engine broke and begins again")
                await self._halt()
                await asyncio.sleep(TROUBLE_S)

    async def _until_bell(self) -> None:
        """Wait until work may have been enqueued."""
        with self._store.engine.connect() as connection:
            while True:
                # Most often another process enqueues: its commit is no event of this loop.
                if not _is_quiet(connection):
                    return
                await asyncio.sleep(LISTEN_S)

    async def _until_quiet(self) -> None:
        """Wait until there was no work for long."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            await asyncio.sleep(min(1.0, REST_S))
            if self._running:
                since = loop.time()
            elif loop.time() - since >= REST_S:
                if await self._note_quiet():
                    return
                since = loop.time()

    async def _launch(self) -> None:
        """Launch DBOS; it recovers what this executor left, then polls its queue.

        Where that fails or is given up halfway, `_halt` clears up.
        """
        self._dbos = dbos = (await asyncio.to_thread(import_module, "dbos")).DBOS
        _silence()
        config: DBOSConfig = {
            "name": "swarm",
            "system_database_engine": self._store.engine,
            "executor_id": self._executor_id,
            "application_version": WORK_VERSION,
            "serializer": _json_serializer(),
            "log_level": "CRITICAL",
            "enable_otlp": False,
            "run_migrations": True,
        }
        dbos(config=config)
        for name, function in self._functions.items():
            self._workflows[name] = dbos.workflow(name=name, max_recovery_attempts=1000)(
                self._plain(function)
            )
        # Registered later, the queue of a new home would be found a second after the launch.
        await self._known_client().register_queue_async(
            QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=self._poll_s
        )
        dbos.launch()
        # Work without a version goes to the latest one; a step back to an older release makes
        # that one the latest again.
        await dbos.set_latest_application_version_async(WORK_VERSION)
        await self._take_over()

    async def _take_over(self) -> None:
        """Begin again what this executor left and the engine's own recovery passes by.

        That is unfinished work of another version, and work that an error of the database ended:
        orders end every other error themselves. It all bears repetition, and what an order no
        longer waits for ends at once.
        """
        left = await self._dbos.list_workflows_async(
            executor_id=self._executor_id,
            status=[*_UNFINISHED, *_BROKEN],
            load_input=False,
            load_output=False,
        )
        for workflow in left:
            if workflow.status in _BROKEN or workflow.app_version != WORK_VERSION:
                # A process that dies between the two leaves a cancelled one for the next start.
                await self._dbos.cancel_workflow_async(workflow.workflow_id)
                await self._dbos.rewind_workflow_async(
                    workflow.workflow_id, application_version=WORK_VERSION
                )

    def _known_client(self) -> "DBOSClient":
        if self._client is None:
            from dbos import DBOSClient

            _silence()
            self._client = DBOSClient(
                system_database_engine=self._store.engine,
                serializer=_json_serializer(),
                lazy=True,
                application_name="swarm",
            )
        return self._client

    async def run_child(self, workflow: str, workflow_id: str, *arguments: Argument) -> None:
        """Start the workflow outside the parent's own context and wait for it.

        Inside it, the engine would number the child by the order of arrival, and a second run
        with another order of arrival would take one task's result for another's.
        """
        from dbos import SetWorkflowID

        async def start() -> Any:
            with SetWorkflowID(workflow_id):
                return await self._dbos.start_workflow_async(self._workflows[workflow], *arguments)

        async def start_and_wait() -> None:
            starting = asyncio.ensure_future(start())
            self._starting.add(starting)
            starting.add_done_callback(self._started)
            # Given up halfway, a start would leave a row that says it runs, and nobody runs it.
            handle = await asyncio.shield(starting)
            await handle.get_result(polling_interval_sec=CHILD_POLL_S)

        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.create_task(start_and_wait(), context=contextvars.Context())
            except OperationalError:
                # A full disk, say: the parent has nothing better to do than to try again.
                await asyncio.sleep(BUSY_S)

    def _started(self, starting: "asyncio.Future[Any]") -> None:
        self._starting.discard(starting)
        if not starting.cancelled():
            # Looked at here, since whoever waited for it may be gone.
            starting.exception()

    async def stop(self) -> None:
        """Stop polling; running workflows stay PENDING and are recovered at the next start."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
            self._listener = None
        if self._starting:
            await asyncio.wait(self._starting, timeout=STOP_S)
        await self._let_go()
        await self._note_quiet()
        await self._halt()

    async def _let_go(self) -> None:
        """Give up what runs; it is taken up again by the next launch."""
        for job in tuple(self._running):
            # A cancelled workflow has no outcome, so the engine keeps it as unfinished.
            job.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_S)

    async def _halt(self) -> None:
        """End DBOS in this process, however far its launch came."""
        await self._let_go()
        dbos, self._dbos, self._client = self._dbos, None, None
        if dbos is None:
            return
        # DBOS gave this loop its own threads, and ends them now.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        await asyncio.to_thread(
            dbos.destroy, destroy_registry=True, workflow_completion_timeout_sec=0
        )

    async def _note_quiet(self) -> bool:
        """Note that no work is left, if so: until the bell rings there is no need for DBOS."""
        if self._dbos is None or not self._store.is_sqlite:
            return False
        try:
            rung = await self._store.aread(_rung)
            left = await self._dbos.list_workflows_async(
                status=[*_UNFINISHED, *_BROKEN], limit=1, load_input=False, load_output=False
            )
            note = partial(_note_quiet_at, rung)
            return not left and await asyncio.to_thread(self._store.write, note)
        except (SwarmError, SQLAlchemyError) as error:
            # A full disk, say. Without the note, work is looked for where none may be.
            log.warning("the engine could not note that all work is done", error=str(error))
            return False

    def _plain(self, function: Workflow) -> Any:
        """Wrap a bound method, so that the engine sees a function of plain arguments."""

        async def run(*arguments: Argument) -> None:
            job: asyncio.Task[None] = asyncio.ensure_future(function(*arguments))
            self._running.add(job)
            job.add_done_callback(self._running.discard)
            await job

        run.__name__ = run.__qualname__ = getattr(function, "__name__", "run")
        return run


def _rung(connection: Connection) -> int:
    """Return how often the bell of a SQLite database was rung: a number in the file's header."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _is_quiet(connection: Connection) -> bool:
    """Say whether all work was done at a time since which the bell was not rung.

    The other number of the header then holds one more, so that a file without any is not quiet.
    """
    noted = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    return bool(noted == _rung(connection) + 1)


def _note_quiet_at(rung: int, connection: Connection) -> bool:
    """Note that all work was done; False where the bell was rung since."""
    if _rung(connection) != rung:
        return False
    connection.exec_driver_sql(f"PRAGMA application_id={rung + 1}")
    return True


@cache
def _json_serializer() -> Any:
    """Return a serializer of plain JSON: a pickle in a database is code for whoever can write it."""
    from dbos import Serializer

    class JsonSerializer(Serializer):
        def serialize(self, data: Any) -> str:
            if isinstance(data, BaseException):
                return json.dumps({"error": f"{type(data).__name__}: {data}"})
            return json.dumps(data)

        def deserialize(self, serialized_data: str) -> Any:
            data = json.loads(serialized_data)
            if isinstance(data, dict) and set(data) == {"error"}:
                return RuntimeError(data["error"])
            return data

        def name(self) -> str:
            return "swarm_json"

    return JsonSerializer()


def _silence() -> None:
    # One of its start-up lines advertises a hosted console, and it would write to stderr itself.
    logger = logging.getLogger("dbos")
    logger.setLevel(logging.CRITICAL)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
