"""WhatsApp as a channel: what is heard is stored before Meta is told, what is sent fits."""

import asyncio
import hashlib
import hmac
import json
import random
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import structlog

from swarm.channels.base import Capabilities, FreeStation, Hear, Postbox, SendRefused
from swarm.channels.door import Asked, Door, Reply
from swarm.channels.listening import Listener, laid_out
from swarm.channels.runs import units
from swarm.channels.whatsapp import errors
from swarm.channels.whatsapp.config import WhatsAppConfig
from swarm.channels.whatsapp.formatting import BODY_UNITS, TEXT_UNITS, cut, numbered
from swarm.channels.whatsapp.reading import CHANNEL, Failure, Reader
from swarm.channels.whatsapp.sending import Sending, called
from swarm.core.clock import Clock, SystemClock
from swarm.core.errors import InvalidInput, Transient
from swarm.core.message import InboundFile, OutboundKind, OutboundMessage, Signal, SignalKind
from swarm.core.registry import Registry

if TYPE_CHECKING:
    from swarm.channels.whatsapp.vendor import Line

log = structlog.get_logger("swarm.whatsapp")

WINDOW = timedelta(hours=24)
MARGIN = timedelta(minutes=2)
"""The window is taken to close so much earlier: a message also needs time on its way."""
LOOK_S = 5.0
"""How often it is looked whether a person has written, while something waits for it, in seconds."""
MAX_BODY_BYTES = 3 * 1024 * 1024
"""Longest webhook; Meta's limit."""
PAUSE_S = 15.0
"""Longest wait before the door is opened anew, in seconds."""
TYPING_S = 20.0
"""How often the sign of somebody typing is renewed, in seconds."""
REMEMBERED = 10_000
"""Chats of which the last message is kept in memory."""

PARTS = Registry("part of whatsapp", {"whatsapp": "swarm.channels.whatsapp.vendor:Line"})
"""What brings the vendor's library in."""


