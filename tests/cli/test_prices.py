import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal

CHAT = {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100}
LINES: list[Any] = [
    {"provider": "openai", "model": "gpt-5", "usage": CHAT},
    {"provider": "openai", "model": "gpt-5", "usage": CHAT, "tier": "batch"},
    {"provider": "anthropic", "model": "claude-haiku-4-5", "usage": None},
    {"provider": "openrouter", "model": "openai/gpt-5", "usage": CHAT | {"cost": 0.00014}},
    {
        "provider": "anthropic",
        "model": "claude-opus-4-6",
        "usage": {"input_tokens": 300_000, "output_tokens": 0},
        "at": "2026-03-01T00:00:00Z",
    },
]


def written(folder: Path, *lines: str | bytes) -> str:
    path = folder / "calls.jsonl"
    data = [line.encode() if isinstance(line, str) else line for line in lines]
    path.write_bytes(b"\n".join(data) + b"\n")
    return str(path)


def priced(terminal: Terminal, file: str) -> list[Any]:
    seen = terminal.run("prices", "cost", file, "--json")
    assert seen.code == 0, seen.err
    return [json.loads(line) for line in seen.out.splitlines()]


def test_every_line_is_priced_in_order_without_a_company(
    terminal: Terminal, tmp_path: Path
) -> None:
    got = priced(terminal, written(tmp_path, *map(json.dumps, LINES)))

    assert [(line["amount"], line["status"]) for line in got] == [
        ("0.00225", "paid"),
        ("0.001125", "paid"),
        (None, "unpriced"),
        ("0.00014", "paid"),
        ("3", "paid"),
    ]
    assert {line["currency"] for line in got} == {"USD"}
    assert got[0]["parts"][0] == {
        "bucket": "input",
        "quantity": 1_000,
        "unit_price": "0.00000125",
        "amount": "0.00125",
        "model": "openai/gpt-5",
        "price_id": got[0]["parts"][0]["price_id"],
    }
    assert (got[3]["reported"], got[2]["reason"]) == ("0.00014", "no usage was reported")
    assert not terminal.home.exists()


BROKEN: list[tuple[str | bytes, str]] = [
    ("nonsense", "no JSON"),
    ("", "no JSON"),
    ("[1]", "no JSON object"),
    ("[" * 100_000, "no JSON"),
    (b"\xff\xfe", "no JSON"),
    ('{"provider": 3, "model": "gpt-5", "usage": {}}', "provider is no text"),
    ('{"provider": "openai", "model": ["gpt-5"], "usage": {}}', "model is no text"),
    ('{"provider": "openai", "model": "gpt-5", "tier": 4}', "tier is no text"),
    ('{"provider": "openai", "model": "gpt-5", "at": "yesterday"}', "at is no time"),
    ('{"provider": "openai", "model": "gpt-5", "at": 5}', "at is no time"),
    ('{"provider": "openai", "model": "gpt-5", "at": "0001-01-01T00:00:00+14:00"}', "at is no"),
    ('{"prompt": ' + "9" * 5_000 + "}", "no JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BROKEN, ids=[str(n) for n in range(len(BROKEN))])
def test_a_broken_line_says_where_it_stands_and_disturbs_no_other(
    terminal: Terminal, tmp_path: Path, line: str | bytes, reason: str
) -> None:
    good = json.dumps(LINES[0])
    first, broken, last = priced(terminal, written(tmp_path, good, line, good))

    assert first["amount"] == last["amount"] == "0.00225"
    assert (broken["amount"], broken["status"]) == (None, "unpriced")
    assert broken["reason"].startswith("line 2: ")
    assert reason in broken["reason"]


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"provider": "openai"}',
        '{"usage": [1]}',
        '{"model": "", "usage": {"input_tokens": 1}}',
    ],
)
def test_a_line_without_its_parts_is_unpriced_with_a_reason(
    terminal: Terminal, tmp_path: Path, line: str
) -> None:
    (got,) = priced(terminal, written(tmp_path, line))

    assert (got["amount"], got["status"]) == (None, "unpriced")
    assert got["reason"]


def test_separators_inside_a_text_are_no_ends_of_lines(terminal: Terminal, tmp_path: Path) -> None:
    line = json.dumps(LINES[0] | {"note": "a\u2028b\x85c"}, ensure_ascii=False)

    assert len(priced(terminal, written(tmp_path, line, line))) == 2


