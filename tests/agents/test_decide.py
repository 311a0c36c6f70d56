"""A decision fits its schema, is mended once, or is refused in words."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agents.decide import decide, parse_document
from swarm.core.chat import Completion, StopReason
from swarm.core.errors import BadAnswer, Refused
from tests.agents.asked import Scripted, said, user

SCHEMA = {"type": "object", "properties": {"goal": {"type": "string"}}, "required": ["goal"]}
GOOD = said('{"goal": "bread"}')
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def goal(document: Any) -> str:
    if not isinstance(document, dict) or not isinstance(document.get("goal"), str):
        raise ValueError("goal: is missing")
    return str(document["goal"])


async def ask(scripted: Scripted) -> str:
    return await decide(scripted.mind, user("Frame it."), name="frame", schema=SCHEMA, read=goal)


async def test_a_decision_that_fits_is_taken_at_once() -> None:
    scripted = Scripted([GOOD])
    assert await ask(scripted) == "bread"
    assert scripted.asked[0].schema == SCHEMA
    assert scripted.asked[0].schema_name == "frame"


@pytest.mark.parametrize(
    "bad",
    [said(""), said("Sure!"), said("{}"), said("[1]"), said('{"goal": "b', StopReason.LENGTH)],
)
async def test_one_that_does_not_is_shown_its_fault_and_mended(bad: Completion) -> None:
    scripted = Scripted([bad, GOOD])
    assert await ask(scripted) == "bread"
    *_, answer, told = scripted.asked[1].messages
    assert answer["content"] == bad.text or answer["content"] == "(empty)"
    assert "not a valid frame document" in told["content"]


async def test_one_that_does_not_fit_twice_is_a_bad_answer() -> None:
    scripted = Scripted([said("{}"), said("{}"), GOOD])
    with pytest.raises(BadAnswer, match="did not fit frame twice") as caught:
        await ask(scripted)
    assert caught.value.kind == "schema"
    assert len(scripted.asked) == 2


async def test_bytes_that_are_no_answer_are_asked_for_once_more() -> None:
    unreadable = BadAnswer("no message", kind="malformed")
    assert await ask(Scripted([unreadable, GOOD])) == "bread"
    with pytest.raises(BadAnswer):
        await ask(Scripted([unreadable, unreadable, GOOD]))


@pytest.mark.parametrize(
    ("stop", "kind"),
    [(StopReason.REFUSAL, "refusal"), (StopReason.CONTENT_FILTER, "content_filter")],
)
async def test_a_refusal_is_not_asked_again(stop: StopReason, kind: str) -> None:
    scripted = Scripted([said("I cannot.", stop), GOOD])
    with pytest.raises(BadAnswer) as caught:
        await ask(scripted)
    assert caught.value.kind == kind
    assert len(scripted.asked) == 1


async def test_an_error_of_the_provider_comes_through_as_it_is() -> None:
    refused = Refused("no key", kind="unauthorized")
    with pytest.raises(Refused) as caught:
        await ask(Scripted([refused]))
    assert caught.value is refused


async def test_without_response_format_the_schema_stands_in_the_prompt() -> None:
    scripted = Scripted([said('```json\n{"goal": "bread"}\n```')], native_schema=False)
    assert await ask(scripted) == "bread"
    assert scripted.asked[0].schema is None
    assert json.dumps(SCHEMA) in scripted.asked[0].messages[-1]["content"]


@given(JSON)
def test_a_document_is_found_bare_in_a_fence_and_among_words(document: Any) -> None:
    text = json.dumps(document)
    assert parse_document(text) == document
    assert parse_document(f"Here:\n```json\n{text}\n```\nBye.") == document
    if isinstance(document, dict):
        assert parse_document(f"Here it is: {text} I hope it helps.") == document


@given(st.text())
def test_any_text_is_a_document_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        parse_document(text)


def test_a_document_nested_without_end_is_said_to_be_so() -> None:
    with pytest.raises(ValueError, match=r"deep|not JSON"):
        parse_document("[" * 200_000)
