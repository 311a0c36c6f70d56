"""What a workspace holds: people, channels, threads, messages and files."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
WAIT_S = 20.0
"""Longest wait for a message; reached only where none comes."""


class NothingCame(AssertionError):
    """What a test waited for did not come; the text holds the chat as it stood."""


@dataclass(slots=True)
class StoredFile:
    """A file that somebody sent."""

    id: str
    name: str
    content: bytes
    mime: str
    mode: str = "hosted"
    subtype: str = ""
    is_complete: bool = True
    declared: int = 0
    """The length that was announced before its bytes came."""


@dataclass(slots=True)
class Message:
    """One message as it reads now."""

    ts: str
    user: str
    text: str
    channel: "Channel"
    blocks: list[Document] = field(default_factory=list)
    thread_ts: str | None = None
    is_bot: bool = False
    edits: int = 0
    files: list[StoredFile] = field(default_factory=list)
    only_for: str | None = None
    """Who alone sees it."""

    @property
    def shown(self) -> str:
        """Return what a person reads: the blocks where there are some."""
        texts = [b["text"]["text"] for b in self.blocks if b.get("type") == "section"]
        raw = "\n".join(texts) if texts else self.text
        return raw.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    @property
    def buttons(self) -> list[Document]:
        """Return the buttons, in order."""
        rows = [b["elements"] for b in self.blocks if b.get("type") == "actions"]
        return [element for row in rows for element in row]

    def document(self) -> Document:
        """Return the message as Slack writes it."""
        made: Document = {"type": "message", "ts": self.ts, "text": self.text, "user": self.user}
        if self.blocks:
            made["blocks"] = self.blocks
        if self.thread_ts:
            made["thread_ts"] = self.thread_ts
        if self.is_bot:
            made["bot_id"] = "B0SWARM01"
        return made


@dataclass(slots=True)
class Channel:
    """A conversation: private between a person and the app, or a channel of several people."""

    id: str
    name: str
    is_im: bool
    members: set[str]
    messages: dict[str, Message] = field(default_factory=dict)
    events: list[tuple[str, Message, str]] = field(default_factory=list)
    """What happened: `new`, `edit`, `press` or `note`, the message, and what it read then."""
    pulse: asyncio.Condition = field(default_factory=asyncio.Condition)
    seen: int = 0
    is_archived: bool = False
    statuses: dict[str, str] = field(default_factory=dict)
    """What the app shows under each thread; a message of its own takes it away."""
    status_calls: int = 0


class World:
    """State of one workspace."""

    team_id = "T0SWARM01"
    bot_user = "U0BOT0001"
    app_id = "A0SWARM01"

    def __init__(self) -> None:
        self.people: dict[str, str] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, StoredFile] = {}
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """Return a number never given before."""
        return next(self._numbers)

    def ts(self) -> str:
        """Return the number of a new message: its second and a count."""
        return f"{int(time.time())}.{self.number():06d}"

    def private(self, user: str) -> Channel:
        """Return the private conversation of a person with the app."""
        number = f"D0{user[1:]}"
        if number not in self.channels:
            self.channels[number] = Channel(number, "", True, {user, self.bot_user})
        return self.channels[number]

    def post(self, channel: Channel, message: Message) -> Message:
        """Put a message into its channel."""
        channel.messages[message.ts] = message
        self.note("new", message)
        return message

    def note(self, kind: str, message: Message, text: str | None = None) -> None:
        """Write down that something happened, and wake who waits for it."""
        channel = message.channel
        channel.events.append((kind, message, message.shown if text is None else text))
        asyncio.get_running_loop().create_task(_beat(channel))


async def _beat(channel: Channel) -> None:
    async with channel.pulse:
        channel.pulse.notify_all()


class Conversation:
    """One channel, from the side of its people."""

    def __init__(self, channel: Channel, world: World) -> None:
        self.channel = channel
        self._world = world

    @property
    def id(self) -> str:
        """The channel's id."""
        return self.channel.id

    @property
    def from_bot(self) -> list[Message]:
        """What the app has written, as it reads now."""
        return [m for m in self.channel.messages.values() if m.is_bot and m.only_for is None]

    @property
    def whispers(self) -> list[Message]:
        """What the app has shown to one person alone."""
        return [m for m in self.channel.messages.values() if m.only_for is not None]

    @property
    def last(self) -> Message:
        """The newest message of the app."""
        return self.from_bot[-1]

    async def next(self, words: str, *, timeout_s: float = WAIT_S) -> Message:
        """Wait for the next message or edit of the app that holds some words."""
        channel = self.channel
        try:
            async with asyncio.timeout(timeout_s), channel.pulse:
                while True:
                    for index in range(channel.seen, len(channel.events)):
                        kind, message, text = channel.events[index]
                        if kind in ("new", "edit") and message.is_bot and words in text:
                            channel.seen = index + 1
                            return message
                    await channel.pulse.wait()
        except TimeoutError:
            read = self.transcript()
            raise NothingCame(f"nothing with {words!r} came; the chat reads:\n{read}") from None

    def transcript(self) -> str:
        """Write the whole chat as text."""
        lines: list[str] = []
        for kind, message, text in self.channel.events:
            if kind in ("press", "note"):
                lines.append(f"({text})")
            elif kind == "new":
                lines += self._written(message)
        return "\n".join(lines) + "\n"

    def _written(self, message: Message) -> list[str]:
        name = "Swarm" if message.is_bot else self._world.people.get(message.user, message.user)
        marks = []
        if message.thread_ts and message.thread_ts != message.ts:
            marks.append("in the thread")
        if message.edits:
            marks.append(f"edited {message.edits} {'time' if message.edits == 1 else 'times'}")
        if message.only_for:
            marks.append("seen by one person")
        where = f" ({', '.join(marks)})" if marks else ""
        lines = [f"{name}{where}:", *(f"    {line}" for line in message.shown.splitlines())]
        lines += [f"    <{file.name}, {len(file.content):,} B>" for file in message.files]
        if message.buttons:
            lines.append("    " + " ".join(f"[{b['text']['text']}]" for b in message.buttons))
        return lines
