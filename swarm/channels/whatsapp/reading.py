"""Webhooks of WhatsApp as messages. Nothing here is believed: a field that is off is left out."""

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from swarm.core.message import InboundFile, InboundKind, InboundMessage

CHANNEL = "whatsapp"
LATE = timedelta(minutes=1)
"""A message older than this was brought late; then its own time counts, which opened the window."""
_MEDIA = ("image", "document", "audio", "video", "sticker")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """What became of a message that was taken: it did not arrive."""

    message_id: str
    chat_id: str
    code: int
    why: str


class Reader:
    """Read the webhooks of one number."""

    def __init__(self, *, phone_id: str) -> None:
        self._phone_id = phone_id

    def messages(self, body: Json, *, raw: bytes, at: datetime) -> Iterator[InboundMessage]:
        """Return what people said; one that says nothing to us has the kind `OTHER`."""
        for value in self._values(body):
            names = _names(value)
            for message in _list(value, "messages"):
                number = _text(message, "id")
                if number:
                    yield self._read(message, number, names, raw, at)

    def failures(self, body: Json) -> Iterator[Failure]:
        """Return which messages of ours did not arrive."""
        for value in self._values(body):
            for status in _list(value, "statuses"):
                if status.get("status") != "failed" or not _text(status, "id"):
                    continue
                errors = _list(status, "errors")
                first = errors[0] if errors else {}
                code = first.get("code")
                detail = _text(_object(first, "error_data"), "details")
                yield Failure(
                    _text(status, "id"),
                    _text(status, "recipient_id") or _text(status, "recipient_user_id"),
                    code if isinstance(code, int) else 0,
                    detail or _text(first, "message") or _text(first, "title") or "it failed",
                )

    def _values(self, body: Json) -> Iterator[Json]:
        """Return what concerns our number; one webhook may bring several things, of several."""
        for entry in _list(body, "entry"):
            for change in _list(entry, "changes"):
                value = _object(change, "value")
                whose = _text(_object(value, "metadata"), "phone_number_id")
                if change.get("field") == "messages" and whose == self._phone_id:
                    yield value

    def _read(
        self, message: Json, number: str, names: dict[str, str], raw: bytes, at: datetime
    ) -> InboundMessage:
        sender = _text(message, "from") or _text(message, "from_user_id")
        group = _text(message, "group_id")
        context = _object(message, "context")
        base: Json = {
            "channel": CHANNEL,
            "account": self._phone_id,
            "update_id": number,
            "chat_id": group or sender,
            "thread_id": None,
            "sender_id": sender,
            "sender_name": names.get(sender, ""),
            "is_private": not group,
            "is_addressed": not group,
            "text": "",
            "received_at": _time(message, at),
            "raw": raw,
            "message_id": number,
            "reply_to": _text(context, "id") or None,
            "is_forwarded": bool(context.get("forwarded") or context.get("frequently_forwarded")),
        }
        found = self._content(message) if sender else {"kind": InboundKind.OTHER}
        return InboundMessage(**(base | found))

    def _content(self, message: Json) -> Json:
        kind = _text(message, "type")
        if kind == "text":
            text = _text(_object(message, "text"), "body")
            return {"kind": InboundKind.TEXT if text.strip() else InboundKind.OTHER, "text": text}
        if kind in ("interactive", "button"):
            return _click(message)
        if kind == "reaction":
            found = _object(message, "reaction")
            return {
                "kind": InboundKind.REACTION,
                "data": _text(found, "emoji"),
                "message_id": _text(found, "message_id") or None,
            }
        if kind == "edit":
            return self._edit(_object(message, "edit"))
        if kind in _MEDIA:
            return _file(kind, _object(message, kind))
        return {"kind": InboundKind.OTHER}

    def _edit(self, edit: Json) -> Json:
        new = _object(edit, "message")
        found = self._content(new) if new.get("type") != "edit" else {}
        kind = InboundKind.EDIT if found.get("text") else InboundKind.OTHER
        return {
            "kind": kind,
            "text": found.get("text", ""),
            "message_id": _text(edit, "original_message_id") or None,
        }


def _click(message: Json) -> Json:
    """Read a pressed button, of a message of ours or of a template, or a row of a list."""
    interactive = _object(message, "interactive")
    pressed = _object(interactive, "button_reply") or _object(interactive, "list_reply")
    token = _text(pressed, "id")
    if not token:
        # Also a template's own button: it opens the window, and what waits is sent; it decides
        # nothing.
        return {"kind": InboundKind.OTHER}
    return {
        "kind": InboundKind.CALLBACK,
        "data": token,
        "click_id": _text(message, "id"),
        "message_id": _text(_object(message, "context"), "id") or None,
        "reply_to": None,
    }


def _file(kind: str, found: Json) -> Json:
    media, mime = _text(found, "id"), _text(found, "mime_type").partition(";")[0].strip()
    if not media:
        return {"kind": InboundKind.OTHER}
    ending = mimetypes.guess_extension(mime) or ".bin"
    name = _text(found, "filename") or f"{kind}-{media[-8:]}{ending}"
    is_voice = kind == "audio" and found.get("voice") is True
    size = found.get("file_size")
    file = InboundFile(
        file_id=media, name=name, bytes=size if isinstance(size, int) else None, mime=mime
    )
    return {
        "kind": InboundKind.VOICE if is_voice else InboundKind.FILE,
        "text": _text(found, "caption"),
        "files": (file,),
    }


def _names(value: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for contact in _list(value, "contacts"):
        name = _text(_object(contact, "profile"), "name")[:100]
        for key in ("wa_id", "user_id"):
            if _text(contact, key):
                found[_text(contact, key)] = name
    return found


def _time(message: Json, at: datetime) -> datetime:
    """Return when a message was written, where that is longer ago than the way takes.

    Meta brings a message again for days. Its own time is the same each time, so that a late copy is
    known for what it is, and the window that it opened is not thought to be open longer.
    """
    written = message.get("timestamp")
    try:
        then = datetime.fromtimestamp(int(str(written)), UTC)
    except (ValueError, OverflowError, OSError):
        return at
    return then if at - then > LATE else at


def _object(value: Any, key: str) -> Json:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _list(value: Any, key: str) -> list[Json]:
    found = value.get(key) if isinstance(value, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _text(value: Json, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
