"""What people wrote about an order on a channel, as a cassette holds it.

A button travels by what it stood for, never by its token; a file with its content; a person by the
platform's id and what they may do; a voice note by its words, which its sender agreed to, and by
the digest of its sound. What an earlier message of another matter led to is not there:
an order that came of a button is recorded as if its words had been written.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.message import InboundKind, InboundMessage, OutboundKind
from swarm.evals.lanes import Entry
from swarm.evals.manifest import PersonFacts
from swarm.evals.packing import packed
from swarm.runtime import inbox as box
from swarm.store.tables import buttons, inbox, people

MAX_FILE_BYTES = 10 * 1024 * 1024
"""Largest file of a message that a cassette takes in."""
_PAUSES = {"command pause": "pause", "command resume": "unpause"}
_REPLY = "reply/"


@dataclass(frozen=True, slots=True)
class Chats:
    """What was heard about one order, oldest first, and who said it."""

    heard: tuple[Entry, ...] = ()
    people: tuple[PersonFacts, ...] = ()
    pauses: tuple[Entry, ...] = ()
    """Words to the whole company that held the order up, or let it go on."""
    dropped: tuple[str, ...] = ()

    def covers(self, action: Any) -> bool:
        """Say whether a row of what people did came of something heard here."""
        return any(
            entry["channel"] == action.channel and entry["received_at"] <= action.at <= entry["at"]
            for entry in self.heard
        )

    def explains(self, message: Any) -> bool:
        """Say whether a message of the company's can come again in a replay.

        Progress follows the seconds of the day; a reply needs what it replies to.
        """
        if message.kind == OutboundKind.PROGRESS.value:
            return False
        if not message.dedupe_key.startswith(_REPLY):
            return True
        rows = {str(entry["row"]) for entry in self.heard}
        return message.dedupe_key.split("/")[1] in rows


def read_chats(
    connection: Connection, order: Any, text: str, *, home: Path, voice: str = ""
) -> Chats:
    """Read what was heard about an order.

    Args:
        connection: To the company's database.
        order: Its row.
        text: Its words.
        home: Where files of messages were put.
        voice: The model that writes voice notes down.
    """
    rows = connection.execute(
        sa.select(inbox)
        .where(inbox.c.order_id == order.id, inbox.c.state == box.DONE)
        .order_by(inbox.c.handled_at, inbox.c.id)
    ).all()
    heard: list[Entry] = []
    dropped: list[str] = []
    for row in rows:
        message = box.read(row)
        entry, fault = _entry(connection, row, message, order, text, home)
        if (
            entry
            and message.update_id == order.update_id
            and (notes := _notes(connection, message))
        ):
            entry["spoken"] = {"notes": notes, "by": voice}
        heard += [entry] if entry else []
        dropped += [fault] if fault else []
    if heard and heard[0]["update_id"] != order.update_id:
        # Its own words were cleared away with other old messages: all that follows hangs on them.
        return Chats(dropped=("what was heard on its channel: its own words are kept no more",))
    return Chats(
        tuple(heard), tuple(_people(connection, heard)), _pauses(connection, order, heard),
        tuple(dropped),
    )  # fmt: skip


def _entry(
    connection: Connection, row: Any, message: InboundMessage, order: Any, text: str, home: Path
) -> tuple[Entry | None, str | None]:
    """Return a line for what was heard, or why there is none."""
    is_own = message.update_id == order.update_id
    entry: Entry = {
        "lane": "inbound", "row": row.id, "at": row.handled_at, "received_at": row.received_at,
        "kind": message.kind.value, "channel": message.channel, "account": message.account,
        "update_id": message.update_id, "chat_id": message.chat_id,
        "thread_id": message.thread_id, "sender_id": message.sender_id,
        "sender_name": message.sender_name, "message_id": message.message_id,
        "reply_to": message.reply_to, "text": message.text, "language": message.language,
        "origin": message.origin.value, "customer": message.customer,
        "is_private": message.is_private, "is_addressed": message.is_addressed,
        "is_forwarded": message.is_forwarded, "outcome": row.outcome or "",
    }  # fmt: skip
    if is_own and message.text.strip() != text:
        # Spoken, forwarded or pressed: what led to the order is no part of it.
        written = {"kind": "text", "text": f"/order {text}", "outcome": "command order"}
        return entry | written | {"reply_to": None, "is_forwarded": False}, None
    if message.kind is InboundKind.CALLBACK:
        stood_for = _button(connection, message.data)
        return (entry | {"button": stood_for}, None) if stood_for else (None, "a button long gone")
    if message.kind is InboundKind.REACTION:
        return entry | {"data": message.data}, None
    if message.kind is InboundKind.VOICE:
        return None, "a voice note of which nothing came"
    if message.kind is InboundKind.FILE:
        files = _files(home / "incoming" / str(row.id))
        is_whole = len(files) == len(message.files)
        return (
            (entry | {"files": files}, None) if is_whole else (None, "a file that is kept no more")
        )
    return entry, None


def _notes(connection: Connection, message: InboundMessage) -> list[str]:
    """Return the voice notes that became an order by the press of the button under their words."""
    if message.kind is not InboundKind.CALLBACK:
        return []
    row = connection.execute(sa.select(buttons).where(buttons.c.token == message.data)).first()
    return str(json.loads(row.action).get("notes") or "").split() if row is not None else []


def _button(connection: Connection, token: str) -> Entry | None:
    row = connection.execute(sa.select(buttons).where(buttons.c.token == token)).first()
    if row is None:
        return None
    action = json.loads(row.action)
    return {"card": row.card, "do": action["do"], "number": action.get("number")}


def _files(folder: Path) -> list[Entry]:
    kept = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        {"name": path.name, **packed(path.read_bytes())}
        for path in kept
        if path.is_file() and path.stat().st_size <= MAX_FILE_BYTES
    ]


def _people(connection: Connection, heard: Sequence[Entry]) -> Iterator[PersonFacts]:
    for channel, who in dict.fromkeys((e["channel"], e["sender_id"]) for e in heard):
        row = connection.execute(
            sa.select(people).where(people.c.channel == channel, people.c.platform_id == who)
        ).first()
        if row is not None:
            yield PersonFacts(
                channel=channel, platform_id=who, name=row.name, role=row.role,
                chat_id=row.chat_id, language=row.language,
            )  # fmt: skip


def _pauses(connection: Connection, order: Any, heard: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return when the company was stopped, and let go on, while the order was worked."""
    ends = [order.delivered_at, *(entry["at"] for entry in heard)]
    rows = connection.execute(
        sa.select(inbox.c.outcome, inbox.c.handled_at, inbox.c.sender_id, inbox.c.channel)
        .where(inbox.c.outcome.in_(_PAUSES), inbox.c.handled_at >= order.created_at)
        .where(inbox.c.handled_at <= max(end for end in (order.created_at, *ends) if end))
        .order_by(inbox.c.handled_at, inbox.c.id)
    )
    return tuple(
        {"act": _PAUSES[row.outcome], "at": row.handled_at, "by": f"{row.channel}:{row.sender_id}"}
        for row in rows
    )
