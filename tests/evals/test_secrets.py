"""No secret reaches a cassette: what can be hidden is, and anything else refuses the recording."""

import base64
import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import InvalidInput
from swarm.evals.cassette import write
from swarm.evals.recording import record
from swarm.evals.secrets import HIDDEN, Secrets, is_same_but_hidden
from tests.acceptance.at_work import called, first, kind_of, provider_of, script, task
from tests.evals.orders import at_work
from tests.servers.replies import Body, completion

CANARY = 'canary/+"ç=7Q9x2Lm4Zk8'
KEY = "canary-7Q9x2Lm4Zk8"
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda s: s,
    "json": lambda s: json.dumps(s)[1:-1],
    "html": html.escape,
    "url": lambda s: quote(s, safe=""),
    "hex": lambda s: s.encode().hex(),
    "base64": lambda s: base64.b64encode(b"user:" + s.encode()).decode(),
    "base64 of an address": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "backwards": lambda s: s[::-1],
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_known_secret_is_found_and_hidden_in_every_form(name: str) -> None:
    text = f"Authorization: {ENCODINGS[name](CANARY)} and more"
    guard = Secrets([("llm.api_key", CANARY)])
    assert [find.what for find in guard.found(text, "here")]
    assert guard.found(guard.hidden(text), "here") == []


def told(text: str) -> Callable[[Body], Body | None]:
    """Let the engineer write a text into a file, and look at it."""

    def play(request: Body) -> Body | None:
        if kind_of(request) != "work" or "write_file" in called(request):
            return None
        words = {"path": "notes.txt", "content": text}
        return completion(tool_calls=[("write_file", words)], model="gpt-4o-mini")

    return play


@pytest.mark.parametrize("place", ["a file and an answer", "the order's own words"])
async def test_a_canary_in_any_encoding_never_reaches_the_disk(place: str, tmp_path: Path) -> None:
    forms = [make(CANARY) for make in ENCODINGS.values()]
    is_text = place == "the order's own words"
    provider = (
        provider_of() if is_text else first(told("\n".join(forms)), script((task("Go", "cto"),)))
    )
    words = f"Write a page about {forms[0]}" if is_text else "Write a page."
    async with at_work(tmp_path / "home", provider) as company:
        done = await company.deliver(words)
        with pytest.raises(InvalidInput, match="Not recorded: SWARM_KEY stands in"):
            record(company.app, done.id, known_secrets=[("SWARM_KEY", CANARY)])


async def test_the_key_of_the_provider_is_in_no_cassette(tmp_path: Path) -> None:
    async with at_work(tmp_path / "home", provider_of(), llm__api_key=KEY) as company:
        done = await company.deliver()
        made = record(company.app, done.id, known_secrets=[("llm.api_key", KEY)])
    write(made, tmp_path / "order.jsonl")
    text = (tmp_path / "order.jsonl").read_text(encoding="utf-8")
    assert Secrets([("key", KEY)]).found(text, "here") == []
    assert "api_key" not in json.dumps(made.manifest.settings)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_what_is_hidden_may_have_been_anything(before: str, secret: str, after: str) -> None:
    assert is_same_but_hidden({"a": [f"{before}{HIDDEN}{after}"]}, {"a": [before + secret + after]})


@given(st.lists(st.text(max_size=5), min_size=2, max_size=200), st.text(max_size=300))
def test_many_hidden_places_are_compared_at_once(parts: list[str], text: str) -> None:
    assert is_same_but_hidden(HIDDEN.join(parts), text) in (True, False)


@pytest.mark.parametrize(
    ("recorded", "got"),
    [
        (f"one {HIDDEN} two", "three x two"),
        (f"one {HIDDEN} two", "one x three"),
        (f"abc{HIDDEN}cde", "abcde"),
        (f"a{HIDDEN}middle{HIDDEN}b", "a and b"),
        ({"key": f"a{HIDDEN}"}, {"key": "b"}),
        ([f"a{HIDDEN}"], ["ab", "c"]),
    ],
    ids=str,
)
def test_what_stands_beside_a_hidden_secret_must_be_the_same(recorded: Any, got: Any) -> None:
    assert not is_same_but_hidden(recorded, got)
    assert is_same_but_hidden(recorded, recorded)
