"""The time of machines: how long calls took, and how long the chain was that could not be cut."""

from collections.abc import Mapping, Sequence
from typing import Any

from swarm.core.order import Plan
from swarm.ledger.receipt.sheet import seconds_of


def critical_path(rows: Sequence[Any], plan: Plan | None) -> float:
    """Return the longest chain of calls that had to wait for each other, in seconds.

    Calls outside tasks follow one another; tasks follow the plan's dependencies.
    """
    outside = sum(seconds_of(row) for row in rows if row.task_id is None)
    own: dict[str, float] = {}
    for row in rows:
        if row.task_id is not None:
            own[row.task_id] = own.get(row.task_id, 0.0) + seconds_of(row)
    return outside + max(_finish_times(own, plan).values(), default=0.0)


def _finish_times(own: Mapping[str, float], plan: Plan | None) -> dict[str, float]:
    finish: dict[str, float] = {}
    for task in plan.tasks if plan else ():
        start = max((finish.get(d, 0.0) for d in task.depends_on), default=0.0)
        finish[task.id] = start + own.get(task.id, 0.0)
    return finish
