"""DBOS behind the engine port. Its rows stand in the company's own database.

Only public names of `dbos` are used, and none of its steps: ours are ledger rows.
"""

import asyncio
import contextvars
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig, Serializer, SetWorkflowID
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from swarm.runtime.engine import Argument, Workflow
from swarm.store.database import Store

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


class JsonSerializer(Serializer):
    """Keep arguments as JSON: a pickle in a database is code for whoever can write to it."""

    def serialize(self, data: Any) -> str:
        """Write plain values as JSON."""
        if isinstance(data, BaseException):
            return json.dumps({"error": f"{type(data).__name__}: {data}"})
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        """Read what `serialize` wrote; an error comes back as an error."""
        data = json.loads(serialized_data)
        if isinstance(data, dict) and set(data) == {"error"}:
            return RuntimeError(data["error"])
        return data

    def name(self) -> str:
        """Name the format in the engine's rows."""
        return "swarm_json"


class DbosEngine:
    """Work segments and tasks with DBOS, in this process."""

    def __init__(self, store: Store, *, executor_id: str, poll_s: float, concurrency: int) -> None:
        self._store = store
        self._executor_id = executor_id
        self._poll_s = poll_s
        self._concurrency = concurrency
        self._client: DBOSClient | None = None
        self._workflows: dict[str, Any] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._starting: set[asyncio.Future[Any]] = set()

    def prepare(self) -> None:
        """Create or upgrade the engine's tables."""
        _quiet()
        DBOS.migrate(self._store.url)

    def enqueue(
        self, connection: Connection, workflow: str, workflow_id: str, *arguments: Argument
    ) -> None:
        """Enqueue in the caller's transaction, for whichever worker is the newest."""
        self._known_client().enqueue_in_transaction(
            connection,
            {"workflow_name": workflow, "queue_name": QUEUE, "workflow_id": workflow_id},
            *arguments,
        )

    async def start(self, workflows: Mapping[str, Workflow]) -> None:
        """Launch DBOS; it recovers what this executor left, then polls its queue."""
        _quiet()
        config: DBOSConfig = {
            "name": "swarm",
            "system_database_engine": self._store.engine,
            "executor_id": self._executor_id,
            "application_version": WORK_VERSION,
            "serializer": JsonSerializer(),
            "log_level": "CRITICAL",
            "enable_otlp": False,
            "run_migrations": True,
        }
        DBOS(config=config)
        for name, function in workflows.items():
            self._workflows[name] = DBOS.workflow(name=name, max_recovery_attempts=1000)(
                self._plain(function)
            )
        # Registered later, the queue of a new home would be found a second after the launch.
        await self._known_client().register_queue_async(
            QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=self._poll_s
        )
        DBOS.launch()
        # Work without a version goes to the latest one; a step back to an older release makes
        # that one the latest again.
        await DBOS.set_latest_application_version_async(WORK_VERSION)
        await self._take_over()

    async def _take_over(self) -> None:
        """Begin again what this executor left and the engine's own recovery passes by.

        That is unfinished work of another version, and work that an error of the database ended:
        orders end every other error themselves. It all bears repetition, and what an order no
        longer waits for ends at once.
        """
        left = await DBOS.list_workflows_async(
            executor_id=self._executor_id,
            status=[*_UNFINISHED, *_BROKEN],
            load_input=False,
            load_output=False,
        )
        for workflow in left:
            if workflow.status in _BROKEN or workflow.app_version != WORK_VERSION:
                # A process that dies between the two leaves a cancelled one for the next start.
                await DBOS.cancel_workflow_async(workflow.workflow_id)
                await DBOS.rewind_workflow_async(
                    workflow.workflow_id, application_version=WORK_VERSION
                )

    def _known_client(self) -> DBOSClient:
        if self._client is None:
            _quiet()
            self._client = DBOSClient(
                system_database_engine=self._store.engine,
                serializer=JsonSerializer(),
                lazy=True,
                application_name="swarm",
            )
        return self._client

    async def run_child(self, workflow: str, workflow_id: str, *arguments: Argument) -> None:
        """Start the workflow outside the parent's own context and wait for it.

        Inside it, the engine would number the child by the order of arrival, and a second run
        with another order of arrival would take one task's result for another's.
        """

        async def start() -> Any:
            with SetWorkflowID(workflow_id):
                return await DBOS.start_workflow_async(self._workflows[workflow], *arguments)

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
        if self._starting:
            await asyncio.wait(self._starting, timeout=STOP_S)
        for job in tuple(self._running):
            # A cancelled workflow has no outcome, so the engine keeps it as unfinished.
            job.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_S)
        await asyncio.to_thread(
            DBOS.destroy, destroy_registry=True, workflow_completion_timeout_sec=0
        )
        # The engine gave this loop its own threads and has just ended them.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        self._client = None

    def _plain(self, function: Workflow) -> Any:
        """Wrap a bound method, so that the engine sees a function of plain arguments."""

        async def run(*arguments: Argument) -> None:
            job: asyncio.Task[None] = asyncio.ensure_future(function(*arguments))
            self._running.add(job)
            job.add_done_callback(self._running.discard)
            await job

        run.__name__ = run.__qualname__ = getattr(function, "__name__", "run")
        return run


def _quiet() -> None:
    # One of its start-up lines advertises a hosted console, and it would write to stderr itself.
    logger = logging.getLogger("dbos")
    logger.setLevel(logging.CRITICAL)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
