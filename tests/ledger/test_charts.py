"""Plots and the page: whole, readable by everybody, and fetching nothing."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from lxml import etree, html  # type: ignore[import-untyped]
from rich.console import Console
from sqlalchemy.engine import Connection

from swarm.cli.bars import draw
from swarm.ledger.charts import page, plots
from swarm.ledger.charts.svg import alone
from swarm.ledger.reports.build import Setting, report
from swarm.ledger.reports.document import ReportDocument
from swarm.store.database import Store
from tests.ledger.ledgers import DAY, WEEK, call, company, order

EVIL = "x/<script>alert(1)</script>\x07&\"'‮"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with company(tmp_path) as made:
        yield made


def made(store: Store) -> ReportDocument:
    def write(connection: Connection) -> None:
        for number in range(12):
            at, id = DAY + timedelta(hours=number), f"o{number:02d}"
            order(connection, id, at=at, accepted=number % 3 > 0)
            call(connection, id, at=at, cost=Decimal(1) + Decimal(6) / (number + 1))
        call(connection, "o01", 9, cost=Decimal(0), cost_status="unpriced", model=EVIL)
        call(connection, "o01", 10, cost=Decimal(3), role=EVIL)

    store.write(write)
    return store.read(lambda c: report(c, WEEK, Setting(f"Acme {EVIL}", "USD")))


def test_every_plot_is_whole_and_says_what_it_shows(store: Store) -> None:
    found = plots(made(store))
    assert {plot.name.partition("-usd")[0] for plot in found} >= {"by-day", "by-kind", "by-model"}
    for plot in found:
        root = etree.fromstring(alone(plot.drawing).encode())
        assert root.tag == f"{SVG}svg"
        assert root.get("role") == "img"
        assert root.findtext(f"{SVG}title") == plot.title
        assert root.findtext(f"{SVG}desc")
        named = set((root.get("aria-labelledby") or "").split())
        assert named <= {item.get("id") for item in root.iter() if item.get("id")}
        assert root.findall(f".//{SVG}text")
        assert not list(root.iter(f"{SVG}script"))


def test_the_page_asks_nothing_of_the_network(store: Store) -> None:
    document = made(store)
    text = page(document, plots(document))
    root = html.document_fromstring(text)
    assert not root.xpath("//script|//link|//img|//iframe|//object|//embed|//form|//base")
    assert not root.xpath("//@src|//@href|//@srcset|//@action|//@*[starts-with(name(), 'on')]")
    assert "@import" not in text
    assert not re.search(r"url\s*\(", text)
    (policy,) = root.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'")
    assert root.xpath("//meta[@name='viewport']")
    assert "prefers-color-scheme:dark" in text
    assert not {c for c in text if ord(c) < 32 and c not in "\n\t"}


def test_the_page_is_well_formed_and_its_ids_are_unique(store: Store) -> None:
    document = made(store)
    text = page(document, plots(document))
    parser = etree.HTMLParser(recover=False)
    etree.fromstring(text.encode(), parser)
    strange = [error for error in parser.error_log if "Tag" not in error.message]
    assert strange == []
    ids = html.document_fromstring(text).xpath("//@id")
    assert len(ids) == len(set(ids))


def test_a_table_has_heads_that_a_screen_reader_can_read_out(store: Store) -> None:
    document = made(store)
    root = html.document_fromstring(page(document, plots(document)))
    assert root.xpath("//html/@lang") == ["en"]
    for table in root.xpath("//table"):
        assert table.xpath("./caption")
        assert all(head.get("scope") for head in table.xpath(".//th"))


def test_an_empty_period_is_a_page_with_a_sentence(store: Store) -> None:
    document = store.read(lambda c: report(c, WEEK, Setting("Acme", "USD")))
    assert plots(document) == []
    assert "Nothing was ordered" in page(document, [])


def test_bars_in_the_terminal_are_as_wide_as_it_is(store: Store) -> None:
    console = Console(width=60, force_terminal=False, record=True, file=None, quiet=False)
    with console.capture() as captured:
        draw(plots(made(store)), console)
    shown = captured.get()
    assert "Cost by day" in shown
    assert "█" in shown
    assert max(map(len, shown.splitlines())) <= 60
    assert "\x07" not in shown


def browser() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")
def test_the_page_renders_in_a_browser(store: Store, tmp_path: Path) -> None:
    document = made(store)
    file = tmp_path / "report.html"
    file.write_text(page(document, plots(document)), encoding="utf-8")
    path = browser()
    assert path is not None
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,844"]
    done = subprocess.run(
        [path, *arguments, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    root = html.document_fromstring(done.stdout)
    assert root.xpath("//svg")
    assert root.xpath("//table")
