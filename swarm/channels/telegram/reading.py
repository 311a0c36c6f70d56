"""Updates of Telegram as messages. Nothing here is believed: a field that is off is left out."""

import json
from datetime import datetime
from typing import Any

from swarm.core.message import InboundFile, InboundKind, InboundMessage

CHANNEL = "telegram"
GENERAL = "1"
"""The topic that every forum has; it must be written to without naming it."""
KINDS = ("message", "edited_message", "callback_query", "message_reaction")
"""The updates that are asked for."""

Json = dict[str, Any]


class Reader:
    """Read the updates of one bot."""

    def __init__(self, *, bot_id: str, username: str) -> None:
        self._bot_id = bot_id
        self._username = username.lower()

    def read(self, update: Json, *, raw: bytes | None = None, at: datetime) -> InboundMessage:
        """Return what an update says; one that says nothing to us has the kind `OTHER`."""
        raw = raw if raw is not None else json.dumps(update, ensure_ascii=False).encode()
        kind, content = _content(update)
        chat = _object(content.get("message") if kind == "callback_query" else content, "chat")
        who = content.get("user" if kind == "message_reaction" else "from")
        sender = who if isinstance(who, dict) else {}
        base: Json = {
            "channel": CHANNEL,
            "account": self._bot_id,
            "update_id": str(update.get("update_id", "")),
            "chat_id": _id(chat),
            "thread_id": None,
            "sender_id": _id(sender),
            "sender_name": _name(sender),
            "language": str(sender.get("language_code") or "")[:2],
            "is_private": chat.get("type") == "private",
            "text": "",
            "received_at": at,
            "raw": raw,
        }
        is_person = bool(base["sender_id"]) and not sender.get("is_bot") and base["chat_id"]
        if not is_person:
            return InboundMessage(**base, kind=InboundKind.OTHER)
        read = {
            "message": self._message,
            "edited_message": self._edited,
            "callback_query": _callback,
            "message_reaction": _reaction,
        }.get(kind)
        return InboundMessage(**(base | (read(content) if read else {"kind": InboundKind.OTHER})))

    def _message(self, content: Json) -> Json:
        text = str(content.get("text") or content.get("caption") or "")
        reply = _object(content, "reply_to_message")
        # In a topic every message answers the one that opened it; that is no reply of a person.
        is_reply = bool(reply) and not reply.get("forum_topic_created")
        is_to_us = is_reply and _id(_object(reply, "from")) == self._bot_id
        files, kind = _files(content)
        is_private = _object(content, "chat").get("type") == "private"
        text, is_named = self._without_name(text)
        is_empty = not text.strip() and not files
        return {
            "kind": InboundKind.OTHER if is_empty else kind,
            "text": text,
            "message_id": _number(content.get("message_id")),
            "thread_id": _thread(content),
            "reply_to": _number(reply.get("message_id")) if is_reply else None,
            "is_addressed": is_private or is_named or is_to_us,
            "is_forwarded": isinstance(content.get("forward_origin"), dict),
            "files": files,
            "album": _word(content.get("media_group_id")) if files else None,
        }

    def _edited(self, content: Json) -> Json:
        return self._message(content) | {"kind": InboundKind.EDIT}

    def _without_name(self, text: str) -> tuple[str, bool]:
        """Take the bot's own name out of a text, and say whether it was there.

        A command for another bot of the group names that one; it is none of ours.
        """
        if text.startswith("/"):
            command, _, rest = text.partition(" ")
            word, at, name = command.partition("@")
            if at:
                is_ours = name.lower() == self._username
                return (f"{word} {rest}".strip(), True) if is_ours else ("", False)
            return text, True
        mention = f"@{self._username}"
        words = text.split(" ")
        kept = [word for word in words if word.lower().rstrip(",:;.!?") != mention]
        return " ".join(kept).strip() if len(kept) < len(words) else text, len(kept) < len(words)


def _content(update: Json) -> tuple[str, Json]:
    for kind in KINDS:
        if isinstance(update.get(kind), dict):
            return kind, update[kind]
    return "", {}


def _callback(content: Json) -> Json:
    message = _object(content, "message")
    data, click = content.get("data"), content.get("id")
    if not isinstance(data, str) or not isinstance(click, str):
        return {"kind": InboundKind.OTHER}
    return {
        "kind": InboundKind.CALLBACK,
        "data": data,
        "click_id": click,
        "message_id": _number(message.get("message_id")),
        "thread_id": _thread(message),
    }


def _reaction(content: Json) -> Json:
    signs = content.get("new_reaction")
    newest = signs[-1] if isinstance(signs, list) and signs else {}
    sign = newest.get("emoji") if isinstance(newest, dict) else None
    return {
        "kind": InboundKind.REACTION,
        "data": sign if isinstance(sign, str) else "",
        "message_id": _number(content.get("message_id")),
    }


def _files(content: Json) -> tuple[tuple[InboundFile, ...], InboundKind]:
    """Return the file of a message, if there is one: of a photo, the largest size."""
    photos = content.get("photo")
    if isinstance(photos, list) and photos:
        sizes = [p for p in photos if isinstance(p, dict) and p.get("file_id")]
        if sizes:
            best = max(sizes, key=lambda p: int(p.get("file_size") or p.get("width") or 0))
            name = f"photo-{content.get('message_id')}.jpg"
            return (_file(best, name, "image/jpeg"),), InboundKind.FILE
    for key in ("document", "audio", "video", "animation"):
        found = _object(content, key)
        if found.get("file_id"):
            name = str(found.get("file_name") or f"{key}-{content.get('message_id')}")
            return (_file(found, name, str(found.get("mime_type") or "")),), InboundKind.FILE
    voice = _object(content, "voice")
    if voice.get("file_id"):
        name = f"voice-{content.get('message_id')}.ogg"
        return (_file(voice, name, str(voice.get("mime_type") or "audio/ogg")),), InboundKind.VOICE
    return (), InboundKind.TEXT


def _file(found: Json, name: str, mime: str) -> InboundFile:
    size = found.get("file_size")
    return InboundFile(
        file_id=str(found["file_id"]),
        name=name,
        bytes=size if isinstance(size, int) else None,
        mime=mime,
    )


def _thread(message: Json) -> str | None:
    """Return the topic; `message_thread_id` alone may also be a thread of replies."""
    if message.get("is_topic_message") is not True:
        return None
    thread = _number(message.get("message_thread_id"))
    return None if thread == GENERAL else thread


def _object(value: Any, key: str) -> Json:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _id(value: Json) -> str:
    return _number(value.get("id")) or ""


def _number(value: Any) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _word(value: Any) -> str | None:
    return value[:64] if isinstance(value, str) and value else None


def _name(sender: Json) -> str:
    words = (sender.get("first_name"), sender.get("last_name"))
    return " ".join(str(word) for word in words if word)[:100]
