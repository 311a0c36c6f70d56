"""What a farm cost in a piece of time: pieces that meet add up, and a machine's parts to its bill."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.money import CostStatus
from swarm.farm.base import Action, Entry, EntryState, Intent, Kind, Price
from swarm.farm.docker.config import DockerConfig
from swarm.ledger.hosting.seats import Report, Span, report

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
NOW = BEGAN + timedelta(days=40)
PRICE = Price(Decimal("0.0104"), Decimal("6.49"), "EUR")
PICO = Decimal("1e-12")


def entry(
    number: int, action: Action, kind: Kind, name: str, at: datetime, **more: object
) -> Entry:
    """Return a row of the journal: a shared server, or a seat on it."""
    is_seat = kind is Kind.CONTAINER
    intent = Intent(
        name if is_seat else "", "Ann" if is_seat else "", "g1", "hetzner", action, kind, name,
        type=None if is_seat else "cx33", location=None if is_seat else "fsn1",
        price=None if is_seat else PRICE, parent="host" if is_seat else None,
        cpus=Decimal(1) if is_seat else None, memory_mib=2048 if is_seat else None, **more,  # type: ignore[arg-type]  # fields of an intent
    )  # fmt: skip
    return Entry(number, intent, EntryState.DONE, at, at, resource_id=name)


JOURNAL = [
    entry(1, Action.CREATE, Kind.SERVER, "host", BEGAN),
    entry(2, Action.CREATE, Kind.CONTAINER, "ada", BEGAN),
    entry(3, Action.CREATE, Kind.CONTAINER, "bob", BEGAN + timedelta(days=3)),
    entry(4, Action.DELETE, Kind.CONTAINER, "bob", BEGAN + timedelta(days=11)),
]


def made(span: Span | None) -> Report:
    return report(JOURNAL, now=NOW, span=span, machine=DockerConfig())


def total(found: Report) -> Decimal:
    return sum((line.amount for line in found.bill.lines if line.amount is not None), Decimal(0))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40 * 86_400), max_size=5, unique=True))
def test_pieces_that_meet_add_up_to_the_bill_and_seats_with_idle_to_each_piece(
    cuts: list[int],
) -> None:
    ends = [BEGAN, *(BEGAN + timedelta(seconds=cut) for cut in sorted(cuts)), NOW]
    pieces = [made(Span(start, end)) for start, end in pairwise(ends) if start < end]
    whole = total(made(None))
    assert abs(sum(map(total, pieces)) - whole) <= PICO * 4 * len(pieces)
    for piece in pieces:
        parts = sum((s.amount for s in piece.seats if s.amount is not None), Decimal(0))
        parts += sum((i.amount for i in piece.idle), Decimal(0))
        assert abs(parts - total(piece)) <= PICO * 4
        assert all(item.share <= 1 for item in piece.idle)


def test_a_seat_costs_nothing_in_a_time_in_which_it_was_not_there() -> None:
    later = made(Span(BEGAN + timedelta(days=20), BEGAN + timedelta(days=21)))
    costs = {seat.instance: seat.amount for seat in later.seats}
    assert costs["ada"]
    assert not costs.get("bob")
    early = made(Span(BEGAN - timedelta(days=9), BEGAN - timedelta(days=2)))
    assert early.bill.lines == ()
    assert early.bill.status is CostStatus.PAID
