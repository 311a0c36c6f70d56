"""The doorman: who listens to people and writes to them, in a process that works no order.

Working an order takes libraries of a hundred megabytes, and one interpreter computes one thing at a
time. So whoever hears and sends is a process of its own, small and never busy for long; orders are
worked in another (`doorman_worker`), which is there while there is work. Both meet in the database:
what a person says is stored and enqueued here, and what work has to say is sent from here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel
from swarm.core.clock import Clock
from swarm.ledger.hosting.terms import HostingConfig
from swarm.runtime import home_deaths
from swarm.runtime.doorman_watch import Watch
from swarm.runtime.doorman_worker import Command, WorkerProcess
from swarm.runtime.heartbeat import Heartbeat
from swarm.runtime.kept import begin_front, cancel, first
from swarm.runtime.metering import Keeper, Meter
from swarm.runtime.seat import HomeSeat
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import inbox, outbox

if TYPE_CHECKING:
    from swarm.runtime.front import Front, MakeFront
    from swarm.runtime.monitoring import Monitor

Told = Callable[[int, str], Awaitable[None]]
SETTLE_S = 0.02
"""For how long commits are gathered before one look at what they changed, in seconds."""
GRACE_S = 0.5
"""How long a stop waits for the last rows, in seconds."""
_WAITS = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state == "pending")
_TRACES = Prepared(
    sa.select(
        sa.select(sa.func.max(inbox.c.id)).scalar_subquery().label("newest_in"),
        sa.select(sa.func.max(outbox.c.id)).scalar_subquery().label("newest_out"),
        _WAITS.scalar_subquery().label("pending"),
    )
)


class _Traces(NamedTuple):
    """What commits leave behind that somebody waits for."""

    newest_in: int
    newest_out: int
    pending: int
    is_quiet: bool


class Doorman:
    """Listen and send for one home until told to stop, and keep a worker while there is work."""

    def __init__(
        self,
        *,
        home: Path,
        store: Store,
        clock: Clock,
        hosting: HostingConfig,
        channels: Mapping[str, Channel],
        make_front: "MakeFront",
        is_quiet: Callable[[Connection], bool],
        told: Told,
        command: Command,
        watch: Watch,
        monitor: "Monitor | None" = None,
        room: asyncio.Semaphore | None = None,
    ) -> None:
        """Take what to listen with.

        Args:
            home: The company's folder.
            store: Its database, a SQLite file.
            clock: For the meter.
            hosting: What the machine costs.
            channels: By name.
            make_front: Makes what stands between channels and desks.
            is_quiet: Says that nothing is left to be worked.
            told: Writes to the founders that workers keep dying.
            command: Starts a worker.
            watch: Tells of commits; run by whoever runs the doorman.
            monitor: Answers those who watch.
            room: Holds as many workers as this machine has room for; None is no limit.
        """
        self._home = home
        self._store = store
        self._clock = clock
        self._hosting = hosting
        self._channels = channels
        self._make_front = make_front
        self._is_quiet = is_quiet
        self._watch = watch
        self._monitor = monitor
        self._seat = HomeSeat(home)
        self._changed = asyncio.Event()
        self._front: Front | None = None
        self.worker = WorkerProcess(
            command,
            lock=lambda: self._seat.fd,
            has_work=self._has_work,
            dies=told,
            room=room,
        )

    async def run(self, until: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Listen until `until` is set; `ready` is called once everybody is heard.

        Raises:
            ConfigError: Another worker holds this home.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._seat)
            await self._store.awrite(home_deaths.forgive)
            heartbeat = stack.enter_context(Heartbeat(self._home))
            if self._monitor is not None:
                await self._monitor.open()
                stack.push_async_callback(self._monitor.close)
            meter = Meter(self._clock)
            keeper = Keeper(meter, self._store, self._clock, self._hosting)
            database = Path(self._store.engine.url.database or "")
            self._watch.add(database, self._changed.set)
            stack.callback(self._watch.remove, database)
            jobs = self._begin(heartbeat, keeper)
            working = asyncio.create_task(self.worker.run())
            try:
                if self._monitor is not None:
                    self._monitor.works()
                if ready is not None:
                    ready()
                await first(until, working)
            finally:
                await asyncio.gather(self.worker.stop(), self._close(jobs))
                await cancel([working])
                await keeper.end(GRACE_S)

    def _begin(self, heartbeat: Heartbeat, keeper: Keeper) -> list["asyncio.Task[None]"]:
        """Begin to hear and to send; nothing of it is loaded where there is no channel."""
        jobs = [asyncio.create_task(job()) for job in (heartbeat.run, keeper.run, self._follow)]
        if self._channels:
            self._front = self._make_front(self._channels)
            self._front.be_told()
            jobs += begin_front(self._front, self._channels)
        return jobs

    async def _close(self, jobs: list["asyncio.Task[None]"]) -> None:
        await cancel(jobs)
        for channel in self._channels.values():
            await channel.close()

    async def _follow(self) -> None:
        """Pass on what commits of any process mean: there is work, or there is something to send.

        Most commits of an idle company are its own, such as the lease of its bot: they leave no
        trace of what anybody waits for, and nobody is woken by them.
        """
        before = await self._store.aread(self._traces)
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_S)
            self._changed.clear()
            now = await self._store.aread(self._traces)
            if not now.is_quiet or self.worker.pid is not None:
                self.worker.look()
            if self._front is not None and (now != before or not now.is_quiet):
                self._front.tell()
                if now.newest_out != before.newest_out or now.pending > before.pending:
                    self._front.wake()
            before = now

    def _traces(self, connection: Connection) -> _Traces:
        found = _TRACES.first(connection, {})
        assert found is not None
        return _Traces(
            newest_in=found.newest_in or 0,
            newest_out=found.newest_out or 0,
            pending=found.pending,
            is_quiet=self._is_quiet(connection),
        )

    async def _has_work(self) -> bool:
        return not await self._store.aread(self._is_quiet)
