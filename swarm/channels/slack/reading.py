"""Payloads of Slack as messages. Nothing here is believed: a field that is off is left out."""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from swarm.core.message import InboundFile, InboundKind, InboundMessage

CHANNEL = "slack"
SIGNS = {
    "+1": "👍", "thumbsup": "👍", "-1": "👎", "thumbsdown": "👎", "white_check_mark": "✅",
    "heavy_check_mark": "✔️", "heart": "❤️", "tada": "🎉", "fire": "🔥", "x": "❌", "clap": "👏",
    "ok_hand": "👌", "eyes": "👀", "pray": "🙏", "100": "💯", "rocket": "🚀", "angry": "😠",
    "disappointed": "😞", "confused": "😕",
}  # fmt: skip
"""Signs that people put on messages, by Slack's names."""
_PLAIN = frozenset({"", "file_share", "thread_broadcast", "me_message"})
"""Subtypes of messages that a person wrote."""
_LINK = re.compile(r"<([^<>]*)>")

Json = dict[str, Any]


class Reader:
    """Read the payloads of one app in one workspace."""

    def __init__(
        self, *, team_id: str, user_id: str, command: str, words: Sequence[str] = ()
    ) -> None:
        """Take who we are.

        Args:
            team_id: The workspace.
            user_id: The bot's own.
            command: Its slash command.
            words: The company's commands; one of them may be the slash command's first word.
        """
        self._team_id = team_id
        self._user_id = user_id
        self._command = command
        self._words = frozenset(words)

    def read(
        self, payload: Json, *, at: datetime, name: str = "", chat_id: str | None = None
    ) -> InboundMessage:
        """Return what a payload says; one that says nothing to us has the kind `OTHER`.

        Args:
            payload: As it came.
            at: When.
            name: What the person calls themselves.
            chat_id: Where to answer a slash command, if not where it was given.
        """
        if isinstance(payload.get("command"), str):
            found = self._slash(payload, chat_id)
        elif payload.get("type") == "block_actions":
            found = self._click(payload)
        else:
            found = self._event(payload)
        is_person = bool(found.get("sender_id")) and bool(found.get("chat_id"))
        if not is_person:
            found["kind"] = InboundKind.OTHER
        base: Json = {
            "channel": CHANNEL,
            "account": self._team_id,
            "chat_id": "",
            "thread_id": None,
            "sender_id": "",
            "sender_name": name,
            "text": "",
            "received_at": at,
            "raw": json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"),
        }
        return InboundMessage(**(base | found))

    def _event(self, payload: Json) -> Json:
        event = _object(payload, "event")
        number = _text(payload, "event_id") or _digest(payload)
        kind = _text(event, "type")
        if kind in ("reaction_added", "reaction_removed"):
            return self._reaction(payload, event, number)
        if kind not in ("message", "app_mention"):
            return {"kind": InboundKind.OTHER, "update_id": number}
        if event.get("subtype") == "message_changed":
            return self._edit(payload, event, number)
        return self._message(payload, event, number)

    def _message(self, payload: Json, event: Json, number: str) -> Json:
        ts, chat = _text(event, "ts"), _text(event, "channel")
        is_private = _is_private(event, chat)
        text, is_named = self._words_of(event)
        if is_named and not is_private:
            # Slack brings a mention twice, once as a message and once as a mention.
            number = f"{chat}:{ts}"
        is_bot = bool(event.get("bot_id")) or _text(event, "user") == self._user_id
        if is_bot or not ts or str(event.get("subtype") or "") not in _PLAIN:
            return {"kind": InboundKind.OTHER, "update_id": number}
        files, kind = _files(event)
        shared = _shared(event) if not text and not files else ""
        is_empty = not text.strip() and not files and not shared
        return self._by(payload, event) | {
            "kind": InboundKind.OTHER if is_empty else kind,
            "update_id": number,
            "chat_id": chat,
            "text": text or shared,
            "message_id": ts,
            # Each message of the channel itself may open a thread; what is said to it goes there.
            "thread_id": _text(event, "thread_ts") or ts,
            "is_private": is_private,
            "is_addressed": is_private or is_named,
            "is_forwarded": bool(shared),
            "files": files,
        }

    def _edit(self, payload: Json, event: Json, number: str) -> Json:
        new, old = _object(event, "message"), _object(event, "previous_message")
        chat, ts = _text(event, "channel"), _text(new, "ts")
        is_bot = bool(new.get("bot_id")) or _text(new, "user") == self._user_id
        # Slack also says `changed` where it only added a preview or counted replies.
        is_edit = old.get("text") != new.get("text") if old else isinstance(new.get("edited"), dict)
        if is_bot or not ts or not is_edit:
            return {"kind": InboundKind.OTHER, "update_id": number}
        is_private = _is_private(event, chat)
        text, is_named = self._words_of(new)
        return self._by(payload, new) | {
            "kind": InboundKind.EDIT,
            "update_id": number,
            "chat_id": chat,
            "text": text,
            "message_id": ts,
            "thread_id": _text(new, "thread_ts") or ts,
            "is_private": is_private,
            "is_addressed": is_private or is_named,
        }

    def _reaction(self, payload: Json, event: Json, number: str) -> Json:
        item = _object(event, "item")
        is_on = event.get("type") == "reaction_added"
        # The sign may come with a tone of skin: `+1::skin-tone-3`.
        sign = _text(event, "reaction").partition("::")[0]
        chat = _text(item, "channel")
        return self._by(payload, event) | {
            "kind": InboundKind.REACTION if item.get("type") == "message" else InboundKind.OTHER,
            "update_id": number,
            "chat_id": chat,
            "data": SIGNS.get(sign, f":{sign}:") if is_on and sign else "",
            "message_id": _text(item, "ts") or None,
            "is_private": chat.startswith("D"),
        }

    def _click(self, payload: Json) -> Json:
        actions = payload.get("actions")
        action = actions[0] if isinstance(actions, list) and actions else {}
        action = action if isinstance(action, dict) else {}
        place, message = _object(payload, "container"), _object(payload, "message")
        user = _object(payload, "user")
        chat = _text(_object(payload, "channel"), "id") or _text(place, "channel_id")
        ts = _text(message, "ts") or _text(place, "message_ts")
        thread = _text(message, "thread_ts") or _text(place, "thread_ts") or None
        token = _text(action, "value") or _text(_object(action, "selected_option"), "value")
        who = [_text(user, "id"), chat, ts, token, _text(action, "action_ts")]
        kind = InboundKind.CALLBACK if token and ts else InboundKind.OTHER
        return {
            "kind": kind,
            # A click has no number of its own; the same one brought again is the same in these.
            "update_id": f"click:{_digest(who)}",
            "chat_id": chat,
            "sender_id": self._identity(
                _text(user, "team_id") or _text(_object(payload, "team"), "id"), _text(user, "id")
            ),
            "data": token,
            "click_id": f"{_text(user, 'id')}:{thread or ''}",
            "message_id": ts or None,
            "thread_id": thread,
            "is_private": chat.startswith("D"),
        }

    def _slash(self, payload: Json, chat_id: str | None) -> Json:
        name, words = _text(payload, "command"), _plain(_text(payload, "text")).strip()
        first = words.partition(" ")[0].removeprefix("/").lower()
        own = name.removeprefix("/").lower()
        if name != self._command and own in self._words:
            text = f"/{own} {words}".strip()
        elif not words:
            text = "/help"
        else:
            text = f"/{words.removeprefix('/')}" if first in self._words else words
        number = _text(payload, "trigger_id") or _digest(payload)
        given = _text(payload, "channel_id")
        chat = chat_id or given
        return {
            "kind": InboundKind.TEXT,
            "update_id": f"command:{number}",
            "chat_id": chat,
            "sender_id": self._identity(_text(payload, "team_id"), _text(payload, "user_id")),
            "text": text,
            "is_private": chat.startswith("D"),
            "is_addressed": True,
        }

    def _by(self, payload: Json, event: Json) -> Json:
        """Say who did it: the same person has one team and one id, wherever they write from."""
        team = _text(event, "user_team") or _text(event, "team") or _text(payload, "team_id")
        return {"sender_id": self._identity(team, _text(event, "user"))}

    def _identity(self, team: str, user: str) -> str:
        return f"{team or self._team_id}:{user}" if user else ""

    def _words_of(self, event: Json) -> tuple[str, bool]:
        """Return a text without our own name in it, and whether it was there."""
        raw = _text(event, "text")
        mention = re.compile(rf"<@{re.escape(self._user_id)}(?:\|[^<>]*)?>")
        without = mention.sub("", raw)
        is_named = without != raw
        text = re.sub(r"[ \t]{2,}", " ", _plain(without)).strip() if is_named else _plain(without)
        return text, is_named


