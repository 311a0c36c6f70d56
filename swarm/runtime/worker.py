"""The worker: the engine, the channels and the sender in one process, one per home."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from swarm.channels.base import Channel
from swarm.runtime.company import Company
from swarm.runtime.engine import SEGMENT, TASK
from swarm.runtime.heartbeat import Heartbeat
from swarm.runtime.lock import WorkerLock
from swarm.runtime.metering import Keeper
from swarm.runtime.pausing import Pause
from swarm.runtime.segments import run_segment
from swarm.runtime.tasks import run_task

if TYPE_CHECKING:
    from swarm.runtime.front import MakeFront

log = structlog.get_logger("swarm.worker")

REOPEN_S = 5.0
GC_THRESHOLD = 20_000
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
    ) -> None:
        self._home = home
        self._company = company
        self._channels = channels
        self._make_front = make_front
        self._pause = pause
        self._close_models = close_models

    async def run(self, until: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Take work until `until` is set; `ready` is called once work is taken.

        Raises:
            ConfigError: Another worker holds this home.
        """
        # Most objects of a worker live as long as it does; looking through them after every
        # 700 new ones, as the interpreter would, costs a tenth of each call.
        gc.set_threshold(GC_THRESHOLD)
        with WorkerLock(self._home), Heartbeat(self._home) as heartbeat:
            company = self._company
            keeper = Keeper(company.meter, company.store, company.clock, company.hosting)
            await self._company.engine.start(
                {
                    SEGMENT: partial(self._pause.held(run_segment), self._company),
                    TASK: partial(self._pause.held(run_task), self._company),
                }
            )
            watch = asyncio.create_task(self._keep("pause", self._pause.watch))
            jobs = [watch, *self._front()]
            jobs.append(asyncio.create_task(heartbeat.run()))
            jobs.append(asyncio.create_task(keeper.run()))
            try:
                if ready is not None:
                    ready()
                await until.wait()
            finally:
                await self._stop(jobs)
                await keeper.end(GRACE_S)

    def _front(self) -> list["asyncio.Task[None]"]:
        """Begin to hear and to send; nothing of it is loaded where there is no channel."""
        if not self._channels:
            return []
        front = self._make_front(self._channels)
        runs = {f"front {number}": run for number, run in enumerate(front.jobs())}
        runs |= {c.name: partial(c.run, front.hear) for c in self._channels.values()}
        return [asyncio.create_task(self._keep(name, run)) for name, run in runs.items()]

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run until it ends by itself; what breaks is begun again."""
        while True:
            try:
                return await run()
            except Exception:
                log.exception("a channel broke", channel=name)
                await asyncio.sleep(REOPEN_S)

    async def _stop(self, jobs: list["asyncio.Task[None]"]) -> None:
        for job in jobs:
            job.cancel()
        for job in jobs:
            with suppress(asyncio.CancelledError):
                await job
        for channel in self._channels.values():
            await channel.close()
        await self._company.metered.drain(GRACE_S)
        await self._company.engine.stop()
        closing = self._close_models()
        if asyncio.iscoroutine(closing):
            await closing
