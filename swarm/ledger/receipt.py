"""The receipt of an order: every attempt counted, nothing rounded away, unknowns said aloud."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from swarm.core.clock import parse_iso
from swarm.core.document import CostDocument, ReceiptDocument, RoleCostDocument, TokensDocument
from swarm.core.money import CostStatus, from_pico, worst_status
from swarm.core.order import Plan
from swarm.ledger.attention import RULE, founder_seconds
from swarm.ledger.book import INTENT


@dataclass(frozen=True, slots=True)
class _Line:
    amount: Decimal
    currency: str
    status: CostStatus


def receipt(
    rows: Iterable[Any],
    *,
    plan: Plan | None,
    asks: Iterable[Any],
    created_at: datetime,
    ended_at: datetime,
    currency: str,
) -> ReceiptDocument:
    """Sum up the ledger rows of one order.

    An unanswered intent and a failed attempt that may be billed count as unpriced, so that the
    total is a lower bound. Amounts in another currency than the company's are listed by role and
    never added; the total is then `unpriced` too.
    """
    rows = list(rows)
    lines = [_line(row) for row in rows]
    own = [line for line in lines if line.currency == currency or line.amount == 0]
    status = worst_status([line.status for line in lines])
    if len(own) < len(lines):
        status = CostStatus.UNPRICED
    return ReceiptDocument(
        model_cost=CostDocument(
            amount=sum((line.amount for line in own), Decimal(0)), currency=currency, status=status
        ),
        tokens=_tokens(rows),
        calls=len(rows),
        unanswered_intents=sum(row.state == INTENT for row in rows),
        wall_s=round(max((ended_at - created_at).total_seconds(), 0.0), 3),
        working_s=round(sum(_seconds(row) for row in rows), 3),
        critical_path_s=round(_critical_path(rows, plan), 3),
        founder_s=round(founder_seconds(asks), 3),
        founder_rule=RULE,
        by_role=_by_role(rows),
    )


def _line(row: Any) -> _Line:
    return _Line(from_pico(row.cost_pico), row.currency, CostStatus(row.cost_status))


def _tokens(rows: list[Any]) -> TokensDocument:
    def total(column: str) -> int:
        return sum(getattr(row, column) or 0 for row in rows)

    return TokensDocument(
        input=total("input_tokens"),
        cache_read=total("cache_read_tokens"),
        cache_write=total("cache_write_tokens"),
        output=total("output_tokens"),
        reasoning=total("reasoning_tokens"),
    )


def _by_role(rows: list[Any]) -> list[RoleCostDocument]:
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for row in rows:
        groups.setdefault((row.role, row.model, row.currency), []).append(row)
    return [
        RoleCostDocument(
            role=role,
            model=model,
            calls=len(group),
            amount=sum((from_pico(row.cost_pico) for row in group), Decimal(0)),
            currency=currency,
            status=worst_status([CostStatus(row.cost_status) for row in group]),
        )
        for (role, model, currency), group in sorted(groups.items())
    ]


def _seconds(row: Any) -> float:
    if row.latency_s is not None:
        return float(row.latency_s)
    if row.ended_at is None:
        return 0.0
    return max((parse_iso(row.ended_at) - parse_iso(row.started_at)).total_seconds(), 0.0)


def _critical_path(rows: list[Any], plan: Plan | None) -> float:
    """Return the longest chain of calls that had to wait for each other.

    Calls outside tasks follow one another; tasks follow the plan's dependencies.
    """
    outside = sum(_seconds(row) for row in rows if row.task_id is None)
    own: dict[str, float] = {}
    for row in rows:
        if row.task_id is not None:
            own[row.task_id] = own.get(row.task_id, 0.0) + _seconds(row)
    return outside + max(_finish_times(own, plan).values(), default=0.0)


def _finish_times(own: Mapping[str, float], plan: Plan | None) -> dict[str, float]:
    finish: dict[str, float] = {}
    for task in plan.tasks if plan else ():
        start = max((finish.get(d, 0.0) for d in task.depends_on), default=0.0)
        finish[task.id] = start + own.get(task.id, 0.0)
    return finish
