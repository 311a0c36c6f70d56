"""Price recorded usage as if prices were others, and say what then no longer pays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import NamedTuple

from sqlalchemy.engine import Connection

from swarm.core.errors import InvalidInput
from swarm.core.money import PICO, CostStatus, from_pico, plain
from swarm.core.registry import nearest
from swarm.ledger.price_names import runs_here
from swarm.ledger.reports import sums
from swarm.ledger.reports.build import UNFRAMED, Setting, charged_in
from swarm.ledger.reports.document import (
    MarginDocument,
    PeriodDocument,
    ShockDocument,
    ShockKindDocument,
    ShockLineDocument,
)
from swarm.ledger.reports.economics import break_even, ratio
from swarm.ledger.reports.margins import Converter, Costs, costs, margin
from swarm.ledger.reports.period import Period
from swarm.ledger.reports.sums import OrderLine, provider_of
from swarm.ledger.reports.tally import Tally

LLM, HOSTING, FOUNDER = "llm", "hosting", "founder"
MOST = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Factors:
    """By what prices are multiplied; a provider's own factor goes before that of all models."""

    llm: Decimal = Decimal(1)
    hosting: Decimal = Decimal(1)
    founder: Decimal = Decimal(1)
    providers: Mapping[str, Decimal] | None = None

    def of(self, model: str) -> Decimal:
        """Return the factor of a model; own hardware has no price per token, so it keeps its own."""
        provider = provider_of(model)
        if self.providers and provider in self.providers:
            return self.providers[provider]
        return Decimal(1) if runs_here(model) else self.llm

    def shown(self) -> dict[str, str]:
        """Return what was asked for, by name."""
        named = {LLM: self.llm, HOSTING: self.hosting, FOUNDER: self.founder}
        changed = {name: factor for name, factor in named.items() if factor != 1}
        return {name: plain(f) for name, f in (changed | dict(self.providers or {})).items()}


def parse(text: str, *, providers: Iterable[str]) -> Factors:
    """Read `llm=10,hosting=1.4,openai=2`.

    Args:
        text: Names and factors; a factor is a number from 0 to 1,000,000.
        providers: Those that were asked for anything, so that a slip is noticed.

    Raises:
        InvalidInput: No factor, an unknown name, the same twice.
    """
    known = {LLM, HOSTING, FOUNDER, *providers}
    factors: dict[str, Decimal] = {}
    for item in text.split(","):
        name, sign, number = (part.strip() for part in item.partition("="))
        if not name or not sign:
            raise InvalidInput(f"--price-shock {item.strip()!r}: write a factor, as in llm=10.")
        if name in factors:
            raise InvalidInput(f"--price-shock says {name} twice; keep one of them.")
        if name not in known:
            raise InvalidInput(
                f"--price-shock: nothing was paid to {name!r}{nearest(name, known)}."
            )
        factors[name] = _factor(name, number)
    named = {name: factors.pop(name, Decimal(1)) for name in (LLM, HOSTING, FOUNDER)}
    return Factors(**named, providers=factors)


