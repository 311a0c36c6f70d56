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
_MAKING = (Action.CREATE, Action.ADOPT)
_Key = tuple[str, str, Kind, str]
_FREE = (Kind.NETWORK, Kind.FIREWALL, Kind.KEY, Kind.SECRET)
_US = timedelta(microseconds=1)
_WHOLE = 10**12


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
    """Return the events of all that costs, as `swarm hosting bill` takes them.

    Each event speaks of the thing that bore its name at that moment: the same name may have had
    another one before, of another size and price. A thing is never older than its making, whatever
    the operator's clock said when it ended.
    """
    found: list[dict[str, Any]] = []
    alive: dict[_Key, Entry] = {}
    made = _made_later(entries)
    never = {key_of(e.intent) for e in entries if e.state is EntryState.UNDONE} - made.keys()
    for entry in entries:
        key = key_of(entry.intent)
        if entry.state is not EntryState.DONE or key in never:
            continue
        if entry.intent.action in _MAKING:
            alive[key] = entry
        of = alive.get(key) or made.get(key)
        if _costs(entry, of):
            found.append(_event(entry, of))
        if entry.intent.action is Action.DELETE:
            alive.pop(key, None)
    return found


def _made_later(entries: Sequence[Entry]) -> dict[_Key, Entry]:
    """Return what was made first under each name, for events that stand before it."""
    found: dict[_Key, Entry] = {}
    for entry in entries:
        if entry.state is EntryState.DONE and entry.intent.action in _MAKING:
            found.setdefault(key_of(entry.intent), entry)
    return found


def _costs(entry: Entry, made: Entry | None) -> bool:
    """Say whether a thing has a bill of its own."""
    intent = entry.intent
    if intent.kind in _FREE:
        return False
    if intent.kind is Kind.CONTAINER:
        # One on a rented server is part of that server's bill.
        return intent.parent is None and (made is None or made.intent.parent is None)
    return intent.provider in _PROVIDERS or bool(made and made.intent.price)


def _event(entry: Entry, made: Entry | None) -> dict[str, Any]:
    """Return one event. `made` is the entry that made the thing, itself where this is it."""
    intent = entry.intent
    is_server = intent.kind in (Kind.CONTAINER, Kind.SERVER)
    found: dict[str, Any] = {
        "at": iso(_happened(entry, made)),
        "event": _VERBS[intent.action],
        "resource": Kind.SERVER.value if is_server else intent.kind.value,
        "id": _id(entry, made),
        "provider": intent.provider if intent.provider in _PROVIDERS else "own",
        "server_type": intent.type,
        "location": intent.location,
        "size_gb": None if intent.size_gb is None else plain(intent.size_gb),
    }
    price = intent.price or (made.intent.price if made is not None else None)
    if intent.action in (*_MAKING, Action.RESIZE) and price is not None:
        found |= {
            "price_month": None if price.monthly is None else plain(price.monthly),
            "price_hour": None if price.hourly is None else plain(price.hourly),
            "currency": price.currency,
            "tax": price.tax,
            "paid": price.status is CostStatus.PAID,
        }
    return {key: value for key, value in found.items() if value is not None}


def _id(entry: Entry, made: Entry | None) -> str:
    """Name the thing. A run that found it gone already did not learn its id, which its making has."""
    resource_id = entry.resource_id or (made.resource_id if made is not None else "")
    return f"{entry.intent.kind.value}:{entry.intent.name}:{resource_id}"


def _happened(entry: Entry, made: Entry | None) -> datetime:
    """Return when it took effect: a thing ends no sooner than it began, by whichever clock."""
    at = entry.ended_at or entry.intended_at
    if made is None or made.id >= entry.id:
        return at
    return max(at, made.ended_at or made.intended_at)


def prices_now(entries: Sequence[Entry]) -> dict[str, Price]:
    """Return what each instance costs while it exists, by its name.

    That is its own things, and its part of a server that several share.
    """
    found: dict[str, list[Price]] = defaultdict(list)
    shared: dict[str, list[Price]] = defaultdict(list)
    alive = living(entries)
    for entry in alive:
        if entry.intent.price is not None:
            own = found[entry.intent.instance] if entry.intent.instance else shared[_host(entry)]
            own.append(entry.intent.price)
    for host, prices in shared.items():
        for instance, share in _shares(host, alive).items():
            found[instance].append(_part_of(_sum(prices), share))
    return {name: _sum(prices) for name, prices in found.items()}


def _host(entry: Entry) -> str:
    """Return the name of the server that a thing is, or hangs on."""
    is_server = entry.intent.kind is Kind.SERVER
    return entry.intent.name if is_server else entry.intent.parent or ""


def _shares(host: str, alive: Sequence[Entry]) -> dict[str, Fraction]:
    """Return each seat's part of a shared server as it stands now; what is left of 1 is idle."""
    seats = [e for e in alive if e.intent.kind is Kind.CONTAINER and e.intent.parent == host]
    kept = {
        e.intent.instance: Use(
            int(Fraction(e.intent.cpus or 0) * 10**6), (e.intent.memory_mib or 0) * 1024
        )
        for e in seats
    }
    server = next(
        (e for e in alive if e.intent.kind is Kind.SERVER and e.intent.name == host), None
    )
    capacity = _capacity(server, kept, timedelta(seconds=1), memory_ms=1)
    parts = partition(_WHOLE, kept, capacity)
    return {name: Fraction(part, _WHOLE) for name, part in parts.direct.items()}