def _plain(text: str) -> str:
    """Read Slack's own marks back into words; the three escaped signs come last."""

    def read(match: re.Match[str]) -> str:
        target, _, label = match[1].partition("|")
        if target.startswith(("@", "#", "!")):
            return f"{target[0].replace('!', '@')}{label.lstrip('@#') or target[1:]}"
        address = target.removeprefix("mailto:").removeprefix("tel:")
        is_same = not label or label in (address, target) or address.endswith(f"://{label}")
        return address if is_same else f"{label} ({address})"

    found = _LINK.sub(read, text)
    return found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _is_private(event: Json, chat: str) -> bool:
    kind = event.get("channel_type")
    return kind == "im" if isinstance(kind, str) else chat.startswith("D")


def _files(event: Json) -> tuple[tuple[InboundFile, ...], InboundKind]:
    found = event.get("files")
    files = [
        file
        for file in (found if isinstance(found, list) else [])
        if isinstance(file, dict)
        and _text(file, "id")
        and file.get("mode") not in ("tombstone", "hidden_by_limit")
    ]
    if not files:
        return (), InboundKind.TEXT
    is_voice = len(files) == 1 and files[0].get("subtype") == "slack_audio"
    return tuple(map(_file, files)), InboundKind.VOICE if is_voice else InboundKind.FILE


def _file(found: Json) -> InboundFile:
    size = found.get("size")
    return InboundFile(
        file_id=_text(found, "id"),
        name=_text(found, "name") or _text(found, "title") or _text(found, "id"),
        bytes=size if isinstance(size, int) and not isinstance(size, bool) else None,
        mime=_text(found, "mimetype"),
    )


def _shared(event: Json) -> str:
    """Return the words of a message that was shared: somebody else's, without own words."""
    found = event.get("attachments")
    for attachment in found if isinstance(found, list) else []:
        if isinstance(attachment, dict) and attachment.get("is_share"):
            return _plain(_text(attachment, "text") or _text(attachment, "fallback"))
    return ""


def _digest(value: Any) -> str:
    written = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:32]


def _object(value: Any, key: str) -> Json:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _text(value: Json, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
