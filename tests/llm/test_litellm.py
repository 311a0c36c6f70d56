import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from swarm.core.chat import Message, RawAnswer, StopReason, ToolSpec
from swarm.core.errors import Refused, Transient
from swarm.core.usage import Usage
from swarm.llm.base import LLMConfig, parse_answer
from swarm.llm.litellm import LiteLLM
from tests.llm.calls import WRITE_FILE, outcome, question, served
from tests.servers.provider import ScriptedProvider, in_process
from tests.servers.replies import Reply, completion

both_ways = pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
SCHEMA = {
    "type": "object",
    "properties": {"goal": {"type": "string"}, "tasks": {"type": "array", "items": {}}},
    "required": ["goal"],
    "additionalProperties": False,
}


EVENTS = {"Content-Type": "text/event-stream"}


async def answered(llm: LiteLLM, **parts: Any) -> RawAnswer:
    got = await outcome(llm, question(**parts))
    assert isinstance(got, RawAnswer), got
    return got


async def test_a_request_reaches_the_wire_as_it_was_made() -> None:
    history: tuple[Message, ...] = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Write it. été 日本 🙂"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_0",
                    "type": "function",
                    "function": {"name": "write_file", "arguments": '{"path": "a"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": "written"},
    )
    async with served() as (provider, llm):
        await answered(llm, messages=history, tools=(WRITE_FILE,), temperature=0.0)
        await answered(llm, schema=SCHEMA, schema_name="plan")
    first, second = provider.bodies
    # An absent content means the same as an empty one; litellm leaves nulls out.
    assert first["messages"] == [
        {k: v for k, v in message.items() if v is not None} for message in history
    ]
    assert first["model"] == "scripted-1"
    assert first["max_tokens"] == 64
    assert first["temperature"] == 0.0
    assert first["tool_choice"] == "auto"
    assert [t["function"] for t in first["tools"]] == [
        {
            "name": WRITE_FILE.name,
            "description": WRITE_FILE.description,
            "parameters": WRITE_FILE.parameters,
        }
    ]
    assert second["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "plan", "schema": SCHEMA, "strict": True},
    }
    assert not {"tools", "temperature", "stream", "tool_choice"} & second.keys()
    assert {r.path for r in provider.requests} == {"/v1/chat/completions"}


@pytest.mark.parametrize("model", ["scripted-1", "gemini/gemini-2.5-flash"])
async def test_a_call_changes_nothing_of_the_request(model: str) -> None:
    tool = ToolSpec("write_file", "Write.", json.loads(json.dumps(WRITE_FILE.parameters)))
    schema = json.loads(json.dumps(SCHEMA))
    asked = [question(model=model, tools=(tool,)), question(model=model, schema=schema)]
    before = repr(asked)
    async with served(api_key=SecretStr("k-123456")) as (_, llm):
        for request in asked:
            await outcome(llm, request)
    assert repr(asked) == before


async def test_a_stream_is_asked_for_with_its_usage() -> None:
    async with served(stream=True) as (provider, llm):
        await answered(llm)
    assert provider.bodies[0]["stream"] is True
    assert provider.bodies[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("scripted-1", "scripted-1"),
        ("openai/gpt-x", "gpt-x"),
        ("hosted_vllm/gpt-x", "gpt-x"),
        ("meta-llama/Llama-3-8b:free", "meta-llama/Llama-3-8b:free"),
        ("mine/openai/x", "mine/openai/x"),
    ],
)
async def test_a_server_of_ones_own_is_asked_for_the_name_it_knows(asked: str, sent: str) -> None:
    async with served() as (provider, llm):
        await answered(llm, model=asked)
    assert provider.bodies[0]["model"] == sent


