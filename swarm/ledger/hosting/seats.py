"""What the farm's instances cost, from its journal: bills, seats and what stands idle.

The journal's rows become the events that `ledger.hosting` bills, so the sum here is the sum of
`swarm hosting bill`. A machine that several instances share is divided among them by what was kept for
each (processors and memory, for as long as each existed); the rest is idle, a line of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from swarm.core.clock import iso
from swarm.core.errors import InvalidInput
from swarm.core.money import CostStatus, from_pico, plain, to_pico, worst_status
from swarm.farm.base import DAYS_OF_A_MONTH, Action, Entry, EntryState, Kind, Price
from swarm.farm.docker.config import DockerConfig
from swarm.farm.steps import key_of, living
from swarm.ledger.hosting.billing import Bill, BillLine, Total
from swarm.ledger.hosting.billing import bill as work_out
from swarm.ledger.hosting.events import read_objects
from swarm.ledger.hosting.partition import Capacity, Use, partition
from swarm.ledger.hosting.prices import HostPrices

_VERBS = {
    Action.CREATE: "created", Action.ADOPT: "created", Action.DELETE: "deleted",
    Action.START: "on", Action.STOP: "off", Action.RESIZE: "resized",
}  # fmt: skip
_PROVIDERS = ("hetzner", "scaleway")
_FREE = (Kind.NETWORK, Kind.FIREWALL, Kind.KEY, Kind.SECRET)
_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Seat:
    """What one instance cost."""

    instance: str
    owner: str
    provider: str
    host: str | None
    amount: Decimal | None
    """Exact to 1e-12; None where nothing of it is priced."""
    currency: str | None
    tax: str | None
    status: CostStatus
    per_day: Decimal | None
    """While it exists as it is now; None where it is gone or unpriced."""
    is_there: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Idle:
    """What a machine cost beside its seats."""

    host: str
    amount: Decimal
    whole: Decimal
    currency: str
    tax: str

    @property
    def share(self) -> Decimal:
        """The part of the machine's cost that nobody used, from 0 to 1."""
        return self.amount / self.whole if self.whole else Decimal(0)


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of time; its end is not in it."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """Bills of a farm. Seats and the idle part of shared servers add up to the bill."""

    bill: Bill
    since: datetime
    until: datetime
    seats: tuple[Seat, ...]
    idle: tuple[Idle, ...]
    """Of rented servers; part of the bill."""
    machine: Idle | None
    """This home's own machine: what its seats do not use of its price, beside the bill."""


