"""The receipt as people read it: in a terminal, as Markdown, as a document."""

import json
import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from swarm.app import App
from swarm.cli.markdown import markdown_lines
from swarm.cli.paper_lines import against, paper_lines, people
from swarm.core.document import (
    BandDocument,
    BaselineDocument,
    HoursDocument,
    OrderDocument,
    PaperDocument,
    WeekDocument,
)
from swarm.core.money import CostStatus, Money
from swarm.core.order import Baseline, CostBand, HoursBand, OrderStatus
from swarm.ledger.attention import FounderTime, FounderTimeConfig
from swarm.ledger.hosting.attribution import HostingShare
from swarm.ledger.receipt import Sheet, receipt
from swarm.settings import load
from tests.cli.terminal import Terminal
from tests.ledger.founder_log import at, ledger_row

PAPERS = Path(__file__).with_name("papers")
CONFIG = FounderTimeConfig(rate_per_hour=Decimal(60))


@pytest.fixture(scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company just made; tests copy it, since making one takes a second."""
    home = tmp_path_factory.mktemp("made") / "home"
    app = App(load({"SWARM_HOME": str(home)}))
    app.initialise()
    app.close()
    return home


@pytest.fixture(autouse=True)
def company(terminal: Terminal, made_home: Path) -> None:
    """Put a company of its own before each terminal."""
    shutil.copytree(made_home, terminal.home)


def row(cost: str, **columns: Any) -> Any:
    return ledger_row(cost_pico=int(Decimal(cost).scaleb(12)), **columns)


def founder() -> FounderTime:
    return FounderTime(
        seconds=Decimal("90.5"),
        touches=4,
        decisions=2,
        options_shown=3,
        options_refused=2,
        reversals=1,
        corrections=1,
        cost=Money(Decimal("1.508333333333"), "USD"),
        rule="the rule",
        measured_seconds=Decimal("390.5"),
        last_at=at(50),
    )


BASELINE = Baseline(
    hours=HoursBand(p10=Decimal("2.04"), p50=Decimal(5), p90=Decimal(14)),
    cost=CostBand(p10=Decimal(120), p50=Decimal(300), p90=Decimal(1400), currency="EUR"),
    method="m",
    sources=("s",),
    author="ceo",
    frozen_at=at(0),
    elapsed=HoursBand(p10=Decimal(20), p50=Decimal(48), p90=Decimal(90)),
    reference_cases=6025,
)


def band(document: type[Any], found: Any) -> Any:
    return document(**found.model_dump())


def paper(**more: Any) -> PaperDocument:
    """Return the receipt of one order that had a bit of everything."""
    books = Sheet(
        rows=[
            row("0.5", role="ceo", model="openai/gpt-4o", task_id=None, node="frame/0"),
            row("0.25", node="t1/0.0/w1"),
            row("0.04", currency="CHF"),
            row("0.1", currency="EUR", cost_status="notional"),
            row("0", cost_status="unpriced", state="failed"),
        ],
        plan=None,
        created_at=at(0),
        ended_at=at(30),
        is_ended=True,
        currency="USD",
        founder=founder(),
        founder_config=CONFIG,
        rates={"EUR": Decimal("1.1")},
        hosting=HostingShare(
            Money(Decimal("0.002"), "USD"), Money(Decimal("0.005"), "USD"), CostStatus.PAID, ""
        ),
        baseline=BASELINE,
        channel="telegram",
    )
    values: dict[str, Any] = {
        **dict(receipt(books)),
        "order": "o1",
        "status": OrderStatus.DELIVERED,
        "text": "Write a page | for a *bakery*.",
        "language": "en",
        "baseline": BaselineDocument(
            hours=band(HoursDocument, BASELINE.hours),
            cost=band(BandDocument, BASELINE.cost),
            elapsed=band(HoursDocument, BASELINE.elapsed),
            method="m",
            sources=["s"],
            frozen_at=at(0),
            reference_cases=6025,
        ),
        "forecast": None,
        "budget": None,
        "accepted_by": None,
        "created_at": at(0),
        "delivered_at": at(30),
        "week": WeekDocument(
            start=datetime(2026, 3, 2, tzinfo=UTC),
            end=datetime(2026, 3, 9, tzinfo=UTC),
            seconds=Decimal(54000),
            limit_seconds=Decimal(50400),
            is_over=True,
        ),
    }
    return PaperDocument(**(values | more))


def test_the_terminal_shows_every_line_of_the_receipt() -> None:
    expected = (PAPERS / "receipt.txt").read_text(encoding="utf-8")
    assert "\n".join(paper_lines(paper())) + "\n" == expected


def test_markdown_shows_every_amount_to_its_last_digit() -> None:
    expected = (PAPERS / "receipt.md").read_text(encoding="utf-8")
    assert "\n".join(markdown_lines(paper())) + "\n" == expected


def test_people_and_the_ratio_are_bands_and_the_ratio_of_a_bound_is_one() -> None:
    assert BASELINE.cost.currency == "EUR"
    shown = paper()
    assert shown.baseline is not None
    assert people(shown.baseline).startswith("2 to 14 hours of work over 20 to 90 hours by the")
    assert against(shown).startswith("at most between 56× and 650× cheaper")  # noqa: RUF001
    assert "600" not in against(paper(ratio=None, ratio_note="No ratio: why."))


def test_a_paper_fits_its_schema_and_reads_back(terminal: Terminal) -> None:
    document = json.loads(paper().model_dump_json())
    schema = PaperDocument.model_json_schema(mode="serialization")
    jsonschema.Draft202012Validator(schema).validate(document)
    assert PaperDocument.model_validate(document) == paper()
    ordered = terminal.run("schema", "order").document
    shown = OrderDocument.model_json_schema(mode="serialization")
    assert ordered == json.loads(json.dumps(shown))
    assert {"total", "hosting", "founder", "attempts", "ratio", "left_out", "as_of"} <= set(
        ordered["$defs"]["ReceiptDocument"]["properties"]
    )


def test_printing_a_receipt_again_gives_the_same_receipt(terminal: Terminal) -> None:
    terminal.order()
    order_id = terminal.order("Bake.")
    terminal.run("cancel", order_id)
    first = terminal.run("receipt", order_id, "--json").document
    assert terminal.run("receipt", order_id).code == 0
    assert terminal.run("receipt", order_id, "--markdown").code == 0
    assert terminal.run("show", order_id).code == 0
    again = terminal.run("receipt", order_id, "--json").document
    first.pop("week"), again.pop("week")
    assert again == first
    assert first["as_of"] is None
    terminal.run("time", "add", order_id, "2m", "reading on paper")
    late = terminal.run("receipt", order_id, "--json").document
    assert Decimal(late["founder"]["seconds"]) - Decimal(first["founder"]["seconds"]) == 120
    assert late["as_of"] > late["created_at"]
    assert "As of" in terminal.run("receipt", order_id).out


def test_a_receipt_is_markdown_or_a_document_not_both(terminal: Terminal) -> None:
    order_id = terminal.order()
    seen = terminal.run("receipt", order_id, "--markdown", "--json")
    assert (seen.code, seen.out) == (2, "")
    assert terminal.run("receipt", "o-nobody").code == 2


def test_the_receipt_prices_the_founders_minutes_at_their_rate(terminal: Terminal) -> None:
    terminal.set(SWARM_FOUNDER_TIME__RATE_PER_HOUR="100", SWARM_FOUNDER_TIME__CURRENCY="USD")
    order_id = terminal.order()
    terminal.run("time", "add", order_id, "18m")
    document = terminal.run("receipt", order_id, "--json").document
    parts = {part["name"]: part for part in document["total"]["parts"]}
    assert parts["the founder's time"]["amount"] == "30"
    assert parts["the founder's time"]["status"] == "notional"
    assert document["total"]["amount"] == document["total"]["notional"] == "30"
    assert "# Receipt of order" in terminal.run("receipt", order_id, "--markdown").out


def test_the_founders_week_over_its_budget_is_said(terminal: Terminal) -> None:
    terminal.set(SWARM_FOUNDER_TIME__WEEKLY_HOURS="0.1")
    order_id = terminal.order()
    terminal.run("time", "add", order_id, "10m")
    warning = "more than the 6 min 00 s you allow"
    assert warning in terminal.run("receipt", order_id).out
    assert warning in terminal.run("time", "week").out
    inbox = terminal.run("inbox")
    assert warning in inbox.err
    assert warning not in inbox.out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_PER_HOUR", "-1"),
        ("CURRENCY", "euro"),
        ("WEEKLY_HOURS", "0"),
        ("ABSENCE_MINUTES", "x"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(terminal: Terminal, name: str, value: str) -> None:
    terminal.set(**{f"SWARM_FOUNDER_TIME__{name}": value})
    seen = terminal.run("orders")
    assert seen.code == 2
    assert f"founder_time.{name.lower()}" in seen.err
