"""The receipt: what adds up, what stands apart, what is a bound, and what is left out."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.document import ReceiptDocument
from swarm.core.money import PICO, CostStatus, Money, from_pico
from swarm.core.order import Baseline, CostBand, HoursBand, Plan, PlannedTask
from swarm.ledger.attention import FounderTime, FounderTimeConfig
from swarm.ledger.attention.spent import price
from swarm.ledger.hosting.attribution import SO_FAR, HostingShare
from swarm.ledger.receipt import Sheet, receipt
from swarm.ledger.receipt.attempts import is_rework
from tests.ledger.founder_log import at, ledger_row

RATE = FounderTimeConfig(rate_per_hour=Decimal(100))


def pico(text: str) -> int:
    return int(Decimal(text).scaleb(12))


def founder(seconds: str = "0", config: FounderTimeConfig = RATE, **more: Any) -> FounderTime:
    spent = Decimal(seconds)
    return FounderTime(
        seconds=spent,
        touches=1,
        decisions=0,
        options_shown=0,
        options_refused=0,
        reversals=0,
        corrections=0,
        cost=price(spent, config=config, currency="USD"),
        rule="the rule",
        **more,
    )


def hosting(direct: str | None, full: str | None, currency: str = "USD", note: str = "") -> Any:
    status = CostStatus.PAID if full else CostStatus.UNPRICED

    def money(text: str | None) -> Money | None:
        return None if text is None else Money(Decimal(text), currency)

    return HostingShare(money(direct), money(full), status, note)


def sheet(*rows: Any, **more: Any) -> Sheet:
    values: dict[str, Any] = {
        "rows": rows,
        "plan": None,
        "created_at": at(0),
        "ended_at": at(10),
        "is_ended": True,
        "hosting_until": at(600),
        "currency": "USD",
        "founder": founder(),
        "founder_config": RATE,
        "hosting": hosting("0.01", "0.03"),
    }
    return Sheet(**(values | more))


def baseline(currency: str = "USD") -> Baseline:
    return Baseline(
        hours=HoursBand(p10=Decimal(2), p50=Decimal(5), p90=Decimal(14)),
        cost=CostBand(p10=Decimal(120), p50=Decimal(300), p90=Decimal(600), currency=currency),
        method="m",
        sources=("s",),
        author="ceo",
        frozen_at=at(0),
    )


def test_the_total_is_model_machine_and_founder() -> None:
    paper = receipt(sheet(ledger_row(cost_pico=pico("0.5")), founder=founder("36")))
    assert paper.total is not None
    assert {part.name: part.amount for part in paper.total.parts} == {
        "model calls": Decimal("0.5"),
        "the machine, at work": Decimal("0.01"),
        "the machine, share of its idle time": Decimal("0.02"),
        "the founder's time": Decimal(1),
    }
    assert paper.total.amount == Decimal("1.53")
    assert paper.total.notional == 1
    assert (paper.total.status, paper.total.is_at_least) == (CostStatus.PAID, False)


STATUSES = st.sampled_from([s.value for s in CostStatus])
ROWS = st.lists(
    st.builds(
        ledger_row,
        cost_pico=st.integers(0, 10**15),
        cost_status=STATUSES,
        currency=st.sampled_from(["USD", "EUR", "CHF"]),
        state=st.sampled_from(["used", "failed", "intent", "superseded"]),
        node=st.sampled_from(["frame/0", "plan/1.0", "t1/0.0/w0", "t1/0.0/w2", "t1/0.0/r1"]),
    ),
    max_size=12,
)
AMOUNT = st.decimals(0, 1000, places=12).map(str)


@settings(deadline=None)
@given(
    ROWS,
    AMOUNT,
    st.integers(0, 10**10),
    st.sampled_from(["USD", "EUR"]),
    st.decimals("0.01", 9, places=6),
)
def test_every_total_can_be_added_up_again_from_its_document(
    rows: list[Any], amount: str, founder_us: int, currency: str, rate: Decimal
) -> None:
    whole = str(Decimal(amount) * 2)
    paper = receipt(
        sheet(
            *rows,
            hosting=hosting(amount, whole, currency),
            founder=founder(str(Decimal(founder_us) / 10**6)),
            rates={"EUR": rate},
        )
    )
    read = ReceiptDocument.model_validate_json(paper.model_dump_json())
    assert read == paper
    total = read.total
    assert total is not None
    counted = [part for part in total.parts if part.is_counted]
    assert sum((part.amount or 0 for part in counted), Decimal(0)) == total.amount
    for part in counted:
        by = part.rate or Decimal(1)
        assert part.amount == (part.original.amount * by).quantize(PICO)
    notional = [p.amount or 0 for p in counted if p.status is CostStatus.NOTIONAL]
    assert sum(notional, Decimal(0)) == total.notional
    kept = {part.original.currency for part in total.parts if not part.is_counted}
    assert {cost.currency for cost in total.apart} == kept <= {"CHF"}
    assert read.founder is not None
    assert read.founder.amount == (read.founder.seconds * 100 / 3600).quantize(PICO)
    rows_known = sum((from_pico(row.cost_pico) for row in rows), Decimal(0))
    assert sum((line.amount for line in read.by_role), Decimal(0)) == rows_known
    assert read.attempts is not None
    parts = (read.attempts.first, read.attempts.rework, read.attempts.failed)
    assert sum((part.amount for part in parts), Decimal(0)) == read.model_cost.amount
    assert total.is_at_least == (total.status is CostStatus.UNPRICED) == bool(total.missing)


@settings(deadline=None)
@given(ROWS)
def test_the_same_books_give_the_same_receipt_in_any_order_of_rows(rows: list[Any]) -> None:
    one, other = receipt(sheet(*rows)), receipt(sheet(*reversed(rows)))
    assert one.total == other.total
    assert one.by_role == other.by_role


def test_a_currency_without_a_rate_stands_apart_and_makes_a_bound() -> None:
    rows = [
        ledger_row(cost_pico=pico("0.5")),
        ledger_row(cost_pico=pico("2"), currency="EUR"),
    ]
    total = receipt(sheet(*rows)).total
    assert total is not None
    assert total.amount == Decimal("0.53")
    assert [(cost.amount, cost.currency) for cost in total.apart] == [(Decimal(2), "EUR")]
    assert total.is_at_least
    assert total.missing == ["2 EUR stand apart: company.yaml has no rate from EUR to USD."]
    with_rate = receipt(sheet(*rows, rates={"EUR": Decimal("1.1")})).total
    assert with_rate is not None
    assert with_rate.amount == Decimal("2.73")
    assert (with_rate.apart, with_rate.is_at_least) == ([], False)


def test_an_unpriced_call_makes_the_total_a_bound_and_is_never_a_zero_line() -> None:
    paper = receipt(sheet(ledger_row(cost_status="unpriced"), ledger_row(cost_pico=pico("1"))))
    assert paper.total is not None
    assert paper.total.missing == ["1 model call has no known price."]
    assert paper.total.status is CostStatus.UNPRICED
    assert paper.total.parts[0].name == "model calls"
    assert len(paper.total.parts) == 3


def test_a_machine_nobody_metered_and_minutes_without_a_rate_are_missing_not_zero() -> None:
    config = FounderTimeConfig()
    paper = receipt(
        sheet(
            ledger_row(cost_pico=pico("1")),
            hosting=hosting(None, None, note="nothing of this order was metered"),
            founder=founder("60", config),
            founder_config=config,
        )
    )
    assert paper.total is not None
    assert paper.total.amount == 1
    assert [why.split(":")[0] for why in paper.total.missing] == [
        "The machine has no known cost",
        "The founder's time has no price",
    ]
    assert any("rate per hour" in text for text in paper.left_out)
    assert any("machine Swarm runs on" in text for text in paper.left_out)


def test_no_minutes_need_no_rate() -> None:
    config = FounderTimeConfig()
    paper = receipt(sheet(founder=founder("0", config), founder_config=config))
    assert paper.total is not None
    assert not paper.total.is_at_least


def test_own_hardware_is_notional_and_its_electricity_is_left_out() -> None:
    paper = receipt(sheet(ledger_row(cost_pico=pico("0.2"), cost_status="notional")))
    assert paper.total is not None
    assert paper.total.notional == Decimal("0.2")
    assert any("Electricity" in text for text in paper.left_out)
    paid = receipt(sheet(ledger_row(cost_pico=pico("0.2"))))
    assert not any("Electricity" in text for text in paid.left_out)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"channel": "telegram"}, "Your subscription of telegram"),
        (
            {"foreign_tools": ("mcp_shop_buy",)},
            "tools of others charge by themselves: mcp_shop_buy",
        ),
        ({"is_on_web": True}, "web pages"),
    ],
)
def test_what_is_left_out_follows_from_what_was_used(more: dict[str, Any], words: str) -> None:
    assert any(words in text for text in receipt(sheet(**more)).left_out)
    assert not any(words in text for text in receipt(sheet()).left_out)


def test_a_call_whose_answer_never_came_is_left_out_aloud() -> None:
    paper = receipt(sheet(ledger_row(state="intent", ended_at=None, latency_s=None)))
    assert paper.unanswered_intents == 1
    assert any("a call whose answer never arrived" in text for text in paper.left_out)


def test_tokens_are_in_disjoint_buckets() -> None:
    row = ledger_row(
        cache_read_tokens=5, cache_write_tokens=6, cache_write_1h_tokens=7, audio_tokens=8,
        tool_tokens=9, reasoning_tokens=10,
    )  # fmt: skip
    tokens = receipt(sheet(row, row)).tokens.model_dump()
    assert tokens == {
        "input": 2000, "cache_read": 10, "cache_write": 12, "cache_write_1h": 14, "audio": 16,
        "tool": 18, "output": 200, "reasoning": 20,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("node", "is_again"),
    [
        ("frame/0", False), ("frame/1", True), ("plan/0.0", False), ("plan/1.0", True),
        ("t1/0.0/w0", False), ("t1/0.0/w1", True), ("t1/0.0/r0", False), ("t1/0.1/w0", True),
        ("t2/1.0/w0", True), ("deliver/0.0", False), ("t1/0.0/w0/d3.0", False), ("doctor", False),
    ],
)  # fmt: skip
def test_a_node_says_whether_its_calls_were_made_again(node: str, is_again: bool) -> None:
    assert is_rework(node) is is_again


def test_rework_and_failed_attempts_have_their_share_of_the_model_cost() -> None:
    found = receipt(
        sheet(
            ledger_row(cost_pico=pico("6")),
            ledger_row(cost_pico=pico("3"), node="t1/0.0/w1"),
            ledger_row(cost_pico=pico("1"), state="failed"),
        )
    ).attempts
    assert found is not None
    assert (found.rework_share, found.failed_share) == (Decimal("0.3"), Decimal("0.1"))
    assert (found.rework_calls, found.failed_calls) == (1, 1)


def test_the_ratio_is_a_band_over_the_whole_total() -> None:
    paper = receipt(sheet(ledger_row(cost_pico=pico("9.97")), baseline=baseline()))
    assert paper.ratio is not None
    band = [paper.ratio.p10, paper.ratio.p50, paper.ratio.p90]
    assert band == [Decimal(12), Decimal(30), Decimal(60)]
    assert paper.ratio.words == "between 12× and 60× cheaper, most likely 30×"  # noqa: RUF001
    assert not paper.ratio.is_at_most


def test_the_ratio_of_a_bound_is_a_bound() -> None:
    rows = ledger_row(cost_pico=pico("9.97")), ledger_row(cost_status="unpriced")
    paper = receipt(sheet(*rows, baseline=baseline()))
    assert paper.ratio is not None
    assert paper.ratio.is_at_most


def test_a_baseline_in_another_currency_needs_a_rate_for_its_ratio() -> None:
    books = sheet(ledger_row(cost_pico=pico("10.97")), baseline=baseline("EUR"))
    without = receipt(books)
    assert without.ratio is None
    assert "EUR" in without.ratio_note
    paper = receipt(replace(books, rates={"EUR": Decimal("1.1")}))
    assert paper.ratio is not None
    assert paper.ratio.cost.amount == 10
    assert paper.ratio.p50 == 30


@pytest.mark.parametrize("with_baseline", [True, False])
def test_without_a_cost_or_a_baseline_there_is_no_ratio_but_a_sentence(with_baseline: bool) -> None:
    paper = receipt(
        sheet(hosting=hosting("0", "0"), baseline=baseline() if with_baseline else None)
    )
    assert paper.ratio is None
    assert paper.ratio_note.startswith("No ratio:")


def test_a_receipt_says_as_of_when_where_rows_came_after_the_end() -> None:
    assert receipt(sheet(ledger_row())).as_of is None
    late = founder("60", last_at=at(30))
    assert receipt(sheet(ledger_row(), founder=late)).as_of == at(30)
    assert receipt(sheet(ledger_row(), founder=late, is_ended=False)).as_of is None
    early = founder("60", last_at=at(5))
    assert receipt(sheet(ledger_row(), founder=early)).as_of is None
    unsettled = hosting("0.01", "0.02", note=SO_FAR)
    assert receipt(sheet(ledger_row(), hosting=unsettled)).as_of == at(600)


def test_times_are_the_clock_the_calls_and_the_longest_chain() -> None:
    def task(name: str, *needs: str) -> PlannedTask:
        return PlannedTask(
            id=name, role="cto", title="t", brief="b", depends_on=needs, deliverable="d",
            human_hours=Decimal(1),
        )  # fmt: skip

    plan = Plan(approach="a", tasks=(task("t1"), task("t2"), task("t3", "t1", "t2")))
    rows = [
        ledger_row(task_id=None, latency_s=2.0),
        ledger_row(task_id="t1", latency_s=30.0),
        ledger_row(task_id="t2", latency_s=50.0),
        ledger_row(task_id="t3", latency_s=5.0),
        ledger_row(task_id="t3", latency_s=None, ended_at=None, state="intent"),
    ]
    paper = receipt(sheet(*rows, plan=plan))
    assert (paper.wall_s, paper.working_s, paper.critical_path_s) == (600, 87, 57)


def test_a_clock_set_back_gives_no_negative_time() -> None:
    paper = receipt(sheet(ended_at=at(0) - timedelta(hours=1)))
    assert paper.wall_s == 0
