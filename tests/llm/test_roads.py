"""Requests of a kind that litellm has shown the way for go without it, and arrive the same."""

from typing import Any

import pytest

from swarm.core.chat import Message, RawAnswer
from swarm.core.errors import ModelError
from swarm.llm import roads
from swarm.llm.litellm import LiteLLM
from swarm.llm.roads import Roads
from swarm.llm.wire import Sent
from tests.llm.calls import WRITE_FILE, outcome, question, served
from tests.servers.replies import Reply, error
from tests.servers.wire import Request

SCHEMA = {"type": "object", "properties": {"goal": {"type": "string"}}, "required": ["goal"]}
CALL = {
    "id": "call_0",
    "type": "function",
    "function": {"name": "write_file", "arguments": '{"path": "a"}'},
}
HISTORY: tuple[Message, ...] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Write it. été 日本 🙂"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_0", "content": "written"},
)
KINDS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.2},
    {"messages": HISTORY, "tools": (WRITE_FILE,)},
    {"schema": SCHEMA, "schema_name": "plan"},
    {"model": "openai/gpt-5"},
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the models that litellm was asked for from now on."""
    seen: list[str] = []
    plain = LiteLLM._ask

    async def noted(self: Any, library: Any, arguments: Any, *rest: Any) -> Any:
        seen.append(arguments["model"])
        return await plain(self, library, arguments, *rest)

    monkeypatch.setattr(LiteLLM, "_ask", noted)
    return seen


def told(request: Request) -> tuple[Any, ...]:
    headers = {k: v for k, v in request.headers.items() if k != "content-length"}
    return request.path, headers, request.body


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("parts", KINDS)
async def test_the_second_request_of_a_kind_is_the_one_litellm_would_have_sent(
    parts: dict[str, Any], is_streamed: bool, asked: list[str]
) -> None:
    async with served(stream=is_streamed) as (provider, llm):
        for _ in range(2):
            got = await outcome(llm, question(**parts))
            assert isinstance(got, RawAnswer), got
        first, second = provider.requests
    assert told(first) == told(second)
    assert len(asked) == 1


async def test_the_second_request_of_a_kind_says_what_is_asked_now(asked: list[str]) -> None:
    async with served() as (provider, llm):
        await outcome(llm, question("One?", max_output_tokens=7))
        await outcome(llm, question("Two?", max_output_tokens=8))
    assert [b["messages"][-1]["content"] for b in provider.bodies] == ["One?", "Two?"]
    assert [b["max_tokens"] for b in provider.bodies] == [7, 8]
    assert len(asked) == 1


async def test_what_litellm_decides_by_the_value_is_asked_of_it_for_each_value(
    asked: list[str],
) -> None:
    async with served() as (provider, llm):
        for temperature in (0.2, 1.0, 0.2, 1.0):
            await outcome(llm, question(model="openai/gpt-5", temperature=temperature))
    assert ["temperature" in body for body in provider.bodies] == [False, True, False, True]
    assert len(asked) == 2


@pytest.mark.parametrize(
    "parts",
    [
        {"model": "hosted_vllm/x"},
        {"model": "openai/o3-mini"},
        {"messages": ({"role": "user", "content": [{"type": "text", "text": "Hello?"}]},)},
    ],
    ids=["another provider", "system messages rewritten", "content in parts"],
)
async def test_what_litellm_may_rewrite_always_goes_through_it(
    parts: dict[str, Any], asked: list[str]
) -> None:
    async with served() as (_, llm):
        for _ in range(3):
            assert isinstance(await outcome(llm, question(**parts)), RawAnswer)
    assert len(asked) == 3


async def test_a_road_for_some_messages_is_none_for_messages_of_another_form(
    asked: list[str],
) -> None:
    user: Message = {"role": "user", "content": "What now?"}
    async with served() as (provider, llm):
        await outcome(llm, question(model="openai/o3-mini", messages=(user,)))
        await outcome(llm, question(model="openai/o3-mini", messages=(user, user)))
        await outcome(llm, question(model="openai/o3-mini"))
    assert {message["role"] for body in provider.bodies for message in body["messages"]} == {"user"}
    assert len(asked) == 2


async def test_no_road_is_learnt_from_a_request_that_failed(asked: list[str]) -> None:
    async with served(faults={1: Reply(error("busy"), status=503)}) as (_, llm):
        assert isinstance(await outcome(llm), ModelError)
        assert isinstance(await outcome(llm), RawAnswer)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Reply(error("no"), status=401), "unauthorized"),
        (Reply(error("busy"), status=503), "overloaded"),
        (Reply(reset_after=3), "cut"),
        (Reply(b"not json", headers={"Content-Type": "application/json"}), "malformed"),
    ],
)
async def test_a_failure_on_a_known_road_is_named_as_any_other(fault: Reply, kind: str) -> None:
    async with served(faults={1: fault, 3: fault}) as (provider, llm):
        first = await outcome(llm)
        assert isinstance(await outcome(llm), RawAnswer)
        third = await outcome(llm)
        assert isinstance(first, ModelError)
        assert isinstance(third, ModelError)
        assert (first.kind, str(first)) == (third.kind, str(third))
        assert first.kind == kind
        assert len(provider.requests) == 3


ARGUMENTS = {"model": "openai/x", "messages": [{"role": "user", "content": "?"}], "max_tokens": 5}


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"x","messages":[{"role":"user","content":"!"}],"max_tokens":5}',
        b'{"model":"x","messages":[{"role":"user","content":"?"}],"max_tokens":6}',
        b'{"model":"x","messages":[{"role":"user","content":"?"}],"max_tokens":5,"extra":1}',
        b'{"messages":[{"role":"user","content":"?"}],"max_tokens":5}',
        b"no json",
    ],
    ids=["message", "value", "addition", "no model", "no json"],
)
def test_a_request_that_litellm_rewrote_makes_no_road(body: bytes) -> None:
    known = Roads()
    kind, _ = known.find(ARGUMENTS)
    known.learn(kind, ARGUMENTS, Sent("POST", "http://x/chat/completions", {}, body))
    assert known.find(ARGUMENTS)[1] is None


def test_roads_do_not_gather_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roads, "MAX_ROADS", 3)
    known = Roads()
    for number in range(10):
        arguments = ARGUMENTS | {"temperature": number}
        kind, _ = known.find(arguments)
        known.learn(kind, arguments, Sent("POST", "http://x", {}, b"{}"))
    assert len(known._known) <= 3
