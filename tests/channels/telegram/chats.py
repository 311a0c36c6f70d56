"""A company that is steered from Telegram, in a test: a real worker, a real SDK, a fake server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.app import App
from swarm.core.ids import Ids
from swarm.settings import load
from swarm.store.tables import inbox, orders, outbox
from tests.acceptance.at_work import provider_of, settings_of
from tests.servers.provider import ScriptedProvider
from tests.servers.telegram import Conversation, Message, Person, TelegramServer

ADA = 4711


@dataclass
class Chatting:
    """A company at work, its bot's server, and its founder."""

    app: App
    server: TelegramServer
    ada: Person
    chat: Conversation
    provider: ScriptedProvider

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        found = self.app.store.read(lambda c: c.execute(sa.select(table)).mappings().all())
        return [dict(row) for row in found]

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Return the orders, oldest first."""
        return sorted(self.rows(orders), key=lambda row: str(row["created_at"]))

    @property
    def outcomes(self) -> list[str]:
        """Return what came of each update."""
        return [str(row["outcome"]) for row in self.rows(inbox)]

    async def sees(self, words: str) -> Message:
        """Wait until the founder's chat shows some words; a first start of the engine is slow."""
        return await self.chat.next(words, timeout_s=40.0)

    async def handled(self, count: int) -> None:
        """Wait until so many updates were handled."""
        await self.until(lambda: sum(r["state"] != "new" for r in self.rows(inbox)) >= count)

    async def settled(self) -> None:
        """Wait until everything said was handled and everything queued was sent."""
        await self.server.drained()
        await self.until(
            lambda: (
                all(row["state"] != "new" for row in self.rows(inbox))
                and all(row["state"] not in ("pending", "sending") for row in self.rows(outbox))
            )
        )

    async def until(self, is_so: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Wait until something readable is so."""
        async with asyncio.timeout(seconds):
            while not is_so():  # noqa: ASYNC110  # what is awaited is a row, which sets no event
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def chatting(
    home: Path,
    provider: ScriptedProvider | None = None,
    *,
    server: TelegramServer | None = None,
    has_founder: bool = True,
    ids: Ids | None = None,
    **settings: str,
) -> AsyncIterator[Chatting]:
    """Open a company on Telegram for the length of a block; Ada is its founder."""
    provider = provider or provider_of()
    async with contextlib.AsyncExitStack() as stack:
        if server is None:
            server = await stack.enter_async_context(TelegramServer())
        if provider.loop is None:
            await stack.enter_async_context(provider)
        ada = server.person("Ada", id=ADA)
        chat = ada.chat()
        given = {
            "telegram__token": server.token,
            "telegram__base_url": server.base_url,
            "telegram__chat_pause_s": "0.02",
            "telegram__poll_s": "2",
            "channels": "[]",
        }
        if has_founder:
            given["telegram__founders"] = str(ada.id)
        app = App(load(settings_of(home, provider.url, **(given | settings))), ids=ids)
        stack.callback(app.close)
        app.initialise()
        await stack.enter_async_context(working(app))
        yield Chatting(app, server, ada, chat, provider)


@contextlib.asynccontextmanager
async def working(app: App) -> AsyncIterator[None]:
    """Run an app's worker with all its channels; its failure is the test's."""
    until, ready = asyncio.Event(), asyncio.Event()
    work = app.worker({name: app.channel(name) for name in app.channel_names})
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
