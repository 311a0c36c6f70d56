"""Tools are offered natively, or by a document that names one of them."""

import json
from typing import Any

import jsonschema  # it ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agents.mind import assistant_message
from swarm.agents.protocol import NativeTools, SchemaTools, action_schema, protocol_for
from swarm.agents.turns import CallResult
from swarm.core.chat import StopReason, ToolSpec
from swarm.core.errors import BadAnswer
from swarm.llm.base import Capabilities
from swarm.tools.base import spec
from swarm.tools.registry import TOOLS
from tests.agents.asked import calls, said, user
from tests.agents.fitting import fitting

SPECS: tuple[ToolSpec, ...] = tuple(spec(TOOLS.load(name)()) for name in TOOLS.names())
SCHEMA = action_schema(SPECS)


def able(*, tools: bool, schema: bool = True) -> Capabilities:
    return Capabilities(native_tools=tools, native_schema=schema, max_output_tokens=10)


def test_the_protocol_is_chosen_by_what_the_model_can_do() -> None:
    assert isinstance(protocol_for(able(tools=True), has_tools=True), NativeTools)
    assert isinstance(protocol_for(able(tools=False), has_tools=True), SchemaTools)
    assert isinstance(protocol_for(able(tools=False), has_tools=False), NativeTools)


def test_native_tools_are_offered_and_answered_by_their_ids() -> None:
    native = NativeTools()
    completion = calls(("write_file", "{}"), ("deliver", "{}"))
    assert native.question(user("Go."), SPECS).tools == SPECS
    assert native.read(completion) is completion
    results = tuple(CallResult(call, f"did {call.name}", False) for call in completion.tool_calls)
    turn = native.write(assistant_message(completion), results)
    assert [m["role"] for m in turn] == ["assistant", "tool", "tool"]
    asked = [call["id"] for call in turn[0]["tool_calls"]]
    assert [m["tool_call_id"] for m in turn[1:]] == asked


def test_the_schema_of_an_action_is_a_schema_without_references() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert "$ref" not in json.dumps(SCHEMA)
    assert SCHEMA["type"] == "object"


@given(fitting(SCHEMA))
def test_any_action_that_fits_the_schema_is_a_call_or_the_end(action: Any) -> None:
    protocol = SchemaTools()
    read = protocol.read(said(json.dumps(action)))
    name = action["action"]["tool"]
    if name == "finish":
        assert read.text == action["action"]["arguments"]["text"]
        assert read.tool_calls == ()
        return
    (call,) = read.tool_calls
    assert call.name == name
    assert json.loads(call.arguments) == action["action"]["arguments"]
    shown = protocol.write(assistant_message(read), (CallResult(call, "done", False),))
    assert json.loads(shown[0]["content"]) == action
    assert shown[1]["content"] == "Result: done"


@given(st.text() | st.builds(json.dumps, st.dictionaries(st.text(), st.integers() | st.text())))
def test_any_other_text_is_a_fault_of_schema(text: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        SchemaTools().read(said(text))
    assert caught.value.kind == "schema"


def test_a_cut_or_refused_action_is_handed_on_unread() -> None:
    for stop in (StopReason.LENGTH, StopReason.REFUSAL, StopReason.CONTENT_FILTER):
        completion = said('{"action": {"tool": "deliver", "arguments": {}}}', stop)
        assert SchemaTools().read(completion) is completion


def test_tools_are_explained_once_in_the_last_message() -> None:
    prepared = SchemaTools().prepare(user("Go."), SPECS)
    assert prepared[0] == user("Go.")[0]
    assert prepared[-1]["content"].startswith("Go.\n\nWork step by step.")
    assert all(f"- {s.name}: " in prepared[-1]["content"] for s in SPECS)


def test_without_response_format_the_schema_of_an_action_stands_in_the_prompt() -> None:
    protocol = SchemaTools(has_native_schema=False)
    prepared = protocol.prepare(user("Go."), SPECS)
    assert json.dumps(SCHEMA, ensure_ascii=False) in prepared[-1]["content"]
    question = protocol.question(prepared, SPECS)
    assert question.schema is None
    assert question.tools == ()
