"""What Telegram knows: bots, people, chats, topics, messages, files, button presses."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Document: TypeAlias = dict[str, Any]
ChatKind: TypeAlias = Literal["private", "group", "supergroup", "channel"]
Status: TypeAlias = Literal["creator", "administrator", "member", "left", "kicked"]
GENERAL = 1
DRAFT_LIFETIME_S = 30.0
ACTION_LIFETIME_S = 5.0
THUMBNAIL = "s"
"""Ends the id of the small copy of a picture."""
THUMBNAIL_BYTES = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
    b"\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84"
    b"\x00\x00\x00\x00IEND\xaeB`\x82"
)


class Pulse:
    """Wakes whoever waits for something to change."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        """Wake all who wait now."""
        for waiter in list(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    def next(self) -> "asyncio.Future[None]":
        """Return a future that the next beat ends; taken at once, so that no beat is missed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        waiter.add_done_callback(self._waiters.discard)
        return waiter

    async def wait(self) -> None:
        """Wait for the next beat."""
        await self.next()


class Clock:
    """Wall time that a test may push forward."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.shift_s


@dataclass(slots=True)
class User:
    """A person or a bot, by an id that never changes."""

    id: int
    first_name: str
    is_bot: bool = False
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None

    def document(self) -> Document:
        """The `User` of the Bot API."""
        made: Document = {"id": self.id, "is_bot": self.is_bot, "first_name": self.first_name}
        for name in ("last_name", "username", "language_code"):
            if getattr(self, name):
                made[name] = getattr(self, name)
        return made


@dataclass(slots=True)
class Member:
    """How a user stands in a chat."""

    user: User
    status: Status = "member"
    rights: set[str] = field(default_factory=set)
    """Of an administrator: `can_manage_topics`, `can_pin_messages`, …"""
    sees_all: bool = True
    """Of a bot: whether group privacy was off, or it was an administrator, when it joined."""

    @property
    def is_present(self) -> bool:
        return self.status in ("creator", "administrator", "member")

    @property
    def is_admin(self) -> bool:
        return self.status in ("creator", "administrator")


@dataclass(slots=True)
class StoredFile:
    """The bytes of a file and where they can be fetched."""

    id: str
    unique_id: str
    path: str
    content: bytes
    name: str
    mime_type: str
    declared_size: int | None = None
    """Overrides the size, so that a test of limits need not hold twenty megabytes."""
    fetched_at: float | None = None
    """When a link to it was last asked for; links last an hour."""

    @property
    def size(self) -> int:
        return len(self.content) if self.declared_size is None else self.declared_size


@dataclass(slots=True)
class Topic:
    """A topic of a forum."""

    id: int
    name: str
    icon_color: int = 7322096
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class Button:
    """A button under a message."""

    text: str
    data: str | None = None
    url: str | None = None


@dataclass(slots=True)
class Message:
    """A message as it stands now."""

    chat: "Chat"
    id: int
    document: Document
    """The `Message` of the Bot API, without `reply_to_message`."""
    author: str
    is_bot: bool
    sent_at: float
    edits: int = 0
    edited_at: float | None = None
    is_deleted: bool = False
    is_silent: bool = False
    reply_to: int | None = None
    file: StoredFile | None = None
    reactions: dict[int, list[str]] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    """The texts it had before each edit."""
    update_ids: list[int] = field(default_factory=list)
    """The updates that told of it and of its edits."""

    @property
    def text(self) -> str:
        """Its text, or its caption; empty where it has neither."""
        text: str = self.document.get("text") or self.document.get("caption") or ""
        return text

    @property
    def entities(self) -> list[Document]:
        """The formatting of its text or caption."""
        doc = self.document
        return list(doc.get("entities") or doc.get("caption_entities") or ())

    @property
    def topic(self) -> int | None:
        """The topic it is in; None for General and where there are no topics."""
        return self.document.get("message_thread_id")

    @property
    def rows(self) -> list[list[Button]]:
        """Its inline buttons, by row."""
        markup = self.document.get("reply_markup") or {}
        return [
            [Button(b["text"], b.get("callback_data"), b.get("url")) for b in row]
            for row in markup.get("inline_keyboard", ())
        ]

    @property
    def buttons(self) -> list[Button]:
        """Its inline buttons, in reading order."""
        return [button for row in self.rows for button in row]

    def button(self, wanted: str) -> Button | None:
        """Return the button with this data or text, or whose text contains it."""
        exact = (b for b in self.buttons if wanted in (b.data, b.text))
        similar = (b for b in self.buttons if wanted.casefold() in b.text.casefold())
        return next(exact, None) or next(similar, None)

    def shown(self, *, with_reply: bool = True) -> Document:
        """The message as the Bot API gives it now."""
        made = dict(self.document)
        quoted = self.chat.messages.get(self.reply_to or 0) if with_reply else None
        if quoted is not None and not quoted.is_deleted:
            made["reply_to_message"] = quoted.shown(with_reply=False)
        return made


EventKind: TypeAlias = Literal["new", "edit", "delete", "press", "toast", "reaction", "note"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a chat."""

    kind: EventKind
    at: float
    is_bot: bool
    message: Message | None
    note: str = ""
    """What happened in words; of a message and an edit, its text at that moment."""


