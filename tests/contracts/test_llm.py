"""What every model adapter does, whichever it is."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest

from swarm.core.chat import ModelRequest, RawAnswer, StopReason
from swarm.core.errors import BadAnswer, ModelError, Refused, Transient
from swarm.core.usage import Usage
from swarm.llm.base import LLM, Capabilities, LLMConfig, parse_answer
from swarm.llm.fake import FakeLLM, answer
from swarm.llm.litellm import LiteLLM
from tests.llm.calls import WRITE_FILE, question
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Reply, completion, error

Parts: TypeAlias = dict[str, Any]
"""An answer, as the arguments that the builders of both adapters take; or an error's `status`."""
Script: TypeAlias = Callable[[str], Parts]
"""What to answer to the last words of a conversation."""
Opener: TypeAlias = Callable[[Script], AbstractAsyncContextManager[LLM]]

STATUSES: dict[int, type[Refused] | type[Transient]] = {
    401: Refused,
    400: Refused,
    429: Transient,
    503: Transient,
}


@asynccontextmanager
async def _fake(script: Script) -> AsyncIterator[LLM]:
    def play(request: ModelRequest) -> RawAnswer | Exception:
        parts = script(str(request.messages[-1]["content"]))
        if "status" in parts:
            return STATUSES[parts["status"]]("as told", kind=str(parts["status"]))
        return answer(**parts)

    llm = FakeLLM(play)
    yield llm
    await llm.close()


def _over_the_wire(*, is_streamed: bool) -> Opener:
    @asynccontextmanager
    async def opened(script: Script) -> AsyncIterator[LLM]:
        def play(body: dict[str, Any]) -> Reply:
            parts = script(str(body["messages"][-1]["content"]))
            if "status" in parts:
                return Reply(error("as told"), status=parts["status"])
            return Reply(completion(**_in_providers_words(parts)))

        async with ScriptedProvider(play) as provider:
            llm = LiteLLM(LLMConfig(api_base=provider.url, stream=is_streamed))
            yield llm
            await llm.close()

    return opened


def _in_providers_words(parts: Parts) -> Parts:
    renamed = {("document" if k == "json" else k): v for k, v in parts.items()}
    usage = renamed.get("usage")
    if isinstance(usage, Usage):
        renamed["usage"] = {
            "prompt_tokens": usage.input_tokens + usage.cache_read_tokens,
            "completion_tokens": usage.output_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        }
    return renamed


@pytest.fixture(params=["fake", "litellm", "litellm-streamed"])
def opened(request: pytest.FixtureRequest) -> Opener:
    if request.param == "fake":
        return _fake
    return _over_the_wire(is_streamed=request.param == "litellm-streamed")


def ask(llm: LLM, **parts: Any) -> Awaitable[RawAnswer]:
    return llm.complete(question(**parts), timeout_s=60, idle_timeout_s=60)


async def test_a_text_comes_back_with_its_model_usage_and_time(opened: Opener) -> None:
    usage = Usage(input_tokens=20, cache_read_tokens=7, output_tokens=3)
    async with opened(lambda _: {"text": "Ünïcode 🙂", "usage": usage, "model": "m-1"}) as llm:
        got = await ask(llm)
    assert parse_answer(got).text == "Ünïcode 🙂"
    assert parse_answer(got).stop is StopReason.STOP
    assert (got.model, got.usage) == ("m-1", usage)
    assert got.latency_s >= 0
    assert got.raw_usage["prompt_tokens"] == 27
    assert got.reported_cost is None


async def test_an_answer_is_plain_json(opened: Opener) -> None:
    async with opened(lambda _: {"tool_calls": [("write_file", {"path": "a"})]}) as llm:
        got = await ask(llm, tools=(WRITE_FILE,))
    assert json.loads(json.dumps(got.body)) == got.body
    assert json.loads(json.dumps(got.raw_usage)) == got.raw_usage


