"""Put costs against what is earned, in the company's currency."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from swarm.core.money import PICO, Money, from_pico
from swarm.ledger.reports.config import ReportConfig
from swarm.ledger.reports.document import (
    FounderDocument,
    HostingDocument,
    KindMarginDocument,
    MarginDocument,
)
from swarm.ledger.reports.economics import break_even, share
from swarm.ledger.reports.period import Period
from swarm.ledger.reports.tally import Tally


@dataclass(frozen=True, slots=True)
class Costs:
    """What was paid, in the company's currency; `is_whole` is false where a part is not known."""

    models: Decimal
    subscriptions: Decimal
    hosting: Decimal
    founder: Decimal
    is_whole: bool

    @property
    def total(self) -> Decimal:
        """Return all of it."""
        return self.models + self.subscriptions + self.hosting + self.founder


@dataclass(frozen=True, slots=True)
class Converter:
    """Turn amounts into the company's currency at the rates the company states."""

    currency: str
    rates: Mapping[str, Decimal]

    def sum(self, amounts: Iterable[Money]) -> tuple[Decimal, bool]:
        """Add what can be turned; return the sum and whether that was all of it."""
        total, is_whole = Decimal(0), True
        for money in amounts:
            if money.currency == self.currency:
                total += money.amount
            elif money.currency in self.rates:
                total += money.amount * self.rates[money.currency]
            elif money.amount:
                is_whole = False
        return total.quantize(PICO, ROUND_HALF_EVEN), is_whole

    def sum_of(self, amounts: Iterable[tuple[str, Decimal]]) -> Decimal:
        """Add what can be turned of amounts with their currencies."""
        return self.sum(Money(amount, currency) for currency, amount in amounts)[0]


def costs(
    tally: Tally,
    *,
    converter: Converter,
    config: ReportConfig,
    period: Period,
    founder: FounderDocument | None,
    hosting: HostingDocument | None,
) -> Costs:
    """Add up what a period cost one instance.

    What a subscription covers counts as the subscription's price for as many days, never at list
    price; own hardware counts in hosting.
    """
    paid = [Money(from_pico(t.owed_pico), name) for name, t in tally.currencies.items()]
    models, has_rates = converter.sum(paid)
    monthly = sum(config.subscriptions.values(), Decimal(0))
    minutes, is_founder_known = _part(founder, converter)
    machines, is_hosting_known = _part(hosting, converter)
    is_priced = not any(t.unpriced_calls for t in tally.currencies.values())
    return Costs(
        models=models,
        subscriptions=(monthly * period.months).quantize(PICO, ROUND_HALF_EVEN),
        hosting=machines,
        founder=minutes,
        is_whole=has_rates and is_priced and is_founder_known and is_hosting_known,
    )


def _part(
    part: FounderDocument | HostingDocument | None, converter: Converter
) -> tuple[Decimal, bool]:
    if part is None:
        return Decimal(0), True
    if part.amount is None or part.currency is None:
        # Nothing was spent of it, or nobody knows what it is worth.
        return Decimal(0), isinstance(part, FounderDocument) and part.seconds == 0
    return converter.sum([Money(part.amount, part.currency)])


def margin(
    instance: str, spent: Costs, *, config: ReportConfig, period: Period, currency: str
) -> MarginDocument | None:
    """Return what an instance left over at its monthly price; None where none is set."""
    if config.price_per_month is None:
        return None
    revenue = (config.price_per_month * period.months).quantize(PICO, ROUND_HALF_EVEN)
    left = revenue - spent.total
    return MarginDocument(
        instance=instance,
        revenue=revenue,
        cost=spent.total,
        margin=left,
        share=share(left, revenue),
        currency=currency,
        is_upper_bound=not spent.is_whole,
        break_even=break_even(
            revenue=revenue, cost=spent.total, model_cost=spent.models + spent.subscriptions
        ),
    )


def kind_margins(
    kinds: Mapping[str, Tally],
    accepted: Mapping[str, int],
    *,
    config: ReportConfig,
    converter: Converter,
) -> list[KindMarginDocument]:
    """Return what each kind of order with a price left over, model calls against revenue."""
    found = []
    for kind, price in sorted(config.price_per_order.items()):
        tally = kinds.get(kind, Tally())
        paid = [Money(from_pico(t.total_pico), name) for name, t in tally.currencies.items()]
        spent, _ = converter.sum(paid)
        revenue = price * accepted.get(kind, 0)
        if not tally.calls and not revenue:
            continue
        found.append(
            KindMarginDocument(
                kind=kind,
                accepted=accepted.get(kind, 0),
                revenue=revenue,
                cost=spent,
                margin=revenue - spent,
                currency=converter.currency,
                break_even=break_even(revenue=revenue, cost=spent, model_cost=spent),
                pays=revenue >= spent,
            )
        )
    return found
