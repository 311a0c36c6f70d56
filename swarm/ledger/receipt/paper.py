"""Put a receipt together from an order's books."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from swarm.core.clock import parse_iso
from swarm.core.document import (
    CostDocument,
    FounderDocument,
    HostingDocument,
    RatioDocument,
    ReceiptDocument,
    RoleCostDocument,
    TokensDocument,
    TotalDocument,
)
from swarm.core.money import CostStatus, Money, from_pico, worst_status
from swarm.ledger.baseline import ratio, why_no_ratio
from swarm.ledger.book import INTENT
from swarm.ledger.hosting.attribution import SO_FAR, HostingShare
from swarm.ledger.receipt.attempts import attempts
from swarm.ledger.receipt.left_out import left_out
from swarm.ledger.receipt.sheet import Sheet, line_of, seconds_of
from swarm.ledger.receipt.times import critical_path
from swarm.ledger.receipt.total import in_currency, total

_COLUMNS = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "audio": "audio_tokens",
    "tool": "tool_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}


def receipt(sheet: Sheet) -> ReceiptDocument:
    """Write the receipt of one order; the same books give the same receipt.

    An unanswered intent and a failed attempt that may be billed count as unpriced, so that the
    model cost is a lower bound. Amounts in another currency than the company's are listed by role
    and are no part of `model_cost`, which is then `unpriced` too.
    """
    rows = sheet.rows
    added = total(sheet)
    times, why = _ratio(sheet, added)
    return ReceiptDocument(
        model_cost=_model_cost(sheet),
        tokens=_tokens(rows),
        calls=len(rows),
        unanswered_intents=sum(row.state == INTENT for row in rows),
        wall_s=round(max((sheet.ended_at - sheet.created_at).total_seconds(), 0.0), 3),
        working_s=round(sum(seconds_of(row) for row in rows), 3),
        critical_path_s=round(critical_path(rows, sheet.plan), 3),
        founder_s=round(float(sheet.founder.seconds), 3),
        founder_rule=sheet.founder.rule,
        by_role=_by_role(rows),
        hosting=_hosting(sheet.hosting, sheet.currency),
        founder=_founder(sheet),
        attempts=attempts(rows, sheet.currency),
        total=added,
        ratio=times,
        ratio_note=why,
        left_out=left_out(sheet),
        as_of=_as_of(sheet),
    )


def _model_cost(sheet: Sheet) -> CostDocument:
    lines = [line_of(row, sheet.currency) for row in sheet.rows]
    own = [line for line in lines if line.currency == sheet.currency]
    status = worst_status([line.status for line in lines])
    if len(own) < len(lines):
        status = CostStatus.UNPRICED
    amount = sum((line.amount for line in own), Decimal(0))
    return CostDocument(amount=amount, currency=sheet.currency, status=status)


def _tokens(rows: Sequence[Any]) -> TokensDocument:
    return TokensDocument(
        **{
            name: sum(getattr(row, column, None) or 0 for row in rows)
            for name, column in _COLUMNS.items()
        }
    )


def _by_role(rows: Sequence[Any]) -> list[RoleCostDocument]:
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


def _hosting(share: HostingShare | None, currency: str) -> HostingDocument | None:
    if share is None:
        return None
    known = share.full or share.direct
    return HostingDocument(
        direct=share.direct.amount if share.direct else None,
        full=share.full.amount if share.full else None,
        currency=known.currency if known else currency,
        status=share.status,
        note=share.note,
    )


def _founder(sheet: Sheet) -> FounderDocument:
    spent, config = sheet.founder, sheet.founder_config
    return FounderDocument(
        seconds=spent.seconds,
        measured_seconds=spent.measured_seconds,
        touches=spent.touches,
        decisions=spent.decisions,
        options_shown=spent.options_shown,
        options_refused=spent.options_refused,
        reversals=spent.reversals,
        corrections=spent.corrections,
        rate_per_hour=config.rate_per_hour,
        amount=spent.cost.amount if spent.cost else None,
        currency=config.currency or sheet.currency,
        rule=spent.rule,
        flags=list(spent.flags),
        last_at=spent.last_at,
    )


def _ratio(sheet: Sheet, added: TotalDocument) -> tuple[RatioDocument | None, str]:
    """Hold the total against what people would have cost, or say why that cannot be done."""
    if sheet.baseline is None:
        return None, "No ratio: what people would need was not estimated."
    total_cost = Money(added.amount, added.currency)
    currency = sheet.baseline.cost.currency
    spent = in_currency(total_cost, currency, company=sheet.currency, rates=sheet.rates)
    # A lower bound still gives a band: the true one lies below it, and that is said beside it.
    band = ratio(spent or total_cost, sheet.baseline)
    if band is None or spent is None:
        return None, why_no_ratio(spent or total_cost, sheet.baseline) or ""
    return RatioDocument(
        p10=_rounded(band.p10),
        p50=_rounded(band.p50),
        p90=_rounded(band.p90),
        words=band.words,
        is_at_most=added.is_at_least,
        cost=CostDocument(amount=spent.amount, currency=spent.currency, status=added.status),
    ), ""


def _rounded(value: Decimal) -> Decimal:
    """Keep three significant digits: the band is wider than any more of them."""
    return value.quantize(Decimal(1).scaleb(value.adjusted() - 2))


def _as_of(sheet: Sheet) -> datetime | None:
    """Return the newest row's time, where it is newer than the end of the order.

    Until the idle time of the order's month is settled, the machine's newest row counts too.
    """
    if not sheet.is_ended:
        return None
    moments = [parse_iso(row.ended_at) for row in sheet.rows if row.ended_at is not None]
    share = sheet.hosting
    is_settled = share is None or share.full is None or SO_FAR not in share.note
    late = (sheet.founder.last_at, None if is_settled else sheet.hosting_until)
    newest = max([*moments, *(moment for moment in late if moment)], default=None)
    return newest if newest is not None and newest > sheet.ended_at else None
