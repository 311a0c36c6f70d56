"""`swarm export`: files and standard output, and a sentence where something is off."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.cli.test_report import made, orders, write


@pytest.fixture
def company(terminal: Terminal) -> Terminal:
    write(made(terminal.home), orders)
    return terminal


def test_charges_go_to_standard_output_as_csv(company: Terminal) -> None:
    seen = company.run("export", "focus")
    assert seen.code == 0, seen.err
    found = list(csv.DictReader(io.StringIO(seen.out, newline="")))
    assert sum(Decimal(line["BilledCost"]) for line in found) == 8
    assert {line["BillingAccountName"] for line in found} == {"My company"}


def test_charges_go_to_files(company: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "charges.csv"
    seen = company.run("export", "focus", "--csv", str(path))
    assert (seen.code, seen.out) == (0, "")
    assert "4 charges" in seen.err
    # RFC 4180: one line end and no other.
    data = path.read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n") == 5


def test_parquet_goes_to_a_file(company: Terminal, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")
    path = tmp_path / "charges.parquet"
    assert company.run("export", "focus", "--parquet", str(path)).code == 0
    assert parquet.read_table(path).num_rows == 4


def test_spans_and_metrics_go_to_a_file(company: Terminal, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")
    path = tmp_path / "calls.jsonl"
    seen = company.run("export", "otel", "--json", str(path))
    assert seen.code == 0, seen.err
    keys = [next(iter(json.loads(line))) for line in path.read_text("utf-8").splitlines()]
    assert keys == ["resourceSpans", "resourceMetrics"]


def test_the_ledger_goes_out_as_lines(company: Terminal) -> None:
    seen = company.run("export", "ledger")
    found = [json.loads(line) for line in seen.out.splitlines()]
    assert [line["amount"] for line in found] == ["2.5", "2.5", "2.5", "0.5"]
    assert "prompt" not in found[0]
    assert "prompt" in json.loads(company.run("export", "ledger", "--texts").out.splitlines()[0])


@pytest.mark.parametrize("what", ["focus", "ledger"])
def test_a_period_without_calls_exports_nothing_and_says_so(company: Terminal, what: str) -> None:
    seen = company.run("export", what, "--from", "2020-01-01", "--to", "2020-01-31")
    assert seen.code == 0
    assert "nothing to export" in seen.err
    assert len(seen.out.splitlines()) == (1 if what == "focus" else 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("focus", "--csv", "a", "--parquet", "b"), "one of"),
        (("focus", "--parquet", "-"), "needs a file"),
        (("focus", "--csv", "/nowhere/x.csv"), "cannot be written"),
        (("focus", "--parquet", "/nowhere/x"), "cannot be written"),
        (("focus", "--to", "2026-11-01"), "--to needs --from"),
        (("otel",), "Say where to"),
        (("otel", "--http", "localhost:4318"), "is no address"),
        (("otel", "--http", "http://[::1"), "is no address"),
        (("otel", "--json", "a", "--http", "http://localhost:1"), "Say where to"),
        (("ledger", "--jsonl", "/nowhere/x"), "cannot be written"),
    ],
)
def test_bad_words_are_answered_with_a_sentence(
    company: Terminal, words: tuple[str, ...], said: str
) -> None:
    seen = company.run("export", *words)
    assert seen.code == 2
    assert said in seen.err
    assert "Traceback" not in seen.err


def test_an_extra_that_is_missing_is_named(
    company: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    seen = company.run("export", "focus", "--parquet", str(tmp_path / "x"))
    assert seen.code == 2
    assert "swarm[parquet]" in seen.err