def _factor(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= MOST:
        raise InvalidInput(
            f"--price-shock {name}={text}: write a number from 0 to {MOST:,}, as in {name}=1.4."
        )
    return value


class _Key(NamedTuple):
    name: str
    currency: str


@dataclass(slots=True)
class _Sum:
    """Costs before and after, in 1e-12 parts; `then` keeps what a factor leaves below one."""

    now: int = 0
    then: Decimal = Decimal(0)
    orders: int = 0
    is_bound: bool = False
    last: str = ""

    def add(self, line: OrderLine, then: Decimal) -> None:
        """Count what one order cost at one model."""
        self.now += line.cost_pico
        self.then += then
        self.is_bound = self.is_bound or line.cost_status == CostStatus.UNPRICED.value
        if line.order_id != self.last:
            self.orders, self.last = self.orders + 1, line.order_id


def shocked(
    connection: Connection, period: Period, setting: Setting, factors: Factors, *, limit: int
) -> ShockDocument:
    """Price what was used at other prices.

    Args:
        connection: Only read from.
        period: Orders count that began in it, with all their calls.
        setting: Prices and rates, and what the period took of machines and of the founder.
        factors: By what prices are multiplied. Usage stays what it was: nobody would use the same
            at ten times the price, so this is the bill before anybody reacts.
        limit: The most orders that are listed.
    """
    totals: dict[_Key, _Sum] = {}
    providers: dict[_Key, _Sum] = {}
    kinds: dict[_Key, _Sum] = {}
    orders: dict[_Key, _Sum] = {}
    accepted: dict[str, set[str]] = {}
    by_model: dict[str, Decimal] = {}
    for line in sums.order_lines(connection, until=period.end, since=period.start):
        if line.model not in by_model:
            by_model[line.model] = factors.of(line.model)
        then, kind = line.cost_pico * by_model[line.model], line.kind or UNFRAMED
        for groups, name in (
            (totals, "all"),
            (providers, line.provider),
            (kinds, kind),
            (orders, line.order_id),
        ):
            groups.setdefault(_Key(name, line.currency), _Sum()).add(line, then)
        if line.is_accepted:
            accepted.setdefault(kind, set()).add(line.order_id)
    listed = sorted(orders.items(), key=lambda item: (-item[1].then, item[0]))
    return ShockDocument(
        period=PeriodDocument(first=period.first, last=period.last, days=period.days),
        factors=factors.shown(),
        totals=_lines(totals),
        by_provider=_lines(providers),
        by_kind=_lines(kinds),
        kinds=_kinds(kinds, {k: len(v) for k, v in accepted.items()}, setting),
        margins=_margins(connection, period, setting, factors),
        orders=[_line(key, of) for key, of in listed[:limit]],
        orders_left_out=max(len(listed) - limit, 0),
        notes=_notes(setting, totals),
    )


def _lines(groups: Mapping[_Key, _Sum]) -> list[ShockLineDocument]:
    return [_line(key, of) for key, of in sorted(groups.items())]


def _line(key: _Key, of: _Sum) -> ShockLineDocument:
    now, then = from_pico(of.now), _exact(of.then)
    return ShockLineDocument(
        name=key.name,
        currency=key.currency,
        orders=of.orders,
        now=now,
        then=then,
        factor=ratio(then, now, digits=6),
        is_lower_bound=of.is_bound,
    )


def _exact(pico: Decimal) -> Decimal:
    return pico.quantize(Decimal(1), ROUND_HALF_EVEN).scaleb(-12)


def _kinds(
    groups: Mapping[_Key, _Sum], accepted: Mapping[str, int], setting: Setting
) -> list[ShockKindDocument]:
    """Hold each kind with a price against its model calls, before and after."""
    found = []
    for kind, price in sorted(setting.config.price_per_order.items()):
        of_kind = {key: of for key, of in groups.items() if key.name == kind}
        if not of_kind:
            continue
        now, then = _converted(of_kind, setting.converter)
        revenue = price * accepted.get(kind, 0)
        found.append(
            ShockKindDocument(
                kind=kind,
                currency=setting.currency,
                revenue=revenue,
                now=now,
                then=then,
                break_even=break_even(revenue=revenue, cost=now, model_cost=now),
                pays_now=revenue >= now,
                pays_then=revenue >= then,
            )
        )
    return found


def _converted(groups: Mapping[_Key, _Sum], converter: Converter) -> tuple[Decimal, Decimal]:
    now = converter.sum_of((key.currency, from_pico(of.now)) for key, of in groups.items())
    then = converter.sum_of((key.currency, _exact(of.then)) for key, of in groups.items())
    return now, then


def _margins(
    connection: Connection, period: Period, setting: Setting, factors: Factors
) -> list[MarginDocument]:
    """Return the instance's margin before and after, where it has a price."""
    found = []
    for name, used in ((setting.company, Factors()), (f"{setting.company}, then", factors)):
        spent = _costs(charged_in(connection, period), period, setting, used)
        line = margin(name, spent, config=setting.config, period=period, currency=setting.currency)
        found += [line] if line else []
    return found


def _costs(
    by_model: Mapping[str, Tally], period: Period, setting: Setting, factors: Factors
) -> Costs:
    """Add up what a period costs at other prices; a subscription follows its provider's factor."""
    models, is_whole = Decimal(0), True
    rest: Costs | None = None
    for model, tally in (by_model or {"": Tally()}).items():
        rest = costs(
            tally,
            converter=setting.converter,
            config=setting.config,
            period=period,
            founder=setting.founder,
            hosting=setting.hosting,
        )
        models += rest.models * factors.of(model)
        is_whole = is_whole and rest.is_whole
    assert rest is not None
    fees = setting.config.subscriptions.items()
    monthly = sum((fee * factors.of(f"{provider}/") for provider, fee in fees), Decimal(0))
    return Costs(
        models=models.quantize(PICO, ROUND_HALF_EVEN),
        subscriptions=(monthly * period.months).quantize(PICO, ROUND_HALF_EVEN),
        hosting=(rest.hosting * factors.hosting).quantize(PICO, ROUND_HALF_EVEN),
        founder=(rest.founder * factors.founder).quantize(PICO, ROUND_HALF_EVEN),
        is_whole=is_whole,
    )


def _notes(setting: Setting, totals: Mapping[_Key, _Sum]) -> list[str]:
    notes = ["Usage stays what it was: this is the bill before anybody reacts to it."]
    if any(of.is_bound for of in totals.values()):
        notes.append("Calls without a price stay without one: these totals are lower bounds.")
    if not setting.config.price_per_order:
        notes.append(
            "Which kinds of order stop paying is not known: set report.price_per_order, "
            "such as `software: 300`, to what an accepted one earns."
        )
    return notes
