"""Make a report of a period from the narrow rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from sqlalchemy.engine import Connection

from swarm.core.money import PICO, CostStatus
from swarm.ledger.reports import sums
from swarm.ledger.reports.config import ReportConfig
from swarm.ledger.reports.document import (
    FarmDocument,
    FounderDocument,
    HostingDocument,
    MarginDocument,
    OrdersDocument,
    PeriodDocument,
    ReportDocument,
    ShareDocument,
    UnitDocument,
)
from swarm.ledger.reports.economics import ratio
from swarm.ledger.reports.marginal import curves
from swarm.ledger.reports.margins import Converter, costs, kind_margins, margin
from swarm.ledger.reports.period import Period
from swarm.ledger.reports.subsidy import exposures
from swarm.ledger.reports.sums import Line, OrderCount
from swarm.ledger.reports.tally import Tally, grouped, lines, shares, tally

UNFRAMED = "not framed"
"""Stands for the kind of an order whose head never said what it is."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a report must know besides the rows."""

    company: str
    currency: str
    config: ReportConfig = field(default_factory=ReportConfig)
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    founder: FounderDocument | None = None
    hosting: HostingDocument | None = None
    farm: FarmDocument | None = None

    @property
    def converter(self) -> Converter:
        """Return what turns amounts into the company's currency."""
        return Converter(self.currency, self.rates)


def report(connection: Connection, period: Period, setting: Setting) -> ReportDocument:
    """Report a period: what was charged in it, against the orders accepted in it.

    Args:
        connection: Only read from.
        period: A call counts on the day it was begun, an order on the day it was accepted.
        setting: Prices, rates, and what the period took of machines and of the founder.
    """
    charged = sums.charged(connection, period)
    counts = sums.order_counts(connection, period)
    named = [line._replace(name=line.name or UNFRAMED) for line in charged.by_kind]
    whole, kinds = tally(charged.by_day), grouped(named)
    accepted = {row.kind or UNFRAMED: row.accepted for row in counts}
    orders = _orders(counts)
    founder = _per_order(setting.founder, orders.begun)
    document = ReportDocument(
        company=setting.company,
        period=PeriodDocument(first=period.first, last=period.last, days=period.days),
        is_empty=not whole.calls and not counts,
        currency=setting.currency,
        orders=orders,
        calls=whole.calls,
        unanswered_intents=charged.unanswered,
        models=whole.sums(),
        founder=founder,
        hosting=setting.hosting,
        farm=setting.farm,
        per_accepted_order=units(whole, orders.accepted, founder, setting.hosting),
        rework=_share(charged.rework, whole),
        failed_attempts=_share(charged.failed, whole),
        by_role=lines(grouped(charged.by_role)),
        by_model=lines(grouped(charged.by_model)),
        by_kind=lines(kinds, accepted=accepted),
        by_day=lines(grouped(charged.by_day)),
        margins=_margins(whole, period, setting),
        kind_margins=kind_margins(
            kinds, accepted, config=setting.config, converter=setting.converter
        ),
        curves=curves(
            sums.order_sample(connection, until=period.end),
            sums.orders_of_kinds(connection, until=period.end),
        ),
        exposure=exposures(
            charged.by_model, period, config=setting.config, currency=setting.currency
        ),
    )
    return replace(document, notes=_notes(document, whole, setting))


def charged_in(connection: Connection, period: Period) -> dict[str, Tally]:
    """Return what was charged in a period, by model."""
    return grouped(sums.charged(connection, period).by_model)


def _orders(counts: Iterable[OrderCount]) -> OrdersDocument:
    rows = list(counts)
    return OrdersDocument(
        begun=sum(row.begun for row in rows),
        delivered=sum(row.delivered for row in rows),
        accepted=sum(row.accepted for row in rows),
        failed=sum(row.failed for row in rows),
    )


def _per_order(founder: FounderDocument | None, orders: int) -> FounderDocument | None:
    if founder is None:
        return None
    decisions = ratio(Decimal(founder.decisions), Decimal(orders), digits=3)
    return replace(founder, decisions_per_order=decisions)


def units(
    whole: Tally,
    accepted: int,
    founder: FounderDocument | None,
    hosting: HostingDocument | None,
) -> list[UnitDocument]:
    """Return the cost of one accepted order in each currency; none where none was accepted.

    Rework, failed attempts and orders that came to nothing are in it: somebody has to earn them.
    """
    if not accepted:
        return []
    models = {line.currency: line for line in whole.sums()}
    extra = {part.currency for part in (founder, hosting) if part and part.amount and part.currency}
    found = []
    for currency in sorted({*models, *extra}):
        line = models.get(currency)
        spent = line.amount if line else Decimal(0)
        machines, minutes = _in(hosting, currency), _in(founder, currency)
        is_bound = line is not None and line.status is CostStatus.UNPRICED
        is_bound = is_bound or (hosting is not None and hosting.amount is None)
        found.append(
            UnitDocument(
                currency=currency,
                amount=_each(spent + machines + minutes, accepted),
                model=_each(spent, accepted),
                hosting=_each(machines, accepted),
                founder=_each(minutes, accepted),
                is_lower_bound=is_bound,
            )
        )
    return found


def _in(part: FounderDocument | HostingDocument | None, currency: str) -> Decimal:
    is_there = part is not None and part.amount is not None and part.currency == currency
    return part.amount if is_there and part is not None and part.amount else Decimal(0)


def _each(amount: Decimal, accepted: int) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return (amount / accepted).quantize(PICO, ROUND_HALF_EVEN)


def _share(lines: list[Line], whole: Tally) -> ShareDocument:
    part = tally(lines)
    return ShareDocument(calls=part.calls, sums=part.sums(), share=shares(part, whole))


def _margins(whole: Tally, period: Period, setting: Setting) -> list[MarginDocument]:
    spent = costs(
        whole,
        converter=setting.converter,
        config=setting.config,
        period=period,
        founder=setting.founder,
        hosting=setting.hosting,
    )
    found = margin(
        setting.company, spent, config=setting.config, period=period, currency=setting.currency
    )
    return [found] if found else []


def _notes(document: ReportDocument, whole: Tally, setting: Setting) -> list[str]:
    """Say what the numbers leave out, in sentences."""
    notes = []
    unpriced = sum(line.unpriced_calls for line in document.models)
    if unpriced:
        notes.append(
            f"{unpriced:,} of {document.calls:,} calls have no price: every total with one of them "
            f"is a lower bound."
        )
    if len(document.models) > 1:
        notes.append("Several currencies were charged; they are shown apart and never added.")
    if document.calls and not document.orders.accepted:
        notes.append("No order was accepted in this period, so there is no cost of one.")
    if setting.hosting is None:
        notes.append("Hosting is not metered here; what machines cost is left out.")
    if setting.founder is None:
        notes.append("Your time is left out: not added up here, or too many acts for one look.")
    if setting.founder is not None and setting.founder.seconds and setting.founder.amount is None:
        notes.append(
            "Your time has no rate, so it is shown in minutes only: set founder_time.rate_per_hour."
        )
    if setting.config.price_per_month is None:
        notes.append("No margin: set report.price_per_month to what this instance earns a month.")
    elif any(line.is_upper_bound for line in document.margins):
        notes.append(
            "Some cost is not known or has no rate, so the margin is at most what is shown."
        )
    if (
        any(tally.notional for tally in whole.currencies.values())
        and not setting.config.subscriptions
    ):
        notes.append(
            "Calls covered by a subscription are shown at list price; set report.subscriptions to "
            "what the subscription costs a month, or the margin leaves it out."
        )
    return notes
