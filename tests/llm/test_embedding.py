"""Vectors come from a provider over the wire, whole or not at all."""

from collections.abc import Mapping
from typing import Any

import pytest

from swarm.core.chat import RawAnswer
from swarm.core.errors import BadAnswer, ModelError, Refused, Transient
from swarm.llm.base import LLMConfig
from swarm.llm.embedding import Embeddings
from swarm.llm.vectors import read_vectors, vectors_request
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply

TEXTS = ("tea", "the door is blue")


def vectors(request: Body) -> Body:
    """Answer in the wrong order, which the index puts right."""
    data = [
        {"object": "embedding", "index": place, "embedding": [float(len(text)), 0.5]}
        for place, text in enumerate(request["input"])
    ]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return {"object": "list", "data": data[::-1], "model": request["model"], "usage": usage}


async def asked(
    script: Any = vectors, faults: Mapping[int, Reply] | None = None
) -> tuple[list[Body], RawAnswer | ModelError]:
    async with ScriptedProvider(script, faults=faults) as provider:
        adapter = Embeddings(LLMConfig(api_base=provider.url))
        try:
            answer: RawAnswer | ModelError = await adapter.complete(
                vectors_request("openai/embedder-1", TEXTS), timeout_s=5, idle_timeout_s=5
            )
        except ModelError as error:
            answer = error
        finally:
            await adapter.close()
        return provider.bodies, answer


async def test_each_text_gets_its_vector_and_the_usage_is_the_provider_s() -> None:
    bodies, answer = await asked()
    assert isinstance(answer, RawAnswer)
    assert [body["input"] for body in bodies] == [list(TEXTS)]
    assert read_vectors(answer, count=2) == [(3.0, 0.5), (16.0, 0.5)]
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 0)
    assert answer.raw_usage["prompt_tokens"] == 7


async def test_an_answer_without_usage_says_so() -> None:
    _, answer = await asked(lambda request: vectors(request) | {"usage": None})
    assert isinstance(answer, RawAnswer)
    assert answer.usage is None


async def test_fewer_vectors_than_texts_are_no_answer() -> None:
    _, answer = await asked(lambda request: vectors({**request, "input": ["tea"]}))
    assert isinstance(answer, RawAnswer)
    with pytest.raises(BadAnswer, match="2 vectors"):
        read_vectors(answer, count=2)


@pytest.mark.parametrize(
    ("reply", "error", "kind"),
    [
        (Reply({"error": {"message": "no such key"}}, status=401), Refused, "unauthorized"),
        (Reply({"error": {"message": "slow down"}}, status=429), Transient, "rate_limited"),
        (Reply({"error": {"message": "broken"}}, status=500), Transient, "server_error"),
    ],
)
async def test_a_refusal_is_asked_for_once_and_named(
    reply: Reply, error: type[ModelError], kind: str
) -> None:
    bodies, answer = await asked(faults={1: reply})
    assert isinstance(answer, error)
    assert answer.kind == kind
    assert len(bodies) == 1


async def test_what_is_no_list_of_vectors_is_no_answer() -> None:
    _, answer = await asked(lambda request: {"object": "list", "data": [{"index": 0}]})
    assert isinstance(answer, BadAnswer | Refused | Transient)