@pytest.mark.parametrize(("key", "sent"), [(None, "Bearer none"), ("k-1", "Bearer k-1")])
async def test_a_server_of_ones_own_gets_the_configured_key_or_none_at_all(
    key: str | None, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    secret = SecretStr(key) if key else None
    async with served(api_key=secret) as (provider, llm):
        await answered(llm)
    assert provider.requests[0].headers["authorization"] == sent


async def test_without_a_server_of_ones_own_a_provider_is_reached_at_its_own_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ScriptedProvider() as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-usual")
        llm = LiteLLM(LLMConfig())
        got = await answered(llm, model="openai/gpt-5-mini", tools=(WRITE_FILE,), temperature=0.3)
        assert got.usage is not None
        await llm.close()
    (asked,) = provider.requests
    assert asked.headers["authorization"] == "Bearer sk-usual"
    # What this model does not take is left out, and its limit has another name.
    assert asked.body["max_completion_tokens"] == 64
    assert not {"max_tokens", "temperature"} & asked.body.keys()


async def test_a_name_without_a_provider_is_refused_where_no_server_is_configured() -> None:
    llm = LiteLLM(LLMConfig())
    got = await outcome(llm, question(model="no-such-model"))
    assert isinstance(got, Refused)
    assert got.kind == "unknown_model"
    await llm.close()


@both_ways
async def test_texts_tool_calls_and_refusals_come_back_unchanged(is_streamed: bool) -> None:
    text = 'Zeile eins\n"zwei" \\ 日本 🙂 ' * 9
    calls = [("write_file", {"path": "ä.md", "content": text}), ("write_file", {"path": "b"})]
    replies = {
        1: Reply(completion(text=text)),
        2: Reply(completion(tool_calls=calls)),
        3: Reply(completion(refusal="I would rather not.")),
        4: Reply(completion(text="half", stop="length")),
        5: Reply(completion(text="", stop="content_filter")),
        6: Reply(completion(tool_calls=[("no_such_tool", "{not json")])),
    }
    async with served(faults=replies, stream=is_streamed) as (_, llm):
        got = [parse_answer(await answered(llm, tools=(WRITE_FILE,))) for _ in replies]
    assert (got[0].text, got[0].stop) == (text, StopReason.STOP)
    assert [(c.name, json.loads(c.arguments)) for c in got[1].tool_calls] == calls
    assert [c.id for c in got[1].tool_calls] == ["call_0", "call_1"]
    assert got[1].stop is StopReason.TOOL_CALLS
    assert (got[2].text, got[2].stop) == ("I would rather not.", StopReason.REFUSAL)
    assert (got[3].text, got[3].stop) == ("half", StopReason.LENGTH)
    assert got[4].stop is StopReason.CONTENT_FILTER
    assert (got[5].tool_calls[0].name, got[5].tool_calls[0].arguments) == (
        "no_such_tool",
        "{not json",
    )


@both_ways
async def test_a_document_of_another_shape_is_handed_on_unjudged(is_streamed: bool) -> None:
    async with served(lambda _: completion(document={"other": 1}), stream=is_streamed) as (_, llm):
        got = await answered(llm, schema=SCHEMA, schema_name="plan")
    assert json.loads(parse_answer(got).text) == {"other": 1}


@both_ways
async def test_a_megabyte_of_arguments_arrives_whole(is_streamed: bool) -> None:
    content = "0123456789abcdef" * 65536
    reply = completion(tool_calls=[("write_file", {"path": "a", "content": content})])
    async with served(lambda _: reply, stream=is_streamed) as (_, llm):
        got = parse_answer(await answered(llm, tools=(WRITE_FILE,)))
    assert json.loads(got.tool_calls[0].arguments)["content"] == content


@both_ways
async def test_a_server_that_ignores_the_wish_for_a_stream_is_understood(is_streamed: bool) -> None:
    body = json.dumps(completion(text="whole")).encode()
    async with served(faults={1: Reply(body)}, stream=is_streamed) as (_, llm):
        assert parse_answer(await answered(llm)).text == "whole"


def _chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return "data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]})


def _call(**parts: Any) -> dict[str, Any]:
    return {"tool_calls": [parts]}


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
async def test_tool_calls_that_servers_number_oddly_stay_apart(end: str) -> None:
    events = [
        ": a comment",
        _chunk(_call(index=0, id="a", function={"name": "write_file", "arguments": "{"})),
        _chunk(_call(index=0, function={"name": "write_file", "arguments": "}"})),
        _chunk(_call(index=0, id="b", function={"name": "write_file", "arguments": "[1"})),
        _chunk(_call(index=0, id="b", function={"arguments": "]"})),
        _chunk(_call(id="c", function={"name": "deliver", "arguments": ""})),
        _chunk(_call(function={"arguments": "{}"})),
        _chunk({}, "tool_calls"),
        "data: [DONE]",
    ]
    body = "".join(event + end for event in events).encode()
    async with served(faults={1: Reply(body, headers=EVENTS)}, stream=True) as (_, llm):
        got = parse_answer(await answered(llm, tools=(WRITE_FILE,)))
    assert [(c.id, c.name, c.arguments) for c in got.tool_calls] == [
        ("a", "write_file", "{}"),
        ("b", "write_file", "[1]"),
        ("c", "deliver", "{}"),
    ]


USAGES: list[tuple[Any, Usage | None]] = [
    ({"prompt_tokens": 100, "completion_tokens": 5}, Usage(100, 0, 0, 5, 0)),
    (
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        Usage(30, 60, 10, 50, 20),
    ),
    (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 45,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        Usage(10, 0, 0, 35, 30),
    ),
    ({"prompt_tokens": 0, "completion_tokens": 0}, Usage()),
    (
        {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None},
        Usage(9, 0, 0, 1, 0),
    ),
    (None, None),
    ({}, None),
    ({"prompt_tokens": 5}, None),
    ({"prompt_tokens": -1, "completion_tokens": 5}, None),
    ({"prompt_tokens": 5.5, "completion_tokens": 5}, None),
    ({"prompt_tokens": "5", "completion_tokens": 5}, None),
    ({"prompt_tokens": True, "completion_tokens": 5}, None),
    ({"prompt_tokens": 10**15, "completion_tokens": 5}, None),
    (
        {
            "prompt_tokens": 5,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 6},
        },
        None,
    ),
]


