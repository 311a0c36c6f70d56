"""An order in words: its plan, what came of it, and its receipt."""

from collections.abc import Sequence
from decimal import Decimal

from swarm.cli import exits
from swarm.cli.wording import amount, brief_cost, cost, counted, duration, size
from swarm.core.document import BandDocument, ForecastDocument, OrderDocument, ReceiptDocument
from swarm.core.money import plain
from swarm.core.order import OrderStatus, ReasonKind
from swarm.core.text import shorten
from swarm.runtime.office import Ask

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
        lines.append(f"Forecast of the model cost: {_forecast(document.forecast)}")
    if document.baseline is not None:
        hours = document.baseline.hours
        span = f"{_number(hours.p10)} to {_number(hours.p90)} hours"
        lines.append(
            f"A human team: {span}, most likely {_number(hours.p50)}; "
            f"{_band(document.baseline.cost)}"
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
    paper = document.receipt
    lines = ["Receipt", f"  Model cost: {cost(paper.model_cost, calls=paper.calls)}"]
    lines += _role_lines(paper)
    used = paper.tokens
    lines += [
        f"  Tokens: {used.input:,} in, {used.cache_read:,} read from cache, "
        f"{used.cache_write:,} written to cache, {used.output:,} out "
        f"({used.reasoning:,} of them reasoning)",
        f"  Model calls: {paper.calls}{_unanswered(paper)}",
        f"  Time: {duration(paper.wall_s)} on the clock, {duration(paper.working_s)} in model "
        f"calls, {duration(paper.critical_path_s)} on the longest chain",
        f"  Your time: {duration(paper.founder_s)} ({paper.founder_rule})",
    ]
    return [*lines, *_comparison(document)]


def _role_lines(paper: ReceiptDocument) -> list[str]:
    rows = [
        (
            line.role,
            counted(line.calls, "call"),
            brief_cost(line.amount, line.currency, line.status),
            line.model,
        )
        for line in paper.by_role
    ]
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"    {role:{widths[0]}}  {calls:>{widths[1]}}  {spent:>{widths[2]}}  {model}"
        for role, calls, spent, model in rows
    ]


def _unanswered(paper: ReceiptDocument) -> str:
    if not paper.unanswered_intents:
        return ""
    return f", {paper.unanswered_intents} without an answer: the provider may have billed them"


def _comparison(document: OrderDocument) -> list[str]:
    """Hold the cost against what was expected, and against people."""
    lines = []
    spent = document.receipt.model_cost.amount
    if document.forecast is not None:
        verdict = _verdict(document.forecast, spent)
        lines.append(f"  Forecast: {_forecast(document.forecast)}{verdict}")
    if document.budget is not None:
        limit = amount(document.budget.amount, document.budget.currency)
        lines.append(f"  Budget: {limit}")
    if document.baseline is not None:
        hours = document.baseline.hours
        lines.append(
            f"  A human team: {_number(hours.p10)} to {_number(hours.p90)} hours, "
            f"{_band(document.baseline.cost)} (estimated before the work)"
        )
    return lines


def _verdict(forecast: ForecastDocument, spent: Decimal) -> str:
    if forecast.low is None or forecast.high is None:
        return ""
    if spent < forecast.low:
        return "; it took less"
    return "; it took more" if spent > forecast.high else "; it was kept"


def _forecast(forecast: ForecastDocument) -> str:
    if forecast.low is None or forecast.high is None:
        return "unknown, because a model has no price"
    low = amount(forecast.low, forecast.currency)
    high = amount(forecast.high, forecast.currency)
    return low if low == high else f"{low} to {high}"


def _band(band: BandDocument) -> str:
    return f"{band.p10:,.0f} to {band.p90:,.0f} {band.currency}"


def _number(value: Decimal) -> str:
    return plain(value.quantize(Decimal("0.1")))


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