def _part_of(price: Price, share: Fraction) -> Price:
    """Return a part of what a server costs a day."""
    if price.per_day is None:
        return price
    day = from_pico(int(to_pico(round(price.per_day, 12)) * share))
    return replace(price, hourly=None, monthly=day * DAYS_OF_A_MONTH)


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
        if entry.state is not EntryState.DONE or entry.intent.action not in _MAKING:
            continue
        mine = lines.pop(_id(entry, entry), [])
        if entry.intent.instance:
            costs[entry.intent.instance] += [_Cost.of(line) for line in mine]
        elif mine:
            idle += _shared(entry, mine, entries, costs, since=since, until=until)
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
) -> list[Idle]:  # fmt: skip
    """Divide a shared thing's bill among the instances that sat on it; return what is left."""
    stays = _stays(entries, _host(host), since=since, until=until)
    begun = max(host.ended_at or host.intended_at, since)
    length = min(_ended(host, entries) or until, until) - begun
    capacity = _capacity(_server_of(host, entries), stays, length)
    kinds: dict[tuple[str, str], list[BillLine]] = defaultdict(list)
    for line in lines:
        if line.amount is None:
            for instance in stays:
                costs[instance].append(_Cost.of(line))
        else:
            kinds[line.currency or "", line.tax or "net"].append(line)
    idle = []
    for (currency, tax), of_kind in kinds.items():
        whole = sum((line.amount for line in of_kind if line.amount is not None), Decimal(0))
        parts = partition(to_pico(whole), stays, capacity)
        status = worst_status([line.status for line in of_kind])
        for instance, amount in parts.direct.items():
            costs[instance].append(_Cost(from_pico(amount), currency, tax, status, None))
        idle.append(Idle(host.intent.name, from_pico(parts.idle), whole, currency, tax))
    return idle


def _server_of(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    """Return what made the server that a thing is, or hung on when it was made."""
    if entry.intent.kind is Kind.SERVER:
        return entry
    named = [
        e for e in entries
        if e.intent.kind is Kind.SERVER and e.intent.name == entry.intent.parent
        and e.state is EntryState.DONE and e.intent.action in _MAKING
    ]  # fmt: skip
    # Its address is written down before the server is, and noted after it.
    return min(named, key=lambda e: abs(e.id - entry.id), default=None)


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


def _capacity(
    server: Entry | None, stays: dict[str, Use], length: timedelta, *, memory_ms: int | None = None
) -> Capacity:
    """Return what a server had to give; where nobody noted its size, what was kept of it.

    Args:
        server: What made it.
        stays: What was kept for each seat.
        length: How long it was there.
        memory_ms: The same for memory where that is counted otherwise.
    """
    us = max(length // _US, 0)
    size = None if server is None else _size(server)
    if size is None:
        return Capacity(
            sum(use.cpu_us for use in stays.values()),
            sum(use.memory_kib_ms for use in stays.values()),
        )
    ms = us // 1000 if memory_ms is None else memory_ms
    return Capacity(int(us * Fraction(size[0])), ms * size[1] * 1024)


def _size(server: Entry) -> tuple[Decimal, int] | None:
    """Return a server's processors and MiB: as noted when it was made, else by the list of prices."""
    cpus, memory_mib = server.intent.cpus, server.intent.memory_mib
    if cpus is not None and memory_mib is not None:
        return cpus, memory_mib
    for row in HostPrices.load().rows:
        if (row.provider, row.type) == (server.intent.provider, server.intent.type or ""):
            if row.vcpus is None or row.memory_gib is None:
                return None
            return row.vcpus, int(row.memory_gib * 1024)
    return None


def _seats(entries: Sequence[Entry], costs: dict[str, list[_Cost]]) -> Iterable[Seat]:
    now = prices_now(entries)
    alive = {e.intent.instance for e in living(entries)}
    newest = {e.intent.instance: e for e in entries if e.intent.instance}
    for name in sorted(newest):
        found, last = costs.get(name, []), newest[name].intent
        if not found and name not in alive:
            continue
        statuses = [cost.status for cost in found] or [CostStatus.UNPRICED]
        price = now.get(name) if name in alive else None
        sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for cost in found:
            if cost.amount is not None:
                sums[cost.currency or "", cost.tax or "net"] += cost.amount
        amount, reason = None, next((cost.reason for cost in found if cost.reason), None)
        # Where there is no one amount, the currency is that of a day.
        currency, tax = (price.currency, price.tax) if price and price.per_day else (None, None)
        if len(sums) == 1:
            (((currency, tax), amount),) = sums.items()
        elif sums:
            reason = "in " + " and ".join(
                f"{plain(v)} {c} {t}" for (c, t), v in sorted(sums.items())
            )
        yield Seat(
            name, last.owner, last.provider, last.parent, amount, currency, tax,
            worst_status(statuses),
            price.per_day if price and price.currency == currency else None, name in alive, reason,
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
