"""Show what a farm cost."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from swarm.cli.farm_budgets import amounts
from swarm.cli.farm_budgets import document as of_budget
from swarm.core.clock import iso
from swarm.core.money import CostStatus, plain
from swarm.ledger.hosting.allowance import Allowance
from swarm.ledger.hosting.seats import Idle, Report, Seat


def document(
    found: Report, months: Mapping[str, Allowance], idle: Mapping[str, Decimal]
) -> dict[str, Any]:
    """Return a report as a document.

    Args:
        found: What the machines cost.
        months: How each instance's month stands, models included.
        idle: The part of what was kept for each running instance that it did not use.
    """
    one = found.bill.totals[0] if len(found.bill.totals) == 1 else None
    return {
        "since": iso(found.since),
        "until": iso(found.until),
        "total": None if one is None else plain(one.amount),
        "currency": None if one is None else one.currency,
        "tax": None if one is None else one.tax,
        "status": found.bill.status.value,
        "is_at_least": found.bill.is_at_least,
        "totals": [
            {"amount": plain(t.amount), "currency": t.currency, "tax": t.tax}
            for t in found.bill.totals
        ],
        "seats": [
            _seat(seat, months.get(seat.instance), idle.get(seat.instance)) for seat in found.seats
        ],
        "idle": [_idle(item) for item in found.idle],
        "machine": None if found.machine is None else _idle(found.machine),
        "refused": [{"event": r.event, "reason": r.reason} for r in found.bill.refused],
    }


def _seat(seat: Seat, month: Allowance | None, idle: Decimal | None) -> dict[str, Any]:
    return {
        "idle_share": None if idle is None else plain(idle),
        "budget": None if month is None else of_budget(month),
        "instance": seat.instance,
        "for": seat.owner,
        "driver": seat.provider,
        "host": seat.host,
        "is_there": seat.is_there,
        "amount": None if seat.amount is None else plain(seat.amount),
        "per_day": None if seat.per_day is None else plain(round(seat.per_day, 12)),
        "currency": seat.currency,
        "tax": seat.tax,
        "status": seat.status.value,
        "reason": seat.reason,
    }


def _idle(item: Idle) -> dict[str, Any]:
    return {
        "host": item.host,
        "amount": plain(round(item.amount, 12)),
        "of": plain(round(item.whole, 12)),
        "share": plain(round(item.share, 4)),
        "currency": item.currency,
        "tax": item.tax,
    }


def lines(found: Report, months: Mapping[str, Allowance], idle: Mapping[str, Decimal]) -> str:
    """Return a report as lines; see `document`."""
    said = []
    for seat in found.seats:
        amount = (
            "unpriced" if seat.amount is None else f"{seat.amount:.4f} {seat.currency} {seat.tax}"
        )
        day = "" if seat.per_day is None else f", {seat.per_day:.4f} a day"
        gone = "" if seat.is_there else " (removed)"
        why = f": {seat.reason}" if seat.amount is None and seat.reason else ""
        part = idle.get(seat.instance)
        rest = "" if part is None else f", {part:.1%} idle"
        said.append(f"{seat.instance:30} {seat.owner:20} {amount}{day}{rest}{gone}{why}")
        if seat.instance in months:
            stand = months[seat.instance]
            said.append(f"  with {stand.models:.4f} {stand.currency} of models: {amounts(stand)}")
    for item in (*found.idle, *((found.machine,) if found.machine else ())):
        said.append(
            f"idle on {item.host}: {item.amount:.4f} of {item.whole:.4f} {item.currency} "
            f"({item.share * 100:.0f} %)"
        )
    least = "at least " if found.bill.is_at_least else ""
    totals = " and ".join(f"{plain(t.amount)} {t.currency} {t.tax}" for t in found.bill.totals)
    notional = ", notional: own hardware" if found.bill.status is CostStatus.NOTIONAL else ""
    said.append(
        f"Total until {iso(found.until)[:19]}Z: {least}{totals or 'nothing priced'}{notional}"
    )
    said += [f"Not counted: {item.reason}." for item in found.bill.refused]
    return "\n".join(said)
