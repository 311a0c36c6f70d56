import asyncio
import random

import pytest

from swarm.core.errors import Transient
from swarm.core.usage import Usage
from swarm.llm.base import Capabilities, parse_answer
from swarm.llm.fake import FakeLLM, ScriptExhausted, answer
from tests.llm.calls import WRITE_FILE, question
from tests.llm.random_script import random_script


async def test_a_list_of_answers_is_used_up_in_order_and_errors_in_it_are_raised() -> None:
    llm = FakeLLM([answer("one"), Transient("later", kind="overloaded"), answer("two")])
    got = await llm.complete(question("a"), timeout_s=1, idle_timeout_s=1)
    assert parse_answer(got).text == "one"
    with pytest.raises(Transient, match="later"):
        await llm.complete(question("b"), timeout_s=1, idle_timeout_s=1)
    got = await llm.complete(question("c"), timeout_s=1, idle_timeout_s=1)
    assert parse_answer(got).text == "two"
    assert [r.messages[-1]["content"] for r in llm.requests] == ["a", "b", "c"]


async def test_a_call_beyond_the_script_says_what_was_asked() -> None:
    with pytest.raises(ScriptExhausted, match="one too many"):
        await FakeLLM([]).complete(question("one too many"), timeout_s=1, idle_timeout_s=1)


async def test_an_answer_can_wait_for_an_event() -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await gate.wait()

    llm = FakeLLM([answer("late")], delay=wait)
    task = asyncio.create_task(llm.complete(question(), timeout_s=1, idle_timeout_s=1))
    await asked.wait()
    assert not task.done()
    gate.set()
    assert parse_answer(await task).text == "late"


async def test_capabilities_and_closing_are_as_told() -> None:
    told = Capabilities(native_tools=False, native_schema=False, max_output_tokens=7)
    llm = FakeLLM([], capabilities=told)
    assert llm.capabilities("any") == told
    assert not llm.is_closed
    await llm.close()
    assert llm.is_closed


def test_the_usage_of_a_built_answer_is_written_in_the_providers_words() -> None:
    usage = Usage(1, 20, 300, 4000, 50)
    assert answer("x", usage=usage).raw_usage == {
        "prompt_tokens": 321,
        "completion_tokens": 4000,
        "total_tokens": 4321,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_creation_tokens": 300},
        "completion_tokens_details": {"reasoning_tokens": 50},
    }


async def test_a_random_script_repeats_itself_by_its_seed() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    seed = random.Random(3).random()
    texts = []
    for _ in range(2):
        llm = FakeLLM(random_script(seed))
        asked = question(schema=schema, schema_name="x")
        got = [await llm.complete(asked, timeout_s=1, idle_timeout_s=1) for _ in range(5)]
        got.append(await llm.complete(question(tools=(WRITE_FILE,)), timeout_s=1, idle_timeout_s=1))
        texts.append([str(a.body) for a in got])
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 3
