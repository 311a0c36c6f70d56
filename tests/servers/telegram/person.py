"""The test's hand: people who write, press, edit, react and send files."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.servers.telegram.conversation import Conversation
from tests.servers.telegram.entities import find_entities
from tests.servers.telegram.markup import Entity, units
from tests.servers.telegram.methods.media import describe
from tests.servers.telegram.methods.sending import new_topic
from tests.servers.telegram.world import (
    THUMBNAIL_BYTES,
    Bot,
    Chat,
    Document,
    Message,
    Press,
    StoredFile,
    Topic,
    User,
)

if TYPE_CHECKING:
    from tests.servers.telegram.server import TelegramServer

PNG = THUMBNAIL_BYTES
MAX_TEXT = 4096
FILE_FIELDS = ("photo", "document", "voice", "audio", "video")
ANONYMOUS = User(1087968824, "Group", True, None, "GroupAnonymousBot")
"""Who Telegram names as the sender of an anonymous administrator's messages."""
_PRESS_IDS = itertools.count(4_900_000_000_000_000_001)


class Person:
    """Somebody with a phone. Without a chat, everything happens in private with the first bot."""

    def __init__(self, server: "TelegramServer", user: User) -> None:
        self._server = server
        self.user = user

    @property
    def id(self) -> int:
        """The id that never changes."""
        return self.user.id

    def chat(self, bot: Bot | None = None) -> Conversation:
        """Return the private chat with a bot."""
        return Conversation(self._server.world.private(bot or self._server.bot, self.user))

    def renames(self, first_name: str, *, username: str | None = None) -> None:
        """Take another name, as anybody may."""
        self.user.first_name, self.user.username = first_name, username

    def starts(self, payload: str = "", *, bot: Bot | None = None) -> Message:
        """Press Start, perhaps behind a link `https://t.me/the_bot?start=payload`."""
        return self.says(f"/start {payload}".strip(), chat=self.chat(bot))

    def says(
        self,
        text: str,
        *,
        chat: Conversation | None = None,
        reply_to: Message | None = None,
        topic: Topic | int | None = None,
        entities: Sequence[Entity] = (),
    ) -> Message:
        """Write a text; its commands, mentions and links are marked as the apps mark them."""
        assert units(text) <= MAX_TEXT, "the apps send a longer text in parts: use `pastes`"
        content: Document = {"text": text}
        found = find_entities(text, list(entities))
        if found:
            content["entities"] = found
        return self._post(content, chat, reply_to=reply_to, topic=topic)

    def pastes(self, text: str, **where: Any) -> list[Message]:
        """Write a text of any length, which the apps send in parts of 4096 UTF-16 units."""
        parts, part = list[str](), ""
        for char in text:
            if units(part + char) > MAX_TEXT:
                parts.append(part)
                part = ""
            part += char
        return [self.says(one, **where) for one in [*parts, part]]

    def says_anonymously(self, text: str, chat: Conversation) -> Message:
        """Write as an anonymous administrator: no person stands behind such a message's sender."""
        content: Document = {"text": text, "sender_chat": chat.chat.document()}
        found = find_entities(text)
        if found:
            content["entities"] = found
        message = chat.chat.post(ANONYMOUS, content, is_bot=False)
        self._tell(chat.chat, "message", message.shown(), message)
        return message

    def forwards(self, message: Message, *, chat: Conversation | None = None) -> Message:
        """Forward somebody's message; it is still this person who sends it."""
        origin = {"type": "user", "date": message.document["date"]}
        content: Document = {"forward_origin": origin | {"sender_user": message.document["from"]}}
        for name in ("text", "entities", "caption", "caption_entities", *FILE_FIELDS):
            if name in message.document:
                content[name] = message.document[name]
        return self._post(content, chat, file=message.file)

    def edits(self, message: Message, text: str) -> Message:
        """Change a text or a caption of one's own."""
        assert message.document["from"]["id"] == self.id, "only one's own messages"
        field = "text" if "text" in message.document else "caption"
        marks = "entities" if field == "text" else "caption_entities"
        message.chat.edit(message, {field: text, marks: find_entities(text) or None})
        self._tell(message.chat, "edited_message", message.shown(), message)
        return message

    def sends_document(
        self,
        content: bytes,
        name: str = "notes.txt",
        *,
        caption: str = "",
        mime_type: str = "text/plain",
        declared_size: int | None = None,
        **where: Any,
    ) -> Message:
        """Send a file; `declared_size` claims another size than its bytes have."""
        file = self._server.world.keep_file("documents", name, content, mime_type)
        file.declared_size = declared_size
        return self._sends("document", file, caption, where)

    def sends_photo(self, content: bytes = PNG, *, caption: str = "", **where: Any) -> Message:
        """Send a picture."""
        file = self._server.world.keep_file("photos", "photo.jpg", content, "image/jpeg")
        return self._sends("photo", file, caption, where)

    def sends_album(
        self, pictures: Sequence[bytes] = (PNG, PNG), *, caption: str = "", **where: Any
    ) -> list[Message]:
        """Send pictures as one album: a message each, the caption under the first."""
        group = str(next(_PRESS_IDS))
        sent = []
        for index, content in enumerate(pictures):
            file = self._server.world.keep_file("photos", "photo.jpg", content, "image/jpeg")
            more: Document = {"media_group_id": group}
            sent.append(self._sends("photo", file, "" if index else caption, dict(where), more))
        return sent

    def sends_voice(self, content: bytes, *, seconds: int = 3, **where: Any) -> Message:
        """Send a voice note: OGG with Opus."""
        file = self._server.world.keep_file("voice", "voice.oga", content, "audio/ogg")
        return self._sends("voice", file, "", where, duration=seconds)

    def presses(
        self, wanted: str, *, chat: Conversation | None = None, message: Message | None = None
    ) -> Press:
        """Press a button by its text or data: of `message`, else of the newest that has it."""
        where = message.chat if message is not None else (chat or self.chat()).chat
        candidates = [message] if message else reversed(Conversation(where).from_bot)
        for candidate in candidates:
            button = candidate.button(wanted)
            if button is not None and button.data is not None:
                return self.forges(candidate, button.data, label=button.text)
        shown = [b.text for m in Conversation(where).from_bot for b in m.buttons]
        raise AssertionError(f"no button {wanted!r} in chat {where.id}; there are {shown}")

    def taps(self, label: str, *, chat: Conversation | None = None) -> Message:
        """Tap a key of the reply keyboard, which says its text."""
        where = chat or self.chat()
        assert any(label in row for row in where.chat.keyboard), where.chat.keyboard
        return self.says(label, chat=where)

    def forges(self, message: Message, data: str, *, label: str = "") -> Press:
        """Press with data of one's own choice, as a hostile app can; also on old messages."""
        bot = self._bot_of(message)
        number = str(next(_PRESS_IDS))
        now = self._server.world.clock()
        press = Press(number, bot.id, self.user, message, data, now)
        bot.presses[number] = press
        chat = message.chat
        chat.note(
            "press", message, is_bot=False, text=f"{self.user.first_name} pressed [{label or data}]"
        )
        shown: Document = message.shown()
        if message.is_deleted:
            shown = {"chat": chat.document(), "message_id": message.id, "date": 0}
        content = {"id": number, "from": self.user.document(), "message": shown}
        content |= {"chat_instance": str(-chat.id * 7919), "data": data}
        press.update_id = self._server.queue(bot, "callback_query", content)
        return press

    def reacts(self, message: Message, *emoji: str) -> int | None:
        """React to a message, or take the reaction back; returns the update's id."""
        chat = message.chat
        old = message.reactions.get(self.id, [])
        message.reactions[self.id] = list(emoji)
        text = f"{self.user.first_name} reacted {''.join(emoji) or 'no more'}"
        chat.note("reaction", message, is_bot=False, text=text)
        content = {"chat": chat.document(), "message_id": message.id}
        content |= {"user": self.user.document(), "date": int(self._server.world.clock())}
        content |= {"old_reaction": _types(old), "new_reaction": _types(emoji)}
        numbers = [
            self._server.queue(bot, "message_reaction", content)
            for bot in self._bots_in(chat)
            # In groups only administrators are told.
            if chat.kind == "private" or chat.members[bot.id].is_admin
        ]
        return numbers[-1] if numbers else None

    def blocks(self, bot: Bot | None = None) -> None:
        """Block the bot."""
        self._set_blocked(bot or self._server.bot, True)

    def unblocks(self, bot: Bot | None = None) -> None:
        """Let the bot write again."""
        self._set_blocked(bot or self._server.bot, False)

    def opens_topic(self, name: str, chat: Conversation) -> Topic:
        """Open a topic in a forum."""
        topic = new_topic(chat.chat, self.user, name)
        message = chat.chat.messages[topic.id]
        self._tell(chat.chat, "message", message.shown(), message)
        return topic

    def closes_topic(self, topic: Topic, chat: Conversation) -> None:
        """Close a topic, as an administrator of the forum may; members write there no more."""
        topic.is_closed = True
        message = chat.chat.post(self.user, {"forum_topic_closed": {}})
        message.document |= {"message_thread_id": topic.id, "is_topic_message": True}
        self._tell(chat.chat, "message", message.shown(), message)

    def deletes_topic(self, topic: Topic, chat: Conversation) -> None:
        """Delete a topic with all that was said in it; no bot is told."""
        del chat.chat.topics[topic.id]
        for message in chat.chat.messages.values():
            message.is_deleted = message.is_deleted or message.topic == topic.id

    def _set_blocked(self, bot: Bot, is_blocked: bool) -> None:
        chat = self._server.world.private(bot, self.user)
        chat.is_blocked = is_blocked
        states: list[Document] = [
            {"status": "member", "user": bot.user.document()},
            {"status": "kicked", "user": bot.user.document(), "until_date": 0},
        ]
        old, new = states if is_blocked else reversed(states)
        content: Document = {"chat": chat.document(), "from": self.user.document()}
        content |= {"date": int(self._server.world.clock())}
        content |= {"old_chat_member": old, "new_chat_member": new}
        self._server.queue(bot, "my_chat_member", content)

    def _sends(
        self,
        kind: str,
        file: StoredFile,
        caption: str,
        where: dict[str, Any],
        more: Document | None = None,
        *,
        duration: int | None = None,
    ) -> Message:
        described = describe(kind, file)
        if duration is not None:
            described["duration"] = duration
        content: Document = {kind: described, **(more or {})}
        if caption:
            content["caption"] = caption
            found = find_entities(caption)
            if found:
                content["caption_entities"] = found
        return self._post(content, where.pop("chat", None), file=file, **where)

    def _post(
        self,
        content: Document,
        place: Conversation | None,
        *,
        reply_to: Message | None = None,
        topic: Topic | int | None = None,
        file: StoredFile | None = None,
    ) -> Message:
        chat = (place or self.chat()).chat
        self._enter(chat)
        number = topic.id if isinstance(topic, Topic) else topic
        reply = reply_to.id if reply_to is not None else None
        if number is None and reply_to is not None and reply_to.topic in chat.topics:
            number = reply_to.topic
        if number is not None:
            assert number in chat.topics, f"no topic {number}"
            content |= {"message_thread_id": number, "is_topic_message": True}
            # The apps let every message of a topic reply to the one that opened it.
            reply = reply or number
        elif reply_to is not None and chat.kind == "supergroup" and not chat.is_forum:
            # Telegram numbers the thread of a plain reply too; it is no topic and can't be sent to.
            content["message_thread_id"] = reply_to.topic or reply_to.id
        message = chat.post(self.user, content, reply_to=reply, file=file)
        self._tell(chat, "message", message.shown(), message)
        return message

    def _enter(self, chat: Chat) -> None:
        if chat.kind == "private":
            assert chat.user is self.user, "this is somebody else's private chat"
            assert not chat.is_blocked, "the bot is blocked; unblock it first"
            chat.has_started = True
            return
        member = chat.members.get(self.id)
        is_in = member is not None and member.is_present
        assert is_in, f"{self.user.first_name} isn't in it"

    def _tell(self, chat: Chat, kind: str, shown: Document, message: Message) -> None:
        for bot in self._bots_in(chat):
            if not _is_heard(bot, chat, message):
                continue
            number = self._server.queue(bot, kind, shown)
            if number is not None:
                message.update_ids.append(number)

    def _bots_in(self, chat: Chat) -> list[Bot]:
        if chat.owner is not None:
            return [chat.owner]
        bots = self._server.world.bots.values()
        return [b for b in bots if b.id in chat.members and chat.members[b.id].is_present]

    def _bot_of(self, message: Message) -> Bot:
        author = message.document["from"]["id"]
        return next(b for b in self._server.world.bots.values() if b.id == author)


def _types(emoji: Sequence[str]) -> list[Document]:
    return [{"type": "emoji", "emoji": one} for one in emoji]


def _is_heard(bot: Bot, chat: Chat, message: Message) -> bool:
    """Tell whether group privacy lets a bot see a message."""
    if chat.kind == "private":
        return True
    me = chat.members[bot.id]
    if me.is_admin or me.sees_all:
        return True
    quoted = chat.messages.get(message.reply_to or 0)
    if quoted is not None and quoted.document["from"]["id"] == bot.id:
        return True
    if not {"text", "caption"} & message.document.keys():
        return "forum_topic_created" in message.document
    return any(_means(bot, message, entity) for entity in message.entities)


def _means(bot: Bot, message: Message, entity: Entity) -> bool:
    raw = message.text.encode("utf-16-le")
    begin, end = 2 * entity["offset"], 2 * (entity["offset"] + entity["length"])
    text = raw[begin:end].decode("utf-16-le").lower()
    name = f"@{bot.user.username}".lower()
    if entity["type"] == "mention":
        return text == name
    return entity["type"] == "bot_command" and ("@" not in text or text.endswith(name))
