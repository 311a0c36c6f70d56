"""What waits for a person, in the database: the rows behind questions, choices and signatures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.origin import Origin
from swarm.core.registry import nearest
from swarm.ledger import approvals
from swarm.runtime import records
from swarm.store.tables import asks, orders


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that waits for a person."""

    id: str
    order_id: str
    task_id: str | None
    kind: str
    asked_by: str
    text: str
    options: tuple[str, ...]
    created_at: str
    digest: str | None = None
    """What a signature would bind, in hexadecimal; None for what needs none."""
    expires_at: str | None = None
    """Until when it may be signed."""


def from_row(row: Any) -> Ask:
    """Return an ask from its row, which its request for a signature was joined to."""
    return Ask(
        id=row.id,
        order_id=row.order_id,
        task_id=row.task_id,
        kind=row.kind,
        asked_by=row.asked_by,
        text=row.text,
        options=tuple(json.loads(row.options)),
        created_at=row.created_at,
        digest=row.digest,
        expires_at=row.expires_at,
    )


def is_seen(ask: Any) -> bool:
    """Return whether a person was shown what they would sign."""
    return ask.kind != "signature" or ask.shown_at is not None


def open_of(connection: Connection, target: str, *, kinds: Sequence[str]) -> list[Any]:
    """Return the open rows that a target names: one of its own id, or all of an order.

    Raises:
        NotFound, Conflict, InvalidInput: There is none of these kinds.
    """
    rows = connection.execute(
        sa.select(asks)
        .where(sa.or_(asks.c.id == target, asks.c.order_id == target))
        .order_by(asks.c.created_at, asks.c.id)
    ).all()
    found = [row for row in rows if row.state == "open" and row.kind in kinds]
    if found:
        return found
    named = next((row for row in rows if row.id == target), None)
    if named is not None and named.state != "open":
        raise Conflict(f"{target} was already {named.state}; nothing was changed.")
    if named is None:
        row = records.find(connection, order_of(connection, target))
        raise Conflict(f"{row.id} is {row.status} and has no open {' or '.join(kinds)}.")
    raise InvalidInput(f"{target} is a {named.kind}, not a {' or '.join(kinds)}.")


def order_of(connection: Connection, target: str) -> str:
    """Return the order that a target, an order's or an ask's id, belongs to.

    Raises:
        NotFound: Neither is known by that id.
    """
    found = connection.execute(sa.select(asks.c.order_id).where(asks.c.id == target)).scalar()
    if found is not None:
        return str(found)
    if connection.execute(sa.select(orders.c.id).where(orders.c.id == target)).first() is None:
        known = [*connection.execute(sa.select(orders.c.id)).scalars()]
        known += connection.execute(sa.select(asks.c.id)).scalars()
        raise NotFound(f"There is no order or question {target!r}{nearest(target, known)}")
    return target


def close(connection: Connection, found: Sequence[Any], text: str, *, by: str, at: str) -> None:
    """Write a person's word under rows that are all still open.

    Raises:
        Conflict: Somebody else was faster.
    """
    result = connection.execute(
        asks.update()
        .where(asks.c.id.in_([ask.id for ask in found]), asks.c.state == "open")
        .values(state="answered", answer=text, answered_by=by, answered_at=at)
    )
    if result.rowcount != len(found):
        raise Conflict("Somebody else answered at the same moment; nothing was changed.")


def void(connection: Connection, order_id: str) -> None:
    """Close what an order asked; nobody needs to answer it any more."""
    approvals.void_order(connection, order_id)
    connection.execute(
        asks.update()
        .where(asks.c.order_id == order_id, asks.c.state == "open")
        .values(state="void")
    )


def wording_of(connection: Connection, ask: Any) -> Origin:
    """Return whose wording the options of a choice are: a role's, and who shaped its words.

    The founder's pick does not make them the founder's own.
    """
    mark = records.read_state(records.find(connection, ask.order_id).state).mark
    known = records.task_states(connection, ask.order_id)
    if ask.task_id in known:
        mark = mark.joined(known[ask.task_id].mark)
    return mark.origin
