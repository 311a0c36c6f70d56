"""`swarm report`: for people, for programs, as a page; and a sentence where something is off."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree, html  # type: ignore[import-untyped]
from sqlalchemy.engine import Connection

from swarm.store.database import Store, sqlite_url
from tests.cli.terminal import Terminal
from tests.ledger.ledgers import call, empty_database, order

NOW = datetime.now(UTC).replace(microsecond=0)


def made(home: Path) -> Path:
    """Make a company's folder by copying one, which is faster than `swarm init`."""
    home.mkdir()
    (home / "swarm.db").write_bytes(empty_database())
    return home


def write(home: Path, work: Any) -> None:
    store = Store(sqlite_url(home / "swarm.db"))
    try:
        store.write(work)
    finally:
        store.close()


def orders(connection: Connection, *, cost: str = "2.5") -> None:
    for number in range(3):
        at = NOW - timedelta(minutes=60 - number)
        order(connection, f"o{number}", kind="software", at=at, accepted=number < 2)
        call(connection, f"o{number}", 0, at=at, cost=Decimal(cost))
    call(connection, "o0", 1, at=NOW, cost=Decimal("0.5"), node="t1/0.0/w1")


@pytest.fixture
def company(terminal: Terminal) -> Terminal:
    write(made(terminal.home), orders)
    return terminal


def test_a_report_says_what_an_accepted_order_cost(company: Terminal) -> None:
    seen = company.run("report", "--week")
    assert seen.code == 0, seen.err
    assert "Cost per accepted order: 4.00 USD" in seen.out
    assert "2 accepted" in seen.out
    assert "software" in seen.out


def test_programs_get_one_document_with_amounts_as_texts(company: Terminal) -> None:
    document = company.run("report", "--json").document
    (unit,) = document["per_accepted_order"]
    assert (unit["amount"], unit["currency"]) == ("4", "USD")
    assert document["models"] == [
        {
            "currency": "USD",
            "amount": "8",
            "paid": "8",
            "notional": "0",
            "status": "paid",
            "unpriced_calls": 0,
        }
    ]
    assert document["rework"]["share"] == [{"currency": "USD", "share": "0.0625"}]
    assert document["period"]["days"] == 7


def test_an_empty_company_gets_a_sentence(terminal: Terminal) -> None:
    terminal.run("init")
    seen = terminal.run("report", "--month")
    assert (seen.code, seen.out.count("\n")) == (0, 1)
    assert "Nothing was ordered" in seen.out
    assert terminal.run("report", "--json").document["is_empty"] is True


def test_a_company_that_is_not_there_is_told_how_to_begin(terminal: Terminal) -> None:
    seen = terminal.run("report")
    assert seen.code == 2
    assert "swarm init" in seen.err
    assert not terminal.home.joinpath("swarm.db").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--week", "--month"), "one period"),
        (("--from", "soon"), "no day"),
        (("--price-shock", "llm=-2"), "from 0 to"),
        (("--price-shock", "opnai=2"), "did you mean"),
        (("--price-shock", "llm=2", "--html", "x.html"), "stand alone"),
        (("--reprice", "/no/such/book.json"), "cannot be read"),
        (("--beside", "/nowhere"), "price_per_month"),
        (("--limit", "0"), "--limit"),
        (("--svg", "/proc/nowhere/x"), "cannot be created"),
    ],
)
def test_bad_words_are_answered_with_a_sentence(
    company: Terminal, words: tuple[str, ...], said: str
) -> None:
    seen = company.run("report", *words)
    assert seen.code == 2
    assert said in seen.err
    assert "Traceback" not in seen.err


def test_prices_that_rise_are_put_against_what_orders_earn(company: Terminal) -> None:
    company.set(SWARM_REPORT__PRICE_PER_ORDER="{software: 10}")
    seen = company.run("report", "--price-shock", "llm=10")
    assert seen.code == 0, seen.err
    assert "software stops paying." in seen.out
    document = company.run("report", "--price-shock", "llm=10", "--json").document
    (kind,) = document["kinds"]
    assert (kind["now"], kind["then"], kind["revenue"]) == ("8", "80", "20")
    assert document["factors"] == {"llm": "10"}


def test_the_worst_of_several_instances_is_named(company: Terminal, tmp_path: Path) -> None:
    company.set(SWARM_REPORT__PRICE_PER_MONTH="304.375")
    other = tmp_path / "other"
    company.set(SWARM_HOME=str(other))
    write(made(other), lambda c: orders(c, cost="30"))
    company.set(SWARM_HOME=str(company.home))
    seen = company.run("report", "--beside", str(other))
    assert seen.code == 0, seen.err
    assert f"Worst instance: {other}, -20.50 USD" in seen.out
    assert "k* = " in seen.out


def test_a_page_and_plots_are_written(company: Terminal, tmp_path: Path) -> None:
    page, folder = tmp_path / "report.html", tmp_path / "plots"
    seen = company.run("report", "--html", str(page), "--svg", str(folder))
    assert (seen.code, seen.out) == (0, "")
    assert str(page) in seen.err
    root = html.document_fromstring(page.read_text("utf-8"))
    assert root.xpath("//svg")
    drawn = sorted(path.name for path in folder.iterdir())
    assert "by-day-usd.svg" in drawn
    for name in drawn:
        etree.fromstring((folder / name).read_bytes())


def test_usage_is_priced_again_by_another_book(company: Terminal, tmp_path: Path) -> None:
    book = tmp_path / "book.json"
    own = Path(__file__).parents[2] / "swarm" / "ledger" / "pricebook.json"
    book.write_bytes(own.read_bytes())
    document = company.run("report", "--reprice", str(book), "--json").document
    assert document["book"].startswith("swarm-")
    assert sum(line["calls"] for line in document["by_model"]) == 4
    seen = company.run("report", "--reprice", str(book))
    assert "openai/gpt-5-mini" in seen.out


def test_help_names_every_option(terminal: Terminal) -> None:
    seen = terminal.run("report", "--help")
    assert seen.code == 0
    for option in ("--week", "--month", "--from", "--price-shock", "--reprice", "--html", "--svg"):
        assert option in seen.out
