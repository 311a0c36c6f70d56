"""What scorers look at: the rows and files that an order left, read from its company's home."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.document import OrderDocument
from swarm.evals.told import messages_of
from swarm.store.database import Store
from swarm.store.tables import (
    approvals,
    asks,
    effects,
    founder_actions,
    handovers,
    ledger,
    orders,
    outbox,
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OrderEvidence:
    """One order, as it stood when the run ended."""

    document: OrderDocument
    workspace: Path
    calls: tuple[Row, ...]
    """Lines of the ledger, oldest first, without prompts."""
    effects: tuple[Row, ...]
    """Tool calls with the decisions about them; the recalls of memory are left out."""
    asks: tuple[Row, ...]
    approvals: tuple[Row, ...]
    messages: tuple[Row, ...]
    actions: tuple[Row, ...]
    """What people did."""
    recalled: tuple[str, ...] = ()
    """What memory brought into its prompts, unasked."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All orders of one run of a scenario."""

    orders: tuple[OrderEvidence, ...]
    drift: tuple[str, ...] = ()
    """What did not come out as it was recorded or written down."""
    provenance: tuple[str, ...] = ()
    """`authored`, `embedded` or `recorded`, for each order."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the run itself counted, such as `crashes`."""


def gather(store: Store, document: OrderDocument, home: Path) -> OrderEvidence:
    """Read what an order left."""
    return store.read(lambda c: _gather(c, document, home))


def _gather(connection: Connection, document: OrderDocument, home: Path) -> OrderEvidence:
    def rows(table: sa.Table, *by: Any, hidden: tuple[str, ...] = ()) -> tuple[Row, ...]:
        columns = [column for column in table.c if column.name not in hidden]
        query = sa.select(*columns).where(table.c.order_id == document.id).order_by(*by)
        return tuple(dict(row) for row in connection.execute(query).mappings())

    made = rows(effects, effects.c.node, effects.c.seq, effects.c.position)
    return OrderEvidence(
        document=document,
        workspace=home / "workspace" / document.id,
        calls=rows(ledger, ledger.c.id, hidden=("prompt",)),
        effects=tuple(_opened(row) for row in made if row["seq"] >= 0),
        asks=rows(asks, asks.c.created_at, asks.c.id),
        approvals=rows(approvals, approvals.c.created_at, approvals.c.id),
        messages=rows(outbox, outbox.c.id) or tuple(_to_a_customer(connection, document.id)),
        actions=rows(founder_actions, founder_actions.c.at, founder_actions.c.id),
        recalled=(*_framed_with(connection, document.id), *_recalled(made)),
    )


def _to_a_customer(connection: Connection, order_id: str) -> Iterator[Row]:
    """Give the answer to a customer and the cards that it led to: both name no order."""
    handed = connection.execute(sa.select(handovers).where(handovers.c.order_id == order_id))
    for row in messages_of(connection, order_id, handed.first()):
        yield {column.name: getattr(row, column.name) for column in outbox.c}


def _framed_with(connection: Connection, order_id: str) -> tuple[str, ...]:
    state = connection.execute(sa.select(orders.c.state).where(orders.c.id == order_id)).scalar()
    return tuple(json.loads(str(state)).get("memories") or ())


def _recalled(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        if row["seq"] < 0:
            yield from json.loads(row["result"]).get("lines") or ()


def _opened(row: Row) -> Row:
    return {**row, "result": json.loads(row["result"])}
