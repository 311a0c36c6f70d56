"""Models without native tools, or without response_format, drive the same company."""

import json
from typing import Any

import pytest

from swarm.core.order import OrderStatus, ReasonKind
from tests.acceptance.at_work import first, kind_of, prompt_of, provider_of, script, task
from tests.acceptance.conftest import Open
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, completion

PLAN = (task("Build it", "cto"), task("Tell of it", "marketcom", 1))
MARK = "fits this JSON Schema, and nothing else:\n"


def action(request: Body) -> dict[str, Any]:
    """Write a file, deliver it, and say so: one action after the other."""
    said = [m["content"] for m in request["messages"] if m["role"] == "assistant"]
    path = f"{'post' if 'Tell of it' in prompt_of(request) else 'page'}.md"
    steps = [
        {"tool": "write_file", "arguments": {"path": path, "content": "Fresh bread.\n"}},
        {"tool": "deliver", "arguments": {"path": path, "summary": "As briefed."}},
        {"tool": "finish", "arguments": {"text": "Done."}},
    ]
    return {"action": steps[len(said)]}


def in_the_prompt() -> ScriptedProvider:
    """Return a company of a model that finds the schema in its prompt and knows no other way."""
    play = script(PLAN, answers={"action": action})

    def read(request: Body) -> Body:
        assert "response_format" not in request
        text = str(request["messages"][1]["content"])
        if MARK not in text:
            return play(request)
        schema = json.loads(text.partition(MARK)[2])
        name = "action" if "action" in schema["properties"] else ""
        named = {"json_schema": {"name": name, "schema": schema}, "type": "json_schema"}
        answer = play(request | {"response_format": named})
        message = answer["choices"][0]["message"]
        message["content"] = f"Here it is:\n```json\n{message['content']}\n```\nGood luck!"
        return answer

    return ScriptedProvider(read)


async def test_a_model_without_native_tools_names_them_in_a_document(opened: Open) -> None:
    provider = provider_of(PLAN, answers={"action": action})
    async with opened(provider, llm__tools="schema") as company:
        done = await company.deliver()
        actions = company.asked("action")
    assert [a.path for a in done.artifacts] == ["page.md", "post.md"]
    assert len(actions) == 6
    assert not any("tools" in body for body in company.provider.bodies)
    assert "- write_file: " in prompt_of(actions[0])
    assert "Result: Delivered page.md" in prompt_of(actions[2])


async def test_a_model_without_response_format_reads_the_schema_in_its_prompt(
    opened: Open,
) -> None:
    async with opened(in_the_prompt(), llm__json_schema="prompt") as company:
        done = await company.deliver()
        bodies = company.provider.bodies
    assert len(done.artifacts) == 2
    assert any("tools" in body for body in bodies)


async def test_a_model_with_neither_is_asked_in_words_alone(opened: Open) -> None:
    provider = in_the_prompt()
    async with opened(provider, llm__json_schema="prompt", llm__tools="schema") as company:
        done = await company.deliver()
        bodies = company.provider.bodies
    assert [a.path for a in done.artifacts] == ["page.md", "post.md"]
    assert not any({"tools", "response_format"} & body.keys() for body in bodies)


@pytest.mark.parametrize(
    "document",
    [{}, {"action": []}, {"action": {"tool": "write_file"}}, {"action": {"tool": 1}}, [1]],
)
async def test_an_action_that_fits_nothing_is_told_once_and_then_ends_the_task(
    opened: Open, document: Any
) -> None:
    def wrong(request: Body) -> Body | None:
        is_action = kind_of(request) == "action"
        return completion(document=document, model="gpt-4o-mini") if is_action else None

    async with opened(first(wrong, script()), llm__tools="schema") as company:
        failed = await company.work()
        asked = company.asked("action")
    assert failed.status is OrderStatus.FAILED
    assert failed.reason is not None
    assert failed.reason.kind is ReasonKind.WORK
    assert len(asked) == 2
    assert "not a document with an action" in prompt_of(asked[1])


async def test_an_action_with_arguments_of_no_object_is_told_to_the_model(opened: Open) -> None:
    def wrong(request: Body) -> Body | None:
        if kind_of(request) != "action" or len(request["messages"]) > 2:
            return None
        document = {"action": {"tool": "write_file", "arguments": "page.md"}}
        return completion(document=document, model="gpt-4o-mini")

    provider = first(wrong, script(answers={"action": action}))
    async with opened(provider, llm__tools="schema") as company:
        await company.work()
        told = prompt_of(company.asked("action")[1])
    assert "write_file: arguments" in told


async def test_answers_in_pieces_come_to_the_same(opened: Open) -> None:
    async with opened(provider_of(PLAN), llm__stream="true") as company:
        done = await company.deliver()
        assert all(body["stream"] is True for body in company.provider.bodies)
    assert len(done.artifacts) == 2
    assert done.receipt.model_cost.status == "paid"
    assert done.receipt.tokens.input > 0