async def test_no_reported_usage_is_none_and_never_zero(opened: Opener) -> None:
    async with opened(lambda _: {"text": "ok", "usage": None}) as llm:
        got = await ask(llm)
    assert got.usage is None
    assert got.raw_usage == {}


async def test_tool_calls_come_back_in_order_with_the_very_text_of_their_arguments(
    opened: Opener,
) -> None:
    calls = [("write_file", '{"path":  "a"}'), ("write_file", '{"path"')]
    async with opened(lambda _: {"tool_calls": calls}) as llm:
        got = parse_answer(await ask(llm, tools=(WRITE_FILE,)))
    assert [(c.name, c.arguments) for c in got.tool_calls] == calls
    assert len({c.id for c in got.tool_calls}) == 2
    assert got.stop is StopReason.TOOL_CALLS


async def test_a_document_is_text_that_parses(opened: Opener) -> None:
    document = {"goal": "ship it", "tasks": [1, 2.5, None, {"deep": ["ß"]}]}
    async with opened(lambda _: {"json": document}) as llm:
        got = await ask(llm, schema={"type": "object"}, schema_name="plan")
    assert json.loads(parse_answer(got).text) == document


@pytest.mark.parametrize(
    ("parts", "stop"),
    [
        ({"text": "half a sen", "stop": "length"}, StopReason.LENGTH),
        ({"text": "", "stop": "content_filter"}, StopReason.CONTENT_FILTER),
        ({"refusal": "No."}, StopReason.REFUSAL),
    ],
)
async def test_why_a_model_stopped_is_told(opened: Opener, parts: Parts, stop: StopReason) -> None:
    async with opened(lambda _: parts) as llm:
        got = parse_answer(await ask(llm))
    assert got.stop is stop
    assert got.text == parts.get("text", "No.")


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_a_failed_call_raises_the_error_of_the_one_who_can_act(
    opened: Opener, status: int, kind: type[ModelError]
) -> None:
    async with opened(lambda _: {"status": status}) as llm:
        with pytest.raises(kind) as caught:
            await ask(llm)
    assert caught.value.kind
    assert str(caught.value)


async def test_one_instance_serves_many_calls_at_once(opened: Opener) -> None:
    async with opened(lambda words: {"text": f"re: {words}"}) as llm:
        got = await asyncio.gather(*(ask(llm, text=f"q{i}") for i in range(20)))
    assert [parse_answer(a).text for a in got] == [f"re: q{i}" for i in range(20)]


async def test_a_failure_does_not_spoil_the_next_call(opened: Opener) -> None:
    async with opened(lambda words: {"status": 503} if words == "fail" else {"text": "ok"}) as llm:
        with pytest.raises(Transient):
            await ask(llm, text="fail")
        assert parse_answer(await ask(llm)).text == "ok"


async def test_the_request_is_left_as_it_was(opened: Opener) -> None:
    request = question(tools=(WRITE_FILE,), schema={"type": "object"}, schema_name="plan")
    before = repr(request)
    async with opened(lambda _: {"text": "ok"}) as llm:
        await llm.complete(request, timeout_s=60, idle_timeout_s=60)
    assert repr(request) == before


async def test_capabilities_are_known_without_asking_anybody(opened: Opener) -> None:
    async with opened(lambda _: {"text": "ok"}) as llm:
        known = llm.capabilities("scripted-1")
    assert isinstance(known, Capabilities)
    assert known.max_output_tokens > 0


async def test_closing_twice_is_closing_once(opened: Opener) -> None:
    async with opened(lambda _: {"text": "ok"}) as llm:
        await ask(llm)
        await llm.close()


async def test_an_answer_without_choices_is_charged_and_then_refused(opened: Opener) -> None:
    async with opened(lambda _: {"text": "ok"}) as llm:
        got = await ask(llm)
    got.body["choices"] = []
    with pytest.raises(BadAnswer):
        parse_answer(got)
