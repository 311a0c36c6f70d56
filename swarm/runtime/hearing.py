"""Hear, store, acknowledge; then handle: each chat in its order, chats beside each other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel
from swarm.channels.bound import is_for_customers
from swarm.channels.voice.base import Transcriber, key_of
from swarm.core.errors import InvalidInput, SwarmError, Transient, Unavailable
from swarm.core.message import InboundKind, InboundMessage, Signal
from swarm.runtime import customers_files
from swarm.runtime import inbox as box
from swarm.runtime.chat import Chat
from swarm.runtime.inbox import Inbox
from swarm.runtime.incoming import Incoming
from swarm.runtime.news import News
from swarm.runtime.turn import Handled
from swarm.store.database import Store
from swarm.store.tables import inbox

log = structlog.get_logger("swarm.inbox")

POLL_S = 2.0
"""How often to look for what another process heard, in seconds, while there is news."""
GATHER_S = 0.02
RETRY_S = 1.0
"""Wait before an update that broke its handler is tried again, in seconds; it grows each time."""
LOOK = 2_000
"""Most rows that are read at a time."""
HANDS = 4
"""Messages acted on at the same moment. Each is one write; more would queue up before the writer, and
the orders at work would wait behind them."""
MAX_VOICE_BYTES = 10 * 1024 * 1024
"""Largest voice note that is decoded; a quarter of an hour as phones record it."""

WITH_BYTES = frozenset((InboundKind.FILE.value, InboundKind.VOICE.value))
"""Updates of which something is to be fetched before they are acted on."""

After = Callable[[], Awaitable[None]]


class Hearing:
    """Between the channels of this process and the company."""

    def __init__(
        self,
        *,
        store: Store,
        inbox: Inbox,
        chat: Chat,
        channels: Mapping[str, Channel],
        home: Path,
        queued: asyncio.Event,
        after: After,
        transcriber: Transcriber | None = None,
        news: News | None = None,
    ) -> None:
        """Take what to hear with.

        Args:
            store: The company's database.
            inbox: Where updates are kept.
            chat: Handles them.
            channels: By name; files are fetched and hints given through them.
            home: Fetched files are put below it.
            queued: Set where replies may wait in the outbox.
            after: Run after handled updates, once for those handled at the same time.
            transcriber: Writes voice notes down; None leaves them unheard.
            news: Says when another process may have stored something.
        """
        self._store = store
        self._inbox = inbox
        self._chat = chat
        self._channels = channels
        self._incoming = Incoming(home)
        self._queued = queued
        self._after = after
        self._transcriber = transcriber
        self._news = news or News()
        self._heard = asyncio.Event()
        self._changed = asyncio.Event()
        self._newest = 0
        """The newest row that was shared out."""
        self._in_hand: set[int] = set()
        self._queues: dict[tuple[str, str], deque[Any]] = {}
        """What each chat waits for, of the chats that somebody is busy with."""
        self._hands = asyncio.Semaphore(HANDS)
        self._jobs: set[asyncio.Task[None]] = set()

    async def hear(self, message: InboundMessage) -> None:
        """Store a message; when this returns it is on disk."""
        if await self._inbox.take(message):
            self._heard.set()

    def look(self) -> None:
        """Look for what somebody else stored."""
        self._heard.set()

    async def run(self) -> None:
        """Handle what is stored until cancelled, beginning with what an earlier process left."""
        await self._store.awrite(self._inbox.prune)
        self._begin_job(self._follow())
        loop = asyncio.get_running_loop()
        after, looked_at = 0, loop.time()
        try:
            while True:
                self._heard.clear()
                seen = self._news.number
                look = partial(self._inbox.waiting, after=after, limit=LOOK)
                rows = await self._store.aread(look)
                self._share_out(rows)
                if len(rows) == LOOK:
                    self._heard.set()
                # What is heard at nearly the same time is looked at together.
                await asyncio.sleep(GATHER_S)
                # Only a look at all of them that found none leaves nothing to come back for.
                is_all = after == 0 and not any(row.channel in self._channels for row in rows)
                await self._news.until_due(
                    seen=seen if is_all else None, poll_s=POLL_S, wake=self._heard
                )
                after = self._newest
                if loop.time() - looked_at > POLL_S:
                    # Another process may have stored what has an older number.
                    after, looked_at = 0, loop.time()
        finally:
            for job in list(self._jobs):
                job.cancel()

    def _begin_job(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _follow(self) -> None:
        """Run what is to be run after updates."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._after()
            except Exception:
                log.exception("what follows an update broke")

    def _share_out(self, rows: Sequence[Any]) -> None:
        """Queue each row in its chat, and begin with each chat that nobody is busy with."""
        for row in rows:
            self._newest = max(self._newest, row.id)
            if row.channel not in self._channels or row.id in self._in_hand:
                continue
            self._in_hand.add(row.id)
            key = (row.channel, row.chat_id)
            if key in self._queues:
                self._queues[key].append(row)
            else:
                self._queues[key] = deque([row])
                self._begin_job(self._chat_of(key))

    async def _chat_of(self, key: tuple[str, str]) -> None:
        queue = self._queues[key]
        try:
            while queue:
                await self._handle(queue[0])
                self._in_hand.discard(queue.popleft().id)
        finally:
            # What is left after a fault is found again by the next look at all of them.
            self._in_hand.difference_update(row.id for row in queue)
            del self._queues[key]

    async def _handle(self, row: Any) -> None:
        """Handle one update to its end, over failures and a database that cannot be written."""
        pause_s = RETRY_S
        for _ in range(box.MAX_TRIES):
            try:
                handled = await self._try(row)
            except Transient as error:
                log.info("a file cannot be fetched yet", inbox=row.id, reason=str(error))
                pause_s = error.retry_after_s or pause_s * 2
            except Exception:
                log.exception("an update broke its handler", inbox=row.id)
                pause_s *= 2
            else:
                if handled is not None:
                    self._finish(row.channel, handled)
                return
            await self._store.awrite(lambda c: _count_try(c, row.id))
            await asyncio.sleep(min(pause_s, 60.0))
        await self._store.awrite(lambda c: self._give_up(c, row.id))
        self._queued.set()

    async def _try(self, row: Any) -> Handled | None:
        try:
            message = None
            if row.kind in WITH_BYTES:
                known = await self._store.aread(lambda c: self._read(c, row.id))
                message = await self._fetched(row.id, known)
            async with self._hands:
                return await self._store.awrite(lambda c: self._act(c, row.id, message))
        except (Transient, Unavailable):
            raise
        except SwarmError as error:
            refusal = error
            return await self._store.awrite(lambda c: self._refuse(c, row.id, refusal))

    def _read(self, connection: Connection, row_id: int) -> InboundMessage:
        return box.read(self._inbox.row(connection, row_id))

    def _act(
        self, connection: Connection, row_id: int, message: InboundMessage | None
    ) -> Handled | None:
        """Act on an update and mark it as done, in one commit; None where that was done before.

        `message` is given where something of it was fetched.
        """
        if not self._inbox.begin(connection, row_id):
            return None
        message = message or self._read(connection, row_id)
        is_local = self._channels[message.channel].capabilities.is_local
        handle = self._chat.local if is_local else self._chat.handle
        handled = handle(connection, row_id, message)
        self._inbox.finish(connection, row_id, outcome=handled.outcome, order_id=handled.order_id)
        return handled

    def _refuse(self, connection: Connection, row_id: int, error: SwarmError) -> Handled | None:
        if not self._inbox.begin(connection, row_id):
            return None
        handled = self._chat.refuse(connection, row_id, self._read(connection, row_id), error)
        self._inbox.finish(connection, row_id, outcome=handled.outcome)
        return handled

    def _give_up(self, connection: Connection, row_id: int) -> None:
        if self._inbox.begin(connection, row_id):
            self._chat.broke(connection, row_id, self._read(connection, row_id))
            self._inbox.finish(connection, row_id, outcome="broke", state=box.FAILED)

    def _finish(self, channel: str, handled: Handled) -> None:
        self._queued.set()
        self._changed.set()
        for signal in handled.signals:
            self._begin_job(_give(self._channels[channel], signal))

    async def _fetched(self, row_id: int, message: InboundMessage) -> InboundMessage:
        """Fetch the files of a message, of people who may order and no one else.

        Raises:
            InvalidInput: A note is too large, or gone.
            Transient: Not now.
        """
        is_voice = message.kind is InboundKind.VOICE and self._transcriber is not None
        if message.kind is not InboundKind.FILE and not is_voice:
            return message
        channel = self._channels[message.channel]
        is_welcome = await self._store.aread(lambda c: self._chat.is_welcome(c, message))
        if not is_welcome:
            return message
        if is_for_customers(message.channel):
            return await self._of_customer(channel, row_id, message)
        if is_voice:
            return await self._written_down(channel, message)
        return await self._incoming.fetched(channel, row_id, message)

    async def _of_customer(
        self, channel: Channel, row_id: int, message: InboundMessage
    ) -> InboundMessage:
        """Fetch what a customer sent; it is theirs to be told of, whatever it is."""
        if message.kind is InboundKind.VOICE:
            assert self._transcriber is not None
            most = min(channel.capabilities.file_bytes, MAX_VOICE_BYTES)
            return await customers_files.heard(channel, self._transcriber, message, most=most)
        service = self._chat.desks.service
        return await customers_files.brought(service, self._incoming, channel, row_id, message)

    async def _written_down(self, channel: Channel, message: InboundMessage) -> InboundMessage:
        """Return a voice note with the words that the engine heard; the sound is not kept."""
        assert self._transcriber is not None
        most = min(channel.capabilities.file_bytes, MAX_VOICE_BYTES)
        words, keys = [], []
        for file in message.files:
            content = await channel.fetch(file, most=most)
            if len(content) > most:
                raise InvalidInput(f"{file.name} has more than {most // 1024**2} MiB.")
            words.append(await self._transcriber.transcribe(content, name=file.name))
            keys.append(key_of(content))
        return replace(message, text=" ".join(filter(None, words)), data=" ".join(keys))


async def _give(channel: Channel, signal: Signal) -> None:
    try:
        await channel.signal(signal)
    except Exception:
        log.exception("a hint broke", kind=signal.kind.value)


def _count_try(connection: Connection, row_id: int) -> None:
    connection.execute(sa.update(inbox).where(inbox.c.id == row_id).values(tries=inbox.c.tries + 1))
