"""What the machine cost for an order, and for a stretch of time: the answer for receipts and reports.

The time is cut where a calendar month ends and where the terms changed. Of each piece the bill is
the month's price, by the second, times the company's share; it is divided by what each task used
(`partition`). Direct is a task's own part. Full adds its part of the idle time of the same piece,
so it settles only when the month is over: until then it says "so far".

A provider's own bill rounds hours up and counts a month begun late by the hour up to its cap; that
is `billing.bill`. Here a second costs the same whenever it is asked, so that a receipt stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso, parse_iso
from swarm.core.money import CostStatus, Money, from_pico, worst_status
from swarm.ledger.hosting.partition import Capacity, Parts, Use, partition
from swarm.ledger.hosting.queries import ACROSS, INSIDE, RAN
from swarm.ledger.hosting.terms import HOUR_S, UNSET, Terms
from swarm.store.prepared import Prepared
from swarm.store.tables import hosting_events, hosting_usage

Whose = tuple[str, str | None]
"""An order and its task; None is the order's own steps."""

_OTHERS: Whose = ("", None)
LONGEST_ROW = timedelta(hours=3)
"""No row spans more; rows are begun anew every hour."""
NOT_METERED = "nothing of this order was metered"
NOTHING = "nothing was metered in this time"
SO_FAR = "the idle part is as of now and settles at the end of the month"
_KIB_OF_GIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HostingShare:
    """What an order cost in hosting."""

    direct: Money | None
    """Its own part; None where nothing is priced."""
    full: Money | None
    """With its part of the idle time."""
    status: CostStatus
    note: str
    cpu_s: Decimal = Decimal(0)
    memory_mib_s: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class TaskShare:
    """What one task, or an order's own steps, cost in a period."""

    order_id: str
    task_id: str | None
    direct: Money | None
    full: Money | None
    cpu_s: Decimal
    memory_mib_s: Decimal


