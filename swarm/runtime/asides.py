"""What is said beside plain words: edits of old messages, signs put on ours, and files."""

import filecmp
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.core.clock import iso
from swarm.core.errors import InvalidInput
from swarm.core.message import InboundFile, InboundKind, OutboundKind
from swarm.core.order import OrderState, OrderStatus
from swarm.core.origin import Origin
from swarm.core.text import clean_text, order_text
from swarm.ledger.unplaced import take_over
from swarm.memory.base import MemoryKind
from swarm.runtime import albums, notes, understanding
from swarm.runtime.albums import Album
from swarm.runtime.inbox import order_of_message
from swarm.runtime.incoming import MAX_FILES, unlike
from swarm.runtime.people import PersonRole, Right
from swarm.runtime.phrases import say
from swarm.runtime.turn import Turn
from swarm.store.tables import inbox, labels, orders

INCOMING = "incoming"
"""Folder of an order's workspace for what a person sent with it."""


def edit(turn: Turn) -> str:
    """Take new words of an old message; a command in them is never run."""
    message = turn.message
    # Of an order that was given by its command, the words are new, not the command.
    text = clean_text(message.text).strip().removeprefix("/order ")
    if not text or text.startswith("/") or message.message_id is None:
        return "an edit that changes nothing"
    order_id = order_of_message(
        turn.connection,
        channel=message.channel,
        chat_id=message.chat_id,
        message_id=message.message_id,
    )
    if order_id is None:
        return "an edit of what was no order"
    turn.order_id = order_id
    turn.need(Right.ORDER)
    row = turn.order(order_id)
    if row.sender_id != message.sender_id:
        return "an edit by somebody else"
    state = OrderState.model_validate_json(row.state)
    fresh = state.model_copy(update={"text": order_text(understanding.new_order(text) or text)})
    changed = turn.connection.execute(
        orders.update()
        .where(
            orders.c.id == order_id,
            orders.c.status == OrderStatus.QUEUED.value,
            orders.c.segment == 0,
            orders.c.owner.is_(None),
            # An edit of a later word on the order is not an edit of the order.
            orders.c.update_id == _update_of(turn, message.message_id),
        )
        .values(state=fresh.model_dump_json())
    )
    if changed.rowcount == 1:
        turn.speak("replaced", order=order_id)
        return "an edit before the start"
    if turn.message.is_forwarded:
        return "an edit of somebody else's words"
    notes.take(turn, order_id, text, key="edit_late")
    return "an edit after the start, kept as a note"


def _update_of(turn: Turn, message_id: str) -> str | None:
    """Return the id of the update that a person's message first came with."""
    return turn.connection.execute(
        sa.select(inbox.c.update_id)
        .where(
            inbox.c.channel == turn.message.channel,
            inbox.c.chat_id == turn.message.chat_id,
            inbox.c.message_id == message_id,
            inbox.c.kind != InboundKind.EDIT.value,
        )
        .order_by(inbox.c.id)
        .limit(1)
    ).scalar()


def sign(turn: Turn) -> str:
    """Take a sign on a message of ours as feedback; it never signs anything."""
    message = turn.message
    sent = turn.sent(message.message_id or "")
    if sent is None or sent.order_id is None or not message.data:
        return "a sign about nothing"
    turn.need(Right.FEEDBACK)
    row = turn.order(sent.order_id)
    # Reactions name no topic; the reply belongs where the order is.
    turn.message = replace(message, thread_id=row.thread_id)
    turn.order_id = row.id
    if understanding.is_no(message.data) and row.status == OrderStatus.DELIVERED.value:
        if turn.person.may(Right.APPROVE):
            turn.open_dialogue("rework", order_id=row.id)
        turn.speak("what_different", lang=turn.language_of(row.id), order=row.id)
        return "a bad sign, asked why"
    turn.desks.memory(turn.connection).remember(
        f"The founder put {message.data} on a message about order {row.id}.",
        kind=MemoryKind.PREFERENCE,
        origin=Origin.FOUNDER if turn.person.role is PersonRole.FOUNDER else Origin.TEAM,
        order_id=row.id,
        key=f"reaction/{turn.row_id}",
    )
    return "a sign, remembered"


def voice(turn: Turn) -> str:
    """Show what was heard in a voice note; it is an order once its sender says that it is right.

    The words are an engine's, and a note may play somebody else's: no command in them is run, and
    nothing is decided by them.
    """
    if not turn.desks.hears_voice:
        turn.speak("no_voice")
        return "a voice note, not heard"
    turn.need(Right.ORDER)
    text = clean_text(turn.message.text).strip()
    if not text:
        turn.speak("voice_empty")
        return "a voice note without words"
    keys = turn.keyboard("voice")
    paid = {"notes": turn.message.data}
    action = {"text": text, "is_foreign": turn.message.is_forwarded, **paid}
    buttons = (
        keys.button(say("voice_run", turn.lang), "as_order", **action),
        keys.button(say("voice_fix", turn.lang), "voice_fix", **paid),
    )
    turn.say(
        say("voice_heard", turn.lang, text=text), buttons=(buttons,), kind=OutboundKind.DECISION
    )
    return "a voice note, echoed"


def order_heard(turn: Turn, text: str, notes: str, *, origin: Origin | None = None) -> None:
    """Take an order that was spoken; what it cost to write its `notes` down is booked on it."""
    order_id = turn.place(text, origin=origin)
    for key in notes.split():
        take_over(turn.connection, key, order_id)


def is_of_album(turn: Turn) -> bool:
    """Return whether this is a piece of an album of which an earlier piece was meant for us."""
    album = albums.before(turn)
    return album is not None and album.is_addressed


