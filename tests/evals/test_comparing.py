"""Each thing that a replay came to otherwise than recorded is told by itself, whatever else is told."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarm.core.money import to_pico
from swarm.evals import comparing
from swarm.evals.cassette import Cassette, read
from swarm.ledger.book import USED
from swarm.llm.cassette import Miss

SHELF = Path(__file__).parents[1] / "scenarios"


@pytest.fixture(scope="module")
def cassette() -> Cassette:
    """A recording with tool calls, messages and files."""
    found = [read(path) for path in sorted(SHELF.rglob("*.jsonl"))]
    return next(
        c
        for c in found
        if all(c.lane(name) for name in ("tool", "message", "file"))
        and all("usage" in entry for entry in c.lane("model"))
    )


def sent(cassette: Cassette) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(dedupe_key=e["key"], kind=e["kind"], body=e["text"])
        for e in cassette.lane("message")
    ]


def kept(cassette: Cassette) -> dict[str, str]:
    return {entry["path"]: entry["sha256"] for entry in cassette.lane("file")}


def tool_calls(cassette: Cassette) -> list[dict[str, Any]]:
    return [dict(entry) for entry in cassette.lane("tool")]


def counted(cassette: Cassette) -> list[SimpleNamespace]:
    """Return the calls as the books have them when all is as it was recorded."""
    rows = []
    for entry in cassette.lane("model"):
        order_id, node, seq = entry["lane_of"].split()
        charge = entry["charge"]
        rows.append(
            SimpleNamespace(
                order_id=order_id,
                node=node,
                seq=int(seq),
                attempt=1,
                state=USED,
                model=entry["model"],
                answered_model=None,
                cost_pico=to_pico(Decimal(charge["cost"])),
                cost_status=charge["status"],
                service_tier=charge["tier"],
                digest=entry["ledger_sha256"],
                **{key: entry[key] for key in ("role", "ended_at", "latency_s")},
                **{key: charge[key] for key in ("currency", "price_id", "provider")},
                **entry["usage"],
            )
        )
    return rows


def told_of(cassette: Cassette, rows: list[SimpleNamespace]) -> list[Miss]:
    return list(comparing.calls(cassette, rows, digest=lambda row: str(row.digest)))


@pytest.mark.parametrize(
    ("fact", "value", "path"),
    [
        ("role", "cto", "role"),
        ("model", "m/other", "model"),
        ("answered_model", "m/other", "model"),
        ("latency_s", 9.75, "latency_s"),
        ("ended_at", "2001-01-01T00:00:00.000000Z", "ended_at"),
        ("cost_pico", 7, "charge.cost"),
        ("cost_status", "unpriced", "charge.status"),
        ("price_id", "another line", "charge.price_id"),
        ("output_tokens", 77_777, "usage.output_tokens"),
        ("digest", "0" * 64, "answer"),
    ],
)
def test_a_call_that_was_counted_otherwise_is_told_with_what_differs(
    cassette: Cassette, fact: str, value: Any, path: str
) -> None:
    rows = counted(cassette)
    assert told_of(cassette, rows) == []
    (changed,) = [row for row in rows if row.node == "frame/0"][:1]
    setattr(changed, fact, value)
    (found,) = told_of(cassette, rows)
    assert found.path == path


def test_what_came_out_the_same_is_not_told(cassette: Cassette) -> None:
    assert list(comparing.tools(cassette, tool_calls(cassette))) == []
    assert list(comparing.messages(cassette, sent(cassette))) == []
    assert list(comparing.files(cassette, kept(cassette))) == []


def test_a_tool_call_that_is_missing_new_or_otherwise_is_told(cassette: Cassette) -> None:
    first, *others = tool_calls(cassette)
    (missing,) = comparing.tools(cassette, others)
    assert (missing.path, missing.expected) == ("tool", first["tool"])
    more: Mapping[str, Any] = {**first, "position": 99}
    (new,) = comparing.tools(cassette, [first, *others, more])
    assert (new.path, new.got) == ("tool", first["tool"])
    (changed,) = comparing.tools(cassette, [{**first, "tool": "shell"}, *others])
    assert (changed.path, changed.got) == ("tool", "shell")


def test_a_message_that_is_missing_new_or_otherwise_is_told(cassette: Cassette) -> None:
    first, *others = sent(cassette)
    (missing,) = comparing.messages(cassette, others)
    assert (missing.lane, missing.got) == (f"message {first.dedupe_key}", comparing.NOTHING)
    new = SimpleNamespace(dedupe_key="another", kind=first.kind, body="hello")
    (found,) = comparing.messages(cassette, [first, *others, new])
    assert (found.lane, found.expected) == ("message another", comparing.NOTHING)
    first.body += "!"
    (changed,) = comparing.messages(cassette, [first, *others])
    assert changed.path == "text"


def test_a_file_that_is_missing_new_or_otherwise_is_told(cassette: Cassette) -> None:
    (path, digest), *others = kept(cassette).items()
    (missing,) = comparing.files(cassette, dict(others))
    assert (missing.lane, missing.got) == (f"file {path}", comparing.NOTHING)
    (new,) = comparing.files(cassette, {**kept(cassette), "another.txt": digest})
    assert new.lane == "file another.txt"
    (changed,) = comparing.files(cassette, {**kept(cassette), path: "0" * 64})
    assert changed.path == "sha256"
