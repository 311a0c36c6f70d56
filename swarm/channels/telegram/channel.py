"""Telegram as a channel: what is heard is stored before Telegram is told, what is sent fits."""

import asyncio
import json
import random
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from swarm.channels.base import (
    Capabilities,
    FreeStation,
    Hear,
    SendRefused,
    Station,
)
from swarm.channels.listening import Listener, laid_out
from swarm.channels.runs import Part
from swarm.channels.telegram import errors
from swarm.channels.telegram.config import TelegramConfig
from swarm.channels.telegram.formatting import TEXT_UNITS, cut
from swarm.channels.telegram.reading import CHANNEL, KINDS, Reader
from swarm.channels.telegram.sending import Sending
from swarm.channels.telegram.webhook import WebhookDoor
from swarm.core.clock import Clock, SystemClock
from swarm.core.errors import InvalidInput, Transient
from swarm.core.message import (
    InboundFile,
    OutboundMessage,
    Signal,
    SignalKind,
)
from swarm.core.registry import Registry

if TYPE_CHECKING:
    from swarm.channels.telegram.vendor import Line

log = structlog.get_logger("swarm.telegram")

LEASE_S = 60.0
"""How long another poller is kept away after the last sign of ours, in seconds, besides one poll."""
CONFLICT_S = (5.0, 60.0)
"""Shortest and longest wait after Telegram reports a second poller."""
PAUSE_S = (0.5, 30.0)
"""Shortest and longest wait after a poll that failed."""
TOPIC_SIGNS = 128
"""Longest name of a topic."""
CLICK_SIGNS = 190
"""Longest note on a pressed button; Telegram takes 200."""

PARTS = Registry("part of telegram", {"line": "swarm.channels.telegram.vendor:Line"})
"""What brings the vendor's library in."""

Menu = Sequence[tuple[str, str]]


