"""`swarm hosting`: bills from a file, and the dated prices."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal

LIFE = [
    {"at": "2026-05-01T00:00:00Z", "event": "created", "id": "s1", "server_type": "cx33",
     "location": "fsn1", "ipv4": True},
    {"at": "2026-05-02T00:00:00Z", "event": "off", "id": "s1"},
    {"at": "2026-06-01T00:00:00Z", "event": "deleted", "id": "s1"},
]  # fmt: skip


def lines_of(events: list[Any]) -> bytes:
    return "\n".join(json.dumps(event) for event in events).encode()


def test_a_bill_is_one_document_with_lines_and_a_total(terminal: Terminal) -> None:
    seen = terminal.run(
        "hosting", "bill", "-", "--provider", "hetzner", "--json", stdin=lines_of(LIFE)
    )
    assert (seen.code, seen.err) == (0, "")
    found = seen.document
    assert (found["total"], found["currency"], found["tax"]) == ("6.99", "EUR", "net")
    assert (found["status"], found["is_at_least"], found["refused"]) == ("paid", False, [])
    assert [(line["kind"], line["amount"], line["quantity"]) for line in found["lines"]] == [
        ("server", "6.49", "744"),
        ("ipv4", "0.5", "744"),
    ]
    assert found["lines"][0]["is_capped"]
    assert found["lines"][0]["price_id"].startswith("hetzner/server/cx33/")
    assert found["lines"][0]["ends_at"] == "2026-06-01T00:00:00.000000Z"


def test_a_list_and_a_document_of_events_say_what_lines_say(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "events.json"
    for written in (LIFE, {"events": LIFE}):
        file.write_text(json.dumps(written))
        seen = terminal.run("hosting", "bill", str(file), "--provider", "hetzner", "--json")
        assert seen.document["total"] == "6.99"


def test_a_person_reads_a_table_with_what_was_not_counted_below(terminal: Terminal) -> None:
    broken = [*LIFE, {"at": "2026-05-03", "event": "created", "id": "s2", "server_type": "cx99"}, 7]
    seen = terminal.run(
        "hosting", "bill", "-", "--provider", "hetzner", "--until", "2026-06-01", stdin=lines_of(broken)
    )  # fmt: skip
    assert seen.code == 0
    assert "capped at 6.49" in seen.out
    assert "Total until 2026-06-01T00:00:00Z: at least 6.99 EUR net" in seen.out
    assert "unpriced: hetzner server cx99 is not in the list" in seen.out
    assert "Not counted: event 5 is no JSON object" in seen.out


def test_own_prices_and_the_end_of_the_bill_are_taken_from_the_command_line(
    terminal: Terminal, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(
        json.dumps([{"provider": "hetzner", "kind": "server", "type": "CX33", "monthly": "31"}])
    )
    seen = terminal.run(
        "hosting", "bill", "-", "--provider", "hetzner", "--prices", str(prices), "--until",
        "2026-05-02T00:00:00Z", "--json", stdin=lines_of(LIFE[:1]),
    )  # fmt: skip
    assert seen.document["lines"][0]["amount"] == "1"
    assert seen.document["total"] == "1.0192"


def test_a_machine_that_is_still_there_is_billed_until_now(terminal: Terminal) -> None:
    seen = terminal.run(
        "hosting", "bill", "-", "--provider", "hetzner", "--json", stdin=lines_of(LIFE[:1])
    )
    months = [line["month"] for line in seen.document["lines"] if line["kind"] == "server"]
    assert months[0] == "2026-05"
    assert len(months) > 1


@pytest.mark.parametrize(
    ("argv", "stdin", "words"),
    [
        (["bill", "-", "--provider", "hetzer"], b"[]", "did you mean 'hetzner'?"),
        (["bill", "-", "--provider", "hetzner"], b"", "There is no event in standard input"),
        (["bill", "-", "--provider", "hetzner"], b"\xff\x00nonsense", "is no JSON"),
        (["bill", "-", "--until", "soon"], lines_of(LIFE), "'soon' is no time"),
        (["bill", "/nowhere/at-all.json"], b"", "There is no file /nowhere/at-all.json"),
        (["bill", "/"], b"", "cannot be read"),
        (["bill", "-", "--prices", "/dev/null"], lines_of(LIFE), "no JSON"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    terminal: Terminal, argv: list[str], stdin: bytes, words: str
) -> None:
    seen = terminal.run("hosting", *argv, stdin=stdin)
    assert seen.code == 2
    assert words in seen.err
    assert "Traceback" not in seen.err + seen.out


def test_events_without_a_provider_are_unpriced_and_say_what_is_missing(terminal: Terminal) -> None:
    seen = terminal.run("hosting", "bill", "-", "--json", stdin=lines_of(LIFE))
    assert seen.document["status"] == "unpriced"
    assert seen.document["total"] is None
    assert all("--provider" in line["reason"] for line in seen.document["lines"])


def test_the_prices_are_listed_with_their_dates_and_sources(terminal: Terminal) -> None:
    seen = terminal.run("hosting", "prices", "--provider", "hetzner", "--json")
    cx33 = next(row for row in seen.document if row["type"] == "cx33")
    assert (cx33["hourly"], cx33["monthly"], cx33["currency"]) == ("0.0104", "6.49", "EUR")
    assert (cx33["used_from"], cx33["ordered_until"]) == ("2026-04-01", "2026-06-15")
    assert cx33["source"]
    assert {row["provider"] for row in seen.document} == {"hetzner"}
    table = terminal.run("hosting", "prices").out
    assert "scaleway server dev1-m" in table
    assert "for orders before 2026-06-15" in table


def test_the_help_tells_the_form_of_an_event(terminal: Terminal) -> None:
    seen = terminal.run("hosting", "bill", "--help")
    assert '"event": "created"' in seen.out
    assert "ip_kept" in seen.out