@both_ways
@pytest.mark.parametrize(("reported", "wanted"), USAGES)
async def test_usage_is_what_the_provider_reported_in_disjoint_buckets(
    reported: Any, wanted: Usage | None, is_streamed: bool
) -> None:
    async with served(lambda _: completion(text="ok", usage=reported), stream=is_streamed) as (
        _,
        llm,
    ):
        got = await answered(llm)
    assert got.usage == wanted
    assert got.raw_usage == (reported or {})


@both_ways
@pytest.mark.parametrize(
    ("extra", "cost"),
    [
        ({"cost": 0.00014}, "0.00014"),
        ({"cost": 1e-07}, "0.0000001"),
        ({"cost": "0.25"}, "0.25"),
        ({"cost": 0}, "0"),
        ({"cost": {"total_cost": 0.006}}, "0.006"),
        ({"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
        ({"cost": -1}, None),
        ({"cost": "free"}, None),
        ({"cost": "nan"}, None),
        ({"cost": True}, None),
        ({}, None),
    ],
)
async def test_a_cost_the_provider_reports_is_kept_exactly(
    extra: dict[str, Any], cost: str | None, is_streamed: bool
) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "nested": {"odd": [1]}, **extra}
    async with served(lambda _: completion(text="ok", usage=usage), stream=is_streamed) as (_, llm):
        got = await answered(llm)
    assert got.reported_cost == cost
    assert got.raw_usage == usage


@both_ways
async def test_the_model_that_answered_is_named(is_streamed: bool) -> None:
    async with served(
        lambda _: completion(text="ok", model="scripted-1-2026-10"), stream=is_streamed
    ) as (_, llm):
        got = await answered(llm)
    assert got.model == "scripted-1-2026-10"
    assert got.latency_s > 0


CLAUDE_USAGE = {
    "input_tokens": 7,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 300,
    "output_tokens": 9,
    "service_tier": "standard",
}


def _claude_message(usage: Any, content: list[Any], stop: str) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
    return {**head, "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def _claude_events(usage: Any, text: str, stop: str) -> bytes:
    start = _claude_message({**usage, "output_tokens": 1}, [], stop) | {"stop_reason": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": text},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": usage["output_tokens"]},
        },
        {"type": "message_stop"},
    ]
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