@dataclass(frozen=True, slots=True)
class HostingPeriod:
    """A period's bill, divided: tasks' direct parts + `idle` = `bill` = tasks' full parts + `unborne`."""

    start: datetime
    end: datetime
    bill: Money | None
    idle: Money | None
    unborne: Money | None
    """Idle of stretches in which nobody worked."""
    tasks: tuple[TaskShare, ...]
    status: CostStatus
    note: str
    idle_cpu_s: Decimal = Decimal(0)
    idle_memory_mib_s: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch within one calendar month with the same terms."""

    start: datetime
    end: datetime
    terms: Terms | None


@dataclass(slots=True)
class _Divided:
    """One piece, divided."""

    piece: _Piece
    uses: dict[Whose, Use]
    own: dict[Whose, Use]
    """What was used, without what is kept for tasks."""
    idle_use: Use
    amount: int | None
    parts: Parts[Whose] | None
    is_billed: bool


@dataclass(slots=True)
class _Sums:
    """Amounts by currency, and how sure they are."""

    direct: dict[str, int] = field(default_factory=dict)
    full: dict[str, int] = field(default_factory=dict)
    statuses: list[CostStatus] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, currency: str, direct: int, full: int) -> None:
        self.direct[currency] = self.direct.get(currency, 0) + direct
        self.full[currency] = self.full.get(currency, 0) + full


def hosting_of_order(
    connection: Connection,
    order_id: str,
    *,
    now: datetime | None = None,
    terms: Terms | None = None,
) -> HostingShare:
    """Return what an order cost in hosting, direct and with its part of the idle time.

    Args:
        connection: To the company's database.
        order_id: Which order.
        now: End of the month begun; None takes the last moment on the books.
        terms: Price all by these instead of those of their time.
    """
    spans = _SPANS.one(connection, {"of_order": order_id})
    if spans[0] is None:
        return HostingShare(None, None, CostStatus.UNPRICED, NOT_METERED)
    start, end = _month_start(parse_iso(spans[0])), _next_month(parse_iso(spans[1]))
    edge = now or _last_moment(connection)
    sums, used = _Sums(), Use(0, 0)
    until = max(min(end, edge), parse_iso(spans[1]))
    for divided in _divide_all(connection, start, until, terms, only=order_id):
        mine = [whose for whose in divided.uses if whose[0] == order_id]
        if not mine:
            continue
        used = _plus(used, *(divided.own[whose] for whose in mine))
        _count(sums, divided, mine)
    if edge < end:
        sums.notes.append(SO_FAR)
    currency = _one_currency(sums)
    return HostingShare(
        _money(sums.direct, currency), _money(sums.full, currency), worst_status(sums.statuses),
        "; ".join(dict.fromkeys(sums.notes)), *_seconds(used),
    )  # fmt: skip


def hosting_of_period(
    connection: Connection, start: datetime, end: datetime, *, terms: Terms | None = None
) -> HostingPeriod:
    """Return a period's bill with every task's part and the idle part.

    Args:
        connection: To the company's database.
        start: Aware; the first moment.
        end: Aware; the moment after the last.
        terms: Price all by these instead of those of their time.
    """
    sums, bill = _Sums(), _Sums()
    uses: dict[Whose, Use] = {}
    direct: dict[Whose, int] = {}
    full: dict[Whose, int] = {}
    idle_use = Use(0, 0)
    for divided in _divide_all(connection, start, end, terms):
        idle_use = _plus(idle_use, divided.idle_use)
        for whose, use in divided.own.items():
            uses[whose] = _plus(uses[whose], use) if whose in uses else use
        _count(sums, divided, list(divided.uses))
        if divided.amount is None or divided.parts is None or divided.piece.terms is None:
            continue
        bill.add(divided.piece.terms.currency, divided.amount, divided.amount)
        for whose in divided.uses:
            direct[whose] = direct.get(whose, 0) + divided.parts.direct[whose]
            full[whose] = full.get(whose, 0) + divided.parts.full[whose]
    # With two currencies there is no sum at all, and none of these amounts is shown.
    currency = _one_currency(bill)
    sums.statuses += bill.statuses
    sums.notes += bill.notes
    if not sums.statuses:
        sums.statuses.append(CostStatus.UNPRICED)
        sums.notes.append(NOTHING)
    tasks = tuple(
        TaskShare(
            *whose, _pico(direct.get(whose), currency), _pico(full.get(whose), currency),
            *_seconds(uses[whose]),
        )
        for whose in sorted(uses, key=lambda w: (w[0], w[1] or ""))
    )  # fmt: skip
    return HostingPeriod(
        start, end, _money(bill.direct, currency),
        _left(bill, sums.direct, currency), _left(bill, sums.full, currency), tasks,
        worst_status(sums.statuses), "; ".join(dict.fromkeys(sums.notes)), *_seconds(idle_use),
    )  # fmt: skip


def _pico(amount: int | None, currency: str | None) -> Money | None:
    return None if amount is None or currency is None else Money(from_pico(amount), currency)


def _left(bill: _Sums, parts: dict[str, int], currency: str | None) -> Money | None:
    if currency is None or currency not in bill.direct:
        return None
    return Money(from_pico(bill.direct[currency] - parts.get(currency, 0)), currency)


def _count(sums: _Sums, divided: _Divided, whose: Sequence[Whose]) -> None:
    """Add some parts of a divided piece to the sums, with what is to be said of them."""
    terms = divided.piece.terms
    if divided.parts is None or terms is None:
        if divided.is_billed or divided.uses:
            sums.statuses.append(CostStatus.UNPRICED)
            sums.notes.append(UNSET if terms is None or not terms.reason else terms.reason)
        return
    if divided.is_billed:
        sums.statuses.append(terms.status)
    sums.add(
        terms.currency,
        sum(divided.parts.direct[w] for w in whose),
        sum(divided.parts.full[w] for w in whose),
    )


def _one_currency(sums: _Sums) -> str | None:
    """Return the currency of the sums; where there are two, none is right for both."""
    if len(sums.direct) > 1:
        sums.notes.append(f"priced in {' and '.join(sorted(sums.direct))}, which are never added")
        sums.statuses.append(CostStatus.UNPRICED)
        return None
    return next(iter(sums.direct), None)


def _money(amounts: dict[str, int], currency: str | None) -> Money | None:
    return None if currency is None else Money(from_pico(amounts.get(currency, 0)), currency)


# Pieces of time, and what was used in them.


def _divide_all(
    connection: Connection,
    start: datetime,
    end: datetime,
    terms: Terms | None,
    *,
    only: str | None = None,
) -> Iterator[_Divided]:
    """Divide each piece; with `only` an order, all others are taken as one, which is quicker."""
    for piece in _pieces(connection, start, end, terms):
        yield _divide(connection, piece, only)


def _pieces(
    connection: Connection, start: datetime, end: datetime, terms: Terms | None
) -> Iterator[_Piece]:
    known = [(start, terms)] if terms is not None else _known_terms(connection, start, end)
    changes = [at for at, _ in known]
    month = start
    while month < end:
        month_end = min(_next_month(month), end)
        edges = sorted({month, *(at for at in changes if month < at < month_end)})
        for begins_at, ends_at in zip(edges, [*edges[1:], month_end], strict=True):
            held = [value for at, value in known if at <= begins_at]
            yield _Piece(begins_at, ends_at, held[-1] if held else None)
        month = month_end


def _known_terms(
    connection: Connection, start: datetime, end: datetime
) -> list[tuple[datetime, Terms]]:
    """Return which terms hold from when; a later word about a time goes before an earlier one."""
    said: list[Terms] = []
    texts: dict[str, Terms] = {}
    for (text,) in _TERMS.all(connection, {}):
        found = (
            texts.setdefault(text, Terms.model_validate_json(text))
            if text not in texts
            else texts[text]
        )
        said = [old for old in said if old.valid_from < found.valid_from]
        if said and _same(said[-1], found):
            continue
        said.append(found)
    return [(max(t.valid_from, start), t) for t in said if t.valid_from < end]


def _same(old: Terms, new: Terms) -> bool:
    return old.model_copy(update={"valid_from": new.valid_from}) == new


def _divide(connection: Connection, piece: _Piece, only: str | None) -> _Divided:
    terms = piece.terms
    own, kept, idle = _uses(connection, piece, only)
    billed_s = _billed_seconds(connection, piece)
    price = None if terms is None else _per_second(terms, piece.start)
    if terms is None or price is None or terms.status is CostStatus.UNPRICED:
        return _Divided(piece, kept, own, idle, None, None, billed_s > 0)
    amount = round(price * billed_s)
    capacity = Capacity(
        cpu_us=int(Fraction(terms.cpus) * Fraction(terms.share) * billed_s * 10**6),
        memory_kib_ms=int(
            Fraction(terms.memory_gib) * Fraction(terms.share) * billed_s * 1000 * _KIB_OF_GIB
        ),
        cpu_part=terms.cpu_part,
    )
    return _Divided(piece, kept, own, idle, amount, partition(amount, kept, capacity), billed_s > 0)


def _per_second(terms: Terms, at: datetime) -> Fraction | None:
    """Return what a second of the company's share costs, in 1e-12 parts."""
    share = Fraction(terms.share) * 10**12
    if terms.month_price is not None:
        return Fraction(terms.month_price) * share / _month_seconds(at)
    return None if terms.hour_price is None else Fraction(terms.hour_price) * share / HOUR_S