@dataclass(slots=True)
class Draft:
    """A preview of a message that the bot is writing."""

    id: int
    text: str
    at: float


@dataclass(slots=True)
class Press:
    """A press of a button, waiting for its answer."""

    id: str
    bot_id: int
    user: User
    message: Message
    data: str
    at: float
    answer: Document | None = None
    answers: int = 0
    is_expired: bool = False
    update_id: int | None = None

    async def answered(self, timeout_s: float = 5.0) -> Document:
        """Wait for the first answer of the bot and return it.

        Raises:
            TimeoutError: None came.
        """
        async with asyncio.timeout(timeout_s):
            while self.answer is None:
                await self.message.chat.pulse.wait()
        return self.answer


class Chat:
    """One chat: who is in it and everything that was said."""

    def __init__(self, chat_id: int, kind: ChatKind, *, ids: Iterator[int], clock: Clock) -> None:
        self.id = chat_id
        self.kind: ChatKind = kind
        self.clock = clock
        self.title = ""
        self.user: User | None = None
        self.moved_to: int | None = None
        """The id of the supergroup that a plain group has become."""
        self.owner: Bot | None = None
        """Of a private chat: the bot in it."""
        self.is_forum = False
        self.has_started = kind != "private"
        """Of a private chat: whether the person has started the bot."""
        self.is_blocked = False
        self.members: dict[int, Member] = {}
        self.topics: dict[int, Topic] = {}
        self.messages: dict[int, Message] = {}
        self.pinned: list[int] = []
        self.drafts: dict[int, Draft] = {}
        self.actions: list[tuple[float, str, int | None]] = []
        """Chat actions: when, which, in which topic."""
        self.posted_at = 0.0
        """When the bot last wrote, which ends its action."""
        self.keyboard: list[list[str]] = []
        """The reply keyboard that is shown."""
        self.events: list[Event] = []
        self.seen = 0
        """How many events the test has consumed."""
        self.pulse = Pulse()
        self.listeners: list[Callable[[Event], None]] = []
        self._ids = ids

    def next_id(self) -> int:
        """Return the next message id."""
        return next(self._ids)

    def document(self) -> Document:
        """The `Chat` of the Bot API."""
        made: Document = {"id": self.id, "type": self.kind}
        if self.user is not None:
            for name in ("first_name", "last_name", "username"):
                if getattr(self.user, name):
                    made[name] = getattr(self.user, name)
        else:
            made["title"] = self.title
        if self.is_forum:
            made["is_forum"] = True
        return made

    def note(
        self, kind: EventKind, message: Message | None, *, is_bot: bool, text: str = ""
    ) -> None:
        """Record what happened and wake who waits for it."""
        if kind in ("new", "edit") and message is not None:
            text = message.text
        event = Event(kind, self.clock(), is_bot, message, text)
        self.events.append(event)
        for listener in self.listeners:
            listener(event)
        self.pulse.beat()

    def post(
        self, author: User, content: Document, *, is_bot: bool | None = None, **details: Any
    ) -> Message:
        """Store a new message and return it; `is_bot` overrides what the author is."""
        number, now = self.next_id(), self.clock()
        made: Document = {"message_id": number, "from": author.document()}
        made |= {"chat": self.document(), "date": int(now)} | content
        by_bot = author.is_bot if is_bot is None else is_bot
        message = Message(self, number, made, author.first_name, by_bot, now, **details)
        self.messages[number] = message
        self.note("new", message, is_bot=by_bot)
        return message

    def edit(self, message: Message, changes: Document) -> None:
        """Change a stored message; a value of None takes its field away."""
        message.history.append(message.text)
        for name, value in changes.items():
            if value is None:
                message.document.pop(name, None)
            else:
                message.document[name] = value
        message.edits += 1
        message.edited_at = self.clock()
        message.document["edit_date"] = int(message.edited_at)
        self.note("edit", message, is_bot=message.is_bot)

    def living_drafts(self) -> list[Draft]:
        """Return the drafts that are still shown."""
        oldest = self.clock() - DRAFT_LIFETIME_S
        return [d for d in self.drafts.values() if d.at > oldest]

    def is_busy(self) -> bool:
        """Tell whether the chat shows that the bot is typing or the like."""
        if not self.actions:
            return False
        return self.actions[-1][0] > max(self.clock() - ACTION_LIFETIME_S, self.posted_at)


