"""Work out the bill of rented machines from what happened to them: a pure function.

The rules, as the providers write them:

- **hetzner**: an hour begun is an hour billed; per calendar month a thing costs its hours times its
  hourly rate, at most its monthly price; a server costs the same switched off, until it is deleted.
- **scaleway**: hours of uptime, begun ones whole (large GPU types: minutes), no monthly cap; switched
  off, disks and addresses go on. An address costs at least 0.01 a month.
- **own**: the price per month that you enter, by the second of the calendar month.

Everywhere: an IPv4 address and a volume are lines of their own and outlive their server where they
are kept; the price is that of the order's day, and a rescale is a new order. Months are calendar
months in UTC; hours are rounded up per month and size. What has no price stays a line, `unpriced`,
with the reason, and the total says "at least".
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

from swarm.core.money import PICO, CostStatus, worst_status
from swarm.ledger.hosting.events import IPV4, SERVER, VOLUME, Event, Refused
from swarm.ledger.hosting.lifecycles import Life, Lives, State, live
from swarm.ledger.hosting.prices import Hole, HostPrice, HostPrices, Wanted

HOUR_S = 3600
_TIMED_BY_SIZE = ("volume", "snapshot")
"""Priced per gigabyte."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How one provider counts."""

    while_on_only: bool = False
    """True where a server that is switched off costs nothing itself."""
    rounds_up: bool = True
    """Begun hours are whole; else time is counted to the second."""
    least: Mapping[str, Decimal] = field(default_factory=dict)
    """The least that a thing of a kind costs in a month."""
    is_paid: bool = True


RULES: Mapping[str, Rules] = {
    "hetzner": Rules(),
    "scaleway": Rules(while_on_only=True, least={IPV4: Decimal("0.01")}),
    "own": Rules(rounds_up=False, is_paid=False),
}


@dataclass(frozen=True, slots=True)
class BillLine:
    """One thing, one size, one calendar month."""

    resource: str
    kind: str
    type: str | None
    location: str | None
    provider: str
    month: str
    """`2026-05`."""
    begins_at: datetime
    ends_at: datetime
    quantity: Decimal
    unit: str
    """`hour`, `minute`, `month`, `GB hour`, `GB month` or `TB`."""
    unit_price: Decimal | None
    cap: Decimal | None
    """The most that the month may cost, where there is such a price."""
    is_capped: bool
    amount: Decimal | None
    """Exact to 1e-12; None where no price is known."""
    currency: str | None
    tax: str | None
    status: CostStatus
    price_id: str | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """A sum in one currency, all net or all gross: others are never added to it."""

    amount: Decimal
    currency: str
    tax: str


@dataclass(frozen=True, slots=True)
class Bill:
    """A whole bill. With an unpriced line or a refused event the totals say "at least"."""

    lines: tuple[BillLine, ...]
    totals: tuple[Total, ...]
    status: CostStatus
    until: datetime
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_at_least(self) -> bool:
        """Say whether something is missing in the totals."""
        return any(item.may_cost for item in self.refused) or any(
            line.status is CostStatus.UNPRICED for line in self.lines
        )


def bill(
    events: Iterable[Event],
    prices: HostPrices,
    *,
    until: datetime,
    provider: str | None = None,
    refused: Sequence[Refused] = (),
    notes: Sequence[str] = (),
) -> Bill:
    """Return the bill of all that existed up to `until`.

    Args:
        events: What happened, in any order.
        prices: The list to price by; an event's own price goes before it.
        until: End of the bill; what still exists is billed up to here.
        provider: Whose rules hold for events that name no provider.
        refused: Events that could not even be read; they come back in the bill.
        notes: What the reading had to say.
    """
    found = live(events, until=until, provider=provider)
    lines: list[BillLine] = []
    for life in found.lives:
        lines += _lines_of(life, prices, until, found)
    lines += _traffic_lines(found, prices)
    lines.sort(key=lambda line: (line.month, line.kind != SERVER, line.resource, line.begins_at))
    all_refused = sorted((*refused, *found.refused), key=lambda item: item.line)
    status = worst_status([line.status for line in lines])
    if any(item.may_cost for item in all_refused):
        status = CostStatus.UNPRICED
    return Bill(
        tuple(lines), _totals(lines), status, until, tuple(all_refused), (*notes, *found.notes)
    )


