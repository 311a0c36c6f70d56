"""How a person's word moves an order: to its next segment, back to its head, out of a halt.

Each move is a compare-and-set on the status and the segment, so that of two people, or of a person
and a worker, one moves the order and the other is told.
"""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.errors import Conflict
from swarm.core.order import OrderState, OrderStatus, TaskState, TaskStatus
from swarm.runtime import asking, records
from swarm.runtime.engine import SEGMENT, Engine
from swarm.runtime.records import lane_of, segment_id
from swarm.store.tables import asks, orders


class Moves:
    """Move orders in a person's name, each within the transaction of their act."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def go_on(
        self, connection: Connection, order_id: str, *, update: dict[str, Any] | None = None
    ) -> str:
        """Enqueue the next segment once nothing of the order is open any more."""
        # Two people who answer the last two questions at once must not both see the other one open.
        row = records.find(connection, order_id, is_held=True)
        is_open = connection.execute(
            sa.select(asks.c.id).where(asks.c.order_id == order_id, asks.c.state == "open").limit(1)
        ).first()
        if is_open is None and row.status == OrderStatus.WAITING.value:
            state = _with_answers(connection, row)
            self.restart(connection, row, state.model_copy(update=update or {}))
        return order_id

    def revise(self, connection: Connection, row: Any, reason: str) -> str:
        """Send an order back to its head with what should be different."""
        state = records.read_state(row.state)
        asking.void(connection, row.id)
        self.restart(
            connection,
            row,
            state.model_copy(
                update={
                    "plan": None,
                    "baseline": None,
                    "forecast": None,
                    "is_signed": False,
                    "tasks": {},
                    "answer": None,
                    "revision": state.revision + 1,
                    "corrections": (*state.corrections, reason),
                }
            ),
        )
        return str(row.id)

    def restart(self, connection: Connection, row: Any, state: OrderState) -> None:
        """Move an order to its next segment and enqueue it."""
        segment = row.segment + 1
        move(
            connection,
            row,
            status=OrderStatus.QUEUED.value,
            segment=segment,
            state=state.model_dump_json(),
            reason=None,
            owner=None,
        )
        self._engine.enqueue(
            connection,
            SEGMENT,
            segment_id(row.id, segment),
            row.id,
            segment,
            lane=lane_of(row.channel, row.sender_id, row.customer),
            is_urgent=True,
        )

    def unpark(self, connection: Connection, only: str | None) -> list[str]:
        """Let orders parked at a budget go on: all, or the one named."""
        query = sa.select(orders).where(orders.c.status == OrderStatus.PARKED.value)
        rows = connection.execute(query).all()
        moved = []
        for row in rows:
            is_meant = only is None or row.id == only
            if is_meant and json.loads(row.reason or "{}").get("kind") == "limit":
                self.restart(connection, row, another_round(records.read_state(row.state)))
                moved.append(row.id)
        return moved


def move(connection: Connection, row: Any, **values: Any) -> None:
    """Change an order that is still as it was read.

    Raises:
        Conflict: It moved on meanwhile.
    """
    result = connection.execute(
        orders.update()
        .where(
            orders.c.id == row.id,
            orders.c.status == row.status,
            orders.c.segment == row.segment,
        )
        .values(**values)
    )
    if result.rowcount != 1:
        raise Conflict(f"{row.id} moved on at the same moment; look again with `swarm show`.")


def _with_answers(connection: Connection, row: Any) -> OrderState:
    state = records.read_state(row.state)
    rows = connection.execute(
        sa.select(asks.c.id, asks.c.answer).where(
            asks.c.order_id == row.id, asks.c.state == "answered"
        )
    )
    said = {ask.id: ask.answer for ask in rows}
    questions = tuple(
        q.model_copy(update={"answer": said.get(q.id, q.answer)}) for q in state.questions
    )
    return state.model_copy(update={"questions": questions})


def another_round(state: OrderState) -> OrderState:
    """Plan failed and skipped tasks again, with new ledger keys for the failed ones."""
    tasks: dict[str, TaskState] = {}
    for task_id, task in state.tasks.items():
        if task.status in (TaskStatus.FAILED, TaskStatus.SKIPPED):
            task = TaskState(round=task.round + (task.status is TaskStatus.FAILED))
        elif task.reason is not None:
            task = task.model_copy(update={"reason": None})
        tasks[task_id] = task
    return state.model_copy(update={"tasks": tasks})
