"""A chat as a person sees it: its messages, what comes next, and all of it as readable text."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from tests.servers.telegram.world import Chat, Event, Message, StoredFile, Topic

Wanted: TypeAlias = str | Callable[[Message], bool] | None
WAIT_S = 20.0
"""Longest wait for a message; reached only where none comes."""
INDENT = "    "


class NothingCame(AssertionError):
    """What a test waited for did not come; the text holds the chat as it stood."""


class Conversation:
    """One chat, from the side of its people."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat

    @property
    def id(self) -> int:
        """The chat's id."""
        return self.chat.id

    @property
    def messages(self) -> list[Message]:
        """What can be read now: without the deleted, service messages included."""
        return [m for m in self.chat.messages.values() if not m.is_deleted]

    @property
    def from_bot(self) -> list[Message]:
        """What the bot has written, as it reads now."""
        return [m for m in self.messages if m.is_bot and _is_content(m)]

    @property
    def last(self) -> Message:
        """The newest message of the bot.

        Raises:
            NothingCame: It has written none.
        """
        if not self.from_bot:
            raise NothingCame(self._report("no message of the bot"))
        return self.from_bot[-1]

    @property
    def topics(self) -> list[Topic]:
        """The topics of a forum."""
        return list(self.chat.topics.values())

    @property
    def is_busy(self) -> bool:
        """Whether the chat shows that the bot is typing or the like."""
        return self.chat.is_busy()

    @property
    def actions(self) -> list[tuple[str, int | None]]:
        """Every chat action of the bot and its topic, in order."""
        return [(action, topic) for _, action, topic in self.chat.actions]

    @property
    def pinned(self) -> list[Message]:
        """The pinned messages."""
        return [self.chat.messages[number] for number in self.chat.pinned]

    @property
    def drafts(self) -> list[str]:
        """The texts of the drafts that are still shown."""
        return [draft.text for draft in self.chat.living_drafts()]

    def in_topic(self, topic: Topic | int | None) -> list[Message]:
        """Return what can be read in a topic; None is General."""
        number = topic.id if isinstance(topic, Topic) else topic
        return [m for m in self.messages if m.topic == number]

    def find(self, wanted: Wanted) -> Message | None:
        """Return the newest message of the bot that fits, as it reads now."""
        return next((m for m in reversed(self.from_bot) if _fits(m, wanted)), None)

    async def next(self, wanted: Wanted = None, *, timeout_s: float = WAIT_S) -> Message:
        """Wait for the next message or edit of the bot that fits, and return the message.

        Goes on behind the last one it returned; what it passes over is passed for good. A text
        fits what contained it then, although a later edit may read otherwise; a function is asked
        about the message as it reads now.

        Raises:
            NothingCame: Nothing fitted in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._next(wanted)
        except TimeoutError:
            raise NothingCame(self._report(f"nothing that fits {wanted!r}")) from None

    async def _next(self, wanted: Wanted) -> Message:
        chat = self.chat
        while True:
            for index in range(chat.seen, len(chat.events)):
                event = chat.events[index]
                if event.is_bot and event.kind in ("new", "edit") and _event_fits(event, wanted):
                    chat.seen = index + 1
                    assert event.message is not None
                    return event.message
            await chat.pulse.wait()

    async def until(
        self, holds: Callable[["Conversation"], bool], *, timeout_s: float = WAIT_S
    ) -> None:
        """Wait until something holds of the chat.

        Raises:
            NothingCame: It didn't in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not holds(self):
                    await self.chat.pulse.wait()
        except TimeoutError:
            raise NothingCame(self._report("what was waited for did not hold")) from None

    def delays_s(self) -> list[float]:
        """Return for each message of a person the seconds until the bot did something visible."""
        found, asked = list[float](), list[float]()
        for event in self.chat.events:
            if event.kind == "new" and not event.is_bot:
                asked.append(event.at)
            elif event.is_bot:
                found += [event.at - at for at in asked]
                asked.clear()
        return found

    def catch_up(self) -> None:
        """Let `next` look only at what comes from now on."""
        self.chat.seen = len(self.chat.events)

    def transcript(self, *, with_times: bool = True, with_deleted: bool = False) -> str:
        """Write the whole chat as text: each message as it reads now, presses and answers between."""
        lines: list[str] = []
        for event in self.chat.events:
            stamp = datetime.fromtimestamp(event.at, UTC).strftime("[%H:%M:%S] ")
            lines += self._lines(event, stamp if with_times else "", with_deleted)
        return "\n".join(lines) + "\n"

    def _lines(self, event: Event, stamp: str, with_deleted: bool) -> list[str]:
        message = event.message
        if event.kind in ("press", "reaction", "note"):
            return [f"{stamp}({event.note})"]
        if event.kind == "toast":
            return [f"{stamp}({event.note})"] if event.note else []
        if event.kind != "new" or message is None or (message.is_deleted and not with_deleted):
            return []
        return _written(message, stamp)

    def _report(self, what: str) -> str:
        return f"{what} in chat {self.chat.id}; it reads:\n{self.transcript()}"


def _is_content(message: Message) -> bool:
    return _service(message) is None


def _fits(message: Message, wanted: Wanted) -> bool:
    if wanted is None:
        return _is_content(message)
    return wanted in message.text if isinstance(wanted, str) else wanted(message)


def _event_fits(event: Event, wanted: Wanted) -> bool:
    if isinstance(wanted, str):
        return wanted in event.note
    return event.message is not None and _fits(event.message, wanted)


def _service(message: Message) -> str | None:
    """Say what a message tells that nobody wrote; None of an ordinary one."""
    document = message.document
    if "forum_topic_created" in document:
        return f"{message.author} opened the topic {document['forum_topic_created']['name']}"
    if "new_chat_members" in document:
        return f"{', '.join(user['first_name'] for user in document['new_chat_members'])} joined"
    if {"migrate_to_chat_id", "migrate_from_chat_id"} & document.keys():
        return "the group became a supergroup"
    return None


def _written(message: Message, stamp: str) -> list[str]:
    service = _service(message)
    if service is not None:
        return [f"{stamp}({service})"]
    marks = []
    if message.topic is not None:
        topic = message.chat.topics.get(message.topic)
        marks.append(f"#{topic.name if topic else message.topic}")
    if message.edits:
        marks.append(f"edited {message.edits} {'time' if message.edits == 1 else 'times'}")
    if message.is_deleted:
        marks.append("deleted")
    where = f" ({', '.join(marks)})" if marks else ""
    lines = [f"{stamp}{message.author}{where}:"]
    quoted = message.chat.messages.get(message.reply_to or 0)
    if quoted is not None and quoted.text:
        lines.append(f"{INDENT}> {quoted.text.splitlines()[0][:60]}")
    if message.file is not None:
        lines.append(f"{INDENT}[{_file(message, message.file)}]")
    lines += [f"{INDENT}{line}".rstrip() for line in message.text.splitlines()]
    for row in message.rows:
        lines.append(INDENT + " ".join(f"[{button.text}]" for button in row))
    return lines


def _file(message: Message, file: StoredFile) -> str:
    kinds = ("photo", "voice", "audio", "video", "document")
    kind = next((k for k in kinds if k in message.document), "file")
    size = f"{file.size} B" if file.size < 10_000 else f"{file.size // 1000} kB"
    return f"{kind}: {file.name}, {size}"
