"""What people would have needed: at the terminal and for programs."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.servers.company import CompanyScript
from tests.servers.provider import ScriptedProvider

REQUESTS = [
    {"kind": "task", "class": "bug", "estimate_hours": 2},
    {"kind": "task", "class": "bgu"},
    {"kind": "product", "size": {"ksloc": 12}, "parts": 5, "country": "FR"},
]
LINES = "".join(json.dumps(request) + "\n" for request in REQUESTS)


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    server = ScriptedProvider(CompanyScript())
    with server.in_thread():
        yield server


@pytest.fixture
def worked(terminal: Terminal, provider: ScriptedProvider) -> str:
    """An order that was worked to its end."""
    terminal.use(provider.url)
    terminal.set(SWARM_CURRENCY="EUR")
    seen = terminal.run("order", "Write a page for a bakery.", "--wait", "--yes", "--json")
    assert seen.code == 0, seen.err
    return str(seen.document["id"])


def test_predict_answers_each_line_with_a_line_and_needs_no_company(
    terminal: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(LINES, encoding="utf-8")

    for seen in (
        terminal.run("baseline", "predict", str(path), "--json", "--levels", "0.8"),
        terminal.run("baseline", "predict", "-", "--json", "--levels", "0.8", stdin=LINES.encode()),
    ):
        answers = [json.loads(line) for line in seen.out.splitlines()]
        assert (seen.code, seen.err) == (0, "")
        assert len(answers) == len(REQUESTS)
        assert [band["level"] for band in answers[0]["hours"]["intervals"]] == [0.8]
        assert answers[1] == {"line": 2, "error": answers[1]["error"]}
        assert "did you mean 'bug'" in answers[1]["error"]
        assert answers[2]["cost"]["currency"] == "EUR"
    assert not terminal.home.exists()


def test_predict_says_it_in_words_too(terminal: Terminal) -> None:
    seen = terminal.run("baseline", "predict", "-", stdin=LINES.splitlines()[0].encode())

    assert seen.code == 0
    assert "h of work, most likely" in seen.out
    assert "borrowed, n = 0 of your own" in seen.out


def test_predict_survives_what_is_no_text(terminal: Terminal) -> None:
    seen = terminal.run(
        "baseline", "predict", "-", "--json", stdin=b"\xff\xfe\n" + b"[" * 3_000_000
    )

    assert [json.loads(line)["line"] for line in seen.out.splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["predict", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["predict", "-", "--levels", "80"], "--levels: '80' is no level"),
        (["calibrate", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["calibrate"], "swarm init"),
        (["import", "-"], "standard input is empty"),
        (["show", "o1"], "swarm init"),
    ],
)
def test_a_slip_is_a_sentence(terminal: Terminal, argv: list[str], words: str) -> None:
    seen = terminal.run("baseline", *argv)

    assert (seen.code, seen.out) == (2, "")
    assert words in seen.err


def test_calibrate_fits_a_table_and_prints_coverage_on_what_it_has_not_seen(
    terminal: Terminal, tmp_path: Path
) -> None:
    rng = random.Random(2)
    rows = [
        f"{rng.choice(['bug', 'text'])},{estimate},{estimate * rng.lognormvariate(0.1, 0.6):.3f}"
        for estimate in (rng.choice([0.5, 1, 2, 4, 8, 16]) for _ in range(600))
    ]
    path = tmp_path / "own.csv"
    path.write_text("class,estimate,actual\n" + "\n".join([*rows, "bug,0,3"]), encoding="utf-8")

    seen = terminal.run("baseline", "calibrate", str(path), "--json", "--levels", "0.5,0.8,0.9")
    document = seen.document
    held = {c["level"]: c for c in document["held_out"]["coverage"]}

    assert seen.code == 0
    assert document["cases"] == 600
    assert document["refused"] == [{"line": 602, "reason": "estimate: 0 is not above 0."}]
    assert document["split"].startswith("by fold")
    assert 0.76 <= held[0.8]["covered"] <= 0.92
    assert held[0.8]["binomial_95"][0] < held[0.8]["covered"] < held[0.8]["binomial_95"][1]
    names = {"median_abs_log_error", "bias", "share_within_2x", "total_over_predicted"}
    assert names <= set(document["held_out"])
    assert document["fit"]["bands"]
    assert {row["class"] for row in document["by_class"]} == {"bug", "text"}
    words = terminal.run("baseline", "calibrate", str(path))
    assert "80% band held" in words.out
    assert "line 602" in words.err
    assert not terminal.home.exists()


def test_a_worked_order_shows_and_compares_its_frozen_baseline(
    terminal: Terminal, worked: str
) -> None:
    shown = terminal.run("baseline", "show", worked, "--json").document["baselines"]
    assert [row["kind"] for row in shown] == ["frozen"]
    assert shown[0]["is_intact"]
    assert shown[0]["hours"]["p10"] != shown[0]["hours"]["p50"]
    assert shown[0]["cost"]["currency"] == "EUR"
    assert shown[0]["elapsed"]
    assert shown[0]["frozen_at"].endswith("Z")
    assert "Frozen before the work" in terminal.run("baseline", "show", worked).out

    terminal.run("baseline", "revise", worked)
    rows = terminal.run("baseline", "show", worked, "--json").document["baselines"]
    assert [row["kind"] for row in rows] == ["frozen", "view"]
    assert rows[0] == shown[0], "what was frozen is never edited"

    document = terminal.run("baseline", "compare", worked, "--json").document
    assert document["baseline"] == shown[0]
    assert document["actuals"] == []
    assert "swarm baseline import" in terminal.run("baseline", "compare", worked).out
    audit = terminal.run("audit", "verify", "--json")
    assert audit.code == 0


def test_what_people_took_is_taken_in_once_and_compared(terminal: Terminal, worked: str) -> None:
    table = (
        "order,actual,elapsed,cost,currency,source\n"
        f"{worked},9.5,72,700,EUR,a freelancer\n{worked},0,1,1,EUR,x\no0,1,1,1,EUR,x\n"
    ).encode()

    first = terminal.run("baseline", "import", "-", "--json", stdin=table)
    again = terminal.run("baseline", "import", "-", "--json", stdin=table)

    assert first.code == 2, "two rows were refused"
    assert (first.document["added"], first.document["known"]) == (1, 0)
    assert [row["line"] for row in first.document["refused"]] == [3, 4]
    assert (again.document["added"], again.document["known"]) == (0, 1)
    assert first.document["words"] == "borrowed, n = 0 of your own", "not accepted yet"

    terminal.run("accept", worked)
    state = terminal.run("baseline", "calibrate", "--json").document
    assert state["own"]["words"] == "borrowed, n = 1 of your own"
    compared = terminal.run("baseline", "compare", worked, "--json").document["actuals"]
    assert compared[0]["hours"] == "9.5"
    assert (compared[0]["cost"], compared[0]["currency"]) == ("700", "EUR")
    assert compared[0]["is_inside_80"] is True
    assert "a freelancer took 9.5 h" in terminal.run("baseline", "compare", worked).out


def test_work_from_before_counts_as_own_history(terminal: Terminal) -> None:
    terminal.run("init")
    rows = "".join(f"bug,2,{2 + n % 3},2026-0{1 + n % 9}-01\n" for n in range(31))

    seen = terminal.run(
        "baseline", "import", "-", stdin=f"class,estimate,actual,finished\n{rows}".encode()
    )

    assert seen.code == 0, seen.err
    assert "31 rows added" in seen.out
    assert "fitted on n = 31 of your own" in seen.out
    own = terminal.run(
        "baseline", "predict", "-", "--own", "--json", stdin=json.dumps(REQUESTS[0]).encode()
    )
    assert json.loads(own.out)["own_cases"] == 31
    borrowed = terminal.run("baseline", "predict", "-", "--json", stdin=LINES.encode())
    assert json.loads(borrowed.out.splitlines()[0])["own_cases"] == 0


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("bgu,2,3,,", "did you mean 'bug'"),
        ("bug,2,3,100,", "needs its currency"),
        ("bug,2,3,100,euros", "currency: 'EUROS' is none"),
        ("bug,-2,3,,", "estimate: -2 is not above 0"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_alone(
    terminal: Terminal, row: str, words: str
) -> None:
    terminal.run("init")

    table = f"class,estimate,actual,cost,currency\n{row}\nbug,1,1,,\n".encode()
    seen = terminal.run("baseline", "import", "-", stdin=table)

    assert seen.code == 2
    assert "1 row added" in seen.out
    assert seen.err.startswith("line 2: ")
    assert words in seen.err


def test_a_country_that_the_table_does_not_have_is_said_before_anything_is_done(
    terminal: Terminal,
) -> None:
    terminal.run("init")
    terminal.set(SWARM_BASELINE__COUNTRY="Germny")

    seen = terminal.run("baseline", "calibrate")

    assert seen.code == 2
    assert "baseline.country" in seen.err
    assert "did you mean 'germany'" in seen.err
