"""A company that is steered from one channel, in a test: a real worker, a real SDK, a fake server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.app import App
from swarm.core.clock import Clock
from swarm.runtime.progress import LOOK_S
from swarm.settings import load
from swarm.store.tables import inbox, orders, outbox
from tests.acceptance.at_work import ONE_TASK, called, script, settings_of
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply

START_S = 40.0
"""Longest wait for the first answer: a first start of the engine is slow."""


def unhurried(**options: Any) -> ScriptedProvider:
    """Return a provider whose worker takes its time, so that progress can be seen."""
    play = script(ONE_TASK, **options)

    def answer(request: Body) -> Body | Reply:
        made = play(request)
        is_first = bool(request.get("tools")) and not called(request)
        return Reply(made, delay_s=LOOK_S * 1.6) if is_first else made

    return ScriptedProvider(answer)


@dataclass
class Company:
    """A company at work."""

    app: App
    provider: ScriptedProvider

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        found = self.app.store.read(lambda c: c.execute(sa.select(table)).mappings().all())
        return [dict(row) for row in found]

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Return the orders, oldest first."""
        return sorted(self.rows(orders), key=lambda row: str(row["created_at"]))

    async def until(self, is_so: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Wait until something readable is so."""
        async with asyncio.timeout(seconds):
            while not is_so():  # noqa: ASYNC110  # what is awaited is a row, which sets no event
                await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """Wait until everything heard was handled and everything queued was sent."""
        await self.until(
            lambda: (
                all(row["state"] != "new" for row in self.rows(inbox))
                and all(row["state"] not in ("pending", "sending") for row in self.rows(outbox))
            )
        )


@contextlib.asynccontextmanager
async def company_on(
    channel: str,
    home: Path,
    provider: ScriptedProvider,
    *,
    clock: Clock | None = None,
    **settings: str,
) -> AsyncIterator[Company]:
    """Open a company on one channel for the length of a block."""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(provider)
        app = App(load(settings_of(home, provider.url, channels="[]", **settings)), clock=clock)
        stack.callback(app.close)
        app.initialise()
        await stack.enter_async_context(working(app, channel))
        yield Company(app, provider)


@contextlib.asynccontextmanager
async def working(app: App, channel: str) -> AsyncIterator[None]:
    """Run an app's worker with one channel; its failure is the test's."""
    until, ready = asyncio.Event(), asyncio.Event()
    work = app.worker({channel: app.channel(channel)})
    job = asyncio.create_task(work.run(until, ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({job, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not job.done():
            yield
    finally:
        until.set()
        await job
