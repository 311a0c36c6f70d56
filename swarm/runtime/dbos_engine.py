"""DBOS behind the engine port. Its rows stand in the company's own database.

Only public names of `dbos` are used, and none of its steps: ours are ledger rows.
"""

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from swarm.core.errors import SwarmError
from swarm.runtime import bell, home_deaths, shared_bell, waiting_work
from swarm.runtime.dbos_queues import register_home, register_shared
from swarm.runtime.dbos_recovery import BROKEN, QUEUE, SHARED, UNFINISHED, DbosRecovery
from swarm.runtime.dbos_rest import REST_S, SHARED_REST_S, HomeRest, Rest, SharedRest
from swarm.runtime.dbos_setup import config_of, json_serializer, silence, when_possible
from swarm.runtime.engine import SEGMENT, Argument, Lanes, Workflow
from swarm.store import companies
from swarm.store.database import Store

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions

log = structlog.get_logger("swarm.engine")

# Changed only when a running segment could not be run again from its start by newer code.
WORK_VERSION = "1"
NEW_ORDER, DECIDED = 10, 1
"""Priorities in the queue; the lower goes first."""
CHILD_POLL_S = 0.1
"""How often a parent looks for a child that another coroutine runs, in seconds."""
BUSY_S = 1.0
"""How long to wait before a child is tried again on a database that cannot be written."""
STOP_S = 2.0
"""How long a stop waits for workflows to let go, in seconds."""
TROUBLE_S = 5.0
"""How long to wait before work is looked for again after an error, in seconds."""


