"""What is seen while an order is worked: a live picture, lines, or nothing."""

from collections.abc import Sequence
from typing import Any, Protocol

from swarm.cli.lazy import load
from swarm.cli.report import MEANINGS, plan_lines
from swarm.cli.terminal import is_lively, say
from swarm.core.document import OrderDocument
from swarm.core.order import OrderStatus, TaskStatus

Working = Sequence[dict[str, str]]
"""Who waits for a model right now, as `Documents.working` returns it."""


class View(Protocol):
    """Show an order as it moves."""

    poll_s: float
    """How often it wants to be shown the order, in seconds."""

    def show(self, document: OrderDocument, working: Working) -> None:
        """Show the order as it stands now."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def view_for(*, as_json: bool) -> View:
    """Return what fits the reader: nothing beside a document, a picture only on a terminal."""
    if as_json:
        return NoView()
    if is_lively():
        view: Any = load("swarm.cli.live:LiveView")()
        if view.can_redraw:
            live: View = view
            return live
    return LinesView()


class NoView:
    """Show nothing: the document at the end says all."""

    poll_s = 3600.0

    def show(self, document: OrderDocument, working: Working) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Change nothing."""


class LinesView:
    """Say each change in a line, the plan as soon as it is known."""

    poll_s = 0.5

    def __init__(self) -> None:
        self._status: OrderStatus | None = None
        self._revision = -1
        self._tasks: dict[str, tuple[TaskStatus, int]] = {}

    def show(self, document: OrderDocument, working: Working) -> None:
        """Say what changed since the last time."""
        plan = document.plan
        if document.status is not self._status and document.status.is_moving:
            say(f"Order {document.id} {MEANINGS[document.status]}.")
        self._status = document.status
        if plan is None:
            return
        if plan.revision != self._revision:
            self._revision, self._tasks = plan.revision, {}
            say("\n".join(plan_lines(document)))
        busy = {item["task"] for item in working}
        for task in plan.tasks:
            is_begun = task.status is TaskStatus.PLANNED and task.id in busy
            now = (TaskStatus.WORKING if is_begun else task.status, task.attempts)
            before = self._tasks.get(task.id, (TaskStatus.PLANNED, 0))
            if now != before and now[0] is not TaskStatus.PLANNED:
                tries = f" (attempt {task.attempts})" if task.attempts > 1 else ""
                say(f"  {task.id} {task.role}: {task.title}: {now[0].value}{tries}")
                self._tasks[task.id] = now

    def close(self) -> None:
        """Change nothing."""
