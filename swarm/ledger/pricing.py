"""Price what a provider says a call used: part by part, turn by turn, and never a silent zero.

The provider's own word on the cost comes first, then the book's line at the moment of the call;
what neither knows is unpriced, with the reason in a sentence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal, Inexact, localcontext
from typing import Any

from swarm.core.money import CostStatus, worst_status
from swarm.core.usage import Usage
from swarm.core.usage_counts import (
    ANSWER_BUCKETS,
    INPUT,
    MAX_COST,
    OUTPUT,
    PROMPT_BUCKETS,
    Reading,
    Sample,
    UsageFaultError,
)
from swarm.core.usage_reading import STANDARD, read, reported_cost, tier_name
from swarm.ledger.price_names import FREE_UNITS, provider_name, qualified
from swarm.ledger.price_rates import Price
from swarm.ledger.prices import PriceBook

REPORTED = "reported"
"""The part of a call whose cost the provider itself names."""
REPORTED_CURRENCY = "USD"
"""Of OpenRouter's credits and xAI's ticks."""
REPORTED_ID = "reported by the provider"

_EXACT = Context(prec=120, traps=[Inexact])
"""Products of counts, rates and factors, and their sums; should one not fit, it fails loudly."""


@dataclass(frozen=True, slots=True)
class PricedPart:
    """One line of a call's bill."""

    bucket: str
    """One of `core.usage_counts`, the name of a unit such as `web_search`, or `reported`."""
    quantity: int
    unit_price: Decimal | None
    """Per token or piece; None where nobody knows it."""
    amount: Decimal | None
    """Exactly `quantity` times `unit_price`."""
    model: str
    """The model that took this turn."""
    price_id: str | None
    """The line of the book, with the service tier and size of prompt that were in force."""

    def as_json(self) -> dict[str, Any]:
        """Return the part as it is stored: amounts are texts, so that no digit is lost."""
        return {
            "bucket": self.bucket,
            "quantity": self.quantity,
            "unit_price": None if self.unit_price is None else format(self.unit_price, "f"),
            "amount": None if self.amount is None else format(self.amount, "f"),
            "model": self.model,
            "price_id": self.price_id,
        }


@dataclass(frozen=True, slots=True)
class PricedCall:
    """What a call cost, and how that is known."""

    amount: Decimal | None
    """The sum of the parts. Where the status is `unpriced` it is what is known of it, a lower
    bound; None where nothing is."""
    currency: str
    status: CostStatus
    parts: tuple[PricedPart, ...]
    reported: Decimal | None
    """What the provider says it cost."""
    listed: Decimal | None
    """What the book says it cost; None unless the book knows every part."""
    reason: str | None
    """Why the call is unpriced, or its cost zero."""
    usage: Usage | None = None
    """The sum of all turns in the ledger's buckets; None where it could not be read."""
    service_tier: str | None = None
    """The service tier that was priced; None where the usage could not be read."""
    listed_parts: tuple[PricedPart, ...] = ()
    """The bill by the book, where the provider named another cost."""
    listed_currency: str | None = None

    @property
    def price_id(self) -> str | None:
        """Return the line of the book that priced the call, the first where there were several."""
        return next((part.price_id for part in self.parts if part.price_id), None)


@dataclass(frozen=True, slots=True)
class _Bill:
    """Parts of a call by the book, with what stood in the way of others."""

    parts: tuple[PricedPart, ...]
    currency: str
    statuses: tuple[CostStatus, ...]
    reasons: tuple[str, ...]


