"""An order in words: its plan, what came of it, and its receipt."""

from collections.abc import Sequence

from swarm.cli import exits, paper_lines
from swarm.cli.wording import band, brief_cost, expected, figure, hours, size
from swarm.core.document import OrderDocument
from swarm.core.order import OrderStatus, ReasonKind
from swarm.core.text import shorten
from swarm.runtime.asking import Ask

MEANINGS = {
    OrderStatus.QUEUED: "waits to be taken up",
    OrderStatus.WORKING: "is being worked on",
    OrderStatus.WAITING: "waits for you",
    OrderStatus.PARKED: "is parked",
    OrderStatus.DELIVERED: "is delivered",
    OrderStatus.ACCEPTED: "is accepted",
    OrderStatus.FAILED: "failed",
    OrderStatus.CANCELLED: "was cancelled",
}


def exit_code(document: OrderDocument) -> int:
    """Return the code that says where an order stands."""
    if document.status in (OrderStatus.DELIVERED, OrderStatus.ACCEPTED):
        return exits.DONE
    if document.status is OrderStatus.WAITING:
        return exits.WAITING
    if document.status is OrderStatus.PARKED:
        is_config = document.reason is not None and document.reason.kind is ReasonKind.CONFIG
        return exits.USAGE if is_config else exits.STOPPED
    if document.status in (OrderStatus.FAILED, OrderStatus.CANCELLED):
        return exits.FAILED
    return exits.INTERRUPTED


def status_line(document: OrderDocument) -> str:
    """Say where an order stands, and why."""
    by = f" by {document.accepted_by}" if document.accepted_by else ""
    why = f": {document.reason.text}" if document.reason else ""
    sentence = f"Order {document.id} {MEANINGS[document.status]}{by}{why}"
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def plan_lines(document: OrderDocument) -> list[str]:
    """Write the plan with its forecast and the human baseline, which stood before the work."""
    plan = document.plan
    if plan is None:
        return []
    revision = f" (revision {plan.revision + 1})" if plan.revision else ""
    lines = [f"Goal: {document.goal}", f"Plan{revision}: {plan.approach}"]
    for task in plan.tasks:
        after = f", after {' and '.join(task.depends_on)}" if task.depends_on else ""
        lines.append(f"  {task.id} {task.role}: {task.title} -> {task.deliverable}{after}")
    return [*lines, *_expected(document)]


def _expected(document: OrderDocument) -> list[str]:
    lines = []
    if document.forecast is not None:
        lines.append(f"Forecast of the model cost: {expected(document.forecast)}")
    if document.baseline is not None:
        likely = figure(document.baseline.hours.p50)
        lines.append(
            f"A human team: {hours(document.baseline.hours)} hours, most likely {likely}; "
            f"{band(document.baseline.cost)}"
        )
    return lines


def result_lines(document: OrderDocument) -> list[str]:
    """Write the answer, where the deliverables are, and what was delivered."""
    lines = []
    if document.answer is not None:
        lines += ["", document.answer, ""]
    disputed = [
        f"  {task.id}: {'; '.join(task.review.reasons)}"
        for task in (document.plan.tasks if document.plan else [])
        if task.status.value == "rejected" and task.review is not None
    ]
    if disputed:
        lines += ["Delivered over the reviewer's objection:", *disputed]
    if document.artifacts:
        lines.append(f"Deliverables in {document.workspace}:")
        width = max(len(artifact.path) for artifact in document.artifacts)
        for file in document.artifacts:
            lines.append(
                f"  {file.path:{width}}  {size(file.bytes)}  sha256 {file.sha256[:12]}  "
                f"by {file.role} ({file.task})"
            )
    return lines


def receipt_lines(document: OrderDocument) -> list[str]:
    """Write what the order cost: tokens, money by role, time of machines and of the founder."""
    return paper_lines.receipt_lines(
        document.receipt,
        forecast=document.forecast,
        budget=document.budget,
        baseline=document.baseline,
    )


def method_lines(document: OrderDocument) -> list[str]:
    """Write how the human baseline was estimated, and from what."""
    if document.baseline is None:
        return []
    lines = [f"How the human team was estimated: {document.baseline.method}"]
    return lines + [f"  {source}" for source in document.baseline.sources]


def ask_lines(asks: Sequence[Ask]) -> list[str]:
    """Write open questions, each with the exact commands that answer it."""
    lines = []
    for ask in asks:
        task = f", {ask.task_id}" if ask.task_id else ""
        lines += ["", f"{ask.asked_by} asks ({ask.id}, order {ask.order_id}{task}):"]
        lines += [f"  {line}" for line in ask.text.splitlines()]
        lines += [f"    {n}. {option}" for n, option in enumerate(ask.options, start=1)]
        lines += [f"  $ {command}" for command in commands_for(ask)]
    return lines


def commands_for(ask: Ask) -> list[str]:
    """Return the commands that answer an ask."""
    if ask.kind == "approval":
        return [f"swarm approve {ask.order_id}", f'swarm reject {ask.order_id} "what to change"']
    if ask.kind == "signature":
        return [f"swarm approve {ask.id}", f'swarm reject {ask.id} "why not"']
    if ask.kind == "choice":
        return [f"swarm choose {ask.id} NUMBER"]
    return [f'swarm answer {ask.id} "your answer"']


def order_line(document: OrderDocument) -> str:
    """Write an order in one line."""
    spent = document.receipt.model_cost
    cost_text = brief_cost(spent.amount, spent.currency, spent.status)
    return (
        f"{document.id}  {document.status.value:9}  {document.created_at:%Y-%m-%d %H:%M}  "
        f"{cost_text:>14}  {shorten(document.text, 60)}"
    )