class Bot:
    """One bot: its account and what it has set."""

    def __init__(self, token: str, username: str, *, has_privacy: bool, has_topics: bool) -> None:
        self.token = token
        bot_id = int(token.split(":")[0])
        self.user = User(bot_id, username.removesuffix("_bot").capitalize(), True, None, username)
        self.has_privacy = has_privacy
        self.has_topics = has_topics
        self.private: dict[int, Chat] = {}
        self.commands: dict[tuple[str, str], list[Document]] = {}
        """Commands by scope (as sorted JSON) and language."""
        self.settings: dict[str, Any] = {}
        """Name, descriptions and menu buttons, by method and language or chat."""
        self.presses: dict[str, Press] = {}
        self.message_ids = itertools.count(1)

    @property
    def id(self) -> int:
        return self.user.id

    def document(self) -> Document:
        """The `User` that `getMe` returns."""
        flags = {
            "can_join_groups": True,
            "can_read_all_group_messages": not self.has_privacy,
            "supports_guest_queries": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
            "has_topics_enabled": self.has_topics,
            "allows_users_to_create_topics": False,
            "can_manage_bots": False,
            "supports_join_request_queries": False,
        }
        return self.user.document() | flags


class World:
    """Everything there is: bots, people, groups and files."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bots: dict[str, Bot] = {}
        self.people: dict[int, User] = {}
        self.groups: dict[int, Chat] = {}
        self.files: dict[str, StoredFile] = {}
        self._counter = itertools.count(1)

    def chat_of(self, bot: Bot, chat_id: int) -> Chat | None:
        """Return the chat a bot means by an id."""
        return bot.private.get(chat_id) or self.groups.get(chat_id)

    def private(self, bot: Bot, user: User) -> Chat:
        """Return the private chat of a person with a bot, new where there is none."""
        if user.id not in bot.private:
            chat = Chat(user.id, "private", ids=bot.message_ids, clock=self.clock)
            chat.user, chat.owner = user, bot
            bot.private[user.id] = chat
        return bot.private[user.id]

    def chats(self) -> list[Chat]:
        """Return all chats."""
        private = [chat for bot in self.bots.values() for chat in bot.private.values()]
        return private + list(self.groups.values())

    def keep_file(self, folder: str, name: str, content: bytes, mime_type: str) -> StoredFile:
        """Store the bytes of a file."""
        number = next(self._counter)
        suffix = name.rpartition(".")[2] if "." in name else "bin"
        file = StoredFile(
            id=f"BQACAgQAAxkB{folder[:2].upper()}{number:08d}",
            unique_id=f"AgAD{number:08d}",
            path=f"{folder}/file_{number}.{suffix}",
            content=content,
            name=name,
            mime_type=mime_type,
        )
        self.files[file.id] = file
        if folder == "photos":
            self._keep_thumbnail(file)
        return file

    def _keep_thumbnail(self, file: StoredFile) -> None:
        """Keep the small copy that Telegram makes of every picture."""
        path = file.path.replace("file_", "thumb_")
        name, content = file.id + THUMBNAIL, THUMBNAIL_BYTES
        self.files[name] = StoredFile(
            name, file.unique_id + THUMBNAIL, path, content, "thumb.png", "image/png"
        )
