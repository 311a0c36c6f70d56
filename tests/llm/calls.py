"""A LiteLLM in front of a scripted provider, and what becomes of one call."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from swarm.core.chat import ModelRequest, RawAnswer, ToolSpec
from swarm.core.errors import ModelError
from swarm.llm.base import LLMConfig
from swarm.llm.litellm import LiteLLM
from tests.servers.provider import Script, ScriptedProvider, say_hello
from tests.servers.replies import Reply

WRITE_FILE = ToolSpec(
    "write_file",
    "Write a file.",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path"],
        "additionalProperties": False,
    },
)


def question(text: str = "What now?", **parts: Any) -> ModelRequest:
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": text})
    return ModelRequest(
        **{"model": "scripted-1", "messages": messages, "max_output_tokens": 64, **parts}
    )


@asynccontextmanager
async def served(
    script: Script = say_hello, *, faults: Mapping[int, Reply] | None = None, **config: Any
) -> AsyncIterator[tuple[ScriptedProvider, LiteLLM]]:
    async with ScriptedProvider(script, faults=faults) as provider:
        llm = LiteLLM(LLMConfig(**{"api_base": provider.url, **config}))
        try:
            yield provider, llm
        finally:
            await llm.close()


async def outcome(
    llm: LiteLLM,
    request: ModelRequest | None = None,
    *,
    timeout_s: float = 20.0,
    idle_timeout_s: float = 10.0,
) -> RawAnswer | ModelError:
    try:
        return await llm.complete(
            request or question(), timeout_s=timeout_s, idle_timeout_s=idle_timeout_s
        )
    except ModelError as error:
        return error