class WhatsAppChannel:
    """Speak for one number.

    Meta brings what is said to a door of ours, signed over its very bytes, and again for days until
    the door answers 200. It does, once `hear` has returned. A person's message opens a window of 24
    hours; outside it only an approved template may be sent, so that what waits for a person is held
    back until they write, and one template calls them.
    """

    name = CHANNEL

    def __init__(
        self,
        config: WhatsAppConfig,
        *,
        clock: Clock | None = None,
        station: Postbox | None = None,
        menu: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Take the settings; nothing is opened yet.

        Args:
            config: With all that is needed.
            clock: Says when something was received, and whether the window is open.
            station: Where leases are held, the channel's state is written down, and who wrote last.
            menu: Not shown: the platform has no place for it.
        """
        self._config = config
        self._clock = clock or SystemClock()
        self._station = station or FreeStation()
        self._line: Line | None = None
        self._door: Door | None = None
        self._reader = Reader(phone_id=config.phone_id)
        self._listener = Listener(self.name, account=lambda: self.account, station=self._station)
        self._opening = asyncio.Lock()
        self._storing = asyncio.Lock()
        self._heard: OrderedDict[str, datetime] = OrderedDict()
        self._newest: OrderedDict[str, str] = OrderedDict()
        self._typed: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._closed: dict[str, datetime] = {}
        self._called: dict[str, datetime] = {}
        self.capabilities = Capabilities(
            is_local=False,
            has_buttons=True,
            has_files=True,
            has_voice=True,
            has_typing=True,
            text_units=TEXT_UNITS,
            file_bytes=config.file_mib * 1024 * 1024,
            chat_pause_s=config.chat_pause_s,
            group_pause_s=config.chat_pause_s,
            per_second=50.0,
        )

    @property
    def account(self) -> str:
        """Return the number's id."""
        return self._config.phone_id

    @property
    def _listens(self) -> str:
        return f"listens on {self._config.listen}{self._config.path}"

    @property
    def webhook_port(self) -> int:
        """Return the port that webhooks are taken in on; 0 before it is open."""
        return self._door.port if self._door else 0

    async def run(self, hear: Hear) -> None:
        """Take webhooks in until cancelled."""

        async def take(asked: Asked, body: bytes) -> Reply:
            return await self._take(hear, asked, body)

        async def listen() -> None:
            self._door = Door(
                listen=self._config.listen, max_body=MAX_BODY_BYTES, judge=self._judge, take=take
            )
            await self._stand_at(self._door)

        await self._listener.run(
            listen,
            reason=lambda error: f"the door cannot be opened: {error}"[:300],
            wait_s=lambda _: PAUSE_S * random.uniform(0.1, 1.0),  # noqa: S311
        )

    async def _stand_at(self, open_door: Door) -> None:
        """Keep the door open; raises where it cannot be."""
        door = asyncio.create_task(open_door.run())
        opened = asyncio.create_task(open_door.opened.wait())
        try:
            await asyncio.wait({door, opened}, return_when=asyncio.FIRST_COMPLETED)
            if not door.done():
                await self._listener.note(True, self._listens)
            await door
        finally:
            opened.cancel()
            door.cancel()
            await asyncio.gather(opened, door, return_exceptions=True)

    def _judge(self, asked: Asked) -> Reply | None:
        """Look at what stands before the body: its path, and whether it claims to be signed."""
        if asked.path.decode("ascii", "replace") != self._config.path:
            return Reply(404)
        if asked.method == b"GET":
            return None
        if asked.method != b"POST":
            return Reply(405)
        signature = asked.headers.get(b"x-hub-signature-256", b"")
        return None if signature.startswith(b"sha256=") else Reply(403)

    async def _take(self, hear: Hear, asked: Asked, body: bytes) -> Reply:
        """Store what was brought; nothing of it is even read before its signature is right."""
        if asked.method == b"GET":
            return self._verified(asked)
        assert self._config.app_secret is not None
        secret = self._config.app_secret.get_secret_value().encode()
        right = b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
        if not hmac.compare_digest(right, asked.headers[b"x-hub-signature-256"].lower()):
            return Reply(403)
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("no webhook")
        now = self._clock.now()
        # One after the other: two webhooks may come over two connections at once.
        async with self._storing:
            for message in self._reader.messages(document, raw=body, at=now):
                await hear(message)
                _keep(self._heard, message.chat_id, message.received_at)
                _keep(self._newest, message.chat_id, message.message_id)
                await self._listener.note(True, self._listens)
            for failure in self._reader.failures(document):
                await self._failed(failure)
        return Reply(200)

    def _verified(self, asked: Asked) -> Reply:
        """Answer Meta's question whether the address is ours."""
        query = parse_qs(asked.query)
        assert self._config.verify_token is not None
        word = self._config.verify_token.get_secret_value().encode()
        said = query.get("hub.verify_token", [""])[0].encode()
        challenge = query.get("hub.challenge", [""])[0]
        is_asked = query.get("hub.mode") == ["subscribe"] and challenge[:200].isalnum()
        if not is_asked or not hmac.compare_digest(word, said):
            return Reply(403)
        return Reply(200, challenge[:200].encode())

    async def _failed(self, failure: Failure) -> None:
        """Take the news that a message did not arrive: it counts as not sent."""
        log.warning("a message did not arrive", code=failure.code, why=failure.why[:200])
        is_late = failure.code == errors.LATE
        if is_late:
            self._closed[failure.chat_id] = self._clock.now()
        await self._station.undelivered(
            self.name, failure.message_id, why=f"{failure.code} {failure.why}", is_late=is_late
        )

    async def _open(self) -> "Line":
        """Return the open line, opening it where needed."""
        async with self._opening:
            if self._line is not None:
                return self._line
            made: Line = await asyncio.to_thread(lambda: PARTS.load("whatsapp")(self._config))
            self._line = made
            return made

    async def close(self) -> None:
        """Close the connections; a later call opens them again."""
        line, self._line = self._line, None
        if line is not None:
            with suppress(Exception):
                await line.close()

    def parts(self, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Cut the text; where buttons leave too little room for it, they come with a line of their own."""
        flat = [button for row in message.buttons for button in row]
        hint = numbered(flat)
        text = f"{message.text}\n\n{hint}" if hint else message.text
        texts = cut(text)
        if flat and (len(texts) > 1 or units(texts[0].marked) > BODY_UNITS):
            head = next(line for line in [*message.text.splitlines(), "…"] if line.strip())
            short = cut(f"{head[:300]}\n{hint}".strip(), limit=BODY_UNITS)[0]
            texts = [*cut(message.text), short]
        return laid_out(message, texts, is_edited=False)

    async def send(self, message: OutboundMessage) -> str:
        """Send one message; see `Channel.send`. Nothing can be edited here: it is sent anew."""
        if not await self._is_open(message.chat_id):
            raise await self._held(message)
        try:
            line = await self._open()
            sending = Sending(line, message)
            sent = await (sending.document() if message.files else sending.text())
            self._typed.pop(message.chat_id, None)
            return sent
        except Exception as error:
            if isinstance(error, SendRefused):
                raise
            if errors.is_late(error):
                self._closed[message.chat_id] = self._clock.now()
                raise await self._held(message) from error
            ours = errors.translated(error)
            if ours is error:
                raise
            raise ours from error

    async def _is_open(self, chat_id: str) -> bool:
        """Return whether a person wrote within the last 24 hours."""
        now = self._clock.now()
        heard = self._heard.get(chat_id)
        if heard is None or heard + WINDOW - MARGIN <= now:
            heard = await self._station.last_heard(self.name, chat_id)
        if heard is None:
            return False
        _keep(self._heard, chat_id, heard)
        is_reopened = heard > self._closed.get(chat_id, datetime.min.replace(tzinfo=heard.tzinfo))
        return is_reopened and heard + WINDOW - MARGIN > now

    async def _held(self, message: OutboundMessage) -> Exception:
        """Return why a message stays here, after calling the person once where that is due."""
        if message.kind is OutboundKind.PROGRESS:
            return SendRefused("the 24-hour window is closed; progress is not worth a template")
        if self._config.template:
            with suppress(Exception):
                await self._call_back(message)
        else:
            detail = "the 24-hour window is closed and no template is set: messages wait"
            await self._listener.note(False, detail)
        return Transient(
            "more than 24 hours since they wrote: it waits until they do",
            kind="called" if self._config.template else "window",
            retry_after_s=LOOK_S,
        )

    async def _call_back(self, message: OutboundMessage) -> None:
        """Send the template, once for each time the window closes; after a restart not again."""
        now, chat = self._clock.now(), message.chat_id
        before = self._called.get(chat)
        heard = self._heard.get(chat)
        if before is not None and (heard is None or heard < before) and before + WINDOW > now:
            return
        since = f"{heard:%Y%m%d%H%M%S}" if heard is not None else "never"
        lease = f"whatsapp:call:{self.account}:{chat}:{since}"
        if not await self._station.hold(lease, seconds=WINDOW.total_seconds()):
            self._called[chat] = now
            return
        self._called[chat] = now
        line = await self._open()
        try:
            await line.call_back(chat, called(message))
        except Exception as error:  # noqa: BLE001  # the message itself waits, whatever became of it
            log.warning("a person could not be called back", reason=str(error)[:300])
            ours = errors.translated(error)
            await self._listener.note(
                False, f"the template {self._config.template!r} failed: {ours}"[:300]
            )
            if isinstance(ours, Transient):
                # It was surely not sent.
                del self._called[chat]
                await self._station.release(lease)

    async def signal(self, signal: Signal) -> None:
        """Give a hint; a failure is logged and forgotten."""
        try:
            if signal.kind is SignalKind.TYPING and signal.chat_id in self._newest:
                await self._typing(signal.chat_id, self._newest[signal.chat_id])
            elif signal.kind is SignalKind.CLICK and signal.is_refusal and signal.text:
                # No button here has notes of its own; in silence it would look broken.
                await (await self._open()).text(
                    signal.chat_id, signal.text[:TEXT_UNITS], (), reply_to=signal.click_id
                )
        except Exception as error:  # noqa: BLE001  # see the port
            log.info("a hint was lost", kind=signal.kind.value, reason=str(error)[:300])

    async def _typing(self, chat_id: str, message_id: str) -> None:
        """Show that somebody is typing; Meta shows it for 25 s, or until something is sent."""
        now = self._clock.monotonic()
        shown = self._typed.get(chat_id)
        if shown is not None and shown[0] == message_id and now - shown[1] < TYPING_S:
            return
        # Also where it fails: a hint is not worth a call a second.
        _keep(self._typed, chat_id, (message_id, now))
        await (await self._open()).typing(message_id)

    async def fetch(self, file: InboundFile, *, most: int) -> bytes:
        """Download a file; see `Channel.fetch`."""
        most = min(most, self.capabilities.file_bytes)
        if file.bytes is not None and file.bytes > most:
            raise InvalidInput(f"{file.name} is larger than {most // 1024**2} MiB.")
        try:
            return await (await self._open()).download(file.file_id, most=most)
        except InvalidInput:
            raise
        except Exception as error:
            ours = errors.translated(error)
            if isinstance(ours, SendRefused):
                raise InvalidInput(f"{file.name} cannot be fetched: {ours}") from error
            if isinstance(ours, Transient):
                raise ours from error
            raise Transient(f"WhatsApp did not give {file.name}", kind="network") from error


def _keep(kept: "OrderedDict[str, Any]", key: str, value: Any) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > REMEMBERED:
        kept.popitem(last=False)