def _totals(lines: Sequence[BillLine]) -> tuple[Total, ...]:
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    with localcontext() as context:
        context.prec = 60
        for line in lines:
            if line.amount is not None and line.currency and line.tax:
                sums[line.currency, line.tax] += line.amount
        return tuple(Total(sums[key], *key) for key in sorted(sums))


@dataclass(frozen=True, slots=True)
class _Span:
    begins_at: datetime
    ends_at: datetime
    state: State

    @property
    def seconds(self) -> Fraction:
        took = self.ends_at - self.begins_at
        return Fraction(took // timedelta(microseconds=1), 10**6)


def _lines_of(life: Life, prices: HostPrices, until: datetime, found: Lives) -> Iterator[BillLine]:
    rules = RULES.get(life.provider, Rules())
    sizes: dict[tuple[object, ...], list[_Span]] = defaultdict(list)
    for span in _spans(life, until, rules):
        for piece in _cut(span, _edges(life, span, prices)):
            # What is the same for the bill is one line, however often it was switched.
            found_price = _price_of(life, piece, prices, found)
            price_key = found_price if isinstance(found_price, Hole) else found_price.id
            state = piece.state
            key = (_month(piece.begins_at), state.type, state.size_gb, state.price, price_key)
            sizes[key].append(piece)
    for spans in sizes.values():
        yield _line(life, spans, _price_of(life, spans[0], prices, found), rules)


def _spans(life: Life, until: datetime, rules: Rules) -> Iterator[_Span]:
    """Return the stretches that are billed; neighbours that differ in nothing billed are joined."""
    end = min(life.ended_at or until, until)
    waits = rules.while_on_only and life.kind == SERVER
    joined: _Span | None = None
    for number, (begins_at, state) in enumerate(life.stretches):
        later = life.stretches[number + 1][0] if number + 1 < len(life.stretches) else end
        ends_at = min(later, end)
        is_moment = begins_at >= ends_at and life.ended_at != life.began_at
        if begins_at > ends_at or is_moment or (waits and not state.is_on):
            continue
        if not waits:
            state = State(
                state.type, state.location, state.size_gb, state.ordered_at, True, state.price
            )
        if joined is not None and joined.state == state and joined.ends_at == begins_at:
            joined = _Span(joined.begins_at, ends_at, state)
            continue
        if joined is not None:
            yield joined
        joined = _Span(begins_at, ends_at, state)
    if joined is not None:
        yield joined


def _edges(life: Life, span: _Span, prices: HostPrices) -> list[datetime]:
    """Return where a span must be cut: month ends, and days on which prices changed."""
    edges = []
    month = _next_month(span.begins_at)
    while month < span.ends_at:
        edges.append(month)
        month = _next_month(month)
    rows = prices.rows_for(_wanted(life, span.state)) if span.state.price is None else []
    edges += [edge for row in rows for edge in row.edges if span.begins_at < edge < span.ends_at]
    return sorted(set(edges))


def _cut(span: _Span, edges: Sequence[datetime]) -> Iterator[_Span]:
    moments = [span.begins_at, *edges, span.ends_at]
    for begins_at, ends_at in pairwise(moments):
        yield _Span(begins_at, ends_at, span.state)


def _wanted(life: Life, state: State) -> Wanted:
    type_ = state.type
    if life.kind == VOLUME and life.provider == "scaleway":
        type_ = (type_ or "block").lower().removesuffix("_ssd").removesuffix("_volume")
    if life.kind not in (SERVER, VOLUME) or (life.kind == VOLUME and life.provider == "hetzner"):
        type_ = None
    return Wanted(life.provider, life.kind, type_, state.location, state.ordered_at)


def _price_of(life: Life, span: _Span, prices: HostPrices, found: Lives) -> HostPrice | Hole:
    own = span.state.price
    if life.doubt is not None:
        return Hole(life.doubt)
    if life.provider not in RULES:
        return prices.find(_wanted(life, span.state), span.begins_at)
    if own is not None:
        return HostPrice(
            provider=life.provider, kind=life.kind, type=(span.state.type or "own price").lower(),
            hourly=own.hourly, monthly=own.monthly, currency=own.currency, tax=own.tax,
        )  # fmt: skip
    if life.kind in _TIMED_BY_SIZE and span.state.size_gb is None:
        return Hole(f"how large the {life.kind} {life.id!r} is, is not said; add size_gb")
    if life.kind == "backup":
        return _backup_price(life, span, prices, found)
    return prices.find(_wanted(life, span.state), span.begins_at)


def _backup_price(life: Life, span: _Span, prices: HostPrices, found: Lives) -> HostPrice | Hole:
    """Return the share of the server's price that its backups cost."""
    row = prices.find(_wanted(life, span.state), span.begins_at)
    server = next((s for s in found.lives if s.kind == SERVER and s.id == life.parent), None)
    if isinstance(row, Hole) or row.percent is None:
        return row if isinstance(row, Hole) else Hole("the list has no percentage for backups")
    if server is None:
        return Hole(f"the server of the backups {life.id!r} is not in the file")
    state = next(s for at, s in reversed(server.stretches) if at <= span.begins_at)
    whole = _price_of(server, _Span(span.begins_at, span.ends_at, state), prices, found)
    if isinstance(whole, Hole):
        return whole
    part = row.percent / 100
    return whole.model_copy(
        update={
            "kind": "backup",
            "hourly": None if whole.hourly is None else whole.hourly * part,
            "monthly": None if whole.monthly is None else whole.monthly * part,
        }
    )


def _line(life: Life, spans: Sequence[_Span], price: HostPrice | Hole, rules: Rules) -> BillLine:
    """Price what one thing used in one month."""
    state, first = spans[0].state, spans[0].begins_at
    unit_s = 60 if isinstance(price, HostPrice) and price.billed_per == "minute" else HOUR_S
    units = sum((_units(span, unit_s, rules) for span in spans), Fraction(0))
    blank = BillLine(
        resource=life.id, kind=life.kind, type=state.type, location=state.location,
        provider=life.provider, month=_month(first), begins_at=first, ends_at=spans[-1].ends_at,
        quantity=_decimal(units), unit="minute" if unit_s == 60 else "hour", unit_price=None,
        cap=None, is_capped=False, amount=None, currency=None, tax=None, status=CostStatus.UNPRICED,
        price_id=None,
    )  # fmt: skip
    if isinstance(price, Hole):
        return replace(blank, reason=price.reason)
    own = state.price
    is_paid = rules.is_paid if own is None or own.is_paid is None else own.is_paid
    priced = replace(
        blank,
        currency=price.currency,
        tax=price.tax,
        status=CostStatus.PAID if is_paid else CostStatus.NOTIONAL,
        price_id=price.id,
    )
    return _priced(priced, price, units * unit_s, state, rules.least.get(life.kind, Decimal(0)))


def _priced(
    line: BillLine, price: HostPrice, seconds: Fraction, state: State, least: Decimal
) -> BillLine:
    """Put the amount on a line, and how it came about."""
    is_sized = line.kind in _TIMED_BY_SIZE and state.size_gb is not None
    size = state.size_gb if is_sized and state.size_gb is not None else Decimal(1)
    amount, is_capped = _amount(price, seconds, Fraction(size), line.begins_at)
    is_raised = seconds > 0 and 0 < amount < Fraction(least)
    prefix = "GB " if is_sized else ""
    by_month = price.hourly is None
    months = seconds / _month_seconds(line.begins_at)
    return replace(
        line,
        quantity=_decimal((months if by_month else Fraction(line.quantity)) * Fraction(size)),
        unit=prefix + ("month" if by_month else line.unit),
        unit_price=price.monthly if by_month else price.hourly,
        cap=None if by_month or price.monthly is None else price.monthly * size,
        is_capped=is_capped,
        amount=least if is_raised else _decimal(amount),
        reason=f"at least {least} {price.currency} a month" if is_raised else None,
    )


def _units(span: _Span, unit_s: int, rules: Rules) -> Fraction:
    """Return the hours or minutes of a span; a thing made and deleted at once had one of them."""
    units = span.seconds / unit_s
    return Fraction(max(-(-units // 1), 1)) if rules.rounds_up else units


def _amount(
    price: HostPrice, seconds: Fraction, size: Fraction, at: datetime
) -> tuple[Fraction, bool]:
    """Return what some hours of a month cost, and whether the month's price cut it."""
    whole = None if price.monthly is None else Fraction(price.monthly) * size
    if price.hourly is None:
        assert whole is not None
        return whole * min(seconds / _month_seconds(at), Fraction(1)), False
    by_hour = Fraction(price.hourly) * seconds / HOUR_S * size
    return (whole, True) if whole is not None and by_hour > whole else (by_hour, False)


def _traffic_lines(found: Lives, prices: HostPrices) -> Iterator[BillLine]:
    """Bill what each server sent in each month beyond what is included."""
    sums: dict[tuple[str, str], list[tuple[datetime, Decimal, Life]]] = defaultdict(list)
    for sent in found.sent:
        sums[sent.server.id, _month(sent.at)].append((sent.at, sent.terabytes, sent.server))
    for (name, month), items in sums.items():
        at, _, server = min(items, key=lambda item: item[0])
        terabytes = sum((item[1] for item in items), Decimal(0))
        state = server.state
        price = _traffic_price(server, state, prices, at)
        is_known = isinstance(price, HostPrice) and price.per_unit is not None
        over = Decimal(0)
        amount: Decimal | None = None
        if isinstance(price, HostPrice) and price.per_unit is not None:
            over = max(terabytes - price.included, Decimal(0))
            amount = _decimal(Fraction(over) * Fraction(price.per_unit))
        yield BillLine(
            resource=name, kind="traffic", type=state.type, location=state.location,
            provider=server.provider, month=month, begins_at=at, ends_at=max(i[0] for i in items),
            quantity=over if is_known else terabytes, unit="TB",
            unit_price=price.per_unit if isinstance(price, HostPrice) else None,
            cap=None, is_capped=False, amount=amount,
            currency=price.currency if isinstance(price, HostPrice) else None,
            tax=price.tax if isinstance(price, HostPrice) else None,
            status=CostStatus.PAID if is_known else CostStatus.UNPRICED,
            price_id=price.id if isinstance(price, HostPrice) else None,
            reason=price.reason if isinstance(price, Hole) else None,
        )  # fmt: skip


def _traffic_price(
    server: Life, state: State, prices: HostPrices, at: datetime
) -> HostPrice | Hole:
    """Return the price of a server's traffic: of its size, else of its provider."""
    for type_ in (state.type, None):
        wanted = Wanted(server.provider, "traffic", type_, state.location, state.ordered_at)
        if prices.rows_for(wanted):
            return prices.find(wanted, at)
    return Hole(
        f"the price of traffic at {server.provider or 'an unnamed provider'} is not in {prices.name}"
    )


def _month(moment: datetime) -> str:
    return f"{moment:%Y-%m}"


def _next_month(moment: datetime) -> datetime:
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    return datetime(year, month, 1, tzinfo=UTC)


def _month_seconds(moment: datetime) -> int:
    """Return how long the calendar month of a moment is."""
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    return int((_next_month(first) - first).total_seconds())


def _decimal(value: Fraction) -> Decimal:
    """Return a fraction as a decimal, to the nearest 1e-12."""
    with localcontext() as context:
        context.prec = 60
        whole = Decimal(value.numerator) / Decimal(value.denominator)
        return whole.quantize(PICO, ROUND_HALF_EVEN).normalize() + 0