def events_of(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the events of all that costs, as `swarm hosting bill` takes them."""
    made = {
        key_of(e.intent): e for e in entries if e.intent.action in (Action.CREATE, Action.ADOPT)
    }
    return [
        _event(entry, made.get(key_of(entry.intent), entry).intent.price)
        for entry in entries
        if entry.state is EntryState.DONE and _costs(entry, made.get(key_of(entry.intent)))
    ]


def _costs(entry: Entry, made: Entry | None) -> bool:
    """Say whether a thing has a bill of its own."""
    intent = entry.intent
    if intent.kind in _FREE:
        return False
    if intent.kind is Kind.CONTAINER:
        # One on a rented server is part of that server's bill.
        return intent.parent is None and (made is None or made.intent.parent is None)
    return intent.provider in _PROVIDERS or bool(made and made.intent.price)


def _event(entry: Entry, price: Price | None) -> dict[str, Any]:
    intent = entry.intent
    is_server = intent.kind in (Kind.CONTAINER, Kind.SERVER)
    found: dict[str, Any] = {
        "at": iso(entry.ended_at or entry.intended_at),
        "event": _VERBS[intent.action],
        "resource": Kind.SERVER.value if is_server else intent.kind.value,
        "id": f"{intent.kind.value}:{intent.name}:{entry.resource_id}",
        "provider": intent.provider if intent.provider in _PROVIDERS else "own",
        "server_type": intent.type,
        "location": intent.location,
        "size_gb": None if intent.size_gb is None else plain(intent.size_gb),
    }
    if intent.action in (Action.CREATE, Action.ADOPT, Action.RESIZE) and price is not None:
        found |= {
            "price_month": None if price.monthly is None else plain(price.monthly),
            "price_hour": None if price.hourly is None else plain(price.hourly),
            "currency": price.currency,
            "tax": price.tax,
            "paid": price.status is CostStatus.PAID,
        }
    return {key: value for key, value in found.items() if value is not None}


def prices_now(entries: Sequence[Entry]) -> dict[str, Price]:
    """Return what each instance's own things cost while they exist, by the instance's name."""
    found: dict[str, list[Price]] = defaultdict(list)
    for entry in living(entries):
        if entry.intent.price is not None and entry.intent.instance:
            found[entry.intent.instance].append(entry.intent.price)
    return {name: _sum(prices) for name, prices in found.items()}


def _sum(prices: list[Price]) -> Price:
    if len(prices) == 1:
        return prices[0]
    first = prices[0]
    if len({(p.currency, p.tax) for p in prices}) > 1 or any(p.per_day is None for p in prices):
        return Price.unknown("its parts have different currencies, or no price", first.currency)
    day = sum((p.per_day for p in prices if p.per_day is not None), Decimal(0))
    return Price(
        None, day * DAYS_OF_A_MONTH, first.currency, first.tax,
        worst_status([p.status for p in prices]), first.source, first.read,
    )  # fmt: skip


def report(
    entries: Sequence[Entry], *, now: datetime, span: Span | None, machine: DockerConfig
) -> Report:
    """Return what a farm cost.

    Args:
        entries: The journal.
        now: The end of what goes on.
        span: The piece of time that is asked for; None for all. A bill's line that is longer counts
            by its part, so that pieces that meet add up to the bill.
        machine: Terms of this home's own machine.
    """
    until = now if span is None else min(span.end, now)
    reading = read_objects(enumerate(events_of(entries), start=1))
    made = work_out(
        reading.events, HostPrices.load(), until=now,
        refused=reading.refused, notes=reading.notes,
    )  # fmt: skip
    began = min((e.intended_at for e in entries), default=now)
    since = began if span is None else min(max(began, span.start), until)
    if span is not None:
        made = _cut(made, since, until)
    seats, idle = _divided(made, entries, since=since, until=until)
    return Report(made, since, until, seats, idle, _own(machine, seats, since, until))


def month_of(text: str) -> Span:
    """Read `2026-11`.

    Raises:
        InvalidInput: It is no month.
    """
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no month: write it as 2026-11.") from error
    return Span(first, (first + timedelta(days=32)).replace(day=1))


def _cut(made: Bill, since: datetime, until: datetime) -> Bill:
    lines = tuple(part for line in made.lines if (part := _part(line, since, until)) is not None)
    status = worst_status([line.status for line in lines])
    return Bill(lines, _totals(lines), status, made.until, made.refused, made.notes)


def _part(line: BillLine, since: datetime, until: datetime) -> BillLine | None:
    """Return the part of a line that lies in a piece of time; None for none."""
    begins, ends = max(line.begins_at, since), min(line.ends_at, until)
    whole = line.ends_at - line.begins_at
    if ends < begins or (ends == begins and whole):
        return None
    if line.amount is None or (begins, ends) == (line.begins_at, line.ends_at):
        return line
    share = Fraction((ends - begins) // _US, whole // _US)
    amount = from_pico(int(to_pico(line.amount) * share))
    return replace(line, begins_at=begins, ends_at=ends, amount=amount)


def _totals(lines: Iterable[BillLine]) -> tuple[Total, ...]:
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        if line.amount is not None and line.currency and line.tax:
            sums[line.currency, line.tax] += line.amount
    return tuple(Total(sums[key], *key) for key in sorted(sums))


def _divided(
    made: Bill, entries: Sequence[Entry], *, since: datetime, until: datetime
) -> tuple[tuple[Seat, ...], tuple[Idle, ...]]:
    """Give each bill line to its instance; what is shared goes by what was kept for each."""
    lines: dict[str, list[BillLine]] = defaultdict(list)
    for line in made.lines:
        lines[line.resource].append(line)
    costs: dict[str, list[_Cost]] = defaultdict(list)
    idle: list[Idle] = []
    for entry in entries:
        if entry.state is not EntryState.DONE or entry.intent.action not in (
            Action.CREATE, Action.ADOPT,
        ):  # fmt: skip
            continue
        mine = lines.pop(str(_event(entry, None)["id"]), [])
        if entry.intent.instance:
            costs[entry.intent.instance] += [_Cost.of(line) for line in mine]
        elif mine:
            rest = _shared(entry, mine, entries, costs, since=since, until=until)
            idle += [rest] if rest is not None else []
    return tuple(_seats(entries, costs)), tuple(idle)


@dataclass(frozen=True, slots=True)
class _Cost:
    amount: Decimal | None
    currency: str | None
    tax: str | None
    status: CostStatus
    reason: str | None

    @classmethod
    def of(cls, line: BillLine) -> "_Cost":
        return cls(line.amount, line.currency, line.tax, line.status, line.reason)


def _shared(
    host: Entry, lines: list[BillLine], entries: Sequence[Entry], costs: dict[str, list[_Cost]], *,
    since: datetime, until: datetime,
) -> Idle | None:  # fmt: skip
    """Divide a shared thing's bill among the instances that sat on it; return what is left."""
    name = host.intent.name if host.intent.kind is Kind.SERVER else host.intent.parent or ""
    stays = _stays(entries, name, since=since, until=until)
    first = lines[0]
    if any(line.amount is None for line in lines):
        for instance in stays:
            costs[instance].append(_Cost(None, None, None, CostStatus.UNPRICED, first.reason))
        return None
    whole = sum((line.amount for line in lines if line.amount is not None), Decimal(0))
    begun = max(host.ended_at or host.intended_at, since)
    length = min(_ended(host, entries) or until, until) - begun
    parts = partition(to_pico(whole), stays, _capacity(host, stays, length))
    for instance, amount in parts.direct.items():
        costs[instance].append(
            _Cost(from_pico(amount), first.currency, first.tax, first.status, None)
        )
    rest = from_pico(to_pico(whole) - sum(parts.direct.values()))
    return Idle(host.intent.name, rest, whole, first.currency or "", first.tax or "net")


def _stays(
    entries: Sequence[Entry], host: str, *, since: datetime, until: datetime
) -> dict[str, Use]:
    """Return what was kept for each instance on a server, in processor and memory time."""
    found: dict[str, Use] = {}
    for entry in entries:
        intent = entry.intent
        is_made = entry.state is EntryState.DONE and intent.action in (Action.CREATE, Action.ADOPT)
        if not is_made or intent.kind is not Kind.CONTAINER or intent.parent != host:
            continue
        begun = max(entry.ended_at or entry.intended_at, since)
        end = min(_ended(entry, entries) or until, until)
        us = max((end - begun) // _US, 0)
        before = found.get(intent.instance, Use(0, 0))
        found[intent.instance] = Use(
            before.cpu_us + int(us * Fraction(intent.cpus or 0)),
            before.memory_kib_ms + us // 1000 * (intent.memory_mib or 0) * 1024,
        )
    return found


def _ended(made: Entry, entries: Sequence[Entry]) -> datetime | None:
    """Return when a thing was deleted; None where it is there."""
    later = (
        e.ended_at
        for e in entries
        if e.id > made.id
        and e.state is EntryState.DONE
        and e.intent.action is Action.DELETE
        and key_of(e.intent) == key_of(made.intent)
    )
    return next(later, None)


def _capacity(host: Entry, stays: dict[str, Use], length: timedelta) -> Capacity:
    """Return what a server had to give; where nobody noted its size, what was kept of it."""
    us = max(length // _US, 0)
    cpus, memory_mib = host.intent.cpus, host.intent.memory_mib
    if cpus is None or memory_mib is None:
        listed = next(
            (
                row
                for row in HostPrices.load().rows
                if row.provider == host.intent.provider and row.type == (host.intent.type or "")
            ),
            None,
        )
        if listed is not None and listed.vcpus is not None and listed.memory_gib is not None:
            cpus, memory_mib = listed.vcpus, int(listed.memory_gib * 1024)
    if cpus is None or memory_mib is None:
        return Capacity(
            sum(use.cpu_us for use in stays.values()),
            sum(use.memory_kib_ms for use in stays.values()),
        )
    return Capacity(int(us * Fraction(cpus)), us // 1000 * memory_mib * 1024)


def _seats(entries: Sequence[Entry], costs: dict[str, list[_Cost]]) -> Iterable[Seat]:
    now = prices_now(entries)
    alive = {e.intent.instance for e in living(entries)}
    newest = {e.intent.instance: e for e in entries if e.intent.instance}
    for name in sorted(newest):
        found, last = costs.get(name, []), newest[name].intent
        if not found and name not in alive:
            continue
        statuses = [cost.status for cost in found] or [CostStatus.UNPRICED]
        known = [cost for cost in found if cost.amount is not None]
        price = now.get(name)
        kinds = {(cost.currency, cost.tax) for cost in known}
        currency, tax = kinds.pop() if len(kinds) == 1 else (None, None)
        amount = sum((c.amount for c in known if c.amount is not None), Decimal(0))
        yield Seat(
            name, last.owner, last.provider, last.parent, amount if currency else None, currency, tax,
            worst_status(statuses), price.per_day if price and name in alive else None, name in alive,
            next((cost.reason for cost in found if cost.reason), None),
        )  # fmt: skip


def _own(
    config: DockerConfig, seats: Sequence[Seat], since: datetime, until: datetime
) -> Idle | None:
    """Return what this home's machine cost beside its seats; None where its price is not known."""
    mine = [s for s in seats if s.provider == "docker"]
    if config.price_month is None or not mine:
        return None
    days = Decimal(max((until - since) // _US, 0)) / Decimal(86_400_000_000)
    whole = config.price_month / DAYS_OF_A_MONTH * days
    used = sum((s.amount for s in mine if s.amount is not None), Decimal(0))
    return Idle("this machine", max(whole - used, Decimal(0)), whole, config.currency, config.tax)
