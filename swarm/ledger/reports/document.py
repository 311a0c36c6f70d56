"""A report as programs see it: amounts are decimal texts with a currency beside them."""

from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

from swarm.core.money import CostStatus, plain

# Plain values, not models: we make them ourselves, and two dozen models would take a tenth of a
# second to define, each time that a command starts.


@dataclass(frozen=True, kw_only=True)
class PeriodDocument:
    """Whole days in UTC, both ends in it."""

    first: date
    last: date
    days: int


@dataclass(frozen=True, kw_only=True)
class SumDocument:
    """Costs in one currency; currencies are never added to each other."""

    currency: str
    amount: Decimal
    """`paid` and `notional` together; a lower bound where the status is `unpriced`."""
    paid: Decimal
    notional: Decimal
    """At list price, for what a subscription or own hardware covers: nothing is owed for it."""
    status: CostStatus
    unpriced_calls: int


@dataclass(frozen=True, kw_only=True)
class LineDocument:
    """One line of a breakdown: a role, a model, a kind of order or a day.

    Buckets of tokens do not overlap; `prompt_tokens` is their sum without the output.
    """

    name: str
    calls: int
    sums: list[SumDocument]
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    audio_tokens: int
    tool_tokens: int
    output_tokens: int
    accepted: int | None = None
    """Orders of that kind which were accepted in the period."""

    @property
    def prompt_tokens(self) -> int:
        """Return the size of all prompts."""
        written = self.cache_write_tokens + self.cache_write_1h_tokens
        added = self.audio_tokens + self.tool_tokens
        return self.input_tokens + self.cache_read_tokens + written + added


@dataclass(frozen=True, kw_only=True)
class ShareDocument:
    """A part of the model calls: work done again, or attempts without a usable answer."""

    calls: int
    sums: list[SumDocument]
    share: list["CurrencyShare"]
    """Of all that model calls cost, by currency."""


@dataclass(frozen=True, kw_only=True)
class CurrencyShare:
    """A share of what was spent in one currency, 0 to 1; null where nothing was."""

    currency: str
    share: Decimal | None


@dataclass(frozen=True, kw_only=True)
class OrdersDocument:
    """Orders by what became of them."""

    begun: int
    delivered: int
    accepted: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class FounderDocument:
    """What the period took of the founder's time."""

    seconds: Decimal
    touches: int
    decisions: int
    decisions_per_order: Decimal | None
    """Over the orders that began in the period."""
    options_shown: int
    options_refused: int
    reversals: int
    amount: Decimal | None
    """At the rate per hour; null without a rate."""
    currency: str | None
    rule: str


@dataclass(frozen=True, kw_only=True)
class HostingDocument:
    """What the machines of the period cost."""

    amount: Decimal | None
    currency: str | None
    idle: Decimal | None
    """The part of it in which no task ran."""
    status: CostStatus
    note: str


@dataclass(frozen=True, kw_only=True)
class FarmSeatDocument:
    """What one instance of this home's farm cost in the period."""

    instance: str
    owner: str
    amount: Decimal | None
    currency: str | None
    tax: str | None
    status: CostStatus
    per_day: Decimal | None
    """While it exists as it is now."""
    is_there: bool


@dataclass(frozen=True, kw_only=True)
class FarmIdleDocument:
    """What a machine cost beside the instances on it."""

    host: str
    amount: Decimal
    of: Decimal
    share: Decimal
    """The part that stood idle, 0 to 1."""
    currency: str


@dataclass(frozen=True, kw_only=True)
class FarmTotalDocument:
    """All of it in one currency."""

    amount: Decimal
    currency: str
    tax: str


@dataclass(frozen=True, kw_only=True)
class FarmDocument:
    """What the instances of this home's farm cost in the period: beside its own orders' costs."""

    seats: list[FarmSeatDocument]
    idle: list[FarmIdleDocument]
    totals: list[FarmTotalDocument]
    status: CostStatus
    is_at_least: bool


@dataclass(frozen=True, kw_only=True)
class UnitDocument:
    """What one accepted order cost, in one currency."""

    currency: str
    amount: Decimal
    model: Decimal
    hosting: Decimal
    founder: Decimal
    is_lower_bound: bool


@dataclass(frozen=True, kw_only=True)
class MarginDocument:
    """What one instance left over in the period, in the company's currency."""

    instance: str
    revenue: Decimal
    cost: Decimal
    margin: Decimal
    share: Decimal | None
    """Of the revenue."""
    currency: str
    is_upper_bound: bool
    """True where some cost is not known: the margin is at most this."""
    break_even: Decimal | None
    """k*: the factor on model prices that ends the profit."""


