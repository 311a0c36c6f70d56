"""The live picture of an order on a terminal."""

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from swarm.cli.report import MEANINGS, plan_lines
from swarm.cli.views import Working
from swarm.cli.wording import amount, brief_cost, counted, duration
from swarm.core.clock import SystemClock, parse_iso
from swarm.core.document import OrderDocument
from swarm.core.order import TaskStatus
from swarm.core.text import clean_text, shorten

STYLES = {
    TaskStatus.WORKING: "cyan",
    TaskStatus.WAITING: "yellow",
    TaskStatus.ACCEPTED: "green",
    TaskStatus.REJECTED: "yellow",
    TaskStatus.FAILED: "red",
    TaskStatus.SKIPPED: "dim",
}


class LiveView:
    """Redraw who works on what, how long it has taken and what it has cost.

    Every text goes through `Text`, which reads no markup: a model could otherwise draw.
    """

    poll_s = 0.25

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(markup=False, highlight=False, emoji=False)
        self._clock = SystemClock()
        self._live: Live | None = None
        self._revision = -1
        self._began = time.monotonic()

    @property
    def can_redraw(self) -> bool:
        """False for a terminal that knows no cursor."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def show(self, document: OrderDocument, working: Working) -> None:
        """Redraw; a new plan is written above the picture, where it stays."""
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        if document.plan is not None and document.plan.revision != self._revision:
            self._revision = document.plan.revision
            self._console.print(_text("\n".join(plan_lines(document))), soft_wrap=True)
        self._live.update(self._picture(document, working), refresh=True)

    def close(self) -> None:
        """Take the picture away and give the cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self, document: OrderDocument, working: Working) -> Group:
        since = {item["task"]: item for item in working}
        parts: list[Any] = []
        if document.plan is None:
            head = next(iter(working), None)
            doing = f"{head['role']} thinks" if head else MEANINGS[document.status]
            parts.append(_text(f"  {document.id}: {doing}", "cyan"))
        else:
            parts.append(self._tasks(document, since))
        parts.append(self._footer(document))
        return Group(*parts)

    def _tasks(self, document: OrderDocument, since: dict[str, dict[str, str]]) -> Table:
        table = Table.grid(padding=(0, 2))
        assert document.plan is not None
        for task in document.plan.tasks:
            busy = since.get(task.id)
            status = TaskStatus.WORKING if busy else task.status
            style = STYLES.get(status, "")
            # The author or, while they look at it, the reviewer.
            who = busy["role"] if busy else task.role
            table.add_row(
                _text(f"  {task.id}"),
                _text(who),
                _text(shorten(task.title, 48)),
                _text(status.value, style),
                _text(self._age(busy["since"]) if busy else "", "dim"),
            )
        return table

    def _age(self, since: str) -> str:
        return duration(max((self._clock.now() - parse_iso(since)).total_seconds(), 0))

    def _footer(self, document: OrderDocument) -> Table:
        spent = document.receipt.model_cost
        said = f"  {duration(time.monotonic() - self._began)}, {counted(document.receipt.calls, 'call')}, "
        said += brief_cost(spent.amount, spent.currency, spent.status)
        row: list[Any] = [_text(said)]
        if document.budget is not None:
            limit = float(document.budget.amount)
            row += [
                ProgressBar(total=limit, completed=min(float(spent.amount), limit), width=24),
                _text(f"of {amount(document.budget.amount, document.budget.currency)}", "dim"),
            ]
        footer = Table.grid(padding=(0, 1))
        footer.add_row(*row)
        return footer


def _text(text: str, style: str = "") -> Text:
    return Text(clean_text(text), style=style)
