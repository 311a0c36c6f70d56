"""Slack as a channel: what is heard is stored before Slack is told, what is sent fits."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from swarm.channels.base import Capabilities, FreeStation, Hear, SendRefused, Station
from swarm.channels.listening import Listener, laid_out
from swarm.channels.slack import errors
from swarm.channels.slack.config import SlackConfig
from swarm.channels.slack.formatting import TEXT_UNITS, cut
from swarm.channels.slack.reading import CHANNEL, Reader
from swarm.channels.slack.sending import Sending
from swarm.core.clock import Clock, SystemClock
from swarm.core.errors import InvalidInput, Transient
from swarm.core.message import InboundFile, OutboundMessage, Signal, SignalKind
from swarm.core.registry import Registry

if TYPE_CHECKING:
    from swarm.channels.slack.vendor import Line, Socket

log = structlog.get_logger("swarm.slack")

LEASE_S = 60.0
"""How long another listener is kept away after the last sign of ours, in seconds."""
PAUSE_S = (0.5, 15.0)
"""Shortest and longest wait before a socket that broke is opened anew, in seconds."""
LOOK_S = 1.0
"""How often the socket is looked at, in seconds."""
NAME_S = 1.0
"""Longest wait for a person's name; Slack wants to hear within three seconds that it was heard."""
STATUS, STATUS_S = "is working…", 60.0
"""What stands under a thread at work, and how often it is renewed, in seconds; Slack takes it away after
two minutes, or when something is said there. It needs no scope but `chat:write`."""
REMEMBERED = 500
"""Cards and names kept in memory."""

PARTS = Registry("part of slack", {"slack": "swarm.channels.slack.vendor:Line"})
"""What brings the vendor's library in."""

Menu = Sequence[tuple[str, str]]


