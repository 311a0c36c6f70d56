"""A report of a period: sums that hold, formulas worked out by hand, and words for what is missing."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from swarm.core.errors import InvalidInput
from swarm.core.money import CostStatus
from swarm.ledger.reports.build import Setting, report
from swarm.ledger.reports.config import ReportConfig
from swarm.ledger.reports.curve import OrderCost, fit, points
from swarm.ledger.reports.document import (
    FounderDocument,
    HostingDocument,
    ReportDocument,
    as_json,
)
from swarm.ledger.reports.economics import break_even, concentration, exposure
from swarm.ledger.reports.period import Period, chosen
from swarm.ledger.reports.shock import parse, shocked
from swarm.store.database import Store
from tests.ledger.ledgers import DAY, WEEK, call, company, order, unanswered

TODAY = date(2026, 11, 22)
FOUNDER = FounderDocument(
    seconds=Decimal(1800),
    touches=6,
    decisions=4,
    decisions_per_order=None,
    options_shown=3,
    options_refused=2,
    reversals=1,
    amount=Decimal(50),
    currency="USD",
    rule="as counted",
)
HOSTING = HostingDocument(
    amount=Decimal(7),
    currency="USD",
    idle=Decimal(5),
    status=CostStatus.PAID,
    note="",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with company(tmp_path) as made:
        yield made


def decimals(*values: int) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, values))


def reported(store: Store, setting: Setting | None = None) -> ReportDocument:
    return store.read(lambda c: report(c, WEEK, setting or Setting("Acme", "USD")))


def two_orders(connection: Connection) -> None:
    """One accepted order with rework, one that failed: 4 USD in all."""
    order(connection, "o1", kind="software")
    call(connection, "o1", 0, cost=Decimal(1))
    call(connection, "o1", 1, cost=Decimal(2), node="t1/0.0/w1")
    order(connection, "o2", kind="writing", accepted=False, status="failed")
    call(connection, "o2", 0, cost=Decimal(1), role="ceo", model="anthropic/claude-x")
    call(connection, "o2", 1, cost=Decimal(0), state="failed", error_kind="timeout")


def test_an_accepted_order_bears_rework_failures_machines_and_the_founder(store: Store) -> None:
    store.write(two_orders)
    found = reported(store, Setting("Acme", "USD", founder=FOUNDER, hosting=HOSTING))
    (unit,) = found.per_accepted_order
    # 4 for models, 7 for machines, 50 for the founder, over one accepted order.
    assert (unit.amount, unit.model, unit.hosting, unit.founder) == decimals(61, 4, 7, 50)
    assert not unit.is_lower_bound
    assert (found.orders.begun, found.orders.accepted, found.orders.failed) == (2, 1, 1)
    assert (found.rework.calls, found.rework.share[0].share) == (1, Decimal("0.5"))
    assert found.failed_attempts.calls == 1
    assert found.failed_attempts.sums[0].amount == 0
    assert found.founder is not None
    assert found.founder.decisions_per_order == 2
    assert {line.name: line.accepted for line in found.by_kind} == {"software": 1, "writing": 0}


def test_every_breakdown_adds_up_to_the_whole(store: Store) -> None:
    store.write(two_orders)
    found = reported(store)
    for lines in (found.by_day, found.by_kind, found.by_model, found.by_role):
        assert sum(line.sums[0].amount for line in lines) == 4
        assert sum(line.calls for line in lines) == found.calls == 4


def test_one_unpriced_call_makes_every_total_a_lower_bound(store: Store) -> None:
    def write(connection: Connection) -> None:
        two_orders(connection)
        call(connection, "o1", 9, cost=Decimal(0), cost_status="unpriced", model="x/new")
        unanswered(connection, "o1", 10)

    store.write(write)
    found = reported(store)
    assert found.models[0].status is CostStatus.UNPRICED
    assert found.models[0].unpriced_calls == 2
    assert found.unanswered_intents == 1
    assert found.per_accepted_order[0].is_lower_bound
    assert any("lower bound" in note for note in found.notes)


def test_currencies_stand_apart_and_are_never_added(store: Store) -> None:
    def write(connection: Connection) -> None:
        two_orders(connection)
        call(connection, "o1", 5, cost=Decimal(3), currency="EUR")

    store.write(write)
    config = ReportConfig(price_per_month=Decimal(300))
    found = reported(store, Setting("Acme", "USD", config=config))
    assert {line.currency: line.amount for line in found.models} == {"EUR": 3, "USD": 4}
    assert [unit.currency for unit in found.per_accepted_order] == ["EUR", "USD"]
    # Without a rate the euros cannot be set against the price: the margin is at most this.
    assert found.margins[0].is_upper_bound
    assert found.margins[0].cost == 4
    rated = reported(store, Setting("Acme", "USD", config=config, rates={"EUR": Decimal("1.1")}))
    assert (rated.margins[0].cost, rated.margins[0].is_upper_bound) == (Decimal("7.3"), False)


def test_a_subscription_costs_its_price_and_not_its_list_value(store: Store) -> None:
    def write(connection: Connection) -> None:
        order(connection, "o1")
        claude = "anthropic/claude-x"
        call(connection, "o1", 0, cost=Decimal(90), cost_status="notional", model=claude)
        call(connection, "o1", 1, cost=Decimal(10))

    store.write(write)
    fee = {"anthropic": Decimal("30.4375")}
    config = ReportConfig(price_per_month=Decimal("304.375"), subscriptions=fee)
    found = reported(store, Setting("Acme", "USD", config=config))
    # Seven days: 70 earned; 7 of the subscription and 10 by the token are paid.
    (margin,) = found.margins
    assert (margin.revenue, margin.cost, margin.margin) == decimals(70, 17, 53)
    assert margin.break_even == Decimal("4.117647")  # 1 + 53 / 17
    (item,) = found.exposure
    assert (item.listed, item.paid) == decimals(100, 17)
    assert {line.provider: line.share for line in item.providers} == {
        "anthropic": Decimal("0.9"),
        "openai": Decimal("0.1"),
    }
    assert item.concentration == Decimal("0.82")


def test_an_empty_period_is_empty_and_has_no_cost_of_an_order(store: Store) -> None:
    found = reported(store)
    assert found.is_empty
    assert [found.per_accepted_order, found.models, found.curves] == [[], [], []]
    json.dumps(as_json(found))


def test_calls_outside_the_period_do_not_count(store: Store) -> None:
    def write(connection: Connection) -> None:
        order(connection, "o1")
        for seq, days in enumerate((-2, -1, 0, 5, 6)):
            call(connection, "o1", seq, at=DAY + timedelta(days=days))

    store.write(write)
    assert reported(store).calls == 3


def test_break_even_is_the_factor_at_which_nothing_is_left() -> None:
    # 100 earned, 40 spent of which 20 for models: models may cost 80, which is four times as much.
    assert break_even(revenue=Decimal(100), cost=Decimal(40), model_cost=Decimal(20)) == 4
    assert break_even(revenue=Decimal(30), cost=Decimal(40), model_cost=Decimal(20)) == Decimal(
        "0.5"
    )
    assert break_even(revenue=Decimal(30), cost=Decimal(40), model_cost=Decimal(0)) is None


@given(
    st.decimals(0, 10**6, places=6),
    st.decimals(0, 10**6, places=6),
    st.decimals(1, 10**6, places=6),
)
def test_at_break_even_the_profit_is_gone(
    revenue: Decimal, others: Decimal, models: Decimal
) -> None:
    factor = break_even(revenue=revenue, cost=others + models, model_cost=models)
    assert factor is not None
    assert abs(revenue - others - models * factor) <= models * Decimal("1e-6")


@given(st.lists(st.decimals(0, 10**6, places=6), min_size=1, max_size=8))
def test_concentration_lies_between_equal_shares_and_one_alone(values: list[Decimal]) -> None:
    index = concentration(values)
    if index is None:
        assert sum(values) == 0
    else:
        assert 1 / Decimal(len(values)) - Decimal("1e-5") <= index <= 1


def test_exposure_without_payment_has_no_factor() -> None:
    assert exposure(listed=Decimal(5), paid=Decimal(0)).factor is None
    assert exposure(listed=Decimal(5), paid=Decimal(2)).factor == Decimal("2.5")


def costs_of(shape: list[float]) -> list[OrderCost]:
    return [
        OrderCost(n, Decimal(str(round(c, 6))), n % 2 == 0, 50 * (n > 4), 100)
        for n, c in enumerate(shape, start=1)
    ]


def test_the_curve_finds_the_shape_it_was_made_of() -> None:
    made = points(costs_of([2 + 8 * n**-0.5 for n in range(1, 201)]))
    found = fit(made)
    assert found is not None
    assert found.floor == pytest.approx(2, rel=0.1)
    assert found.extra == pytest.approx(8, rel=0.1)
    assert found.exponent == pytest.approx(0.5, abs=0.1)
    assert found.r_squared > 0.99


@pytest.mark.parametrize("shape", [[5.0] * 30, [float(n) for n in range(1, 30)]])
def test_costs_that_do_not_fall_have_no_curve(shape: list[float]) -> None:
    found = fit(points(costs_of(shape)))
    assert found is None or found.r_squared < 1e-6


def test_a_handful_of_orders_has_no_curve_and_says_so(store: Store) -> None:
    def write(connection: Connection) -> None:
        for number in range(7):
            order(connection, f"o{number}", kind="writing", at=DAY + timedelta(minutes=number))
            call(connection, f"o{number}", cost=Decimal(10 - number))

    store.write(write)
    (found,) = reported(store).curves
    assert found.floor is None
    assert "too few" in found.note


def test_the_curve_shows_acceptance_and_the_cache_beside_the_cost(store: Store) -> None:
    def write(connection: Connection) -> None:
        for number in range(20):
            at, id = DAY + timedelta(minutes=number), f"o{number:02d}"
            order(connection, id, at=at, accepted=number % 2 == 0)
            cost = Decimal(2) + Decimal(8) / (number + 1)
            call(connection, id, at=at, cost=cost, cache_read_tokens=900 if number > 9 else 0)
        order(connection, "gap", at=DAY + timedelta(minutes=30))
        call(connection, "gap", at=DAY, cost=Decimal(0), cost_status="unpriced")

    store.write(write)
    (found,) = reported(store).curves
    assert found.floor is not None
    assert (found.orders, found.left_out) == (21, 1)
    assert found.points[0].accepted_share == 1
    assert found.points[-1].cached_share is not None
    assert found.points[-1].cached_share > Decimal("0.7")


def test_prices_that_rise_end_what_a_kind_of_order_earns(store: Store) -> None:
    store.write(two_orders)
    config = ReportConfig(price_per_order={"software": Decimal(20), "writing": Decimal(5)})
    setting = Setting("Acme", "USD", config=config)
    factors = parse("llm=10, anthropic = 2", providers={"openai", "anthropic"})
    found = store.read(lambda c: shocked(c, WEEK, setting, factors, limit=1))
    (total,) = found.totals
    assert (total.now, total.then) == decimals(4, 32)
    assert total.orders == 2
    software, writing = found.kinds
    assert (software.pays_now, software.pays_then) == (True, False)
    assert software.then == 30
    # The writing order failed, so it earned nothing before and after.
    assert (writing.pays_now, writing.pays_then) == (False, False)
    assert [line.name for line in found.orders] == ["o1"]
    assert found.orders_left_out == 1


def test_hosting_and_the_founder_have_factors_of_their_own(store: Store) -> None:
    store.write(two_orders)
    config = ReportConfig(price_per_month=Decimal("304.375"))
    setting = Setting("Acme", "USD", config=config, founder=FOUNDER, hosting=HOSTING)
    factors = parse("hosting=2,founder=0,llm=1", providers=())
    now, then = store.read(lambda c: shocked(c, WEEK, setting, factors, limit=9)).margins
    assert (now.cost, then.cost) == decimals(61, 18)


def test_own_hardware_keeps_its_price_when_models_rise(store: Store) -> None:
    def write(connection: Connection) -> None:
        order(connection, "o1")
        call(connection, "o1", cost=Decimal(3), model="ollama/qwen3", cost_status="notional")

    store.write(write)
    factors = parse("llm=10", providers=())
    found = store.read(lambda c: shocked(c, WEEK, Setting("Acme", "USD"), factors, limit=9))
    assert found.totals[0].then == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write a factor"),
        ("llm", "write a factor"),
        ("llm=", "from 0 to"),
        ("llm=ten", "from 0 to"),
        ("llm=-1", "from 0 to"),
        ("llm=NaN", "from 0 to"),
        ("llm=1e99", "from 0 to"),
        ("llm=2,llm=3", "twice"),
        ("opnai=2", "did you mean 'openai'"),
    ],
)
def test_a_shock_that_cannot_be_read_is_answered_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse(text, providers={"openai"})


def test_a_period_is_named_in_one_way() -> None:
    assert chosen(today=TODAY) == Period(date(2026, 11, 16), TODAY)
    assert chosen(is_month=True, today=TODAY).days == 30
    assert chosen(first="2026-11-01", today=TODAY).days == 22
    assert chosen(first="2026-11-01", last="2026-11-01", today=TODAY).days == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"is_week": True, "is_month": True}, "one period"),
        ({"is_week": True, "first": "2026-11-01"}, "one period"),
        ({"last": "2026-11-01"}, "--to needs --from"),
        ({"first": "yesterday"}, "is no day"),
        ({"first": "2026-11-31"}, "is no day"),
        ({"first": "2026-11-05", "last": "2026-11-01"}, "before it begins"),
    ],
)
def test_a_period_that_cannot_be_is_answered_with_a_sentence(
    words: dict[str, str | bool], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        chosen(today=TODAY, **words)  # type: ignore[arg-type]


def test_an_order_without_a_row_or_a_kind_is_counted_all_the_same(store: Store) -> None:
    def write(connection: Connection) -> None:
        call(connection, "nobody", cost=Decimal(2))
        order(connection, "o2", kind=None)
        call(connection, "o2", cost=Decimal(1))

    store.write(write)
    found = reported(store)
    assert {line.name: line.sums[0].amount for line in found.by_kind} == {"not framed": Decimal(3)}
