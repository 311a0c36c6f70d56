"""A human's minutes over customers: when they were shown one, and when they acted."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso, parse_iso
from swarm.ledger.attention import ActionKind
from swarm.ledger.attention.actions import Action, note
from swarm.store.tables import handovers


def shown(connection: Connection, handover_id: str, *, at: datetime, channel: str) -> None:
    """Write down that a customer who waits reached a human; the first time counts.

    An id that names no hand-over is left alone: questions of orders have a clock of their own.
    """
    fresh = connection.execute(
        handovers.update()
        .where(handovers.c.id == handover_id, handovers.c.shown_at.is_(None))
        .values(shown_at=iso(at))
    )
    if fresh.rowcount:
        row = connection.execute(sa.select(handovers).where(handovers.c.id == handover_id)).one()
        action = Action(
            ActionKind.SHOWN, at, order_id=row.order_id, channel=channel, asks=(handover_id,)
        )
        note(connection, action)


def answered(connection: Connection, row: Any, *, at: datetime, who: str) -> None:
    """Write down that a human wrote to a customer; what they were shown began their minutes."""
    # From the second answer on, what they did last for this customer did.
    since = row.touched_at if row.answered_at is not None else row.shown_at or row.asked_at
    _note(connection, ActionKind.ANSWERED, row, at=at, who=who, since=parse_iso(since))
    first = handovers.c.id == row.id, handovers.c.answered_at.is_(None)
    connection.execute(handovers.update().where(*first).values(answered_at=iso(at)))


def looked(connection: Connection, row: Any, *, at: datetime, who: str) -> None:
    """Write down that a human took a customer over, gave them back, or read what they wrote."""
    _note(connection, ActionKind.LOOKED, row, at=at, who=who)


def _note(
    connection: Connection,
    kind: ActionKind,
    row: Any,
    *,
    at: datetime,
    who: str,
    since: datetime | None = None,
) -> None:
    channel = who.partition(":")[0]
    action = Action(
        kind, at, order_id=row.order_id, who=who, channel=channel, since=since, asks=(row.id,)
    )
    note(connection, action)
