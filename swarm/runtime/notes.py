"""What a person says of an order while it is worked on: it reaches whatever has not begun yet."""

import json
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.order import TaskState, TaskStatus
from swarm.core.text import shorten
from swarm.runtime.people import Right
from swarm.runtime.phrases import say
from swarm.runtime.turn import Turn
from swarm.store.tables import tasks

LISTED = 8
_AHEAD = (TaskStatus.PLANNED, TaskStatus.WAITING)
"""Tasks of which another attempt is still to begin."""


class Ahead(NamedTuple):
    """What a note still reaches."""

    is_planned: bool
    """False where there is no plan yet: then every task will see it."""
    tasks: tuple[tuple[str, str], ...]
    """Id and title of each task that has not begun."""


def ahead(connection: Connection, row: Any) -> Ahead:
    """Return which tasks of an order begin after this moment."""
    state = json.loads(row.state)
    plan = state.get("plan")
    if not plan:
        return Ahead(is_planned=False, tasks=())
    stored = state.get("tasks") or {}
    query = sa.select(tasks.c.task_id, tasks.c.state).where(
        tasks.c.order_id == row.id, tasks.c.segment == row.segment
    )
    live = {
        found.task_id: TaskState.model_validate_json(found.state).status
        for found in connection.execute(query)
    }
    left = []
    for task in plan["tasks"]:
        known = (stored.get(task["id"]) or {}).get("status", TaskStatus.PLANNED.value)
        if live.get(task["id"], TaskStatus(known)) in _AHEAD:
            left.append((str(task["id"]), str(task["title"])))
    return Ahead(is_planned=True, tasks=tuple(left))


def take(turn: Turn, order_id: str, text: str, *, key: str = "note") -> None:
    """Keep a person's words on an order under way, and say which tasks will still see them.

    Args:
        turn: Of the person who said them.
        order_id: The order.
        text: The words.
        key: Begins the phrases that answer them.

    Raises:
        InvalidInput: The person may not order.
    """
    turn.need(Right.ORDER)
    turn.note(order_id, text)
    lang = turn.language_of(order_id)
    turn.say(told(turn, order_id, lang, key=key), order_id=order_id)


def told(turn: Turn, order_id: str, lang: str | None, *, key: str) -> str:
    """Return what a person is told of words that were kept for an order."""
    left = ahead(turn.connection, turn.order(order_id))
    if not left.is_planned:
        return say(f"{key}_all", lang, order=order_id)
    if not left.tasks:
        return say(key, lang, order=order_id)
    lines = [f"• {task_id} {shorten(title, 60)}" for task_id, title in left.tasks[:LISTED]]
    rest = len(left.tasks) - LISTED
    lines += [f"… +{rest}"] if rest > 0 else []
    return "\n".join([say(f"{key}_ahead", lang, order=order_id), *lines])