def _billed_seconds(connection: Connection, piece: _Piece) -> Fraction:
    """Return how much of a piece costs: all of it, or the time in which the company ran."""
    if piece.terms is None:
        return Fraction(0)
    if piece.terms.is_always:
        return _between(piece.start, piece.end)
    rows = RAN.all(connection, _bounds(piece))
    total, reached = Fraction(0), piece.start
    for row in rows:
        begins_at = max(parse_iso(row.started_at), reached)
        ends_at = min(parse_iso(row.ended_at), piece.end)
        if ends_at > begins_at:
            total += _between(begins_at, ends_at)
            reached = ends_at
    return total


def _uses(
    connection: Connection, piece: _Piece, only: str | None
) -> tuple[dict[Whose, Use], dict[Whose, Use], Use]:
    """Return what each used, what each is charged for (used, or kept if more), and the idle use."""
    terms = piece.terms
    bounds = _bounds(piece) | {
        "kept_cpu": 0.0 if terms is None else float(terms.task_cpus) * 1000,
        "kept_memory": 0 if terms is None else terms.task_memory_mib * 1024,
    }
    own: dict[Whose, Use] = {}
    kept: dict[Whose, Use] = {}
    idle = Use(0, 0)

    def take(whose: tuple[str | None, str | None], used: Use, charged: Use) -> None:
        nonlocal idle
        order_id, task_id = whose
        if order_id is None:
            idle = _plus(idle, used)
            return
        key = (order_id, task_id) if only in (None, order_id) else _OTHERS
        own[key] = _plus(own[key], used) if key in own else used
        kept[key] = _plus(kept[key], charged) if key in kept else charged

    is_kept = terms is not None and bool(terms.task_cpus or terms.task_memory_mib)
    inside = INSIDE[only is not None, is_kept]
    for order_id, task_id, *sums in inside.all(connection, bounds | {"only": only}):
        counts = list(map(int, sums))
        take((order_id, task_id), Use(*counts[:2]), Use(*counts[-2:]))
    for row in ACROSS.all(connection, bounds):
        part = _part(row, piece)
        used = Use(round(row.cpu * part), round(row.memory * part))
        charged = Use(round(row.kept_cpu * part), round(row.kept_memory * part))
        take((row.order_id, row.task_id), used, charged)
    return own, kept, idle


