"""What people said of an order while it was worked on, as its later tasks read it."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.store.prepared import Prepared
from swarm.store.tables import ledger, order_notes

HEAD = (
    "Said by the founder, or somebody of the team, while the work went on; where it differs from the "
    "brief, it counts:"
)
MAX_SIGNS = 4_000
"""Most of it that enters one prompt; the newest is kept."""


def noted(connection: Connection, order_id: str, node: str) -> tuple[str, ...]:
    """Return the notes on an order that nothing took up yet, as one text, for the prompt of a node.

    Where the node has asked a model already, only what was said before that: asked again after a
    crash, it reads what it read.
    """
    found = _NOTES.all(connection, {"of_order": order_id})
    if not found:
        return ()
    first = connection.execute(
        sa.select(sa.func.min(ledger.c.started_at)).where(
            ledger.c.order_id == order_id, ledger.c.node == node
        )
    ).scalar()
    return _written([row.text for row in found if first is None or row.at < first])


_NOTES = Prepared(
    sa.select(order_notes.c.text, order_notes.c.at)
    .where(order_notes.c.order_id == sa.bindparam("of_order"), order_notes.c.taken_at.is_(None))
    .order_by(order_notes.c.id)
)


def _written(texts: Sequence[str]) -> tuple[str, ...]:
    """Return notes as one element of a prompt, each on a line of its own."""
    kept: list[str] = []
    left = MAX_SIGNS
    for text in reversed(texts):
        line = " ".join(text.split())[:left]
        left -= len(line)
        if line:
            kept.insert(0, f"- {line}")
    return ("\n".join([HEAD, *kept]),) if kept else ()


def is_note(line: str) -> bool:
    """Return whether an element of what was recalled is such a text."""
    return line.startswith(HEAD)
