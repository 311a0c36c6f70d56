"""An answer that the platform holds back, because the customer wrote too long ago: its writer is told."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.bound import is_for_customers
from swarm.core.errors import Transient
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.runtime.customers_cards import name_of
from swarm.runtime.outbox import put
from swarm.runtime.phrases import say
from swarm.store.tables import handovers, people

HANDOVER = "handover/"
"""How the keys of a human's messages to a customer begin; the hand-over's id follows."""
CLOSED_WINDOW, CALLED_BACK = "window", "called"
"""Kinds of a `Transient` that says so: nothing calls the customer, or a template did."""


def tell_writer(connection: Connection, row: Any, error: Transient, *, now: str) -> None:
    """Tell a human once that their words wait; what is no human's answer is left alone.

    Args:
        connection: The transaction that puts the message back.
        row: The message's row in the outbox.
        error: Why it was not sent.
        now: The time, as `iso` writes it.
    """
    is_held = error.kind in (CLOSED_WINDOW, CALLED_BACK)
    if not (is_held and is_for_customers(row.channel) and row.dedupe_key.startswith(HANDOVER)):
        return
    handover_id = row.dedupe_key.removeprefix(HANDOVER).partition("/")[0]
    found = connection.execute(sa.select(handovers).where(handovers.c.id == handover_id)).first()
    writer = None if found is None else _writer(connection, found)
    if found is None or writer is None:
        return  # At a terminal nobody is told later: `swarm customers show` says what waits.
    key = "handover_called" if error.kind == CALLED_BACK else "handover_late"
    put(
        connection,
        dedupe_key=f"{row.dedupe_key}/late",
        message=OutboundMessage(
            channel=writer.channel,
            chat_id=writer.chat_id,
            thread_id=None,
            kind=OutboundKind.ANSWER,
            text=say(key, writer.language, name=name_of(found)),
            ask_id=found.id,
        ),
        now=now,
    )


def _writer(connection: Connection, handover: Any) -> Any:
    """Return who answered last, where a chat reaches them."""
    channel, _, platform_id = (handover.taken_by or handover.closed_by or "").partition(":")
    query = sa.select(people).where(
        people.c.channel == channel,
        people.c.platform_id == platform_id,
        people.c.chat_id.is_not(None),
        people.c.revoked_at.is_(None),
    )
    return connection.execute(query).first()
