"""The stop button: nothing new starts, calls in flight end, and what was ordered is kept."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.lane import LANE, lane_of
from swarm.ledger.book import Caller, CallKey
from swarm.ledger.metered import Metered
from swarm.llm.wire import BEFORE_SEND
from swarm.runtime.rates import RateGate
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import meta

KEY = "paused"
LOOK_S = 0.5
"""How old may be what is known of the button when work goes on, in seconds, and how often it is looked
at while work waits for it. While nothing does, nobody looks."""


_PRESSED = Prepared(sa.select(meta.c.value).where(meta.c.key == KEY))


class Pause:
    """Know whether the company is paused; the database says so, for every process of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where work waits for the button; it is pressed from other loops, too."""
        self._looked_at = float("-inf")
        self._waiting = 0
        self._is_waited_for = asyncio.Event()

    def is_set(self, connection: Connection) -> bool:
        """Return whether the company is paused, as the database says now."""
        return _PRESSED.first(connection, {}) is not None

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
        began = time.monotonic()
        is_paused = await self._store.aread(self.is_set)
        change = self._is_open.clear if is_paused else self._is_open.set
        if self._loop in (None, asyncio.get_running_loop()) or self._loop.is_closed():
            change()
        else:
            self._loop.call_soon_threadsafe(change)
        self._looked_at = began

    async def watch(self) -> None:
        """Follow the database as long as somebody waits, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._is_waited_for.wait()
            await self.refresh()
            await asyncio.sleep(LOOK_S)

    async def until_open(self) -> None:
        """Wait as long as the company is paused."""
        if time.monotonic() - self._looked_at > LOOK_S:
            await self.refresh()
        if self._is_open.is_set():
            return
        self._waiting += 1
        self._is_waited_for.set()
        try:
            await self._is_open.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._is_waited_for.clear()

    def held(self, work: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return work that begins only while the company is not paused."""

        async def when_open(*arguments: object) -> None:
            await self.until_open()
            await work(*arguments)

        return when_open


class PausableMetered(Metered):
    """The one way to models, with the stop button before each call."""

    def __init__(self, *, pause: Pause, gate: RateGate | None = None, **parts: Any) -> None:
        """Take the button, what keeps providers' limits, and what any metered way takes."""
        super().__init__(**parts)
        self._pause_button = pause
        self._gate = gate

    async def _turn(self, request: ModelRequest) -> None:
        BEFORE_SEND.set(None)
        if self._gate is not None and self._gate.binds(request.model):
            await self._gate.turn(request.model)
            BEFORE_SEND.set(partial(self._gate.pass_through, request.model))

    async def call(self, key: CallKey, request: ModelRequest, caller: Caller) -> RawAnswer:
        """Wait while the company is paused, then ask as usual."""
        LANE.set(lane_of(key.order_id, key.node, key.seq))
        await self._pause_button.until_open()
        return await super().call(key, request, caller)
