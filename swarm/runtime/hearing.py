"""Hear, store, acknowledge; then handle: each chat in its order, chats beside each other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel
from swarm.channels.voice.base import Transcriber
from swarm.core.errors import InvalidInput, SwarmError, Transient, Unavailable
from swarm.core.message import InboundFile, InboundKind, InboundMessage, Signal
from swarm.core.text import slug
from swarm.runtime import inbox as box
from swarm.runtime.chat import Chat, Handled
from swarm.runtime.inbox import Inbox
from swarm.store.database import Store
from swarm.store.tables import inbox

log = structlog.get_logger("swarm.inbox")

POLL_S = 2.0
"""How often to look for what another process heard, in seconds."""
GATHER_S = 0.02
RETRY_S = 1.0
"""Wait before an update that broke its handler is tried again, in seconds; it grows each time."""
HANDS = 4
"""Messages acted on at the same moment. Each is one write; more would queue up before the writer, and
whoever is to be told `received` would wait behind them."""
MAX_FILE_BYTES = 20 * 1024 * 1024
"""Largest file taken from a person, whatever the platform would give."""

MAX_VOICE_BYTES = 10 * 1024 * 1024
"""Largest voice note that is decoded; a quarter of an hour as phones record it."""

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
    ) -> None:
        """Take what to hear with.

        Args:
            store: The company's database.
            inbox: Where updates are kept.
            chat: Handles them.
            channels: By name; files are fetched and hints given through them.
            home: Fetched files are put below it.
            queued: Set where replies may wait in the outbox.
            after: Run after each handled update.
            transcriber: Writes voice notes down; None leaves them unheard.
        """
        self._store = store
        self._inbox = inbox
        self._chat = chat
        self._channels = channels
        self._home = home
        self._queued = queued
        self._after = after
        self._transcriber = transcriber
        self._heard = asyncio.Event()
        self._busy: set[tuple[str, str]] = set()
        self._hands = asyncio.Semaphore(HANDS)
        self._jobs: set[asyncio.Task[None]] = set()

    async def hear(self, message: InboundMessage) -> None:
        """Store a message; when this returns it is on disk."""
        if await self._inbox.take(message):
            self._heard.set()

    async def run(self) -> None:
        """Handle what is stored until cancelled, beginning with what an earlier process left."""
        await self._store.awrite(self._inbox.prune)
        try:
            while True:
                self._heard.clear()
                rows = await self._store.aread(self._inbox.waiting)
                self._share_out(rows)
                # What is heard at nearly the same time is looked at together.
                await asyncio.sleep(GATHER_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._heard.wait()
        finally:
            for job in list(self._jobs):
                job.cancel()

    def _share_out(self, rows: Any) -> None:
        """Begin with each chat that nobody is busy with."""
        chats: dict[tuple[str, str], list[Any]] = {}
        for row in rows:
            if row.channel in self._channels:
                chats.setdefault((row.channel, row.chat_id), []).append(row)
        for key, mine in chats.items():
            if key not in self._busy:
                self._busy.add(key)
                job = asyncio.create_task(self._chat_of(key, mine))
                self._jobs.add(job)
                job.add_done_callback(self._jobs.discard)

    async def _chat_of(self, key: tuple[str, str], rows: list[Any]) -> None:
        try:
            for row in rows:
                await self._handle(row)
        finally:
            self._busy.discard(key)
            self._heard.set()

    async def _handle(self, row: Any) -> None:
        """Handle one update to its end, over failures and a database that cannot be written."""
        message = box.read(await self._store.aread(lambda c: self._inbox.row(c, row.id)))
        pause_s = RETRY_S
        for _ in range(box.MAX_TRIES):
            try:
                handled = await self._try(row, message)
            except Transient as error:
                log.info("a file cannot be fetched yet", inbox=row.id, reason=str(error))
                pause_s = error.retry_after_s or pause_s * 2
            except Exception:
                log.exception("an update broke its handler", inbox=row.id)
                pause_s *= 2
            else:
                if handled is not None:
                    await self._finish(message, handled)
                return
            await self._store.awrite(lambda c: _count_try(c, row.id))
            await asyncio.sleep(min(pause_s, 60.0))
        await self._store.awrite(lambda c: self._give_up(c, row.id, message))
        self._queued.set()

    async def _try(self, row: Any, message: InboundMessage) -> Handled | None:
        try:
            message = await self._fetched(row.id, message)
            async with self._hands:
                return await self._store.awrite(lambda c: self._act(c, row.id, message))
        except (Transient, Unavailable):
            raise
        except SwarmError as error:
            refusal = error
            return await self._store.awrite(lambda c: self._refuse(c, row.id, message, refusal))

    def _act(self, connection: Connection, row_id: int, message: InboundMessage) -> Handled | None:
        """Act on an update and mark it as done, in one commit; None where that was done before."""
        if not self._inbox.begin(connection, row_id):
            return None
        is_local = self._channels[message.channel].capabilities.is_local
        handle = self._chat.local if is_local else self._chat.handle
        handled = handle(connection, row_id, message)
        self._inbox.finish(connection, row_id, outcome=handled.outcome, order_id=handled.order_id)
        return handled

    def _refuse(
        self, connection: Connection, row_id: int, message: InboundMessage, error: SwarmError
    ) -> Handled | None:
        if not self._inbox.begin(connection, row_id):
            return None
        handled = self._chat.refuse(connection, row_id, message, error)
        self._inbox.finish(connection, row_id, outcome=handled.outcome)
        return handled

    def _give_up(self, connection: Connection, row_id: int, message: InboundMessage) -> None:
        if self._inbox.begin(connection, row_id):
            self._chat.broke(connection, row_id, message)
            self._inbox.finish(connection, row_id, outcome="broke", state=box.FAILED)

    async def _finish(self, message: InboundMessage, handled: Handled) -> None:
        self._queued.set()
        await self._after()
        channel = self._channels[message.channel]
        for signal in handled.signals:
            job = asyncio.create_task(_give(channel, signal))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _fetched(self, row_id: int, message: InboundMessage) -> InboundMessage:
        """Fetch the files of a message, of people who may order and no one else.

        Raises:
            InvalidInput: A file is too large, or gone.
            Transient: Not now.
        """
        is_voice = message.kind is InboundKind.VOICE and self._transcriber is not None
        if message.kind is not InboundKind.FILE and not is_voice:
            return message
        channel = self._channels[message.channel]
        is_welcome = await self._store.aread(lambda c: self._chat.is_welcome(c, message))
        if not is_welcome:
            return message
        if is_voice:
            return await self._written_down(channel, message)
        most = min(channel.capabilities.file_bytes, MAX_FILE_BYTES)
        kept = []
        for file in message.files:
            content = await channel.fetch(file, most=most)
            if len(content) > most:
                raise InvalidInput(f"{file.name} has more than {most // 1024**2} MiB.")
            path = await asyncio.to_thread(self._keep, row_id, file, content)
            kept.append(replace(file, path=str(path)))
        return replace(message, files=tuple(kept))

    async def _written_down(self, channel: Channel, message: InboundMessage) -> InboundMessage:
        """Return a voice note with the words that the engine heard; the sound is not kept."""
        assert self._transcriber is not None
        most = min(channel.capabilities.file_bytes, MAX_VOICE_BYTES)
        words = []
        for file in message.files:
            content = await channel.fetch(file, most=most)
            if len(content) > most:
                raise InvalidInput(f"{file.name} has more than {most // 1024**2} MiB.")
            words.append(await self._transcriber.transcribe(content, name=file.name))
        return replace(message, text=" ".join(filter(None, words)))

    def _keep(self, row_id: int, file: InboundFile, content: bytes) -> Path:
        folder = self._home / "incoming" / str(row_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / safe_name(file.name)
        path.write_bytes(content)
        return path


def safe_name(name: str) -> str:
    """Return a name that is one file in one folder, whatever a stranger called it."""
    stem, dot, ending = Path(name.replace("\\", "/")).name.rpartition(".")
    if not dot:
        return slug(ending, length=60)
    plain = slug(ending, length=10)
    return f"{slug(stem, length=60)}.{plain}"


async def _give(channel: Channel, signal: Signal) -> None:
    try:
        await channel.signal(signal)
    except Exception:
        log.exception("a hint broke", kind=signal.kind.value)


def _count_try(connection: Connection, row_id: int) -> None:
    connection.execute(sa.update(inbox).where(inbox.c.id == row_id).values(tries=inbox.c.tries + 1))
