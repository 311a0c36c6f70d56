"""FOCUS 1.2: every row keeps the specification, and all of them add up to the ledger."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from swarm.core.money import from_pico, to_pico
from swarm.ledger.exports import rows, tables
from swarm.ledger.exports.focus import Account, charges
from swarm.ledger.exports.focus_columns import NAMES
from swarm.ledger.exports.spread import spread
from swarm.store.database import Store
from swarm.store.tables import ledger
from tests.ledger.focus_rules import TABLE, faults
from tests.ledger.ledgers import DAY, WEEK, call, company, order, unanswered

ACME = Account("Acme")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with company(tmp_path) as made:
        yield made


def part(bucket: str, quantity: int, price: str | None, **changed: Any) -> dict[str, Any]:
    """One priced part as the ledger stores it."""
    amount = None if price is None else format(Decimal(price) * quantity, "f")
    return {
        "bucket": bucket,
        "quantity": quantity,
        "unit_price": price,
        "amount": amount,
        "model": "gpt-5-mini",
        "price_id": "book:openai/gpt-5-mini@2026-11-22",
        **changed,
    }


def priced(connection: Connection, order_id: str, seq: int, *parts: dict[str, Any]) -> None:
    """Store a call with its parts, charged as the ledger charges it: rounded up to 1e-12."""
    known = [Decimal(item["amount"]) for item in parts if item["amount"] is not None]
    status = "paid" if len(known) == len(parts) else "unpriced"
    call(
        connection,
        order_id,
        seq,
        cost_pico=to_pico(sum(known, Decimal(0))),
        cost_status=status,
        parts=json.dumps(parts),
        provider="openai",
    )


def everything(connection: Connection) -> None:
    """A row of each sort that a ledger can hold."""
    order(connection, "o1")
    cheap, odd = "0.000000250000", "0.0000000001234567"
    priced(connection, "o1", 0, part("input", 1000, cheap), part("output", 33, "0.000002"))
    priced(connection, "o1", 1, part("input", 7, odd), part("cache_read", 3, odd))
    priced(connection, "o1", 2, part("input", 10, cheap), part("web_search", 2, None))
    call(connection, "o1", 3, cost=Decimal("0.25"))
    call(connection, "o1", 4, cost=Decimal(0), cost_status="unpriced", model="x/new", price_id=None)
    call(connection, "o1", 5, cost=Decimal(2), cost_status="notional", model="anthropic/claude-x")
    call(connection, "o1", 6, cost=Decimal(0), state="failed", error_kind="timeout", price_id=None)
    call(connection, "o1", 7, cost=Decimal(1), state="superseded", node="t1/0.0/w1")
    call(connection, "o1", 8, cost=Decimal(3), currency="EUR", task_id=None)
    reported = [part("reported", 1, "0.5", price_id="reported")]
    listed = {"listed_pico": to_pico(Decimal("0.7")), "listed_currency": "USD"}
    call(connection, "o1", 9, cost=Decimal("0.5"), parts=json.dumps(reported), **listed)
    call(connection, "o1", 10, cost=Decimal(1), parts='[{"bucket": "input"}]')
    call(connection, "o1", 11, cost=Decimal(1), parts="not JSON", model="openrouter/meta/llama")
    call(connection, "o1", 12, cost=Decimal(0), model="ollama/qwen3", cost_status="notional")
    call(connection, "o1", 13, ended_at="2020-01-01T00:00:00.000000Z", service_tier="batch")
    unanswered(connection, "o1", 14)


def table(store: Store, account: Account = ACME) -> list[dict[str, str]]:
    out = io.StringIO(newline="")
    with store.engine.connect() as connection:
        found = rows.stream(connection, None)
        tables.write_csv((c for row in found for c in charges(row, account)), out)
    return list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))


def total(lines: list[dict[str, str]], column: str, **where: str) -> Decimal:
    chosen = (line for line in lines if all(line[name] == value for name, value in where.items()))
    return sum((Decimal(line[column]) for line in chosen), Decimal(0))


def test_every_row_keeps_the_specification(store: Store) -> None:
    store.write(everything)
    for line in table(store):
        assert faults(line) == [], line["ChargeDescription"]


def test_the_columns_of_focus_come_first_and_ours_last() -> None:
    ours = [name.startswith("x_") for name in NAMES]
    assert ours == sorted(ours)
    assert set(TABLE) == {name for name in NAMES if not name.startswith("x_")}


def test_the_rows_add_up_to_the_ledger_to_the_last_digit(store: Store) -> None:
    store.write(everything)
    lines = table(store)
    for currency in ("USD", "EUR"):
        for status in ("paid", "unpriced", "notional"):
            query = sa.select(sa.func.sum(ledger.c.cost_pico)).where(
                ledger.c.currency == currency, ledger.c.cost_status == status
            )
            with store.engine.connect() as connection:
                pico = connection.execute(query).scalar() or 0
            where = {"BillingCurrency": currency, "x_CostStatus": status}
            assert total(lines, "x_LedgerCost", **where) == from_pico(pico)
            owed = 0 if status == "notional" else pico
            assert total(lines, "BilledCost", **where) == from_pico(owed)


PRICES = st.decimals(0, "0.001", places=15).map(lambda d: format(d, "f"))
PARTS = st.lists(
    st.tuples(
        st.sampled_from(["input", "output", "cache_read", "web_search"]),
        st.integers(0, 10**7),
        st.none() | PRICES,
    ),
    min_size=1,
    max_size=6,
)


@given(calls=st.lists(PARTS, max_size=5))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_the_parts_their_charges_add_up_to_the_call(
    store: Store, calls: list[list[tuple[str, int, str | None]]]
) -> None:
    def write(connection: Connection) -> None:
        connection.execute(ledger.delete())
        for seq, parts in enumerate(calls):
            priced(connection, "o1", seq, *(part(*item) for item in parts))

    store.write(write)
    lines = table(store)
    pico = store.read(lambda c: c.execute(sa.select(sa.func.sum(ledger.c.cost_pico))).scalar()) or 0
    assert total(lines, "BilledCost") == from_pico(pico)
    assert [fault for line in lines for fault in faults(line)] == []


def test_a_part_is_a_row_with_its_bucket_as_the_meter(store: Store) -> None:
    store.write(everything)
    first = [line for line in table(store) if line["x_LedgerId"] == "1"]
    assert [(line["SkuMeter"], line["PricingUnit"]) for line in first] == [
        ("input", "Tokens"),
        ("output", "Tokens"),
    ]
    assert [line["BilledCost"] for line in first] == ["0.000250000000", "0.000066000000"]
    assert json.loads(first[0]["Tags"]) == {
        "order": "o1",
        "agent": "cto",
        "instance": "Acme",
        "task": "t1",
    }


def test_what_nobody_can_price_says_so_in_its_own_row(store: Store) -> None:
    store.write(everything)
    unknown = [line for line in table(store) if line["x_Unpriced"] == "true"]
    assert {line["SkuMeter"] for line in unknown} == {"web_search", "call"}
    assert all("unpriced" in line["ChargeDescription"] for line in unknown)
    # The part with a price of a call that has another without one is known.
    known = [line for line in table(store) if line["x_LedgerId"] == "3"]
    assert [line["x_Unpriced"] for line in known] == ["false", "true"]


def test_what_the_provider_says_is_billed_and_the_book_is_the_list(store: Store) -> None:
    store.write(everything)
    (line,) = [line for line in table(store) if line["x_LedgerId"] == "10"]
    assert (Decimal(line["BilledCost"]), Decimal(line["ListCost"])) == (
        Decimal("0.5"),
        Decimal("0.7"),
    )


def test_a_subscription_is_spread_over_what_it_covered(store: Store) -> None:
    def write(connection: Connection) -> None:
        order(connection, "o1")
        for seq, cost in enumerate((30, 10)):
            claude = "anthropic/claude-x"
            call(connection, "o1", seq, cost=Decimal(cost), cost_status="notional", model=claude)
        call(connection, "o1", 2, cost=Decimal(9), cost_status="notional", model="other/m")

    store.write(write)
    fees = {"anthropic": Decimal(20)}
    found = store.read(lambda c: spread(c, fees, currency="USD"))
    lines = table(store, Account("Acme", spread=found))
    assert [Decimal(line["EffectiveCost"]) for line in lines] == [15, 5, 0]
    assert [Decimal(line["BilledCost"]) for line in lines] == [0, 0, 0]
    assert [Decimal(line["ListCost"]) for line in lines] == [30, 10, 9]


def test_parquet_holds_the_same_as_csv(store: Store, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")
    store.write(everything)
    path = tmp_path / "charges.parquet"
    with store.engine.connect() as connection:
        found = (c for row in rows.stream(connection, None) for c in charges(row, ACME))
        count = tables.write_parquet(found, path)
    read = parquet.read_table(path).to_pylist()
    assert len(read) == count == len(table(store))
    for line, row in zip(table(store), read, strict=True):
        for name in NAMES:
            if line[name] == "":
                assert row[name] is None
            elif isinstance(row[name], Decimal):
                assert row[name] == Decimal(line[name]), name
            elif isinstance(row[name], bool):
                assert str(row[name]).lower() == line[name]
            elif hasattr(row[name], "isoformat"):
                assert row[name].strftime("%Y-%m-%dT%H:%M:%SZ") == line[name]
            else:
                assert row[name] == line[name]


def test_a_period_leaves_out_what_lies_outside(store: Store) -> None:
    def write(connection: Connection) -> None:
        for seq, days in enumerate((-2, 0, 6)):
            call(connection, "o1", seq, at=DAY + timedelta(days=days))

    store.write(write)
    with store.engine.connect() as connection:
        assert [row.seq for row in rows.stream(connection, WEEK)] == [1]