@both_ways
async def test_a_provider_with_another_interface_is_translated_and_its_own_usage_kept(
    is_streamed: bool,
) -> None:
    body: Any = _claude_message(CLAUDE_USAGE, [{"type": "text", "text": "Bonjour."}], "end_turn")
    if is_streamed:
        body = _claude_events(CLAUDE_USAGE, "Bonjour.", "end_turn")
    headers = EVENTS if is_streamed else {}
    async with served(lambda _: Reply(body, headers=headers), stream=is_streamed) as (
        provider,
        llm,
    ):
        got = await answered(llm, model="anthropic/claude-sonnet-4-5")
    assert provider.requests[0].path.endswith("/v1/messages")
    assert parse_answer(got).text == "Bonjour."
    assert got.usage == Usage(7, 300, 20, 9, 0)
    assert got.raw_usage == CLAUDE_USAGE


@both_ways
async def test_a_provider_that_is_asked_late_fails_like_any_other(is_streamed: bool) -> None:
    refusal = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
    fault = Reply(refusal, status=429, headers={"Retry-After": "3"})
    async with served(faults={1: fault}, stream=is_streamed, api_key=SecretStr("k-123456")) as (
        provider,
        llm,
    ):
        got = await outcome(llm, question(model="gemini/gemini-2.5-flash"))
    assert isinstance(got, Transient)
    assert (got.kind, got.retry_after_s) == ("rate_limited", 3.0)
    assert len(provider.requests) == 1


