"""The stop button: nothing new starts, calls in flight end, and what was ordered is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.ledger.book import Caller, CallKey
from swarm.ledger.metered import Metered
from swarm.store.database import Store
from swarm.store.tables import meta

KEY = "paused"
LOOK_S = 0.5
"""How often a worker looks whether another process pressed the button, in seconds."""


class Pause:
    """Know whether the company is paused; the database says so, for every process of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_open = asyncio.Event()
        self._is_open.set()

    def is_set(self, connection: Connection) -> bool:
        """Return whether the company is paused, as the database says now."""
        found = connection.execute(sa.select(meta.c.value).where(meta.c.key == KEY)).first()
        return found is not None

    def press(self, connection: Connection, *, by: str) -> bool:
        """Pause as part of a transaction; False where it was paused already."""
        if self.is_set(connection):
            return False
        connection.execute(meta.insert().values(key=KEY, value=by))
        return True

    def release(self, connection: Connection) -> bool:
        """Go on as part of a transaction; False where nothing was paused."""
        return connection.execute(meta.delete().where(meta.c.key == KEY)).rowcount > 0

    async def refresh(self) -> None:
        """Take over what the database says; called after each press in this process, too."""
        if await self._store.aread(self.is_set):
            self._is_open.clear()
        else:
            self._is_open.set()

    async def watch(self) -> None:
        """Follow the database until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(LOOK_S)

    async def until_open(self) -> None:
        """Wait as long as the company is paused."""
        await self._is_open.wait()

    def held(self, work: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return work that begins only while the company is not paused."""

        async def when_open(*arguments: object) -> None:
            await self.until_open()
            await work(*arguments)

        return when_open


class PausableMetered(Metered):
    """The one way to models, with the stop button before each call."""

    def __init__(self, *, pause: Pause, **parts: Any) -> None:
        """Take the button, and what any metered way takes."""
        super().__init__(**parts)
        self._pause_button = pause

    async def call(self, key: CallKey, request: ModelRequest, caller: Caller) -> RawAnswer:
        """Wait while the company is paused, then ask as usual."""
        await self._pause_button.until_open()
        return await super().call(key, request, caller)
