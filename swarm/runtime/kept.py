"""What a process keeps running from its start to its end: its jobs, and the fronts of its channels."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from swarm.channels.base import Channel

if TYPE_CHECKING:
    from swarm.runtime.front import Front

log = structlog.get_logger("swarm.worker")

REOPEN_S = 5.0
"""How long to wait before what broke is begun again, in seconds."""


async def keep(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run until it ends by itself; what breaks is begun again."""
    while True:
        try:
            return await run()
        except Exception:
            log.exception("a channel broke", channel=name)
            await asyncio.sleep(REOPEN_S)


def begin_front(front: "Front", channels: Mapping[str, Channel]) -> list["asyncio.Task[None]"]:
    """Begin to hear on channels and to send."""
    runs: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        f"front {number}": run for number, run in enumerate(front.jobs())
    }
    runs |= {c.name: partial(c.run, front.hear) for c in channels.values()}
    return [asyncio.create_task(keep(name, run)) for name, run in runs.items()]


async def first(until: asyncio.Event, *watching: "asyncio.Task[None]") -> None:
    """Wait for the end; raise what ended the right to go on before."""
    waiting = asyncio.create_task(until.wait())
    try:
        await asyncio.wait({waiting, *watching}, return_when=asyncio.FIRST_COMPLETED)
        for watch in watching:
            if watch.done():
                watch.result()
    finally:
        waiting.cancel()


async def cancel(jobs: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel jobs and wait until they are gone."""
    for job in jobs:
        job.cancel()
    for job in jobs:
        with suppress(asyncio.CancelledError):
            await job
