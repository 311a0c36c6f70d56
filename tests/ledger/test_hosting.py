"""Whose work the machine did: partitions that lose nothing, and shares of orders and periods."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.clock import iso
from swarm.core.money import CostStatus, Money, from_pico
from swarm.ledger.hosting.attribution import (
    NOT_METERED,
    HostingPeriod,
    HostingShare,
    hosting_of_order,
    hosting_of_period,
)
from swarm.ledger.hosting.books import STARTED, UsageRow, write_event, write_usage
from swarm.ledger.hosting.fixing import fix
from swarm.ledger.hosting.partition import Capacity, Use, apportion, partition
from swarm.ledger.hosting.prices import HostPrices
from swarm.ledger.hosting.terms import UNSET, HostingConfig, Terms
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import hosting_events, hosting_usage, metadata

MAY = datetime(2026, 5, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
_COUNTS = st.integers(0, 10**16)
_USES = st.lists(st.tuples(_COUNTS, _COUNTS), max_size=9).map(
    lambda found: {number: Use(*counts) for number, counts in enumerate(found)}
)


@settings(max_examples=1000, deadline=None)
@given(
    st.integers(0, 10**16),
    _USES,
    st.builds(Capacity, _COUNTS, _COUNTS, st.decimals(0, 1, places=3)),
)
def test_tasks_and_idle_are_the_bill_to_the_last_digit_in_both_views(
    amount: int, uses: dict[int, Use], capacity: Capacity
) -> None:
    parts = partition(amount, uses, capacity)
    assert sum(parts.direct.values()) + parts.idle == amount
    assert sum(parts.full.values()) + parts.rest == amount
    assert parts.idle >= 0
    assert all(0 <= parts.direct[k] <= parts.full[k] for k in uses)
    assert parts.rest == (0 if uses else parts.idle)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**15), st.lists(_COUNTS, min_size=1, max_size=30).filter(any))
def test_no_part_is_a_unit_away_from_its_exact_share(amount: int, weights: list[int]) -> None:
    parts = apportion(amount, weights)
    assert sum(parts) == amount
    total = sum(weights)
    assert all(abs(p * total - amount * w) < total for p, w in zip(parts, weights, strict=True))


def test_half_is_for_processors_and_half_for_memory() -> None:
    capacity = Capacity(cpu_us=4 * 3600 * 10**6, memory_kib_ms=8 * 1024**2 * 3600 * 1000)
    # All processors for a quarter of the hour, and half of the memory all along.
    uses = {"a": Use(3600 * 10**6, 0), "b": Use(0, 4 * 1024**2 * 3600 * 1000)}
    parts = partition(10_400_000_000, uses, capacity)
    assert parts.direct == {"a": 1_300_000_000, "b": 2_600_000_000}
    assert parts.idle == 6_500_000_000
    assert parts.full == {"a": 3_466_666_667, "b": 6_933_333_333}


def test_more_use_than_the_settings_name_leaves_no_idle_and_never_a_negative_one() -> None:
    parts = partition(100, {"a": Use(30, 30), "b": Use(10, 10)}, Capacity(20, 20))
    assert (parts.direct, parts.idle) == ({"a": 75, "b": 25}, 0)


# With a company's books.


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(sqlite_url(tmp_path / "swarm.db"))
    # The migrated schema is the same; tests/runtime/test_store.py holds the two against each other.
    metadata.create_all(store.engine)
    yield store
    store.close()


class Books:
    """Write rows as a meter does, and ask."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seq = 0

    def start(self, config: dict[str, Any], at: datetime) -> Terms:
        terms = fix(
            HostingConfig.model_validate(config), at=at, cpus=Decimal(2), memory_gib=Decimal(4)
        )
        self.store.write(lambda c: write_event(c, instance="i", at=at, event=STARTED, terms=terms))
        return terms

    def use(
        self, order: str | None, start: datetime, end: datetime, *, cpu_s: float, task: str | None = "t1",
        mib: int = 0, sandbox_s: float = 0,
    ) -> None:  # fmt: skip
        self._seq += 1
        ms = int((end - start).total_seconds() * 1000)
        row = UsageRow(
            "i", self._seq, order, task if order else None, 1, iso(start), iso(end), ms,
            int(cpu_s * 10**6), mib * 1024 * ms, int(sandbox_s * 10**6), 0, 0,
        )  # fmt: skip
        self.store.write(lambda c: write_usage(c, [row]))

    def use_all(self, rows: list[Any]) -> None:
        """Write many rows in one go: order, task, minutes since May began, minutes, CPU, memory."""
        made = []
        for number, (order, task, minute, minutes, cpu_s, mib) in enumerate(rows):
            start, ms = MAY + timedelta(minutes=minute), minutes * 60_000
            end = start + timedelta(minutes=minutes)
            made.append(
                UsageRow(
                    "i", number, order, task if order else None, 1, iso(start), iso(end), ms,
                    cpu_s * 10**6, mib * 1024 * ms, 0, 0, 0,
                )
            )  # fmt: skip
        self.store.write(lambda c: write_usage(c, made))

    def order(self, order_id: str, **more: Any) -> HostingShare:
        return self.store.read(lambda c: hosting_of_order(c, order_id, **more))

    def period(self, start: datetime, end: datetime, **more: Any) -> HostingPeriod:
        return self.store.read(lambda c: hosting_of_period(c, start, end, **more))


