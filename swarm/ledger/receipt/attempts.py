"""Where the model cost of an order went: to first attempts, to rework, or to nothing."""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from swarm.core.document import AttemptsDocument, CostDocument
from swarm.core.money import CostStatus, worst_status
from swarm.ledger.book import FAILED, INTENT, SUPERSEDED
from swarm.ledger.receipt.sheet import Line, line_of

_LOST = (FAILED, SUPERSEDED, INTENT)
_COUNTS = re.compile(r"[^/]+/(\d+)(?:\.(\d+))?(?:/[wr](\d+))?")
_SHARE = Decimal("0.0001")


def is_rework(node: str) -> bool:
    """Return whether a call was made again: after a review, a person's word, or a failure.

    A node counts revisions of the plan, rounds and attempts from 0: `t1/0.0/w2`, `plan/1.0`.
    """
    found = _COUNTS.match(node)
    return found is not None and any(int(part) for part in found.groups() if part)


def attempts(rows: Sequence[Any], currency: str) -> AttemptsDocument:
    """Sort the calls by what came of them; amounts in other currencies are left out, as in the total."""
    groups: dict[str, list[Any]] = {"first": [], "rework": [], "failed": []}
    for row in rows:
        is_lost = row.state in _LOST
        name = "failed" if is_lost else "rework" if is_rework(row.node) else "first"
        groups[name].append(row)
    first, rework, failed = (_cost(groups[name], currency) for name in groups)
    total = first.amount + rework.amount + failed.amount
    return AttemptsDocument(
        first=first,
        rework=rework,
        failed=failed,
        failed_calls=len(groups["failed"]),
        rework_calls=len(groups["rework"]),
        rework_share=_share(rework, total),
        failed_share=_share(failed, total),
    )


def _cost(rows: Sequence[Any], currency: str) -> CostDocument:
    lines: list[Line] = [line_of(row, currency) for row in rows]
    own = [line for line in lines if line.currency == currency]
    status = worst_status([line.status for line in lines])
    if len(own) < len(lines):
        status = CostStatus.UNPRICED
    amount = sum((line.amount for line in own), Decimal(0))
    return CostDocument(amount=amount, currency=currency, status=status)


def _share(part: CostDocument, total: Decimal) -> Decimal | None:
    if part.status is CostStatus.UNPRICED or not total:
        return None
    return (part.amount / total).quantize(_SHARE, ROUND_HALF_EVEN)
