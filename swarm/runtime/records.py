"""Orders and tasks as rows: read them, claim them, move them by compare-and-set."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.engine import Connection

from swarm.core.errors import Cancelled, ConfigError, NotFound
from swarm.core.order import OrderState, OrderStatus, TaskState, TaskStatus
from swarm.core.registry import nearest
from swarm.store.prepared import Prepared
from swarm.store.tables import asks, orders, tasks

CUSTOMER_LANES = 8
"""Each lane with work costs a worker a query at every look."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An order in the hands of one run; `token` proves it."""

    id: str
    segment: int
    token: str
    channel: str
    chat_id: str
    thread_id: str | None
    sender_id: str
    is_auto_signed: bool
    customer: str | None
    state: OrderState


def segment_id(order_id: str, segment: int) -> str:
    """Name the workflow of a segment."""
    return f"{order_id}:{segment}"


def task_workflow_id(order_id: str, segment: int, task_id: str) -> str:
    """Name the workflow of a task within a segment."""
    return f"{order_id}:{segment}:{task_id}"


def lane_of(channel: str, sender_id: str, customer: str | None) -> str:
    """Name the lane of a person's orders; all customers share a few, however many they are."""
    if customer is None:
        return f"{channel}:{sender_id}"
    number = int.from_bytes(hashlib.sha256(customer.encode()).digest()[:4]) % CUSTOMER_LANES
    return f"customers:{number}"


def order_of_workflow(workflow_id: str) -> tuple[str, int]:
    """Return the order and the segment that a workflow works, by its name; -1 for no segment."""
    order_id, _, rest = workflow_id.partition(":")
    number = rest.partition(":")[0]
    return order_id, int(number) if number.isdecimal() else -1


def read_state(text: str) -> OrderState:
    """Read a stored state.

    Raises:
        ConfigError: A newer version wrote it.
    """
    try:
        return OrderState.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            "An order was written by another version of Swarm and cannot be read by this one: "
            "use that version, or upgrade."
        ) from error


def find(connection: Connection, order_id: str, *, is_held: bool = False) -> Any:
    """Return the row of an order.

    With `is_held` nobody else changes it before the transaction ends.

    Raises:
        NotFound: No such order; the nearest id is named.
    """
    query = _HELD_ORDER if is_held else _ORDER
    row = query.first(connection, {"of_order": order_id})
    if row is None:
        recent = connection.execute(
            sa.select(orders.c.id).order_by(orders.c.created_at.desc()).limit(200)
        ).scalars()
        raise NotFound(f"There is no order {order_id!r}{nearest(order_id, list(recent))}")
    return row


def status_of(connection: Connection, order_id: str) -> OrderStatus:
    """Return where an order stands; raises NotFound."""
    found = _STANDING.first(connection, {"of_order": order_id})
    return OrderStatus((found or find(connection, order_id)).status)


def claim(connection: Connection, order_id: str, segment: int, token: str) -> Claimed | None:
    """Take a segment into the hands of one run, or return None where there is nothing to do.

    A run that claims takes over from any earlier one, which then changes nothing more.
    """
    held = {"of_order": order_id, "in_segment": segment, "owner": token}
    if _CLAIM.run(connection, held) != 1:
        return None
    row = find(connection, order_id)
    return Claimed(
        id=row.id,
        segment=segment,
        token=token,
        channel=row.channel,
        chat_id=row.chat_id,
        thread_id=row.thread_id,
        sender_id=row.sender_id,
        is_auto_signed=row.is_auto_signed,
        customer=row.customer,
        state=read_state(row.state),
    )


def advance(connection: Connection, order: Claimed, **values: Any) -> None:
    """Change the order's row, if this run still holds it.

    Raises:
        Cancelled: The order stopped, or another run holds it.
    """
    held = {"of_order": order.id, "in_segment": order.segment, "held_by": order.token}
    if _advance(tuple(values)).run(connection, held | values) != 1:
        raise Cancelled("the order is no longer in the hands of this run")