class SlackChannel:
    """Speak for one app in one workspace.

    Slack brings what happens over a socket and wants each envelope acknowledged within three
    seconds. It is, once `hear` has returned; what was not comes again, perhaps minutes later and
    over another socket. It is then known by the number that Slack gave the event.
    """

    name = CHANNEL

    def __init__(
        self,
        config: SlackConfig,
        *,
        clock: Clock | None = None,
        station: Station | None = None,
        menu: Menu = (),
    ) -> None:
        """Take the settings; nothing is opened yet.

        Args:
            config: With both tokens.
            clock: Says when something was received.
            station: Where leases are held and the channel's state is written down.
            menu: The company's commands, which may be the first word after the slash command.
        """
        self._config = config
        self._clock = clock or SystemClock()
        self._station = station or FreeStation()
        self._words = tuple(name for name, _ in menu)
        self._line: Line | None = None
        self._reader: Reader | None = None
        self._listener = Listener(self.name, account=lambda: self.account, station=self._station)
        self._pause_s = PAUSE_S[0]
        self._opening = asyncio.Lock()
        self._storing = asyncio.Lock()
        self._cards: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()
        self._busy_until: OrderedDict[tuple[str, str], float] = OrderedDict()
        self.capabilities = Capabilities(
            is_local=False,
            has_buttons=True,
            has_edits=True,
            has_threads=True,
            has_files=True,
            has_voice=True,
            has_typing=True,
            text_units=TEXT_UNITS,
            file_bytes=config.file_mib * 1024 * 1024,
            chat_pause_s=config.chat_pause_s,
            group_pause_s=config.chat_pause_s,
            per_second=10.0,
        )

    @property
    def account(self) -> str:
        """Return the workspace's id; empty before it was asked for."""
        return self._line.team_id if self._line else ""

    async def run(self, hear: Hear) -> None:
        """Listen until cancelled; whatever the network does, it goes on."""

        async def listen() -> None:
            line, reader = await self._open()
            lease = f"{self.name}:{line.team_id}:{line.user_id}"
            if await self._listener.hold(lease, seconds=LEASE_S):
                await self._listen(line, reader, hear, lease)
                self._pause_s = PAUSE_S[0]
            else:
                await self._listener.note(False, "another worker listens to this app")
                await asyncio.sleep(PAUSE_S[1])

        def wait_s(error: Exception) -> float:
            pause, self._pause_s = self._pause_s, min(self._pause_s * 2, PAUSE_S[1])
            return _wait_of(error, pause)

        self._pause_s = PAUSE_S[0]
        await self._listener.run(listen, reason=_reason, wait_s=wait_s)

    async def _listen(self, line: "Line", reader: Reader, hear: Hear, lease: str) -> None:
        """Keep one socket open; returns where the lease is lost, raises where the socket is dead."""

        async def keep(payload: dict[str, Any]) -> None:
            # One after the other: an edit never overtakes the message that it changes.
            async with self._storing:
                await hear(await self._read(line, reader, payload))

        socket = await line.socket(keep)
        try:
            await self._listener.note(True, "listens over its socket")
            await self._watch(socket, lease)
        finally:
            await socket.close()

    async def _watch(self, socket: "Socket", lease: str) -> None:
        """Look whether the other end still answers; a dead socket says nothing by itself."""
        heard = self._clock.monotonic()
        held = heard
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._clock.monotonic()
            if await socket.has_answered():
                heard = now
                await self._listener.note(True, "listens over its socket")
            elif now - heard > self._config.stall_s:
                raise TimeoutError(f"the socket answered no ping for {now - heard:.0f} s")
            elif now - heard > self._config.stall_s / 2:
                await self._listener.note(False, "the socket answers no ping")
            if now - held > LEASE_S / 4:
                held = now
                if not await self._listener.hold(lease, seconds=LEASE_S):
                    return

    async def _read(self, line: "Line", reader: Reader, payload: dict[str, Any]) -> Any:
        now = self._clock.now()
        chat_id = await self._direct(line, payload)
        message = reader.read(payload, at=now, chat_id=chat_id)
        if not message.sender_id:
            return message
        self._remember(payload, message.chat_id)
        return replace(message, sender_name=await self._name(line, message.sender_id))

    async def _direct(self, line: "Line", payload: dict[str, Any]) -> str | None:
        """Return the private chat for a slash command given where the company does not listen.

        Only its giver sees such a command, and the app need not be in that channel at all.
        """
        given, user = payload.get("channel_id"), payload.get("user_id")
        if not isinstance(payload.get("command"), str) or not isinstance(user, str):
            return None
        if given in self._config.groups:
            return None
        try:
            async with asyncio.timeout(NAME_S):
                found = await line.web.conversations_open(users=user)
            return str(found["channel"]["id"])
        except Exception as error:  # noqa: BLE001  # then it is answered where it was given
            log.info("no private chat could be opened", reason=_reason(error))
            return None

    async def _name(self, line: "Line", identity: str) -> str:
        """Return what a person calls themselves; empty where Slack does not say in time."""
        if identity in self._names:
            return self._names[identity]
        found = ""
        try:
            async with asyncio.timeout(NAME_S):
                user = (await line.web.users_info(user=identity.partition(":")[2]))["user"]
            profile = user.get("profile") or {}
            names = (profile.get("display_name"), profile.get("real_name"), user.get("name"))
            found = str(next((name for name in names if name), ""))[:100]
        except Exception as error:  # noqa: BLE001  # a name is shown, never compared
            log.info("a name could not be learnt", reason=_reason(error))
        _keep(self._names, identity, found)
        return found

    def _remember(self, payload: dict[str, Any], chat_id: str) -> None:
        """Keep the card that was clicked: to take its buttons away, Slack wants all the rest again."""
        card = payload.get("message") if payload.get("type") == "block_actions" else None
        if isinstance(card, dict) and isinstance(card.get("ts"), str):
            _keep(self._cards, (chat_id, card["ts"]), card)

    async def _open(self) -> "tuple[Line, Reader]":
        """Return the open line, opening it where needed."""
        async with self._opening:
            if self._line is None or self._reader is None:
                line = await asyncio.to_thread(lambda: PARTS.load("slack")(self._config))
                await line.open()
                self._line = line
                self._reader = Reader(
                    team_id=line.team_id,
                    user_id=line.user_id,
                    command=self._config.command,
                    words=self._words,
                )
            return self._line, self._reader

    async def close(self) -> None:
        """Forget the connection; a later call makes it again."""
        self._line = None

    def parts(self, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Cut the text where a block ends; buttons come under its end, files after it."""
        return laid_out(message, cut(message.text), is_edited=True)

    async def send(self, message: OutboundMessage) -> str:
        """Send or edit one message; see `Channel.send`."""
        try:
            line, _ = await self._open()
            sending = Sending(line, message)
            sent = await (sending.document() if message.files else sending.text())
            if message.edits is None:
                # What is said takes the sign away; it is put there again while work goes on.
                self._busy_until.pop((message.chat_id, message.thread_id or ""), None)
            return sent
        except Exception as error:
            if isinstance(error, SendRefused):
                raise
            ours = errors.translated(error)
            if ours is error:
                raise
            raise ours from error

    async def signal(self, signal: Signal) -> None:
        """Give a hint; a failure is logged and forgotten."""
        try:
            line, _ = await self._open()
            if signal.kind is SignalKind.TYPING:
                await self._busy(line, signal)
            elif signal.kind is SignalKind.CLICK and signal.click_id and signal.is_refusal:
                user, _, thread = signal.click_id.partition(":")
                await line.web.chat_postEphemeral(
                    channel=signal.chat_id, user=user, text=signal.text, thread_ts=thread or None
                )
            elif signal.kind is SignalKind.UNBUTTON and signal.message_id:
                await self._unbutton(line, signal.chat_id, signal.message_id)
        except Exception as error:  # noqa: BLE001  # see the port
            log.info("a hint was lost", kind=signal.kind.value, reason=_reason(error))

    async def _busy(self, line: "Line", signal: Signal) -> None:
        """Show under a thread that somebody works on it; Slack takes that away by itself."""
        key, now = (signal.chat_id, signal.thread_id or ""), self._clock.monotonic()
        if not signal.thread_id or now < self._busy_until.get(key, 0.0):
            return
        # Also where it fails: an app without the feature is not asked all day.
        _keep(self._busy_until, key, now + STATUS_S)
        await line.web.assistant_threads_setStatus(
            channel_id=signal.chat_id, thread_ts=signal.thread_id, status=STATUS
        )

    async def _unbutton(self, line: "Line", chat_id: str, ts: str) -> None:
        card = self._cards.pop((chat_id, ts), None)
        if card is None:
            # After a restart; a press on what was settled already is told so.
            return
        blocks = card.get("blocks")
        kept = [b for b in blocks if b.get("type") != "actions"] if isinstance(blocks, list) else []
        text = str(card.get("text") or "…")
        await line.web.chat_update(channel=chat_id, ts=ts, text=text, blocks=kept)

    async def fetch(self, file: InboundFile, *, most: int) -> bytes:
        """Download a file; see `Channel.fetch`."""
        most = min(most, self.capabilities.file_bytes)
        too_big = f"{file.name} is larger than {most // 1024**2} MiB, the most I may take."
        if file.bytes is not None and file.bytes > most:
            raise InvalidInput(too_big)
        try:
            line, _ = await self._open()
            found = (await line.web.files_info(file=file.file_id))["file"]
            if isinstance(found.get("size"), int) and found["size"] > most:
                raise InvalidInput(too_big)
            address = found.get("url_private_download") or found.get("url_private")
            if not isinstance(address, str) or found.get("mode") == "tombstone":
                raise InvalidInput(f"{file.name} is no longer there.")
            return await line.download(address, most=most)
        except InvalidInput:
            raise
        except Exception as error:
            ours = errors.translated(error)
            if isinstance(ours, SendRefused):
                raise InvalidInput(f"{file.name} cannot be fetched: {ours}") from error
            if isinstance(ours, Transient):
                raise ours from error
            raise Transient(f"Slack did not give {file.name}", kind="network") from error


def _keep(kept: "OrderedDict[Any, Any]", key: Any, value: Any) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > REMEMBERED:
        kept.popitem(last=False)


def _wait_of(error: Exception, pause: float) -> float:
    ours = errors.translated(error)
    if isinstance(ours, Transient) and ours.retry_after_s is not None:
        return min(ours.retry_after_s, 60.0)
    return pause * random.uniform(0.5, 1.0)  # noqa: S311


def _reason(error: Exception) -> str:
    """Say what went wrong; addresses of sockets hold tickets and are never shown."""
    ours = errors.translated(error)
    text = str(ours).partition("://")[0]
    return f"{type(ours).__name__}: {text}"[:300]
