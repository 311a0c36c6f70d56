"""The hosting meter over the farm's journal: what a name had before, deaths, clocks, currencies."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from swarm.core.money import CostStatus
from swarm.farm.base import Action, Entry, EntryState, Intent, Kind, Price
from swarm.farm.docker.config import DockerConfig
from swarm.ledger.hosting.seats import Report, prices_now, report
from tests.farm.clouds import VENDORS, place
from tests.farm.machines import SECRETS, spec

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
SMALL = Price(Decimal("0.0064"), Decimal("3.99"), "EUR")
LARGE = Price(Decimal("0.0192"), Decimal("11.99"), "EUR")


class Book:
    """A journal that is written by hand."""

    def __init__(self) -> None:
        self.rows: list[Entry] = []

    def write(
        self, action: Action, kind: Kind, name: str, hours: float, *, id: str = "", **more: object
    ) -> None:
        state = EntryState(str(more.pop("state", "done")))
        intent = Intent(
            str(more.pop("instance", "")), "Ann", "g1", str(more.pop("provider", "hetzner")), action,
            kind, name, **more,  # type: ignore[arg-type]  # fields of an intent
        )  # fmt: skip
        at = BEGAN + timedelta(hours=hours)
        self.rows.append(Entry(len(self.rows) + 1, intent, state, at, at, resource_id=id))

    def server(self, hours: float, *, id: str = "s1", price: Price = SMALL, **more: object) -> None:
        given = {"type": "cx99", "location": "fsn1", "cpus": Decimal(2), "memory_mib": 4096} | more
        self.write(Action.CREATE, Kind.SERVER, "host1", hours, id=id, price=price, **given)

    def seat(self, name: str, hours: float, **more: object) -> None:
        given = {"cpus": Decimal("0.5"), "memory_mib": 1024, "parent": "host1"} | more
        self.write(Action.CREATE, Kind.CONTAINER, name, hours, id=name, instance=name, **given)

    def report(self, hours: float) -> Report:
        now = BEGAN + timedelta(hours=hours)
        return report(self.rows, now=now, span=None, machine=DockerConfig())

    def total(self, hours: float) -> Decimal:
        found = self.report(hours).bill
        assert found.refused == ()
        (one,) = found.totals
        return one.amount


def test_a_name_that_had_another_server_before_is_billed_by_the_price_of_each() -> None:
    book = Book()
    book.server(0, id="s1")
    book.write(Action.DELETE, Kind.SERVER, "host1", 10, id="s1")
    book.server(20, id="s2", price=LARGE)
    book.write(Action.DELETE, Kind.SERVER, "host1", 25, id="s2")
    assert book.total(100) == 10 * Decimal("0.0064") + 5 * Decimal("0.0192")
    # One that could not be had changes nothing of what was.
    book.server(30, id="", price=Price(Decimal(9), None, "EUR"), state="undone")
    assert book.total(100) == 10 * Decimal("0.0064") + 5 * Decimal("0.0192")


def test_what_never_came_to_be_has_no_end_to_bill() -> None:
    book = Book()
    book.server(0)
    book.write(
        Action.CREATE, Kind.IPV4, "host2-ipv4", 1, state="undone",
        price=Price(Decimal("0.0008"), Decimal("0.50"), "EUR"),
    )  # fmt: skip
    book.write(Action.DELETE, Kind.IPV4, "host2-ipv4", 2, id="i2")
    assert book.total(10) == 10 * Decimal("0.0064")


def test_an_end_that_was_noted_by_the_run_after_a_death_ends_the_bill() -> None:
    """The next run finds the server gone, and knows no id of it."""
    book = Book()
    book.server(0)
    book.write(Action.DELETE, Kind.SERVER, "host1", 10, id="")
    assert book.total(100) == 10 * Decimal("0.0064")


def test_a_clock_that_jumped_back_leaves_a_bill_that_ends() -> None:
    book = Book()
    book.server(1)
    book.write(Action.DELETE, Kind.SERVER, "host1", -2, id="s1")
    assert book.total(100) == Decimal("0.0064")
    assert book.report(100).bill.status is CostStatus.PAID


def test_a_type_that_no_list_knows_has_its_idle_part_by_the_size_on_the_books() -> None:
    book = Book()
    book.server(0)
    book.write(
        Action.CREATE, Kind.IPV4, "host1-ipv4", 0, id="i1", parent="host1",
        price=Price(Decimal("0.0008"), Decimal("0.50"), "EUR"), location="fsn1",
    )  # fmt: skip
    book.seat("ada", 0)
    book.seat("bob", 0)
    found = book.report(10)
    assert {item.host: item.share for item in found.idle} == {
        "host1": Decimal("0.5"), "host1-ipv4": Decimal("0.5"),
    }  # fmt: skip
    amounts = [seat.amount for seat in found.seats]
    assert amounts == [Decimal("0.072") / 4] * 2


def test_each_seat_of_a_shared_server_says_what_it_costs_a_day() -> None:
    book = Book()
    book.server(0)
    book.seat("ada", 0)
    book.seat("bob", 0, memory_mib=2048)
    found = {seat.instance: seat for seat in book.report(10).seats}
    whole = SMALL.per_day
    assert whole is not None
    day = {name: seat.per_day for name, seat in found.items()}
    assert day["ada"] is not None
    assert day["bob"] is not None
    assert abs(day["ada"] - whole / 4) < Decimal("1e-9")
    assert abs(day["bob"] - whole * 3 / 8) < Decimal("1e-9")
    assert found["ada"].currency == "EUR"
    book.write(Action.DELETE, Kind.CONTAINER, "bob", 5, id="bob", instance="bob", parent="host1")
    assert set(prices_now(book.rows)) == {"ada"}


def test_a_seat_with_bills_in_two_currencies_says_both_and_no_sum() -> None:
    book = Book()
    book.server(0)
    book.seat("ada", 0, memory_mib=4096, cpus=Decimal(2))
    book.write(Action.DELETE, Kind.CONTAINER, "ada", 10, id="ada", instance="ada", parent="host1")
    book.write(Action.DELETE, Kind.SERVER, "host1", 10, id="s1")
    book.write(
        Action.CREATE, Kind.SERVER, "swarm-ada", 10, id="s2", instance="ada", type="cx99",
        location="fsn1", price=Price(Decimal("0.01"), None, "USD"),
    )  # fmt: skip
    (seat,) = book.report(20).seats
    assert (seat.amount, seat.reason) == (None, "in 0.064 EUR net and 0.1 USD net")
    assert (seat.per_day, seat.currency) == (Decimal("0.24"), "USD")
    assert [(t.amount, t.currency) for t in book.report(20).bill.totals] == [
        (Decimal("0.064"), "EUR"), (Decimal("0.1"), "USD"),
    ]  # fmt: skip


def test_what_is_switched_off_costs_on_and_what_is_removed_does_not() -> None:
    book = Book()
    book.server(0)
    book.write(Action.STOP, Kind.SERVER, "host1", 5, id="")
    assert book.total(10) == 10 * Decimal("0.0064")
    book.write(Action.DELETE, Kind.SERVER, "host1", 10, id="s1")
    assert book.total(50) == 10 * Decimal("0.0064")


@pytest.mark.parametrize("vendor", VENDORS)
async def test_whenever_a_removal_dies_the_bill_ends_with_what_is_gone(
    vendor: str, tmp_path: Path
) -> None:
    """Killed around the call that ends the server, before or after it was worked; then said again."""
    for step in (11, 14, 17, 20, 23):
        with place(vendor, tmp_path / str(step)) as at:
            at.cloud.is_strict = False
            await at.driver().create(spec(), SECRETS)
            at.cloud.life.revives()
            at.cloud.life.dies(step, is_worked=bool(step % 2))
            try:
                await at.driver().destroy("ada")
            except BaseException:  # noqa: BLE001  # it is dead
                assert at.cloud.life.is_dead
            died = at.cloud.life.is_dead
            at.cloud.life.revives()
            await at.driver().destroy("ada")
            assert at.leftovers() == []
            _ends(at.journal.rows)
        if not died:
            return


def _ends(rows: Sequence[Entry]) -> None:
    now = max(row.ended_at for row in rows if row.ended_at is not None) + timedelta(hours=1)
    sums = []
    for later in (timedelta(), timedelta(days=300)):
        found = report(rows, now=now + later, span=None, machine=DockerConfig()).bill
        assert found.refused == ()
        sums.append([(total.amount, total.currency) for total in found.totals])
    assert sums[0] == sums[1] != []


def test_random_lives_of_servers_and_seats_add_up_to_the_bill() -> None:
    """Every amount of the bill is a seat's or idle, whatever came and went under whichever name."""
    drawn = random.Random(7)
    for _ in range(60):
        book, hours = Book(), 0.0
        for life in range(drawn.randint(1, 3)):
            book.server(hours, id=f"s{life}", price=drawn.choice((SMALL, LARGE)))
            names = [f"seat{life}{n}" for n in range(drawn.randint(0, 3))]
            for name in names:
                book.seat(name, hours + drawn.random(), memory_mib=drawn.choice((512, 2048)))
            hours += drawn.randint(1, 60)
            for name in names:
                book.write(
                    Action.DELETE, Kind.CONTAINER, name, hours - drawn.random(),
                    id=drawn.choice((name, "")), instance=name, parent="host1",
                )  # fmt: skip
            book.write(
                Action.DELETE, Kind.SERVER, "host1", hours, id=drawn.choice((f"s{life}", ""))
            )
            hours += drawn.randint(0, 9)
        found = book.report(hours + 1)
        assert found.bill.refused == ()
        parts = sum((s.amount for s in found.seats if s.amount is not None), Decimal(0))
        parts += sum((i.amount for i in found.idle), Decimal(0))
        assert parts == sum((t.amount for t in found.bill.totals), Decimal(0))
