"""The worker: the engine in a process of its own, or with the channels and the sender beside it."""

import asyncio
import gc
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.channels.base import Channel
from swarm.runtime.admission import Admission
from swarm.runtime.company import Company
from swarm.runtime.doorman_watch import Watch
from swarm.runtime.engine import SEGMENT, TASK
from swarm.runtime.heartbeat import Heartbeat, Life
from swarm.runtime.kept import begin_front, cancel, first, keep
from swarm.runtime.metering import Keeper
from swarm.runtime.pausing import Pause
from swarm.runtime.segments import run_segment
from swarm.runtime.tasks import run_task
from swarm.runtime.workshop import Here, Workplace, Workshop

if TYPE_CHECKING:
    from swarm.runtime.front import Front, MakeFront
    from swarm.runtime.monitoring import Monitor
    from swarm.runtime.seat import Seat

GC_THRESHOLD = 20_000
SWITCH_S = 0.0005
"""How long a thread may compute while another waits for its turn, in seconds. Each statement of the
writer lets the others compute meanwhile; at the interpreter's 5 ms it would wait that long after
each, and a message of thirty statements a sixth of a second."""
GRACE_S = 3.0
"""How long a stop waits for model calls in flight, and for the last rows, in seconds."""


class Worker:
    """Work the orders of one home until told to stop."""

    def __init__(
        self,
        *,
        home: Path,
        company: Company,
        channels: Mapping[str, Channel],
        make_front: "MakeFront",
        pause: Pause,
        close_models: Callable[[], "asyncio.Future[None] | object"],
        seat: "Seat",
        takes_orders: bool = True,
        monitor: "Monitor | None" = None,
        life: Life | None = None,
    ) -> None:
        self._seat = seat
        self._takes_orders = takes_orders
        self._home = home
        self._company = company
        self._channels = channels
        self._make_front = make_front
        self._pause = pause
        self._close_models = close_models
        self._monitor = monitor
        self._life = life

    async def run(self, until: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Take work until `until` is set; `ready` is called once work is taken.

        Raises:
            ConfigError: Another worker holds this home.
        """
        # Most objects of a worker live as long as it does; looking through them after every
        # 700 new ones, as the interpreter would, costs a tenth of each call.
        gc.set_threshold(GC_THRESHOLD)
        sys.setswitchinterval(SWITCH_S)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._seat)
            is_shared = not self._company.store.is_sqlite
            life = self._life or Heartbeat(self._home, is_shared=is_shared)
            stack.enter_context(life)
            company = self._company
            if self._monitor is not None:
                await self._monitor.open()
            keeper = Keeper(company.meter, company.store, company.clock, company.hosting)
            async with self._workplace() as place:
                work: list[asyncio.Task[None]] = []
                admission = Admission(place.rested_s)
                await place.run(lambda: self._begin(work, life, keeper, admission))
                jobs = self._front()
                watching = asyncio.create_task(self._seat.watch(place.run))
                try:
                    if self._monitor is not None:
                        self._monitor.works()
                    if ready is not None:
                        ready()
                    await first(until, watching)
                finally:
                    watching.cancel()
                    if self._monitor is not None:
                        await self._monitor.close()
                    await cancel(jobs)
                    for channel in self._channels.values():
                        await channel.close()
                    await place.run(lambda: self._end(work, keeper))

    def _workplace(self) -> Workplace:
        """Return where orders are worked: beside who listens to people, not in their way."""
        is_remote = any(not c.capabilities.is_local for c in self._channels.values())
        return Workshop("swarm-work") if is_remote else Here()

    async def _begin(
        self,
        jobs: list["asyncio.Task[None]"],
        life: Life,
        keeper: Keeper,
        admission: Admission,
    ) -> None:
        """Begin to work; what runs until the end is put into `jobs`."""
        segment = admission.held(partial(run_segment, self._company))
        if self._takes_orders:
            await self._company.engine.start(
                {
                    SEGMENT: self._pause.held(segment),
                    TASK: partial(self._pause.held(run_task), self._company),
                }
            )
        jobs.append(asyncio.create_task(keep("pause", self._pause.watch)))
        jobs.append(asyncio.create_task(admission.run()))
        # The sign of life is given where work would hang.
        jobs.append(asyncio.create_task(life.run()))
        jobs.append(asyncio.create_task(keeper.run()))

    async def _end(self, jobs: list["asyncio.Task[None]"], keeper: Keeper) -> None:
        """Let calls in flight end, and write the last rows."""
        await cancel(jobs)
        await self._company.metered.drain(GRACE_S)
        await self._company.engine.stop()
        closing = self._close_models()
        if asyncio.iscoroutine(closing):
            await closing
        await keeper.end(GRACE_S)

    def _front(self) -> list["asyncio.Task[None]"]:
        """Begin to hear and to send; nothing of it is loaded where there is no channel."""
        if not self._channels:
            return []
        front = self._make_front(self._channels)
        if self._seat.tell(front.hear_bell):
            front.be_told()
        jobs = begin_front(front, self._channels)
        if self._company.store.is_sqlite:
            jobs.append(asyncio.create_task(self._watch(front)))
        return jobs

    async def _watch(self, front: "Front") -> None:
        """Tell those who listen of each commit to the home's file, whoever makes it."""
        watch = Watch()
        watch.add(Path(self._company.store.engine.url.database or ""), front.tell)
        async with watch.running():
            front.be_told()
            await asyncio.Event().wait()