@pytest.fixture
def books(store: Store) -> Books:
    return Books(store)


def amounts(found: HostingPeriod) -> tuple[Decimal, Decimal, Decimal]:
    assert found.bill is not None
    assert found.idle is not None
    assert found.unborne is not None
    return found.bill.amount, found.idle.amount, found.unborne.amount


HETZNER = {"provider": "hetzner", "server_type": "cx33", "location": "fsn1", "since": "2026-05-01"}


def test_an_order_pays_its_part_of_the_month_and_the_idle_of_it(books: Books) -> None:
    books.start(HETZNER, MAY)
    # A tenth of the month's 4 x 744 h of processor time for a, a fortieth for b.
    for number in range(31):
        day = MAY + timedelta(days=number)
        books.use("a", day, day + HOUR, cpu_s=9.6 * 3600)
        books.use("b", day + HOUR, day + 2 * HOUR, cpu_s=1200, sandbox_s=7440)
    books.use(None, JUNE - HOUR, JUNE, cpu_s=1)
    a, b = books.order("a", now=JUNE), books.order("b", now=JUNE)
    assert a.direct is not None
    assert b.direct is not None
    assert a.direct.amount == Decimal("0.3245")  # 6.49 / 2 / 10
    assert b.direct.amount == Decimal("0.081125")
    assert a.full is not None
    assert b.full is not None
    assert a.full.amount == Decimal("5.192")  # four fifths of it all
    assert a.full.amount + b.full.amount == Decimal("6.49")
    assert (a.status, a.note) == (CostStatus.PAID, "")
    assert a.direct.currency == "EUR"


def test_a_month_not_yet_over_is_billed_so_far_and_says_so(books: Books) -> None:
    books.start(HETZNER, MAY)
    books.use("a", MAY, MAY + HOUR, cpu_s=60)
    found = books.order("a")
    assert found.full is not None
    assert found.full.amount == (Decimal("6.49") / 744).quantize(Decimal("1e-12"))
    assert "settles at the end of the month" in found.note


def test_without_terms_hosting_is_unpriced_and_never_zero(books: Books) -> None:
    books.start({}, MAY)
    books.use("a", MAY, MAY + HOUR, cpu_s=60)
    share = books.order("a")
    assert (share.direct, share.full, share.status) == (None, None, CostStatus.UNPRICED)
    assert share.note.startswith(UNSET)
    assert share.cpu_s == 60
    period = books.period(MAY, JUNE)
    assert (period.bill, period.status) == (None, CostStatus.UNPRICED)
    assert books.order("nobody").note == NOT_METERED


def test_old_work_can_be_priced_by_other_terms(books: Books) -> None:
    books.start({}, MAY)
    books.use("a", MAY, JUNE, cpu_s=0, mib=2048)
    terms = fix(
        HostingConfig(provider="own", price_month=Decimal(20), billed="existence"),
        at=MAY, cpus=Decimal(1), memory_gib=Decimal(4),
    )  # fmt: skip
    share = books.order("a", now=JUNE, terms=terms)
    assert share.direct is not None
    assert share.direct.amount == 5
    assert share.status is CostStatus.NOTIONAL


