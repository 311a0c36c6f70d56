"""Other programs' traces become cassettes; what has no place in one is listed."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import InvalidInput
from swarm.evals.cassette import read, reseal, write
from swarm.evals.explain import explain, first_wrong
from swarm.evals.imported import Imported
from swarm.evals.pasts import past_of_cassette
from swarm.evals.replaying import replay
from swarm.evals.traces import read_trace

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
MODEL = "openai/gpt-4o-mini"
COST = Decimal("0.00021")
"""1000 tokens at 0.15 and 100 at 0.60 US dollars a million."""


def line(**more: Any) -> dict[str, Any]:
    answer = {
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}}],
        "usage": USAGE,
    }
    request = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}]}
    return {"request": request, "response": answer, "started_at": "2026-11-20T10:00:00Z", **more}


def span(name: str, start: int, facts: dict[str, Any], **more: Any) -> dict[str, Any]:
    attributes = [
        {"key": k, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}}
        for k, v in facts.items()
    ]
    times = {"startTimeUnixNano": str(start * 10**9), "endTimeUnixNano": str((start + 2) * 10**9)}
    return {"name": name, "attributes": attributes, **times, **more}


def otel() -> dict[str, Any]:
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.request.temperature": "0.2",
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "Hello."}]}]
        ),
    }
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.call.arguments": '{"q": "x"}',
        "gen_ai.tool.call.result": "found",
    }
    spans = [
        span("invoke_agent helper", 1_800_000_000, {"gen_ai.operation.name": "invoke_agent"}),
        span("chat gpt-4o-mini", 1_800_000_001, chat),
        span("execute_tool search", 1_800_000_003, tool),
        span(
            "chat gpt-4o-mini", 1_800_000_004, chat | {"error.type": "timeout"}, status={"code": 2}
        ),
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


def taken(folder: Path, *documents: Any, **options: Any) -> Imported:
    path = folder / "trace.jsonl"
    path.write_text("\n".join(json.dumps(d) for d in documents), encoding="utf-8")
    return read_trace(path, **options)


def test_lines_of_chat_completions_are_priced(tmp_path: Path) -> None:
    found = taken(tmp_path, line(), line(latency_ms=1500, span="abc"))
    assert (found.calls, found.unpriced) == (2, [])
    assert found.costs == [{"amount": str(COST * 2), "currency": "USD"}]
    assert found.unmapped == ["the field 'span' of a line"]
    assert found.cassette.lane("model")[1]["latency_s"] == 1.5


def test_an_imported_trace_is_a_cassette_like_any_other(tmp_path: Path) -> None:
    found = taken(tmp_path, line())
    path = tmp_path / "imported.jsonl"
    write(found.cassette, path)
    again = read(path)
    assert again.manifest.provenance.kind == "imported"
    assert "another program" in again.manifest.provenance.by
    assert past_of_cassette(again).steps[0].text == "Hello."


async def test_an_imported_trace_is_no_order_that_could_be_played(tmp_path: Path) -> None:
    found = taken(tmp_path, line())
    with pytest.raises(InvalidInput, match="swarm explain") as caught:
        await replay(found.cassette, tmp_path / "home")
    assert "--reprice" in str(caught.value)
    path = tmp_path / "edited.jsonl"
    write(found.cassette, path)
    assert reseal(path).manifest.provenance.kind == "imported"


def test_spans_of_opentelemetry_become_calls_and_tools(tmp_path: Path) -> None:
    found = taken(tmp_path, otel())
    assert (found.calls, found.tools) == (2, 1)
    assert "a span of the operation 'invoke_agent'" in found.unmapped
    assert "the attribute 'gen_ai.request.temperature' (2 times)" in found.unmapped
    failed = found.cassette.lane("model")[1]
    assert failed["error"]["text"] == "timeout"
    assert found.cassette.lane("model")[0]["answer"]["choices"][0]["message"]["content"] == "Hello."
    write(found.cassette, tmp_path / "spans.jsonl")
    assert past_of_cassette(read(tmp_path / "spans.jsonl")).steps != ()


def test_a_conversation_without_usage_is_unpriced_and_says_so(tmp_path: Path) -> None:
    call = {"id": "c1", "function": {"name": "search", "arguments": '{"q": 1}'}}
    messages = [
        {"role": "user", "content": "Look it up."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "nothing"},
        {"role": "tool", "tool_call_id": "c9", "content": "whose?"},
        {"role": "wizard", "content": "hm"},
        {"role": "assistant", "content": "I found nothing."},
    ]
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(messages), encoding="utf-8")
    found = read_trace(path, model=MODEL)
    assert (found.calls, found.tools, found.costs) == (2, 1, [])
    assert found.unpriced == [MODEL]
    told = " ".join(found.unmapped)
    for part in ("whose call is not in the trace", "'wizard'", "the usage of a call (2 times)"):
        assert part.split(" (")[0] in told


def test_a_loop_in_another_programs_trace_is_found(tmp_path: Path) -> None:
    said: list[dict[str, Any]] = [{"role": "user", "content": "Go."}]
    for number in range(4):
        call = {"id": f"c{number}", "function": {"name": "search", "arguments": "{}"}}
        said.append({"role": "assistant", "content": None, "tool_calls": [call]})
        said.append({"role": "tool", "tool_call_id": f"c{number}", "content": "nothing"})
    found = taken(tmp_path, {"messages": said, "model": MODEL})
    assert "loop" in [find.rule for find in explain(past_of_cassette(found.cassette))]


def test_a_secret_in_a_trace_is_hidden(tmp_path: Path) -> None:
    secret = "sk-ant-" + "a1B2" * 8
    document = line()
    document["request"]["messages"][0]["content"] = f"key {secret}"
    found = taken(tmp_path, document)
    assert secret not in json.dumps(found.cassette.entries) + str(found.cassette.manifest)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "not json", '{"messages": 7}', '{"request": 1, "response": []}', "[1]"]
)
def test_what_holds_no_call_is_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        read_trace(path)
    assert str(path) in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["messages", "request", "response", "choices", "usage", "role", "content",
                         "attributes", "resourceSpans", "model", "tool_calls", "created"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(
    document=st.dictionaries(
        st.sampled_from(
            ["messages", "request", "response", "attributes", "resourceSpans", "choices"]
        ),
        JSON,
        min_size=1,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_document_is_taken_in_or_refused(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        found = taken(folder, document)
    except InvalidInput:
        return
    write(found.cassette, folder / "out.jsonl")
    read(folder / "out.jsonl")


def spans(*found: dict[str, Any]) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(found)}]}]})


def listed(**facts: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": value} for key, value in facts.items()]


def test_what_a_span_says_and_a_cassette_cannot_is_listed_one_by_one(tmp_path: Path) -> None:
    part = {"kvlistValue": {"values": listed(type={"stringValue": "image"})}}
    words = {
        "kvlistValue": {
            "values": listed(type={"stringValue": "text"}, content={"stringValue": "hi"})
        }
    }
    message = {
        "kvlistValue": {
            "values": listed(
                role={"stringValue": "user"}, parts={"arrayValue": {"values": [words, part]}}
            )
        }
    }
    span = {
        "name": "chat gpt-4o",
        "startTimeUnixNano": "1790000000000000000",
        "attributes": listed(
            gen_ai__operation__name={"stringValue": "chat"},
            gen_ai__request__model={"stringValue": "openai/gpt-4o"},
            gen_ai__usage__input_tokens={"intValue": "100"},
            gen_ai__usage__output_tokens={"intValue": "10"},
            gen_ai__input__messages={"arrayValue": {"values": [message]}},
            server__address={"stringValue": "api"},
        ),
        "events": [{"name": "gen_ai.choice", "attributes": []}],
    }
    path = tmp_path / "spans.json"
    path.write_text(spans(span, {"name": "broken", "attributes": 7}))
    found = read_trace(path)
    assert found.calls == 1
    (call,) = found.cassette.lane("model")
    assert call["request"]["messages"] == [{"role": "user", "content": "hi"}]
    said = "; ".join(found.unmapped)
    for words_of in ("'server.address'", "'gen_ai.choice'", "type 'image'", "a span: "):
        assert words_of in said


def test_items_that_are_none_are_listed_and_take_nothing_with_them(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    talk = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "c"},
        {"role": "assistant", "content": "done"},
        7,
    ]  # fmt: skip
    path.write_text(json.dumps(talk))
    found = read_trace(path)
    assert (found.calls, found.tools) == (2, 1)
    said = "; ".join(found.unmapped)
    assert "a message that is none" in said
    assert "what a tool came to" in said


def test_a_failed_call_of_another_program_is_where_it_went_wrong(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    asked = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "go"}]}
    lines = [{"request": asked, "error": {"code": 429}}, {"nonsense": 1}]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = read_trace(path)
    assert found.calls == 1
    assert "a line with neither a request nor a response" in found.unmapped
    past = past_of_cassette(found.cassette)
    first = first_wrong(past, explain(past))
    assert first is not None
    assert first.sentence == "the provider failed: rate_limited"
