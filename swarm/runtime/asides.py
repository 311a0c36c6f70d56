"""What is said beside plain words: edits of old messages, signs put on ours, and files."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.core.clock import iso
from swarm.core.errors import InvalidInput
from swarm.core.message import InboundKind, OutboundKind
from swarm.core.order import OrderState, OrderStatus
from swarm.core.origin import Origin
from swarm.core.text import clean_text, order_text
from swarm.memory.base import MemoryKind
from swarm.runtime import understanding
from swarm.runtime.inbox import order_of_message
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
    turn.note(order_id, text)
    turn.speak("edit_late", lang=turn.language_of(order_id), order=order_id)
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
    action = {"text": text, "is_foreign": turn.message.is_forwarded}
    buttons = (
        keys.button(say("voice_run", turn.lang), "as_order", **action),
        keys.button(say("voice_fix", turn.lang), "voice_fix"),
    )
    turn.say(
        say("voice_heard", turn.lang, text=text), buttons=(buttons,), kind=OutboundKind.DECISION
    )
    return "a voice note, echoed"


def file(turn: Turn) -> str:
    """Take a file: with words it is an order, without it waits for them."""
    turn.need(Right.ORDER)
    files = [f for f in turn.message.files if f.path is not None]
    if not files:
        raise InvalidInput("The file could not be fetched: send it again.")
    body: dict[str, Any] = {
        "files": [{"name": f.name, "path": f.path} for f in files],
        "is_foreign": turn.message.is_forwarded,
    }
    text = clean_text(turn.message.text).strip()
    here = turn.here()
    if here is not None and not OrderStatus(turn.order(here).status).is_final:
        return _file_for(turn, here, body, text)
    if text and not text.startswith("/"):
        order_with_file(turn, text, body)
        return "an order with a file"
    turn.open_dialogue("file", **body)
    turn.speak("file_kept", name=files[0].name)
    return "a file that waits for its order"


def order_with_file(turn: Turn, text: str, body: dict[str, Any]) -> None:
    """Take an order and put the files that came with it into its workspace."""
    names = [f"{INCOMING}/{Path(f['path']).name}" for f in body["files"]]
    order_id = turn.place(f"{text}\n\nFiles in the workspace: {', '.join(names)}")
    _bring(turn, order_id, body)


def _file_for(turn: Turn, order_id: str, body: dict[str, Any], text: str) -> str:
    """Put a file into the workspace of an order that is under way."""
    _bring(turn, order_id, body)
    turn.order_id = order_id
    names = ", ".join(f"{INCOMING}/{Path(f['path']).name}" for f in body["files"])
    turn.note(order_id, f"A file came: {names}. {text}".strip())
    name = str(body["files"][0]["name"])
    turn.speak("file_added", lang=turn.language_of(order_id), name=name, order=order_id)
    return "a file for an order"


def _bring(turn: Turn, order_id: str, body: dict[str, Any]) -> None:
    """Copy fetched files into an order's workspace; done twice it is the same."""
    folder = turn.desks.home / "workspace" / order_id / INCOMING
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in body["files"]:
        source = Path(file["path"])
        shutil.copyfile(source, folder / source.name)
        if body["is_foreign"]:
            turn.connection.execute(
                labels.insert().values(
                    order_id=order_id,
                    path=f"{INCOMING}/{source.name}",
                    origin=Origin.WEB.value,
                    is_private=False,
                    source=f"forwarded by {turn.person.identity}",
                    at=iso(turn.desks.clock.now()),
                )
            )