def claim_task(
    connection: Connection, order_id: str, segment: int, task_id: str, token: str
) -> bool:
    """Take a task into the hands of one run; False where the segment has moved on."""
    order = _STANDING.one(connection, {"of_order": order_id})
    if order.segment != segment or order.status != OrderStatus.WORKING.value:
        return False
    values = {"segment": segment, "owner": token, "state": _AT_WORK}
    key = {"of_order": order_id, "of_task": task_id}
    if _CLAIM_TASK.run(connection, key | values) == 0:
        row = {"order_id": order_id, "task_id": task_id, **values}
        _NEW_TASK.run(connection, row)
    return True


def save_task(
    connection: Connection, order_id: str, task_id: str, token: str, state: TaskState
) -> None:
    """Store what a task came to, if this run still holds it.

    Raises:
        Cancelled: Another run holds it, or the order stopped.
    """
    order = _STANDING.one(connection, {"of_order": order_id})
    held = {"of_order": order_id, "of_task": task_id, "held_by": token}
    saved = _SAVE_TASK.run(connection, held | {"state": state.model_dump_json()})
    if saved != 1 or order.status != OrderStatus.WORKING.value:
        raise Cancelled("the task is no longer in the hands of this run")


def task_states(connection: Connection, order_id: str) -> dict[str, TaskState]:
    """Return what the tasks of an order came to so far."""
    rows = _TASK_STATES.all(connection, {"of_order": order_id})
    return {row.task_id: TaskState.model_validate_json(row.state) for row in rows}


def answers(connection: Connection, order_id: str) -> dict[tuple[str, int], str]:
    """Return the answered asks of an order, by where they were asked."""
    rows = _ANSWERS.all(connection, {"of_order": order_id})
    return {(row.node, row.seq): row.answer or "" for row in rows}


# Written once: building a statement costs more than running it.
_AT_WORK = TaskState(status=TaskStatus.WORKING).model_dump_json()
_IS_ORDER = orders.c.id == sa.bindparam("of_order")
_ORDER = Prepared(sa.select(orders).where(_IS_ORDER))
_HELD_ORDER = Prepared(sa.select(orders).where(_IS_ORDER).with_for_update())
_STANDING = Prepared(sa.select(orders.c.segment, orders.c.status).where(_IS_ORDER))
_CLAIM = Prepared(
    orders.update()
    .where(
        _IS_ORDER,
        orders.c.segment == sa.bindparam("in_segment"),
        orders.c.status.in_([OrderStatus.QUEUED.value, OrderStatus.WORKING.value]),
    )
    .values(status=OrderStatus.WORKING.value, owner=sa.bindparam("owner"), reason=None)
)
_IS_TASK = sa.and_(
    tasks.c.order_id == sa.bindparam("of_order"), tasks.c.task_id == sa.bindparam("of_task")
)
_CLAIM_TASK = Prepared(
    tasks.update()
    .where(_IS_TASK)
    .values({name: sa.bindparam(name) for name in ("segment", "owner", "state")})
)
_NEW_TASK = Prepared(tasks.insert())
_SAVE_TASK = Prepared(
    tasks.update()
    .where(_IS_TASK, tasks.c.owner == sa.bindparam("held_by"))
    .values(state=sa.bindparam("state"))
)
_TASK_STATES = Prepared(
    sa.select(tasks.c.task_id, tasks.c.state).where(tasks.c.order_id == sa.bindparam("of_order"))
)
_ANSWERS = Prepared(
    sa.select(asks.c.node, asks.c.seq, asks.c.answer).where(
        asks.c.order_id == sa.bindparam("of_order"), asks.c.state == "answered"
    )
)


@cache
def _advance(names: tuple[str, ...]) -> Prepared:
    """Return the statement that sets these columns, where a run still holds the order."""
    return Prepared(
        orders.update()
        .where(
            _IS_ORDER,
            orders.c.segment == sa.bindparam("in_segment"),
            orders.c.owner == sa.bindparam("held_by"),
            orders.c.status == OrderStatus.WORKING.value,
        )
        .values({name: sa.bindparam(name) for name in names})
    )
