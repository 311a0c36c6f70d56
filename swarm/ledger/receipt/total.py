"""The total: what is known is added in the company's currency, what is not is named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from swarm.core.document import CostDocument, TotalDocument, TotalPartDocument
from swarm.core.money import PICO, CostStatus, Money, plain, worst_status
from swarm.ledger.receipt.sheet import Line, Sheet, line_of

_NAMES = {
    CostStatus.PAID: "model calls",
    CostStatus.NOTIONAL: "model calls at list price",
    CostStatus.UNPRICED: "model calls priced in part",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    money: Money
    status: CostStatus


def total(sheet: Sheet) -> TotalDocument:
    """Add up model calls, the machine and the founder's time.

    An amount in another currency is turned with the rate of company.yaml, to 1e-12, halves to
    even; without a rate it stands apart. Whatever has no known amount makes it a lower bound.
    """
    parts = [_part(entry, sheet) for entry in _entries(sheet)]
    counted = [part for part in parts if part.is_counted]
    apart = _apart(part.original for part in parts if not part.is_counted)
    missing = [*_missing(sheet), *(_no_rate(cost, sheet.currency) for cost in apart)]
    amounts = {part.status: Decimal(0) for part in counted}
    for part in counted:
        amounts[part.status] += part.amount or Decimal(0)
    statuses = [part.status for part in counted]
    return TotalDocument(
        amount=sum(amounts.values(), Decimal(0)),
        currency=sheet.currency,
        status=CostStatus.UNPRICED if missing else worst_status(statuses),
        is_at_least=bool(missing),
        notional=amounts.get(CostStatus.NOTIONAL, Decimal(0)),
        parts=parts,
        apart=apart,
        missing=missing,
    )


def in_currency(
    money: Money, currency: str, *, company: str, rates: Mapping[str, Decimal]
) -> Money | None:
    """Turn an amount of the company's currency into another; None without a rate."""
    if money.currency == currency:
        return money
    rate = rates.get(currency)
    if money.currency != company or not rate:
        return None
    with localcontext() as context:
        context.prec = 60
        return Money((money.amount / rate).quantize(PICO, ROUND_HALF_EVEN), currency)


def _entries(sheet: Sheet) -> Iterator[_Entry]:
    lines = [line_of(row, sheet.currency) for row in sheet.rows]
    yield from _model_entries(lines, sheet.currency)
    yield from _hosting_entries(sheet)
    cost = sheet.founder.cost
    if cost is not None and sheet.founder.seconds:
        # No invoice comes for it: like list prices, it is worth that and owed to nobody.
        yield _Entry("the founder's time", cost, CostStatus.NOTIONAL)


def _model_entries(lines: Sequence[Line], own: str) -> Iterator[_Entry]:
    sums: dict[tuple[CostStatus, str], Decimal] = {}
    for line in lines:
        key = (line.status, line.currency)
        sums[key] = sums.get(key, Decimal(0)) + line.amount
    for status in CostStatus:
        currencies = {currency for held, currency in sums if held is status}
        for currency in sorted(currencies, key=lambda name: (name != own, name)):
            amount = sums[status, currency]
            # Where nothing of a call is priced, there is no amount to show.
            if amount or status is not CostStatus.UNPRICED:
                yield _Entry(_NAMES[status], Money(amount, currency), status)


def _hosting_entries(sheet: Sheet) -> Iterator[_Entry]:
    share = sheet.hosting
    if share is None:
        return
    direct, full = share.direct, share.full
    if direct is not None:
        yield _Entry("the machine, at work", _exact(direct), share.status)
    if full is not None and direct is not None and full.currency == direct.currency:
        idle = Money(_exact(full).amount - _exact(direct).amount, full.currency)
        yield _Entry("the machine, share of its idle time", idle, share.status)
    elif full is not None and direct is None:
        yield _Entry("the machine, with its idle time", _exact(full), share.status)


def _exact(money: Money) -> Money:
    return Money(money.amount.quantize(PICO, ROUND_HALF_EVEN), money.currency)


def _part(entry: _Entry, sheet: Sheet) -> TotalPartDocument:
    rate = None
    amount: Decimal | None = entry.money.amount
    if entry.money.currency != sheet.currency and amount:
        rate = sheet.rates.get(entry.money.currency)
        amount = None if rate is None else _converted(entry.money.amount, rate)
    return TotalPartDocument(
        name=entry.name,
        amount=amount,
        status=entry.status,
        is_counted=amount is not None,
        original=CostDocument(
            amount=entry.money.amount, currency=entry.money.currency, status=entry.status
        ),
        rate=rate,
    )


def _converted(amount: Decimal, rate: Decimal) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return (amount * rate).quantize(PICO, ROUND_HALF_EVEN)


def _apart(costs: Iterator[CostDocument]) -> list[CostDocument]:
    """Sum what cannot be added, one amount per currency."""
    groups: dict[str, list[CostDocument]] = {}
    for cost in costs:
        groups.setdefault(cost.currency, []).append(cost)
    return [
        CostDocument(
            amount=sum((cost.amount for cost in group), Decimal(0)),
            currency=currency,
            status=worst_status([cost.status for cost in group]),
        )
        for currency, group in sorted(groups.items())
    ]


def _missing(sheet: Sheet) -> Iterator[str]:
    unknown = sum(row.cost_status == CostStatus.UNPRICED.value for row in sheet.rows)
    if unknown:
        calls = "model call has" if unknown == 1 else "model calls have"
        yield f"{unknown:,} {calls} no known price."
    share = sheet.hosting
    if share is None:
        yield "The machine has no known cost: nobody metered it."
    elif share.full is None or share.status is CostStatus.UNPRICED:
        yield f"The machine has no known cost: {share.note or 'nobody said'}."
    if sheet.founder.seconds and sheet.founder.cost is None:
        yield (
            "The founder's time has no price: set `founder_time: {rate_per_hour: …}` in "
            "company.yaml."
        )


def _no_rate(cost: CostDocument, currency: str) -> str:
    return (
        f"{plain(cost.amount)} {cost.currency} stand apart: company.yaml has no rate from "
        f"{cost.currency} to {currency}."
    )
