"""Messages to people: written with what they tell of, sent once, or shown as unknown."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.message import OutboundKind, OutboundMessage
from swarm.core.order import OrderState, OrderStatus, Reason
from swarm.runtime import shared_bell
from swarm.runtime.records import Claimed
from swarm.store.prepared import Prepared
from swarm.store.tables import asks, outbox

TERMINAL = "terminal"
"""The channel of orders from the command line: their answer is read with `swarm show`."""
LONG = 3_000
"""A request for a signature of more characters is sent as a file, whole: no platform shows more
in one message, and nobody signs what was cut."""
_HEAD = 1_000
# Written once: building a statement costs more than running it.
_KNOWN = Prepared(sa.select(outbox.c.id).where(outbox.c.dedupe_key == sa.bindparam("of_key")))
_INSERT = Prepared(outbox.insert())
_IS_OPEN = sa.and_(asks.c.order_id == sa.bindparam("of_order"), asks.c.state == "open")
_OPEN = Prepared(sa.select(asks).where(_IS_OPEN))
_SIGNATURES = Prepared(
    sa.select(asks.c.id, asks.c.text).where(_IS_OPEN, asks.c.kind == "signature")
)


def announce(
    connection: Connection,
    order: Claimed,
    status: OrderStatus,
    reason: Reason | None,
    state: OrderState,
    *,
    now: str,
    files: tuple[str, ...] = (),
) -> None:
    """Write the message that tells how a segment ended, in the same transaction as the end.

    `files` are the absolute paths of what `write_requests` wrote.
    """
    if order.channel == TERMINAL:
        return
    kind = OutboundKind.DECISION if status is OrderStatus.WAITING else OutboundKind.ANSWER
    put(
        connection,
        dedupe_key=f"{order.id}/{order.segment}/{status.value}",
        message=OutboundMessage(
            channel=order.channel,
            chat_id=order.chat_id,
            thread_id=order.thread_id,
            kind=kind,
            text=_text(connection, order.id, status, reason, state),
            order_id=order.id,
            files=files,
            card=status.value,
        ),
        now=now,
    )


def long_requests(connection: Connection, order_id: str) -> dict[str, str]:
    """Return the open requests for signatures that are too long for a message, by their ids."""
    rows = _SIGNATURES.all(connection, {"of_order": order_id})
    return {row.id: row.text for row in rows if len(row.text) > LONG}


def write_requests(folder: Path, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Write each request into a file of its own and return their absolute paths."""
    paths = []
    for ask_id, text in sorted(texts.items()):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{ask_id}.txt"
        path.write_text(text + "\n", encoding="utf-8")
        paths.append(str(path.absolute()))
    return tuple(paths)


def put(
    connection: Connection,
    *,
    dedupe_key: str,
    message: OutboundMessage,
    now: str,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Queue a message; the same key twice is one message.

    Args:
        connection: The transaction that it tells of.
        dedupe_key: Names the message for good.
        message: What to send.
        now: From when on it may go, as an ISO time.
        extra: Further columns of its row.
    """
    if _KNOWN.first(connection, {"of_key": dedupe_key}) is None:
        columns = {
            "order_id": message.order_id,
            "channel": message.channel,
            "chat_id": message.chat_id,
            "thread_id": message.thread_id,
            "kind": message.kind.value,
            "body": message.text,
            "files": json.dumps(list(message.files)),
            "card": message.card,
            "buttons": written_buttons(message),
            "markup": message.markup,
            "slot": message.slot,
            "reply_to": message.reply_to,
            "is_silent": message.is_silent,
            "ask_id": message.ask_id,
            "state": "pending",
            "tries": 0,
            "not_before": now,
            "created_at": now,
        }
        values = {"dedupe_key": dedupe_key} | columns | dict(extra or {})
        _INSERT.run(connection, values)
        shared_bell.ring(connection, shared_bell.WORDS)


def written_buttons(message: OutboundMessage) -> str:
    """Write the buttons of a message as JSON."""
    return json.dumps([[asdict(button) for button in row] for row in message.buttons])


def coalesce(connection: Connection, *, message: OutboundMessage, now: str) -> None:
    """Queue what a slot shows now; what waits there unsent is replaced, not followed."""
    waiting = connection.execute(
        outbox.update()
        .where(
            outbox.c.channel == message.channel,
            outbox.c.chat_id == message.chat_id,
            outbox.c.slot == message.slot,
            outbox.c.state == "pending",
        )
        .values(body=message.text, markup=None, place=None, buttons=written_buttons(message))
    )
    if waiting.rowcount == 0:
        put(connection, dedupe_key=f"{message.slot}@{now}", message=message, now=now)


def _text(
    connection: Connection,
    order_id: str,
    status: OrderStatus,
    reason: Reason | None,
    state: OrderState,
) -> str:
    if status is OrderStatus.WAITING:
        rows = _OPEN.all(connection, {"of_order": order_id})
        return "\n\n".join(_ask_text(row) for row in rows)
    if status is OrderStatus.DELIVERED:
        files = [path for task in state.tasks.values() for path in task.files]
        return "\n".join([state.answer or "", *(f"- {path}" for path in files)])
    return f"The order is {status.value}. {reason.text if reason else ''}".strip()


def _ask_text(row: Any) -> str:
    options = [f"{n}. {text}" for n, text in enumerate(json.loads(row.options), start=1)]
    ways = {
        "approval": f"Sign with `swarm approve {row.order_id}`, or `swarm reject {row.order_id} REASON`.",
        "signature": f"Sign with `swarm approve {row.id}`, or `swarm reject {row.id} REASON`.",
        "choice": f"Choose with `swarm choose {row.id} NUMBER`.",
    }
    way = ways.get(row.kind, f"Answer with `swarm answer {row.id} TEXT`.")
    text = row.text
    if row.kind == "signature" and len(text) > LONG:
        text = f"{text[:_HEAD]}\n[{len(text):,} characters: read all of it in {row.id}.txt]"
    return "\n".join([f"{row.asked_by} asks ({row.id}): {text}", *options, way])