def price_usage(
    book: PriceBook,
    *,
    provider: str,
    model: str,
    usage: Mapping[str, Any] | None,
    at: datetime,
    tier: str | None = None,
    reported: Decimal | None = None,
    asked: str | None = None,
) -> PricedCall:
    """Price one model call.

    Args:
        book: The prices; another one prices the same call again.
        provider: Who was asked, in any usual spelling. Empty where the model's name says it.
        model: The model that answered, as the provider names it.
        usage: The usage object exactly as the provider sent it.
        at: When the call was made, aware; the line valid at that moment counts.
        tier: The service tier that was asked for; one that the usage names is believed over
            `default`.
        reported: What the provider says it cost, in USD, where that stands outside the usage.
        asked: The model that was asked, where another answered: turns that name no model before
            a fallback were its own.

    Returns:
        A call whose parts add up to its amount to the last digit.
    """
    said = reported if reported is not None else reported_cost(usage)
    provider = provider_name(provider)
    try:
        reading = read(usage, provider=provider)
        service = _service(tier, reading.tier)
    except UsageFaultError as fault:
        return _unread(book, str(fault), reported=said, model=model)
    with localcontext(_EXACT):
        bill = _bill(
            book, reading, provider=provider, model=model, asked=asked, service=service, at=at
        )
        call = _call(bill, reading.usage(), service)
        return call if said is None else _as_reported(call, said, model)


def _unread(book: PriceBook, fault: str, *, reported: Decimal | None, model: str) -> PricedCall:
    """Return a call whose usage says nothing; the provider may still have named its cost."""
    call = PricedCall(None, book.currency, CostStatus.UNPRICED, (), None, None, fault)
    return call if reported is None else _as_reported(call, reported, model)


def _as_reported(call: PricedCall, reported: Decimal, model: str) -> PricedCall:
    part = PricedPart(REPORTED, 1, reported, reported, model, REPORTED_ID)
    return replace(
        call,
        amount=reported,
        currency=REPORTED_CURRENCY,
        status=CostStatus.NOTIONAL if call.status is CostStatus.NOTIONAL else CostStatus.PAID,
        parts=(part,),
        reported=reported,
        reason="the provider says that it cost nothing" if reported == 0 else None,
        listed_parts=call.parts,
        listed_currency=call.currency,
    )


def _service(asked: str | None, told: str | None) -> str:
    """Return the service tier that bills.

    Raises:
        UsageFaultError: Two tiers with prices of their own are named.
    """
    wished = tier_name(asked)
    if wished in (None, STANDARD):
        # The answer tells what was served: a wish for a better tier may not have been granted.
        return told or STANDARD
    if told not in (None, STANDARD, wished):
        raise UsageFaultError(f"the service tier is given as {wished} and as {told}")
    return str(wished)


def _bill(
    book: PriceBook,
    reading: Reading,
    *,
    provider: str,
    model: str,
    asked: str | None,
    service: str,
    at: datetime,
) -> _Bill:
    """Price every turn and every piece by the book."""
    parts: list[PricedPart] = []
    statuses: list[CostStatus] = []
    reasons: list[str] = []
    currency = ""
    first: Price | None = None
    name = qualified(provider, model) if model.strip() else ""
    own = _before_a_fallback(reading.samples, provider, name, asked)
    for sample in reading.samples:
        turn = _model_of(sample, provider, own)
        price = book.lookup(turn, at=at) if turn else None
        if price is not None and currency and price.currency != currency:
            reasons.append(f"{turn} bills in {price.currency} and not in {currency}")
            parts += _unknown(sample, turn)
            continue
        if price is None:
            reasons.append(_no_price(turn))
            parts += _unknown(sample, turn)
            continue
        currency, first = price.currency, first or price
        statuses.append(price.status)
        found, why = _parts_of(sample, price, service, reading.region)
        parts += found
        reasons += why
    found, why = _pieces(reading.units, first, provider, name)
    parts += found
    reasons += why
    order = dict.fromkeys(reasons)
    return _Bill(tuple(parts), currency or book.currency, tuple(statuses), tuple(order))


def _before_a_fallback(
    samples: tuple[Sample, ...], provider: str, model: str, asked: str | None
) -> str:
    """Return the model of the turns that name none."""
    others = [s.model for s in samples if s.model and not s.is_main]
    is_fallback = any(qualified(provider, other) == model for other in others)
    return qualified(provider, asked) if asked and is_fallback else model


def _model_of(sample: Sample, provider: str, own: str) -> str:
    """Return the qualified model of a turn, empty where nobody names it."""
    if sample.model:
        return qualified(provider, sample.model)
    return own if sample.is_main else ""


def _no_price(model: str) -> str:
    if not model:
        return "a turn of another model does not name it"
    return f"no price is known for the model {model}"


