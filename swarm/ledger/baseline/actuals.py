"""What people really took, as the founder tells it; rows are only ever added.

A row says how many hours a real team or freelancer took: for one of the company's orders, for one
task of it, or for work from before. Of rows about the same order, task and source the newest counts.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.core.errors import InvalidInput, NotFound
from swarm.core.money import from_pico, plain, to_pico
from swarm.core.order import OrderState, OrderStatus, PlannedTask
from swarm.core.registry import nearest
from swarm.ledger.baseline.classes import ANY, find_class
from swarm.ledger.baseline.fit import Case
from swarm.store.tables import actuals, orders

LEARNT_FROM = 1000
"""The newest own cases that count: a company changes."""


@dataclass(frozen=True, slots=True)
class Actual:
    """What a piece of work took when people did it."""

    hours: Decimal
    """Person-hours, positive."""
    work: str = ANY
    """The measured kind of work."""
    estimate_hours: Decimal | None = None
    """Estimated before the work, by whoever planned it."""
    order_id: str | None = None
    task_id: str | None = None
    elapsed_hours: Decimal | None = None
    cost: Decimal | None = None
    currency: str | None = None
    source: str = ""
    """Who did it, such as a team's or a freelancer's name."""
    finished_at: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an import."""

    added: int
    known: int
    """Rows that were there already."""


def complete(connection: Connection, actual: Actual) -> Actual:
    """Fill in from the order what a row leaves open: the estimate of its plan, and its kind.

    Raises:
        NotFound: No such order, or no such task in it.
        InvalidInput: The order has no plan, so nothing was estimated.
    """
    if actual.order_id is None:
        return actual
    state = _state(connection, actual.order_id)
    if state.plan is None:
        raise InvalidInput(f"Order {actual.order_id} has no plan: nothing was estimated.")
    tasks = _tasks(state, actual)
    kinds = {_kind(task, state) for task in tasks}
    planned = sum((task.human_hours for task in tasks), Decimal(0))
    return replace(
        actual,
        work=kinds.pop() if actual.work == ANY and len(kinds) == 1 else actual.work,
        estimate_hours=actual.estimate_hours or planned,
    )


def _state(connection: Connection, order_id: str) -> OrderState:
    text = connection.execute(sa.select(orders.c.state).where(orders.c.id == order_id)).scalar()
    if text is None:
        known = connection.execute(
            sa.select(orders.c.id).order_by(orders.c.created_at.desc()).limit(200)
        ).scalars()
        raise NotFound(f"There is no order {order_id[:60]!r}{nearest(order_id, list(known))}")
    return OrderState.model_validate_json(text)


def _tasks(state: OrderState, actual: Actual) -> tuple[PlannedTask, ...]:
    assert state.plan is not None
    if actual.task_id is None:
        return state.plan.tasks
    found = tuple(task for task in state.plan.tasks if task.id == actual.task_id)
    if not found:
        names = [task.id for task in state.plan.tasks]
        raise NotFound(
            f"Order {actual.order_id} has no task {actual.task_id[:60]!r}"
            f"{nearest(actual.task_id, names)}"
        )
    return found


def _kind(task: PlannedTask, state: OrderState) -> str:
    for word in (task.kind, state.frame.kind if state.frame else ""):
        try:
            if word:
                return find_class(word).measured
        except InvalidInput:
            continue
    return ANY


def store(connection: Connection, rows: Iterable[Actual], *, by: str, at: datetime) -> Stored:
    """Add rows that are not there yet, word for word; equal rows of one import are all kept."""
    seen: Counter[str] = Counter()
    added = known = 0
    for row in rows:
        body = json.dumps(asdict(row), default=str, sort_keys=True)
        seen[body] += 1
        digest = hashlib.sha256(f"{seen[body]}:{body}".encode()).hexdigest()
        if connection.execute(_KNOWN, {"of_digest": digest}).first() is not None:
            known += 1
            continue
        connection.execute(
            actuals.insert().values(
                **_columns(row), digest=digest, imported_by=by, imported_at=iso(at)
            )
        )
        added += 1
    return Stored(added, known)


def _columns(row: Actual) -> dict[str, Any]:
    return {
        "order_id": row.order_id,
        "task_id": row.task_id,
        "work": row.work,
        "estimate_hours": _text(row.estimate_hours),
        "actual_hours": plain(row.hours),
        "elapsed_hours": _text(row.elapsed_hours),
        "cost_pico": None if row.cost is None else to_pico(row.cost),
        "currency": row.currency,
        "source": row.source,
        "finished_at": row.finished_at,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def of_order(connection: Connection, order_id: str) -> list[Actual]:
    """Return what people took for an order, newest row of each task and source."""
    rows = connection.execute(_OF_ORDER, {"of_order": order_id})
    return _newest([_actual(row) for row in rows])


def own_cases(connection: Connection) -> list[Case]:
    """Return the company's own finished cases: of accepted orders, and of work from before."""
    rows = connection.execute(_LEARNT, {"accepted": OrderStatus.ACCEPTED.value}).all()
    found = _newest([_actual(row) for row in reversed(rows)])
    return [
        Case(row.work, actual=float(row.hours), estimate=float(row.estimate_hours))
        for row in found
        if row.estimate_hours is not None
    ]


def _newest(rows: Sequence[Actual]) -> list[Actual]:
    """Keep the last row of each order, task and source; work from before has no such name."""
    found: dict[Any, Actual] = {}
    for index, row in enumerate(rows):
        named = row.order_id is not None
        found[(row.order_id, row.task_id, row.source) if named else index] = row
    return list(found.values())


def _actual(row: Any) -> Actual:
    return Actual(
        hours=Decimal(row.actual_hours),
        work=row.work,
        estimate_hours=None if row.estimate_hours is None else Decimal(row.estimate_hours),
        order_id=row.order_id,
        task_id=row.task_id,
        elapsed_hours=None if row.elapsed_hours is None else Decimal(row.elapsed_hours),
        cost=None if row.cost_pico is None else from_pico(row.cost_pico),
        currency=row.currency,
        source=row.source,
        finished_at=row.finished_at,
    )


_KNOWN = sa.select(actuals.c.id).where(actuals.c.digest == sa.bindparam("of_digest"))
_OF_ORDER = (
    sa.select(actuals).where(actuals.c.order_id == sa.bindparam("of_order")).order_by(actuals.c.id)
)
_LEARNT = (
    sa.select(actuals)
    .select_from(actuals.outerjoin(orders, actuals.c.order_id == orders.c.id))
    .where(sa.or_(actuals.c.order_id.is_(None), orders.c.status == sa.bindparam("accepted")))
    .order_by(actuals.c.id.desc())
    .limit(LEARNT_FROM)
)
