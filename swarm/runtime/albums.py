"""Albums: several messages of a platform that a person sent as one."""

import json
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from swarm.core.clock import iso
from swarm.core.message import InboundKind
from swarm.runtime.turn import Turn
from swarm.store.tables import inbox

APART = timedelta(hours=1)
"""Pieces of one album come within seconds; after a failure of the network, within this."""
LOOK = 40
"""Messages with files that are looked at for the rest of an album."""


@dataclass(frozen=True, slots=True)
class Album:
    """What came of the pieces before this one."""

    count: int
    order_id: str | None
    is_addressed: bool


def before(turn: Turn) -> Album | None:
    """Return what came of an album so far; None for its first piece, and for what is of none."""
    message = turn.message
    if message.album is None:
        return None
    rows = turn.connection.execute(
        sa.select(inbox.c.body, inbox.c.order_id)
        .where(
            inbox.c.channel == message.channel,
            inbox.c.chat_id == message.chat_id,
            inbox.c.sender_id == message.sender_id,
            inbox.c.kind == InboundKind.FILE.value,
            inbox.c.id < turn.row_id,
            inbox.c.received_at >= iso(message.received_at - APART),
            inbox.c.handled_at.is_not(None),
        )
        .order_by(inbox.c.id.desc())
        .limit(LOOK)
    ).all()
    pieces = [(json.loads(row.body), row.order_id) for row in rows]
    same = [(body, order) for body, order in pieces if body.get("album") == message.album]
    if not same:
        return None
    order_id = next((order for _, order in same if order is not None), None)
    is_addressed = any(body["is_addressed"] for body, _ in same)
    return Album(sum(len(body["files"]) for body, _ in same), order_id, is_addressed)