def file(turn: Turn) -> str:
    """Take a file: with words it is an order, without it waits for them."""
    turn.need(Right.ORDER)
    refused = [f.refused for f in turn.message.files if f.refused]
    files = [f for f in turn.message.files if f.path is not None]
    album = albums.before(turn)
    if album is not None and album.count + len(files) > MAX_FILES:
        refused += [f"{f.name}: I take {MAX_FILES} files at a time." for f in files]
        files = []
    if not files:
        raise InvalidInput("\n".join(refused) or "The file could not be fetched: send it again.")
    outcome = _taken(turn, files, album)
    if refused:
        turn.say("\n".join(refused))
    return outcome


def _taken(turn: Turn, files: Sequence[InboundFile], album: Album | None) -> str:
    """Put files to the order that they belong to, or wait for one."""
    body: dict[str, Any] = {
        "files": [{"name": f.name, "path": f.path} for f in files],
        "is_foreign": turn.message.is_forwarded,
        "album": turn.message.album,
    }
    text = clean_text(turn.message.text).strip()
    if album is not None and album.order_id is not None:
        return _more_for(turn, album.order_id, body)
    dialogue = turn.dialogue() if album is not None else None
    is_waiting = dialogue is not None and dialogue.kind == "file"
    if dialogue is not None and is_waiting and dialogue.body.get("album") == turn.message.album:
        body["files"] = [*dialogue.body["files"], *body["files"]]
        body["is_foreign"] = body["is_foreign"] or dialogue.body["is_foreign"]
    here = turn.here()
    if here is not None and not OrderStatus(turn.order(here).status).is_final:
        return _file_for(turn, here, body, text)
    if text and not text.startswith("/"):
        turn.close_dialogue()
        order_with_file(turn, text, body)
        return "an order with a file"
    turn.open_dialogue("file", **body)
    if len(body["files"]) > len(files):
        return "more of an album that waits for its order"
    turn.speak("file_kept", name=", ".join(f.name for f in files))
    return "a file that waits for its order"


def order_with_file(turn: Turn, text: str, body: dict[str, Any]) -> None:
    """Take an order and put the files that came with it into its workspace."""
    names = _names(turn, None, body)
    order_id = turn.place(f"{text}\n\nFiles in the workspace: {', '.join(names)}")
    _bring(turn, order_id, body, names)


def _file_for(turn: Turn, order_id: str, body: dict[str, Any], text: str) -> str:
    """Put a file into the workspace of an order that is under way."""
    names = _names(turn, order_id, body)
    _bring(turn, order_id, body, names)
    turn.order_id = order_id
    # What stands with a forwarded file are not this person's words.
    said = "" if body["is_foreign"] else text
    turn.note(order_id, f"A file came: {', '.join(names)}. {said}".strip())
    lang = turn.language_of(order_id)
    shown = ", ".join(str(f["name"]) for f in body["files"])
    lines = [
        say("file_added", lang, name=shown, order=order_id),
        notes.told(turn, order_id, lang, key="note"),
    ]
    turn.say("\n".join(lines), order_id=order_id)
    return "a file for an order"


def _more_for(turn: Turn, order_id: str, body: dict[str, Any]) -> str:
    """Put a further piece of an album to the order that its first piece became; nobody is told twice."""
    names = _names(turn, order_id, body)
    _bring(turn, order_id, body, names)
    turn.order_id = order_id
    row = turn.order(order_id)
    state = OrderState.model_validate_json(row.state)
    fresh = state.model_copy(update={"text": f"{state.text}, {', '.join(names)}"})
    changed = turn.connection.execute(
        orders.update()
        .where(
            orders.c.id == order_id,
            orders.c.status == OrderStatus.QUEUED.value,
            orders.c.segment == 0,
            orders.c.owner.is_(None),
        )
        .values(state=fresh.model_dump_json())
    )
    if changed.rowcount == 0:
        turn.note(order_id, f"A file came: {', '.join(names)}.")
    return "more of an album, for its order"


def _names(turn: Turn, order_id: str | None, body: dict[str, Any]) -> list[str]:
    """Return where each file goes in an order's workspace; what is there already stays."""
    taken: set[str] = set()
    if order_id is not None:
        folder = _folder(turn, order_id)
        taken = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    found = []
    for file in body["files"]:
        source = Path(file["path"])
        name = source.name
        is_same = order_id is not None and name in taken and _is_copy(turn, order_id, source)
        if not is_same:
            name = unlike(name, taken)
        taken.add(name)
        found.append(f"{INCOMING}/{name}")
    return found


def _is_copy(turn: Turn, order_id: str, source: Path) -> bool:
    """Return whether a file was brought already, by a transaction that was undone."""
    there = _folder(turn, order_id) / source.name
    return there.is_file() and filecmp.cmp(source, there, shallow=False)


def _folder(turn: Turn, order_id: str) -> Path:
    return turn.desks.home / "workspace" / order_id / INCOMING


def _bring(turn: Turn, order_id: str, body: dict[str, Any], names: Sequence[str]) -> None:
    """Copy fetched files into an order's workspace; done twice it is the same."""
    folder = _folder(turn, order_id)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file, name in zip(body["files"], names, strict=True):
        shutil.copyfile(Path(file["path"]), folder / Path(name).name)
        if body["is_foreign"]:
            turn.connection.execute(
                labels.insert().values(
                    order_id=order_id,
                    path=name,
                    origin=Origin.WEB.value,
                    is_private=False,
                    source=f"forwarded by {turn.person.identity}",
                    at=iso(turn.desks.clock.now()),
                )
            )
