"""How much of what is used is not paid for, and by how few providers it is given."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from swarm.core.money import PICO, from_pico
from swarm.ledger.price_names import runs_here
from swarm.ledger.reports.config import ReportConfig
from swarm.ledger.reports.document import ExposureDocument, ProviderShareDocument
from swarm.ledger.reports.economics import concentration, exposure, share
from swarm.ledger.reports.period import Period
from swarm.ledger.reports.sums import Line, provider_of
from swarm.ledger.reports.tally import CurrencyTally, grouped, tally


def exposures(
    by_model: Iterable[Line], period: Period, *, config: ReportConfig, currency: str
) -> list[ExposureDocument]:
    """Return the exposure in each currency in which something was used at a list price.

    What a call really cost is what is owed for it; for what a subscription covers it is the
    subscription's price for as many days, where that is set.

    Args:
        by_model: Lines named by model. Own hardware is left out: nobody else pays for it.
        period: How long subscriptions count.
        config: Their prices, in the company's currency.
        currency: The company's.
    """
    outside = [
        line._replace(name=provider_of(line.name)) for line in by_model if not runs_here(line.name)
    ]
    found = []
    for name, whole in sorted(tally(outside).currencies.items()):
        if not whole.listed:
            continue
        providers = grouped(line for line in outside if line.currency == name)
        fees = config.subscriptions if name == currency else {}
        shown = [
            _provider(provider, of.of(name), whole, _fee(fees.get(provider), period))
            for provider, of in providers.items()
        ]
        sums = exposure(
            listed=from_pico(whole.listed), paid=sum((line.paid for line in shown), Decimal(0))
        )
        found.append(
            ExposureDocument(
                currency=name,
                listed=sums.listed,
                paid=sums.paid,
                factor=sums.factor,
                concentration=concentration(line.listed for line in shown),
                unpriced_calls=whole.unpriced_calls,
                providers=shown,
            )
        )
    return found


def _fee(monthly: Decimal | None, period: Period) -> Decimal:
    return ((monthly or Decimal(0)) * period.months).quantize(PICO, ROUND_HALF_EVEN)


def _provider(
    name: str, of: CurrencyTally, whole: CurrencyTally, fee: Decimal
) -> ProviderShareDocument:
    sums = exposure(listed=from_pico(of.listed), paid=from_pico(of.owed_pico) + fee)
    return ProviderShareDocument(
        provider=name,
        listed=sums.listed,
        paid=sums.paid,
        share=share(sums.listed, from_pico(whole.listed)),
        factor=sums.factor,
    )
