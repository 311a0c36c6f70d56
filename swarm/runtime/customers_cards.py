"""Who waits for a human, and what that human is shown: a customer's words, quoted."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.text import clean_text, shorten
from swarm.runtime.phrases import say
from swarm.store.tables import handovers

OPEN, TAKEN, CLOSED = "open", "taken", "closed"
LISTED = 10
"""Hand-overs that one look at the inbox shows."""
_QUOTE_SIGNS = 1_500
"""Most characters of a customer's words on one card."""


def current(connection: Connection, channel: str, person_id: str) -> Any:
    """Return the hand-over of a customer that is not closed; None where there is none."""
    return connection.execute(
        sa.select(handovers).where(
            handovers.c.channel == channel,
            handovers.c.person_id == person_id,
            handovers.c.state != CLOSED,
        )
    ).first()


def waiting(connection: Connection, *, limit: int | None = LISTED) -> Sequence[Any]:
    """Return the hand-overs that nobody has closed, oldest first."""
    query = sa.select(handovers).where(handovers.c.state != CLOSED)
    ordered = query.order_by(handovers.c.asked_at, handovers.c.id)
    return connection.execute(ordered.limit(limit)).all()


def count_asked(connection: Connection, *, since: str) -> int:
    """Return how many customers asked for a human since a moment, as an ISO time."""
    query = sa.select(sa.func.count()).select_from(handovers).where(handovers.c.asked_at > since)
    return int(connection.execute(query).scalar() or 0)


def count_waiting(connection: Connection) -> int:
    """Return how many customers wait for a human, or have one."""
    query = sa.select(sa.func.count()).select_from(handovers).where(handovers.c.state != CLOSED)
    return int(connection.execute(query).scalar() or 0)


def card_text(row: Any, language: str | None) -> str:
    """Write what a human is shown of a customer who waits."""
    facts = {"handover": row.id, "name": name_of(row), "channel": row.channel}
    lines = [say("handover", language, reason=unmarked(row.reason), **facts), quote(row.words)]
    if row.taken_by is not None:
        lines.append(say("handover_by", language, who=unmarked(row.taken_by)))
    if row.inner_order_id is not None:
        lines.append(say("handover_order", language, order=row.inner_order_id))
    return "\n".join([*lines, say("handover_how", language)])


def name_of(row: Any) -> str:
    """Return how a customer is called on cards."""
    return unmarked(row.name) or row.person_id


def unmarked(text: str) -> str:
    """Take out of a stranger's words what would format a card, and shorten them."""
    return shorten(clean_text(text).replace("`", "'").replace("**", "").replace("](", "] ("), 300)


def quote(words: str) -> str:
    """Fence a customer's words: nothing in them can end the fence."""
    shown = words if len(words) <= _QUOTE_SIGNS else f"… {words[-_QUOTE_SIGNS:]}"
    return f"```\n{clean_text(shown).replace('`', chr(39))}\n```"