def _counted(sample: Sample) -> Iterator[tuple[str, int]]:
    """Return the buckets with tokens in them; of a turn without any, the two that every call has."""
    found = [(b, sample.counts.get(b, 0)) for b in (*PROMPT_BUCKETS, *ANSWER_BUCKETS)]
    used = [(bucket, tokens) for bucket, tokens in found if tokens]
    yield from used or [(INPUT, 0), (OUTPUT, 0)]


def _unknown(sample: Sample, model: str) -> list[PricedPart]:
    return [PricedPart(bucket, n, None, None, model, None) for bucket, n in _counted(sample)]


def _parts_of(
    sample: Sample, price: Price, service: str, region: str | None
) -> tuple[list[PricedPart], list[str]]:
    """Price one turn; a bucket without a price leaves the others priced."""
    found = price.rates_of(service, sample.prompt_tokens)
    if found is None:
        return _unknown(sample, price.model), [f"{price.model} has no known price for {service}"]
    factor = Decimal(1)
    if region is not None and not price.is_free_of_services:
        if region not in price.regions:
            why = f"{price.model} has no known price for inference in {region}"
            return _unknown(sample, price.model), [why]
        factor = price.regions[region]
    rates, place = found
    parts: list[PricedPart] = []
    reasons: list[str] = []
    for bucket, tokens in _counted(sample):
        rate = price.rate(bucket, rates) if tokens or not price.is_by_second else Decimal(0)
        if rate is None:
            reasons.append(f"{price.model} has no known price for {bucket}")
            parts.append(PricedPart(bucket, tokens, None, None, price.model, None))
            continue
        unit = rate * factor
        line = f"{price.id}{place}" if region is None else f"{price.id}{place}@{region}"
        parts.append(PricedPart(bucket, tokens, unit, tokens * unit, price.model, line))
    return parts, reasons


def _pieces(
    units: Mapping[str, int], price: Price | None, provider: str, model: str
) -> tuple[list[PricedPart], list[str]]:
    """Price what is billed by the piece."""
    parts: list[PricedPart] = []
    reasons: list[str] = []
    for unit, pieces in units.items():
        rate = price.units.get(unit) if price is not None else None
        is_covered = rate is None and price is not None and price.is_free_of_services
        if price is not None and (is_covered or (provider, unit) in FREE_UNITS):
            rate = Decimal(0)
        if price is None or rate is None:
            reasons.append(f"no price is known for {unit} with {model}")
            parts.append(PricedPart(unit, pieces, None, None, model, None))
        else:
            parts.append(PricedPart(unit, pieces, rate, pieces * rate, model, price.id))
    return parts, reasons


def _call(bill: _Bill, usage: Usage, service: str) -> PricedCall:
    """Add up a bill."""
    known = [part.amount for part in bill.parts if part.amount is not None]
    total = sum(known, Decimal(0))
    is_whole = len(known) == len(bill.parts)
    if total > MAX_COST:
        # A price per token typed as one per million: no budget and no column is made for this.
        fault = f"{total:,.0f} {bill.currency} is more than any call can cost; is the price right?"
        parts = tuple(replace(part, unit_price=None, amount=None) for part in bill.parts)
        return _unpriced(replace(bill, parts=parts, reasons=(fault,)), None, usage, service)
    if not is_whole:
        return _unpriced(bill, total or None, usage, service)
    status = worst_status(list(bill.statuses))
    return PricedCall(
        amount=total,
        currency=bill.currency,
        status=status,
        parts=bill.parts,
        reported=None,
        listed=total,
        reason=_why_zero(status) if total == 0 else None,
        usage=usage,
        service_tier=service,
    )


def _unpriced(bill: _Bill, known: Decimal | None, usage: Usage, service: str) -> PricedCall:
    return PricedCall(
        amount=known,
        currency=bill.currency,
        status=CostStatus.UNPRICED,
        parts=bill.parts,
        reported=None,
        listed=None,
        reason="; ".join(bill.reasons),
        usage=usage,
        service_tier=service,
    )


def _why_zero(status: CostStatus) -> str:
    if status is CostStatus.NOTIONAL:
        return "it runs on your own hardware, or a subscription covers it"
    return "the provider reported that nothing was used"