@dataclass(frozen=True, kw_only=True)
class KindMarginDocument:
    """What orders of one kind left over, at the price set for an accepted one."""

    kind: str
    accepted: int
    revenue: Decimal
    cost: Decimal
    margin: Decimal
    currency: str
    break_even: Decimal | None
    pays: bool


@dataclass(frozen=True, kw_only=True)
class CurvePointDocument:
    """Orders first to last of a kind, counted in the sequence in which they came."""

    first: int
    last: int
    looked_at: int
    """Of them, spread evenly: all of the first 64, then 32 for each doubling."""
    mean: Decimal
    accepted_share: Decimal
    cached_share: Decimal | None
    """Of the prompt's tokens, how many were read from a cache."""
    fitted: Decimal | None


@dataclass(frozen=True, kw_only=True)
class CurveDocument:
    """The marginal cost of one kind of order: c_n = floor + extra * n^-exponent."""

    kind: str
    currency: str
    orders: int
    """All of the kind so far."""
    left_out: int
    """Of those looked at: their cost is not known whole, or is in several currencies."""
    floor: Decimal | None
    extra: Decimal | None
    exponent: Decimal | None
    r_squared: Decimal | None
    points: list[CurvePointDocument]
    note: str


@dataclass(frozen=True, kw_only=True)
class ProviderShareDocument:
    """One provider's part of the usage at list price."""

    provider: str
    listed: Decimal
    paid: Decimal
    share: Decimal | None
    factor: Decimal | None
    """List price over what was paid; null where nothing was paid."""


@dataclass(frozen=True, kw_only=True)
class ExposureDocument:
    """How much of the usage somebody else pays for, in one currency."""

    currency: str
    listed: Decimal
    paid: Decimal
    factor: Decimal | None
    concentration: Decimal | None
    """Herfindahl-Hirschman index of the providers' shares: 1 is one provider alone."""
    unpriced_calls: int
    providers: list[ProviderShareDocument]


@dataclass(frozen=True, kw_only=True)
class ReportDocument:
    """A period, whole."""

    company: str
    period: PeriodDocument
    is_empty: bool
    currency: str
    """The company's."""
    orders: OrdersDocument
    calls: int
    unanswered_intents: int
    models: list[SumDocument]
    founder: FounderDocument | None
    hosting: HostingDocument | None
    per_accepted_order: list[UnitDocument]
    rework: ShareDocument
    failed_attempts: ShareDocument
    by_role: list[LineDocument]
    by_model: list[LineDocument]
    by_kind: list[LineDocument]
    by_day: list[LineDocument]
    margins: list[MarginDocument]
    kind_margins: list[KindMarginDocument]
    curves: list[CurveDocument]
    exposure: list[ExposureDocument]
    farm: FarmDocument | None = None
    """Null where this home never ran a farm."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ShockLineDocument:
    """Costs before and after, in one currency."""

    name: str
    currency: str
    orders: int
    now: Decimal
    then: Decimal
    factor: Decimal | None
    is_lower_bound: bool


@dataclass(frozen=True, kw_only=True)
class ShockKindDocument:
    """A kind of order with a price: whether it pays, before and after."""

    kind: str
    currency: str
    revenue: Decimal
    now: Decimal
    then: Decimal
    break_even: Decimal | None
    pays_now: bool
    pays_then: bool


@dataclass(frozen=True, kw_only=True)
class ShockDocument:
    """Recorded usage at other prices."""

    period: PeriodDocument
    factors: dict[str, str]
    totals: list[ShockLineDocument]
    by_provider: list[ShockLineDocument]
    by_kind: list[ShockLineDocument]
    kinds: list[ShockKindDocument]
    margins: list[MarginDocument]
    orders: list[ShockLineDocument]
    """The orders that began in the period, those first that would cost the most."""
    orders_left_out: int
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RepricedLineDocument:
    """What calls cost by the books of their day, and by another one."""

    name: str
    calls: int
    now: Decimal
    currency: str
    then: Decimal
    currency_then: str
    factor: Decimal | None
    """None where the currencies differ, or nothing was charged."""
    unpriced_now: int
    unpriced_then: int


@dataclass(frozen=True, kw_only=True)
class RepricedDocument:
    """Recorded usage by another price book."""

    period: PeriodDocument
    book: str
    by_model: list[RepricedLineDocument]
    by_kind: list[RepricedLineDocument]
    orders: list[RepricedLineDocument]
    """Those first that differ most."""
    orders_left_out: int


def as_json(value: Any) -> Any:
    """Turn a document into what JSON knows: amounts as decimal texts, days as ISO-8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


def plain_decimal(value: float, *, digits: int = 3) -> Decimal:
    """Turn a statistic into a decimal of so many significant digits."""
    return Decimal(f"{value:.{digits}g}")