def test_own_hardware_costs_only_while_the_company_runs(books: Books) -> None:
    books.start({"provider": "own", "price_month": "74.4", "cpus": "1"}, MAY)
    books.use(None, MAY, MAY + HOUR, cpu_s=0)
    books.use("a", MAY, MAY + HOUR, cpu_s=1800)
    books.use(None, MAY + 10 * HOUR, MAY + 11 * HOUR, cpu_s=0)
    found = books.period(MAY, JUNE)
    assert amounts(found) == (Decimal("0.2"), Decimal("0.175"), Decimal(0))
    assert found.status is CostStatus.NOTIONAL
    assert [(t.order_id, t.task_id, t.cpu_s) for t in found.tasks] == [("a", "t1", Decimal(1800))]


def test_a_task_is_charged_what_is_kept_for_it_where_it_used_less(books: Books) -> None:
    books.start(
        {"provider": "own", "price_month": "74.4", "cpus": "1", "cpu_part": "1", "task_cpus": "0.5"}, MAY
    )  # fmt: skip
    books.use(None, MAY, MAY + HOUR, cpu_s=0)
    books.use("a", MAY, MAY + HOUR, cpu_s=1)
    books.use("b", MAY, MAY + HOUR, cpu_s=1, task=None)
    found = books.period(MAY, JUNE)
    shares = {task.order_id: task.direct.amount for task in found.tasks if task.direct}
    # Half of the hour's 0.1; an order's own steps have nothing kept for them.
    assert shares == {"a": Decimal("0.05"), "b": Decimal("0.000027777778")}
    assert found.tasks[0].cpu_s == 1


def test_a_share_of_a_machine_costs_a_share_of_it(books: Books) -> None:
    books.start({**HETZNER, "share": "0.1"}, MAY)
    books.use("a", MAY, MAY + HOUR, cpu_s=4 * 360)
    found = books.period(MAY, JUNE)
    assert found.bill is not None
    assert found.bill.amount == Decimal("0.649")
    assert books.period(MAY, MAY + HOUR).tasks[0].direct == books.order("a").direct


def test_new_terms_hold_from_their_day_and_the_old_ones_before(books: Books) -> None:
    books.start({"provider": "hetzner", "price_month": "31", "since": "2026-05-01"}, MAY)
    books.start({"provider": "hetzner", "price_month": "62"}, MAY + timedelta(days=10))
    books.use("a", MAY, MAY + HOUR, cpu_s=1)
    books.use("a", JUNE - HOUR, JUNE, cpu_s=1)
    assert amounts(books.period(MAY, JUNE)) == (
        Decimal(52), Decimal(52) - books_direct(books), Decimal(0),
    )  # fmt: skip
    assert books.period(MAY, MAY + timedelta(days=10)).bill == Money(Decimal(10), "EUR")


def books_direct(books: Books) -> Decimal:
    share = books.order("a", now=JUNE)
    assert share.direct is not None
    return share.direct.amount


def test_two_currencies_are_not_added(books: Books) -> None:
    books.start({"provider": "own", "price_month": "31", "billed": "existence"}, MAY)
    other = {"provider": "own", "price_month": "31", "billed": "existence", "currency": "USD"}
    books.start(other, MAY + timedelta(days=1))
    books.use("a", MAY, MAY + HOUR, cpu_s=1)
    books.use("a", MAY + timedelta(days=2), MAY + timedelta(days=2) + HOUR, cpu_s=1)
    share = books.order("a")
    assert (share.direct, share.status) == (None, CostStatus.UNPRICED)
    assert "EUR and USD, which are never added" in share.note


def test_a_row_over_a_month_s_end_counts_in_both_by_its_time(books: Books) -> None:
    books.start({"provider": "hetzner", "price_month": "100", "since": "2026-05-01"}, MAY)
    books.use("a", JUNE - HOUR, JUNE + HOUR, cpu_s=3600)
    may, june = books.period(MAY, JUNE), books.period(JUNE, JUNE + HOUR)
    assert [t.cpu_s for t in (*may.tasks, *june.tasks)] == [1800, 1800]