class TelegramChannel:
    """Speak for one bot.

    Telegram forgets an update once a later one was asked for. So the next poll's offset is the
    only acknowledgement, and it is moved after `hear` has returned. It is kept nowhere: a start
    without it is given all that was not acknowledged, and what was stored already is known by its
    id. An offset kept over a change of token, or over the numbering that Telegram begins anew
    after a week of silence, would make the bot deaf.
    """

    name = CHANNEL

    def __init__(
        self,
        config: TelegramConfig,
        *,
        clock: Clock | None = None,
        station: Station | None = None,
        menu: Menu = (),
    ) -> None:
        """Take the settings; nothing is opened yet.

        Args:
            config: With a token.
            clock: Says when an update was received.
            station: Where leases are held and the channel's state is written down.
            menu: Commands and what they do, for the platform's menu.
        """
        self._config = config
        self._clock = clock or SystemClock()
        self._station = station or FreeStation()
        self._menu = menu
        self._line: Line | None = None
        self._reader: Reader | None = None
        self._door: WebhookDoor | None = None
        self._listener = Listener(self.name, account=lambda: self.account, station=self._station)
        self._opening = asyncio.Lock()
        self.capabilities = Capabilities(
            is_local=False,
            has_buttons=True,
            has_edits=True,
            has_threads=True,
            has_topics=config.topics,
            has_files=True,
            has_voice=True,
            has_typing=True,
            text_units=TEXT_UNITS,
            file_bytes=config.file_mib * 1024 * 1024,
            chat_pause_s=config.chat_pause_s,
            group_pause_s=3 * config.chat_pause_s,
            per_second=28.0,
        )

    @property
    def account(self) -> str:
        """Return the bot's id."""
        return self._config.bot_id

    @property
    def webhook_port(self) -> int:
        """Return the port that updates are taken in on; 0 before it is open."""
        return self._door.port if self._door else 0

    async def run(self, hear: Hear) -> None:
        """Listen until cancelled; whatever the network does, it goes on."""
        lease = f"{self.name}:{self.account}"

        async def listen() -> None:
            if self._config.webhook_url:
                await self._serve(hear)
            elif await self._listener.hold(lease, seconds=self._lease_s):
                await self._listen(hear, lease)
            else:
                await self._listener.note(False, "another worker listens to this bot")
                await asyncio.sleep(CONFLICT_S[0])

        def wait_s(error: Exception) -> float:
            return PAUSE_S[1] * random.uniform(0.1, 1.0)  # noqa: S311

        await self._listener.run(listen, reason=errors.reason, wait_s=wait_s)

    @property
    def _lease_s(self) -> float:
        return self._config.poll_s + LEASE_S

    async def _listen(self, hear: Hear, lease: str) -> None:
        """Poll until something calls for a new beginning."""
        offset: int | None = None
        pause, conflict = PAUSE_S[0], CONFLICT_S[0]
        last = self._clock.monotonic()
        line, reader = await self._open()
        await self._prepare(line)
        while await self._listener.hold(lease, seconds=self._lease_s):
            try:
                updates = await self._poll(line, offset)
            except Exception as error:  # told apart right here
                waited = self._clock.monotonic() - last
                if waited > self._config.stall_s:
                    raise
                if _is_conflict(error):
                    await self._after_conflict(line, error, conflict)
                    conflict = min(conflict * 2, CONFLICT_S[1])
                    continue
                await self._listener.note(False, errors.reason(error))
                await asyncio.sleep(_wait_of(error, pause))
                pause = min(pause * 2, PAUSE_S[1])
                continue
            pause, conflict = PAUSE_S[0], CONFLICT_S[0]
            last = self._clock.monotonic()
            await self._listener.note(True, "polls")
            # Begun in their order and waited for as one: they share a flush of the disk. Where one
            # cannot be stored the offset stays, and all of them come again.
            heard = [hear(reader.read(update, at=self._clock.now())) for update in updates]
            await asyncio.gather(*heard)
            if updates:
                offset = int(updates[-1]["update_id"]) + 1

    async def _poll(self, line: "Line", offset: int | None) -> list[dict[str, Any]]:
        poll_s = self._config.poll_s
        asked = line.bot.get_updates(
            offset=offset,
            timeout=poll_s,
            limit=100,
            allowed_updates=list(KINDS),
            read_timeout=poll_s + 10,
        )
        try:
            async with asyncio.timeout(poll_s + 30):
                await asked
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # The library could not read one of them; we read them ourselves.
            log.warning("an update of an unknown form", error=type(error).__name__)
        return [u for u in line.polling.updates() if isinstance(u.get("update_id"), int)]

    async def _after_conflict(self, line: "Line", error: Exception, pause: float) -> None:
        """Step back: somebody else polls this bot, or a webhook is set."""
        if "webhook" in str(error).lower():
            log.warning("a webhook was set; polling takes its place")
            # What waits for the webhook is kept for the poll.
            await line.bot.delete_webhook(drop_pending_updates=False)
            return
        await self._listener.note(
            False, "another program polls this bot: stop it, or give it its own token"
        )
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311

    async def _serve(self, hear: Hear) -> None:
        """Take updates in where Telegram brings them."""
        line, reader = await self._open()
        secret = self._config.webhook_secret
        word = secret.get_secret_value() if secret else secrets.token_urlsafe(32)
        url = self._config.webhook_url
        path = "/" + url.partition("://")[2].partition("/")[2]

        async def take(body: bytes) -> None:
            update = json.loads(body)
            if not isinstance(update, dict) or not isinstance(update.get("update_id"), int):
                raise ValueError("no update")
            await hear(reader.read(update, raw=body, at=self._clock.now()))

        self._door = WebhookDoor(
            listen=self._config.webhook_listen, path=path, secret=word, take=take
        )
        door = asyncio.create_task(self._door.run())
        try:
            await self._prepare(line)
            await line.bot.set_webhook(
                url,
                secret_token=word,
                allowed_updates=list(KINDS),
                drop_pending_updates=False,
                # One at a time: an edit never overtakes the message that it changes.
                max_connections=1,
            )
            await self._listener.note(True, "listens to its webhook")
            await door
        finally:
            door.cancel()
            with suppress(asyncio.CancelledError):
                await door

    async def _prepare(self, line: "Line") -> None:
        """Set the menu; the old one stays until then, and after a failure."""
        if self._menu:
            try:
                await line.bot.set_my_commands(list(self._menu))
            except Exception as error:  # noqa: BLE001  # a menu is no reason not to listen
                log.warning("the menu could not be set", reason=errors.reason(error))

    async def _open(self) -> "tuple[Line, Reader]":
        """Return the open line, opening it where needed."""
        async with self._opening:
            if self._line is None or self._reader is None:
                line = await asyncio.to_thread(lambda: PARTS.load("line")(self._config))
                try:
                    username = await line.open()
                except BaseException:
                    await line.close()
                    raise
                self._line = line
                self._reader = Reader(bot_id=str(line.bot.id), username=username)
            return self._line, self._reader

    async def close(self) -> None:
        """Close the connections; a later call opens them again."""
        line, self._line = self._line, None
        if line is not None:
            with suppress(Exception):
                await line.close()

    def parts(self, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Cut the text at 4,096 units; buttons come under its end, files after it."""
        texts = [Part(one.plain, one.html) for one in cut(message.text, limit=TEXT_UNITS)]
        return laid_out(message, texts, is_edited=True)

    async def send(self, message: OutboundMessage) -> str:
        """Send or edit one message; see `Channel.send`."""
        try:
            line, _ = await self._open()
            sending = Sending(line, message)
            return await (sending.document() if message.files else sending.text())
        except Exception as error:
            if isinstance(error, SendRefused):
                raise
            ours = errors.translated(error)
            if ours is error:
                raise
            raise ours from error

    async def open_topic(self, chat_id: str, name: str) -> str:
        """Open a topic; see `TopicKeeper.open_topic`."""
        try:
            line, _ = await self._open()
            made = await line.bot.create_forum_topic(chat_id, name[:TOPIC_SIGNS])
            return str(made.message_thread_id)
        except Exception as error:
            ours = errors.translated(error)
            if ours is error:
                raise
            raise ours from error

    async def end_topic(self, chat_id: str, thread_id: str, name: str) -> None:
        """Rename a topic, then close it: a closed one can be renamed, but why ask for more rights."""
        where: dict[str, Any] = {"chat_id": chat_id, "message_thread_id": int(thread_id)}
        try:
            line, _ = await self._open()
            await line.bot.edit_forum_topic(**where, name=name[:TOPIC_SIGNS])
            await line.bot.close_forum_topic(**where)
        except Exception as error:  # noqa: BLE001  # see the port
            log.info("a topic was left open", reason=errors.reason(error))

    async def signal(self, signal: Signal) -> None:
        """Give a hint; a failure is logged and forgotten."""
        try:
            line, _ = await self._open()
            if signal.kind is SignalKind.TYPING:
                thread = int(signal.thread_id) if signal.thread_id else None
                await line.bot.send_chat_action(signal.chat_id, "typing", message_thread_id=thread)
            elif signal.kind is SignalKind.CLICK and signal.click_id:
                await line.bot.answer_callback_query(
                    signal.click_id, text=signal.text[:CLICK_SIGNS] or None
                )
            elif signal.message_id:
                await line.bot.edit_message_reply_markup(
                    chat_id=signal.chat_id, message_id=int(signal.message_id)
                )
        except Exception as error:  # noqa: BLE001  # see the port
            log.info("a hint was lost", kind=signal.kind.value, reason=errors.reason(error))

    async def fetch(self, file: InboundFile, *, most: int) -> bytes:
        """Download a file; see `Channel.fetch`."""
        most = min(most, self.capabilities.file_bytes)
        too_big = f"{file.name} is larger than {most // 1024**2} MiB, the most I may take."
        if file.bytes is not None and file.bytes > most:
            raise InvalidInput(too_big)
        try:
            line, _ = await self._open()
            found = await line.bot.get_file(file.file_id)
            if found.file_size is not None and found.file_size > most:
                raise InvalidInput(too_big)
            content = bytes(await found.download_as_bytearray())
        except InvalidInput:
            raise
        except Exception as error:
            ours = errors.translated(error)
            if isinstance(ours, SendRefused):
                raise InvalidInput(f"{file.name} cannot be fetched: {error}") from error
            raise ours from error
        if len(content) > most:
            raise InvalidInput(too_big)
        return content


def _is_conflict(error: Exception) -> bool:
    from telegram.error import Conflict

    return isinstance(error, Conflict)


def _wait_of(error: Exception, pause: float) -> float:
    ours = errors.translated(error)
    if isinstance(ours, Transient) and ours.retry_after_s is not None:
        return ours.retry_after_s
    return pause * random.uniform(0.5, 1.0)  # noqa: S311