async def test_a_model_that_needs_a_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    # litellm takes another road for this model, which needs a package of the extra `mcp`.
    for name in [n for n in sys.modules if n == "mcp" or n.startswith("mcp.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    async with served() as (provider, llm):
        got = await outcome(llm, question(model="openai/gpt-5-codex"))
    assert isinstance(got, Refused)
    assert got.kind == "missing_package"
    assert provider.requests == []


async def test_a_translated_stream_without_usage_is_not_given_the_librarys_own_count() -> None:
    body = _claude_events(CLAUDE_USAGE, "Bonjour.", "end_turn")
    body = body.replace(b'"usage"', b'"no_usage"')
    async with served(lambda _: Reply(body, headers=EVENTS), stream=True) as (_, llm):
        got = await answered(llm, model="anthropic/claude-sonnet-4-5")
    assert parse_answer(got).text == "Bonjour."
    assert (got.usage, got.raw_usage) == (None, {})
    assert "usage" not in got.body


async def test_a_translated_stream_that_is_cut_is_not_taken() -> None:
    body = _claude_events(CLAUDE_USAGE, "Bonjour.", "end_turn")
    body = body[: body.index(b"event: message_delta")]
    async with served(lambda _: Reply(body, headers=EVENTS), stream=True) as (_, llm):
        got = await outcome(llm, question(model="anthropic/claude-sonnet-4-5"))
    assert getattr(got, "kind", None) == "cut"


async def test_a_document_that_a_model_writes_as_a_tool_call_comes_back_as_text() -> None:
    tool = {"type": "tool_use", "id": "t1", "name": "json_tool_call", "input": {"goal": "ship"}}
    body = _claude_message(CLAUDE_USAGE, [tool], "tool_use")
    async with served(lambda _: Reply(body)) as (_, llm):
        got = await answered(
            llm, model="anthropic/claude-3-haiku-20240307", schema=SCHEMA, schema_name="plan"
        )
    assert json.loads(parse_answer(got).text) == {"goal": "ship"}


@both_ways
async def test_a_document_that_a_chat_model_writes_as_a_tool_call_comes_back_as_text(
    is_streamed: bool,
) -> None:
    reply = completion(tool_calls=[("json_tool_call", {"goal": "ship"})])
    async with served(lambda _: reply, stream=is_streamed) as (_, llm):
        got = await answered(
            llm, model="groq/llama-3.1-8b-instant", schema=SCHEMA, schema_name="plan"
        )
    assert json.loads(parse_answer(got).text) == {"goal": "ship"}
    assert got.usage == Usage(input_tokens=11, output_tokens=7)


async def test_connections_are_kept_between_calls_and_closed_at_the_end() -> None:
    async with served() as (provider, llm):
        for _ in range(5):
            await answered(llm)
        assert {r.connection for r in provider.requests} == {1}
        await llm.close()
        await asyncio.wait_for(provider.alone(), 5)
        await answered(llm)
        assert provider.requests[-1].connection == 2


@both_ways
async def test_many_calls_at_once_each_get_their_own_answer(is_streamed: bool) -> None:
    def echo(request: dict[str, Any]) -> Reply:
        text = request["messages"][-1]["content"]
        usage = {"prompt_tokens": int(text), "completion_tokens": 1}
        return Reply(completion(text=text, usage=usage), delay_s=0.005 * (int(text) % 3))

    async with served(echo, stream=is_streamed) as (_, llm):
        await answered(llm, text="0")
        got = await asyncio.gather(*(answered(llm, text=str(i)) for i in range(40)))
    assert [parse_answer(a).text for a in got] == [str(i) for i in range(40)]
    assert [a.usage.input_tokens for a in got if a.usage] == list(range(40))


async def test_no_task_is_left_behind() -> None:
    async with served() as (_, llm):
        await answered(llm)
        await answered(llm, tools=(WRITE_FILE,))
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_one_model_serves_one_event_loop_after_another() -> None:
    async def ask_and_close(llm: LiteLLM) -> None:
        assert isinstance(await outcome(llm), RawAnswer)
        await llm.close()

    with ScriptedProvider().in_thread() as provider:
        llm = LiteLLM(LLMConfig(api_base=provider.url))
        asyncio.run(ask_and_close(llm))
        asyncio.run(ask_and_close(llm))


async def test_calls_from_several_event_loops_at_once_are_all_answered_and_closed() -> None:
    with ScriptedProvider().in_thread() as provider, ScriptedProvider().in_thread() as other:
        llm = LiteLLM(LLMConfig(api_base=provider.url))
        assert other.loop is not None
        elsewhere = asyncio.run_coroutine_threadsafe(outcome(llm), other.loop)
        assert isinstance(await outcome(llm), RawAnswer)
        theirs: Any = await asyncio.to_thread(elsewhere.result, 20)
        assert isinstance(theirs, RawAnswer)
        await llm.close()


@pytest.mark.parametrize("word", ["auto", "native"])
def test_a_server_of_ones_own_is_taken_at_its_word(word: str) -> None:
    llm = LiteLLM(LLMConfig(api_base="http://127.0.0.1:9/v1", tools=word, json_schema=word))
    known = llm.capabilities("whatever")
    assert (known.native_tools, known.native_schema, known.compact_prompts) == (True, True, False)
    assert known.max_output_tokens == 4096


def test_settings_win_over_what_a_model_is_said_to_do() -> None:
    config = LLMConfig(api_base="http://127.0.0.1:9/v1", tools="schema", json_schema="prompt")
    known = LiteLLM(config).capabilities("whatever")
    assert (known.native_tools, known.native_schema) == (False, False)


def test_what_a_model_can_do_is_looked_up() -> None:
    llm = LiteLLM(LLMConfig(max_output_tokens=100_000))
    able = llm.capabilities("openai/gpt-4o-mini")
    assert (able.native_tools, able.native_schema, able.max_output_tokens) == (True, True, 16384)
    unknown = llm.capabilities("openai/no-such-model")
    assert (unknown.native_tools, unknown.native_schema) == (False, False)
    assert unknown.max_output_tokens == 100_000


PROGRAM = """
import asyncio, dotenv, sys


def read_nothing(*_, **__):
    raise AssertionError("a .env file was looked for")


dotenv.load_dotenv = read_nothing
from swarm.llm.base import LLMConfig
from swarm.llm.litellm import LiteLLM
from swarm.core.chat import ModelRequest
assert not {"litellm", "aiohttp", "openai", "httpx"} & sys.modules.keys()
llm = LiteLLM(LLMConfig(api_base=sys.argv[1]))
assert "litellm" not in sys.modules
request = ModelRequest("m", ({"role": "user", "content": "hi"},), 10)


async def ask():
    answer = await llm.complete(request, timeout_s=60, idle_timeout_s=60)
    assert answer.usage.output_tokens
    await llm.close()


asyncio.run(ask())
"""


def test_a_program_that_asked_once_printed_nothing_and_ends_by_itself() -> None:
    with in_process("hello") as url:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, url],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