class DbosEngine:
    """Work segments and tasks with DBOS, in this process.

    DBOS looks for work several times a second, and that costs a waiting company 4 % of a core. So
    each enqueued workflow rings a bell, with its own transaction, and a worker without work only
    listens to it (`dbos_rest`). On SQLite it does not even import DBOS where a clean stop noted that
    nothing was left to be done; on Postgres it rests where a seat tells it of rings.
    """

    def __init__(
        self,
        store: Store,
        *,
        executor_id: str,
        poll_s: float,
        concurrency: int,
        may_rest: bool = True,
        lanes: Lanes | None = None,
    ) -> None:
        """Take a database.

        Args:
            store: Ours; the engine's rows stand in it too.
            executor_id: Whose work is taken up again after a restart.
            poll_s: How often work is looked for, in seconds.
            concurrency: Orders at work at once.
            may_rest: Whether DBOS is halted while there is no work.
            lanes: Limits over all workers of a shared database.
        """
        self._store = store
        self._rest: Rest | None = None
        if may_rest and store.is_sqlite:
            self._rest = HomeRest(store, recovery=self.recovery, take_in=self._take_in)
        self._executor_id = executor_id
        self._poll_s = poll_s
        self._concurrency = self._most = concurrency
        self._lanes = lanes or Lanes()
        self._slots = asyncio.Semaphore(concurrency)
        self._is_halting = False
        self._client: DBOSClient | None = None
        self._dbos: Any = None
        """The class `DBOS`, from its launch to its end."""
        self._functions: Mapping[str, Workflow] = {}
        self._workflows: dict[str, Any] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[bool] | None = None
        self._starting: set[asyncio.Future[Any]] = set()
        self._ending: asyncio.Future[None] | None = None
        self._rest_s = REST_S if store.is_sqlite else SHARED_REST_S
        self._at_rest: Callable[[], None] | None = None
        self._after_death: Callable[[str], object] | None = None
        self._has_begun = False
        self._lets_wait = False
        self._has_suspects = not store.is_sqlite

    def prepare(self) -> None:
        """Create or upgrade the engine's tables."""
        if not self._store.is_sqlite:
            self.prepare_shared(self._store, role=None)
            return
        from dbos import DBOS

        silence()
        DBOS.migrate(self._store.url)
        if not self._known_client().list_workflows(limit=1, load_input=False):
            self._store.write(lambda c: bell.note_quiet(bell.rung(c), c))

    def prepare_shared(self, owner: Store, *, role: str | None) -> None:
        """Create or upgrade the tables of every company of a Postgres, and of this one."""
        from dbos import DBOS

        silence()
        for company in {*owner.read(companies.known), self._store.company}:
            schema = companies.engine_schema(company)
            DBOS.migrate(owner.url, schema=schema, application_role=role)

    def enqueue(
        self,
        connection: Connection,
        workflow: str,
        workflow_id: str,
        *arguments: Argument,
        lane: str = "",
        is_urgent: bool = False,
    ) -> None:
        """Enqueue in the caller's transaction, for whichever worker is the newest."""
        if self._lets_wait:
            work = waiting_work.Waiting(workflow_id, workflow, arguments, is_urgent)
            waiting_work.put(connection, work)
        else:
            self._hand_over(connection, workflow, workflow_id, arguments, lane, is_urgent)
        if self._store.is_sqlite:
            bell.ring(connection)
        else:
            shared_bell.ring(connection, shared_bell.WORK)

    def let_wait(self) -> None:
        """Never work in this process: what it enqueues waits for a worker of this SQLite home."""
        assert self._store.is_sqlite
        self._lets_wait = True

    def look(self) -> None:
        """Take over what waits, soon: another process may have enqueued something."""
        if self._dbos is not None and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._take_in())

    def _hand_over(
        self,
        connection: Connection,
        workflow: str,
        workflow_id: str,
        arguments: tuple[Argument, ...],
        lane: str,
        is_urgent: bool,
    ) -> None:
        options: EnqueueOptions = {
            "workflow_name": workflow,
            "queue_name": self._queue,
            "workflow_id": workflow_id,
            "priority": DECIDED if is_urgent else NEW_ORDER,
        }
        if not self._store.is_sqlite:
            options["queue_partition_key"] = lane or workflow
        self._known_client().enqueue_in_transaction(connection, options, *arguments)

    async def _take_in(self) -> bool:
        """Hand what waits to DBOS; False where nothing did, or nothing can be written now."""
        if not self._store.is_sqlite:
            return False
        try:
            if not await self._store.aread(waiting_work.is_any):
                return False
            return await asyncio.to_thread(self._store.write, self._taken_in)
        except SwarmError as error:
            # A full disk, say: it is tried again a moment later.
            log.warning("work that waits could not be taken over", error=str(error))
            return False

    def _taken_in(self, connection: Connection) -> bool:
        found = waiting_work.take(connection)
        for one in found:
            self._hand_over(
                connection, one.workflow, one.workflow_id, one.arguments, "", one.is_urgent
            )
        return bool(found)

    async def start(self, workflows: Mapping[str, Workflow]) -> None:
        """Take up what this executor left, and whatever is enqueued from now on."""
        self._functions = workflows
        can_wait = self._rest is not None and self._store.is_sqlite and self._at_rest is None
        if not can_wait or not await self._store.aread(bell.is_quiet):
            await when_possible(self._launch, self._halt, store=self._store)
        self._begin_listening()

    def be_rung(self) -> Callable[[str], None]:
        """Rest while there is no work on Postgres, too: somebody hears the bell.

        Returns:
            What is to be called with each ring, from whichever thread.
        """
        if self._rest is None:
            self._rest = SharedRest(recovery=self.recovery, executor=lambda: self._executor_id)
        return self._rest.ring

    @property
    def is_resting(self) -> bool:
        """Say whether DBOS does nothing at the moment."""
        return self._dbos is None

    def _begin_listening(self) -> None:
        if self._rest is not None:
            self._listener = asyncio.create_task(self._listen(self._rest))

    async def _end_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])

    async def _listen(self, rest: Rest) -> None:
        """Let DBOS work while there is work, and rest while there is none."""
        while True:
            try:
                if self._dbos is None:
                    await rest.until_work()
                    await self._launch()
                await self._until_quiet(rest)
                if self._at_rest is not None:
                    return self._at_rest()
                await self._halt()
            except Exception:
                log.exception("the engine broke and begins again")
                with suppress(Exception):
                    await self._halt()
                rest.ring()
                await asyncio.sleep(TROUBLE_S)

    async def _until_quiet(self, rest: Rest) -> None:
        """Wait until there was no work for long."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            await asyncio.sleep(min(1.0, self._rest_s))
            if rest.was_rung() or await self._take_in() or self._running:
                since = loop.time()
            elif loop.time() - since >= self._rest_s:
                if await rest.may_begin():
                    return
                since = loop.time()

    async def _launch(self) -> None:
        """Launch DBOS; it recovers what this executor left, then polls its queue.

        Where that fails or is given up halfway, `_halt` clears up.
        """
        self._dbos = dbos = (await asyncio.to_thread(import_module, "dbos")).DBOS
        silence()
        self._is_halting = False
        if self._store.is_sqlite:
            await asyncio.to_thread(self._look_back)
        dbos(config=config_of(self._store, executor_id=self._executor_id, version=WORK_VERSION))
        for name, function in self._functions.items():
            self._workflows[name] = dbos.workflow(name=name, max_recovery_attempts=1000)(
                self._plain(name, function)
            )
        # Registered later, the queue of a new home would be found a second after the launch.
        await self._register_queues()
        dbos.launch()
        # Work without a version goes to the latest one; a step back to an older release makes
        # that one the latest again.
        await dbos.set_latest_application_version_async(WORK_VERSION)
        await self._take_over()
        await self._take_in()

    def _look_back(self) -> None:
        """See to what the last worker of a SQLite home left, where it died."""
        try:
            has_died = not self._has_begun and self._store.write(home_deaths.begin)
            self._has_begun = True
            if has_died and self._after_death is not None:
                self._after_death(self._executor_id)
        except SwarmError as error:
            log.warning("nobody could look at what was left", reason=str(error))
        self._has_suspects = self.recovery().has_suspects()

    async def _register_queues(self) -> None:
        client = self._known_client()
        if self._store.is_sqlite:
            await register_home(
                client,
                concurrency=self._concurrency,
                poll_s=self._poll_s,
                has_suspects=self._has_suspects,
            )
        else:
            await register_shared(client, most=self._most, lanes=self._lanes, poll_s=self._poll_s)

    def after_death(self, act: Callable[[str], object]) -> None:
        """Let `act` see to what this executor left on a SQLite home, before it is begun again.

        It is called where the last worker was killed, in a thread.
        """
        self._after_death = act

    def end_at_rest(self, after_s: float, at_rest: Callable[[], None]) -> None:
        """Call `at_rest` after so long without work, instead of waiting for more."""
        self._rest_s, self._at_rest = after_s, at_rest

    def be(self, name: str, *, most: int) -> None:
        """Work under a name from the next launch on; no worker takes more than `most` at once."""
        self._executor_id, self._most = name, max(most, self._concurrency)

    @property
    def version(self) -> str:
        """Return the version of the work that this process can do."""
        return WORK_VERSION

    def recovery(self) -> DbosRecovery:
        """Return the way to what dead workers left."""
        return DbosRecovery(self._known_client(), version=WORK_VERSION, queue=self._queue)

    @property
    def _queue(self) -> str:
        return QUEUE if self._store.is_sqlite else SHARED

    async def pause(self) -> None:
        """Let go of all that runs, as a stop does; `resume` begins again."""
        await self._end_listening()
        await self._halt()

    async def resume(self) -> None:
        """Launch again, perhaps under another name."""
        if self._rest is None:
            return await self._launch()
        # Whoever listens tries again where the database cannot be reached yet.
        self._rest.ring()
        self._begin_listening()
        return None

    async def _take_over(self) -> None:
        """Begin again what this executor left and the engine's own recovery passes by.

        That is unfinished work of another version, and work that an error of the database ended:
        orders end every other error themselves. It all bears repetition, and what an order no
        longer waits for ends at once.
        """
        left = await self._dbos.list_workflows_async(
            executor_id=self._executor_id,
            status=[*UNFINISHED, *BROKEN],
            load_input=False,
            load_output=False,
        )
        for workflow in left:
            if workflow.status in BROKEN or workflow.app_version != WORK_VERSION:
                # A process that dies between the two leaves a cancelled one for the next start.
                await self._dbos.cancel_workflow_async(workflow.workflow_id)
                await self._dbos.rewind_workflow_async(
                    workflow.workflow_id, application_version=WORK_VERSION
                )

    def _known_client(self) -> "DBOSClient":
        if self._client is None:
            from dbos import DBOSClient

            silence()
            self._client = DBOSClient(
                system_database_engine=self._store.engine,
                dbos_system_schema=companies.engine_schema(self._store.company),
                serializer=json_serializer(),
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
            if self._dbos is None:
                # Halted meanwhile: the parent is given up like this one, and both are begun again.
                raise asyncio.CancelledError
            with SetWorkflowID(workflow_id):
                return await self._dbos.start_workflow_async(self._workflows[workflow], *arguments)

        if self._has_suspects:
            # Left by a dead worker of a suspect, it was held until its order runs again.
            await asyncio.to_thread(self.recovery().let_go_on, workflow_id)

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
        await self._end_listening()
        if self._looking is not None:
            await asyncio.wait([self._looking])
        if self._starting:
            await asyncio.wait(self._starting, timeout=STOP_S)
        await self._let_go()
        if self._rest is not None and self._dbos is not None and self._store.is_sqlite:
            await self._rest.may_begin()
        await self._note_end()
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
        self._is_halting = True
        if self._ending is not None:
            await asyncio.wait([self._ending])
        await self._let_go()
        dbos, self._dbos, self._client = self._dbos, None, None
        if dbos is None:
            return
        # DBOS gave this loop its own threads, and ends them now.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        self._ending = asyncio.ensure_future(
            asyncio.to_thread(
                dbos.destroy, destroy_registry=True, workflow_completion_timeout_sec=0
            )
        )
        # Given up halfway, it goes on, and the next launch would meet it.
        await asyncio.shield(self._ending)
        # What its queue still handed out while it ended.
        await self._let_go()

    async def _note_end(self) -> None:
        """Note that this worker of a SQLite home was not killed."""
        if self._dbos is None or not self._store.is_sqlite:
            return
        try:
            await asyncio.to_thread(self._store.write, home_deaths.end)
        except SwarmError as error:
            log.warning("the stop could not be noted", reason=str(error))

    def _plain(self, name: str, function: Workflow) -> Any:
        """Wrap a bound method, so that the engine sees a function of plain arguments."""
        # On SQLite the queue keeps the limit; a shared one may hand out more than this worker's.
        is_limited = name == SEGMENT and not self._store.is_sqlite

        async def in_turn(*arguments: Argument) -> None:
            async with self._slots:
                await function(*arguments)

        act = in_turn if is_limited else function

        async def run(*arguments: Argument) -> None:
            if self._is_halting:
                # Without an outcome it stays unfinished, and is taken up again.
                raise asyncio.CancelledError
            job: asyncio.Task[None] = asyncio.ensure_future(act(*arguments))
            self._running.add(job)
            job.add_done_callback(self._running.discard)
            await job

        run.__name__ = run.__qualname__ = getattr(function, "__name__", "run")
        return run