def test_a_row_is_written_again_in_place(books: Books) -> None:
    books.start(HETZNER, MAY)
    row = UsageRow("i", 99, "a", "t", 1, iso(MAY), iso(MAY + HOUR), 3_600_000, 10**6, 0, 0, 0, 0)
    books.store.write(lambda c: write_usage(c, [row, row]))
    assert books.order("a").cpu_s == 1


_MINUTE = st.integers(0, 60 * 24 * 40)
_ROW = st.tuples(
    st.sampled_from(["a", "b", "c", None]), st.sampled_from(["t1", "t2", None]), _MINUTE,
    st.integers(1, 60), st.integers(0, 10**5), st.integers(0, 10**4),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(_ROW, max_size=15), price=st.decimals(0, 10**4, places=2), share=st.integers(1, 9)
)
def test_whatever_was_used_a_period_adds_up_and_its_orders_are_its_months(
    rows: list[Any], price: Decimal, share: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(sqlite_url(tmp_path_factory.getbasetemp() / "divided.db"))
    metadata.create_all(store.engine)
    try:
        store.write(
            lambda c: [c.execute(table.delete()) for table in (hosting_usage, hosting_events)]
        )
        books = Books(store)
        config = {"provider": "hetzner", "price_month": str(price), "share": f"0.{share}"}
        books.start({**config, "since": "2026-05-01"}, MAY)
        books.use_all(rows)
        end = datetime(2026, 7, 1, tzinfo=UTC)
        found = books.period(MAY, end)
        bill, idle, unborne = amounts(found)
        direct = sum((t.direct.amount for t in found.tasks if t.direct), Decimal(0))
        full = sum((t.full.amount for t in found.tasks if t.full), Decimal(0))
        assert direct + idle == bill
        assert full + unborne == bill
        assert idle >= 0
        assert abs(bill - 2 * price * share / 10) <= from_pico(2)
        for order in {t.order_id for t in found.tasks}:
            mine = books.order(order, now=end)
            assert mine.direct is not None
            assert mine.full is not None
            tasks = [t for t in found.tasks if t.order_id == order]
            # A part is rounded among others here and there: it may be a 1e-12 off in each month.
            off = from_pico(4 * len(tasks))
            assert abs(mine.direct.amount - sum(t.direct.amount for t in tasks if t.direct)) <= off
            assert abs(mine.full.amount - sum(t.full.amount for t in tasks if t.full)) <= off
    finally:
        store.close()


# Terms.


@pytest.mark.parametrize(
    ("config", "month", "status", "words"),
    [
        (HETZNER, "6.49", CostStatus.PAID, None),
        ({**HETZNER, "ipv4": True}, "6.99", CostStatus.PAID, None),
        ({**HETZNER, "price_month": "5"}, "5", CostStatus.PAID, None),
        ({**HETZNER, "since": "2026-07-01"}, None, CostStatus.UNPRICED, "has no price"),
        ({"provider": "own"}, None, CostStatus.UNPRICED, "price_month"),
        ({"provider": "own", "price_month": "9"}, "9", CostStatus.NOTIONAL, None),
        ({"provider": "own", "price_month": "9", "is_paid": True}, "9", CostStatus.PAID, None),
        ({}, None, CostStatus.UNPRICED, "set `hosting:`"),
    ],
)
def test_terms_say_what_the_host_costs_or_why_not(
    config: dict[str, Any], month: str | None, status: CostStatus, words: str | None
) -> None:
    terms = fix(
        HostingConfig.model_validate(config), at=MAY, cpus=Decimal(2), memory_gib=Decimal(4),
        prices=HostPrices.load,
    )  # fmt: skip
    assert terms.month_price == (None if month is None else Decimal(month))
    assert terms.status is status
    assert (terms.reason is None) is (words is None)
    assert words is None or words in str(terms.reason)


def test_a_size_of_the_list_brings_its_processors_and_its_memory() -> None:
    terms = fix(
        HostingConfig.model_validate(HETZNER), at=MAY, cpus=Decimal(64), memory_gib=Decimal(512)
    )
    assert (terms.cpus, terms.memory_gib) == (Decimal(4), Decimal(8))
