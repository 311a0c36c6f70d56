"""Each thing that a replay came to otherwise than recorded is told by itself, whatever else is told."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarm.evals import comparing
from swarm.evals.cassette import Cassette, read

SHELF = Path(__file__).parents[1] / "scenarios"


@pytest.fixture(scope="module")
def cassette() -> Cassette:
    """A recording with tool calls, messages and files."""
    found = [read(path) for path in sorted(SHELF.rglob("*.jsonl"))]
    return next(c for c in found if c.lane("tool") and c.lane("message") and c.lane("file"))


def sent(cassette: Cassette) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(dedupe_key=e["key"], kind=e["kind"], body=e["text"])
        for e in cassette.lane("message")
    ]


def kept(cassette: Cassette) -> dict[str, str]:
    return {entry["path"]: entry["sha256"] for entry in cassette.lane("file")}


def tool_calls(cassette: Cassette) -> list[dict[str, Any]]:
    return [dict(entry) for entry in cassette.lane("tool")]


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