def _part(row: Any, piece: _Piece) -> Fraction:
    """Return how much of a row lies in a piece."""
    begins_at, ends_at = parse_iso(row.started_at), parse_iso(row.ended_at)
    inside = _between(max(begins_at, piece.start), min(ends_at, piece.end))
    return inside / _between(begins_at, ends_at)


def _bounds(piece: _Piece) -> dict[str, object]:
    return {
        "a": iso(piece.start),
        "b": iso(piece.end),
        "early": iso(piece.start - LONGEST_ROW),
        "late": iso(piece.end - LONGEST_ROW),
    }


def _plus(first: Use, *others: Use) -> Use:
    cpu_us, memory_kib_ms = first
    for other in others:
        cpu_us += other[0]
        memory_kib_ms += other[1]
    return Use(cpu_us, memory_kib_ms)


def _seconds(use: Use) -> tuple[Decimal, Decimal]:
    """Return CPU seconds and MiB-seconds."""
    return Decimal(use.cpu_us) / 10**6, (Decimal(use.memory_kib_ms) / 1_024_000).quantize(
        Decimal("1e-3")
    )


def _between(start: datetime, end: datetime) -> Fraction:
    return Fraction((end - start) // timedelta(microseconds=1), 10**6)


def _last_moment(connection: Connection) -> datetime:
    """Return up to when the books go."""
    found = [query.scalar(connection, {}) for query in (_LAST_USE, _LAST_EVENT)]
    return max(parse_iso(text) for text in found if text is not None)


_SPANS = Prepared(
    sa.select(sa.func.min(hosting_usage.c.started_at), sa.func.max(hosting_usage.c.ended_at)).where(
        hosting_usage.c.order_id == sa.bindparam("of_order")
    )
)
_TERMS = Prepared(
    sa.select(hosting_events.c.terms)
    .where(hosting_events.c.terms.is_not(None))
    .order_by(hosting_events.c.at, hosting_events.c.id)
)
_LAST_USE = Prepared(
    sa.select(hosting_usage.c.ended_at).order_by(hosting_usage.c.started_at.desc()).limit(1)
)
_LAST_EVENT = Prepared(sa.select(sa.func.max(hosting_events.c.at)))


def _month_start(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, 1, tzinfo=UTC)


def _next_month(moment: datetime) -> datetime:
    return datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)


def _month_seconds(moment: datetime) -> int:
    return int((_next_month(moment) - _month_start(moment)).total_seconds())