def test_people_read_a_sentence_per_call(terminal: Terminal, tmp_path: Path) -> None:
    seen = terminal.run("prices", "cost", written(tmp_path, *map(json.dumps, LINES)))

    first, *_, third, _, _ = seen.out.splitlines()
    assert first == "1: 0.00225 USD  input 1,000, output 100"
    assert third == "3: unpriced   (no usage was reported)"


def test_a_file_that_is_missing_is_named(terminal: Terminal) -> None:
    seen = terminal.run("prices", "cost", "no-such.jsonl")

    assert (seen.code, seen.err) == (
        2,
        "Error: There is no file no-such.jsonl; - reads standard input.\n",
    )


def test_ten_thousand_lines_take_seconds(terminal: Terminal, tmp_path: Path) -> None:
    file = written(tmp_path, *[json.dumps(LINES[n % 5]) for n in range(10_000)])

    started = time.process_time()
    assert len(priced(terminal, file)) == 10_000
    assert time.process_time() - started < 10


def test_the_company_s_own_prices_count(terminal: Terminal, tmp_path: Path) -> None:
    terminal.home.mkdir()
    stated = {"openai/gpt-5": {"input_per_million": 1, "output_per_million": 2, "currency": "EUR"}}
    (terminal.home / "company.yaml").write_text(json.dumps({"prices": stated}))

    (got,) = priced(terminal, written(tmp_path, json.dumps(LINES[0])))

    assert (got["amount"], got["currency"]) == ("0.0012", "EUR")


def test_a_model_is_shown_with_its_history_and_sources(terminal: Terminal) -> None:
    seen = terminal.run("prices", "show", "anthropic/claude-opus-4-6", "--json")
    document = seen.document

    assert document["prices"]["services.batch.input"] == "0.0000025"
    assert [line["valid_from"] for line in document["lines"]][:2] == ["1970-01-01", "2026-03-13"]
    assert all(line["source"] and line["read"] for line in document["lines"])
    said = terminal.run("prices", "show", "claude-sonnet-4-20250514").out
    assert "anthropic/claude-sonnet-4-0, paid, in USD per million tokens" in said
    assert "cache_write_1h: 6" in said


def test_an_unknown_model_is_answered_with_the_nearest(terminal: Terminal) -> None:
    seen = terminal.run("prices", "show", "openai/gpt5")

    assert seen.code == 2
    assert "did you mean 'openai/gpt-5'?" in seen.err


def test_models_are_listed_by_a_word(terminal: Terminal) -> None:
    out = terminal.run("prices", "list", "gpt-5-mini").out

    assert "  openai/gpt-5-mini: in 0.25, out 2 USD; also batch, flex, priority\n" in out
    found = terminal.run("prices", "list", "gpt-5-mini", "--json").document
    assert "openai/gpt-5-mini" in [entry["model"] for entry in found]
    assert terminal.run("prices", "list", "no-such-model").code == 2


def test_the_book_and_its_sources_are_compared(terminal: Terminal) -> None:
    pytest.importorskip("genai_prices")
    found = terminal.run("prices", "check", "--json").document

    said = {(d["model"], d["fact"]): d["said"] for d in found["disagreements"]}
    assert said["mistral/mistral-large-latest", "input"] == {
        "book": "0.0000005",
        "litellm": "0.0000005",
        "genai": "0.000002",
    }
    assert found["missing"] == []


def test_an_import_is_shown_asked_for_and_undone(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("genai_prices")
    arguments = ("prices", "import", "--from", "genai", "--only", "mistral/mistral-large-latest")

    monkeypatch.setattr("builtins.input", lambda _: "n")
    refused = terminal.run(*arguments)
    assert "mistral/mistral-large-latest: input 0.5 -> 2, output 1.5 -> 6" in refused.out
    assert refused.out.endswith("Nothing was written.\n")
    assert not terminal.home.exists()

    assert terminal.run(*arguments, "--yes").code == 0
    (own,) = (terminal.home / "prices").iterdir()
    line = json.dumps({"provider": "mistral", "model": "mistral-large-latest", "usage": CHAT})
    assert priced(terminal, written(tmp_path, line))[0]["amount"] == "0.0026"
    assert terminal.run(*arguments, "--yes").out.endswith("Nothing to import.\n")
    own.unlink()
    assert priced(terminal, written(tmp_path, line))[0]["amount"] == "0.00065"


def test_an_unknown_source_is_answered_with_the_known_ones(terminal: Terminal) -> None:
    seen = terminal.run("prices", "diff", "--from", "litelm")

    assert (seen.code, "did you mean 'litellm'?" in seen.err) == (2, True)
