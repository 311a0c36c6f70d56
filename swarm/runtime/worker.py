"""The worker: the engine, the channels and the sender in one process, one per home."""

import asyncio
import gc
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from swarm.channels.base import Channel
from swarm.core.message import InboundMessage
from swarm.runtime.company import Company
from swarm.runtime.engine import SEGMENT, TASK
from swarm.runtime.intake import Intake
from swarm.runtime.lock import WorkerLock
from swarm.runtime.outbox import Sender
from swarm.runtime.segments import run_segment
from swarm.runtime.tasks import run_task

log = structlog.get_logger("swarm.worker")

SEND_POLL_S = 0.5
REOPEN_S = 5.0
GC_THRESHOLD = 20_000
GRACE_S = 3.0
"""How long a stop waits for model calls in flight, in seconds."""


class Worker:
    """Work the orders of one home until told to stop."""

    def __init__(
        self,
        *,
        home: Path,
        company: Company,
        intake: Intake,
        channels: Mapping[str, Channel],
        close_models: Callable[[], "asyncio.Future[None] | object"],
    ) -> None:
        self._home = home
        self._company = company
        self._intake = intake
        self._channels = channels
        self._close_models = close_models

    async def run(self, until: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Take work until `until` is set; `ready` is called once work is taken.

        Raises:
            ConfigError: Another worker holds this home.
        """
        # Most objects of a worker live as long as it does; looking through them after every
        # 700 new ones, as the interpreter would, costs a tenth of each call.
        gc.set_threshold(GC_THRESHOLD)
        with WorkerLock(self._home):
            await self._company.engine.start(
                {
                    SEGMENT: partial(run_segment, self._company),
                    TASK: partial(run_task, self._company),
                }
            )
            jobs = [asyncio.create_task(self._send())] if self._channels else []
            jobs += [asyncio.create_task(self._listen(c)) for c in self._channels.values()]
            try:
                if ready is not None:
                    ready()
                await until.wait()
            finally:
                await self._stop(jobs)

    async def _listen(self, channel: Channel) -> None:
        """Listen until the channel ends by itself; one that breaks is opened again."""
        while True:
            try:
                return await channel.run(self._hear)
            except Exception:
                log.exception("a channel broke", channel=channel.name)
                await asyncio.sleep(REOPEN_S)

    async def _hear(self, message: InboundMessage) -> None:
        await asyncio.to_thread(self._intake.place, message)

    async def _send(self) -> None:
        sender = Sender(
            store=self._company.store,
            clock=self._company.clock,
            channels=self._channels,
            poll_s=SEND_POLL_S,
        )
        await sender.run()

    async def _stop(self, jobs: list["asyncio.Task[None]"]) -> None:
        for job in jobs:
            job.cancel()
        for job in jobs:
            with suppress(asyncio.CancelledError):
                await job
        await self._company.metered.drain(GRACE_S)
        await self._company.engine.stop()
        closing = self._close_models()
        if asyncio.iscoroutine(closing):
            await closing
