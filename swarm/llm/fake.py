"""A model that says what a script tells it to; it keeps what it was asked."""

from collections.abc import Callable, Iterable, Sequence
from json import dumps
from typing import Any, TypeAlias

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.usage import Usage
from swarm.llm.base import Capabilities

Scripted: TypeAlias = RawAnswer | Exception
Script: TypeAlias = Callable[[ModelRequest], Scripted] | Iterable[Scripted]

DEFAULT_USAGE = Usage(input_tokens=10, output_tokens=5)


class ScriptExhausted(AssertionError):
    """Say that a model was asked once more than its script has answers."""


class FakeLLM:
    """Answers by a function of the request, or by a list whose items are used up in order.

    An exception in the place of an answer is raised. `requests` keeps every request in order of
    arrival; `is_closed` tells whether the model was let go.
    """

    def __init__(
        self,
        script: Script,
        *,
        capabilities: Capabilities | None = None,
        delay: Callable[[], Any] | None = None,
    ) -> None:
        """Take a script.

        Args:
            script: A function of the request, or answers in order.
            capabilities: What to say of every model; all native unless given.
            delay: Returns something to await before each answer: an event, a sleep.
        """
        self._answer = script if callable(script) else _in_order(script)
        self._delay = delay
        self._capabilities = capabilities or Capabilities(
            native_tools=True, native_schema=True, max_output_tokens=4096
        )
        self.requests: list[ModelRequest] = []
        self.is_closed = False

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Give the scripted answer.

        Raises:
            ScriptExhausted: The script has no answer left.
        """
        self.requests.append(request)
        if self._delay is not None:
            await self._delay()
        scripted = self._answer(request)
        if isinstance(scripted, Exception):
            raise scripted
        return scripted

    def capabilities(self, model: str) -> Capabilities:
        """Say the same of every model."""
        return self._capabilities

    async def close(self) -> None:
        """Remember that it was let go."""
        self.is_closed = True


def _in_order(answers: Iterable[Scripted]) -> Callable[[ModelRequest], Scripted]:
    rest = iter(answers)

    def next_answer(request: ModelRequest) -> Scripted:
        try:
            return next(rest)
        except StopIteration:
            asked = str(request.messages[-1].get("content"))[:80] if request.messages else ""
            raise ScriptExhausted(f"the script has no answer left for: {asked}") from None

    return next_answer


def answer(
    text: str | None = None,
    *,
    tool_calls: Sequence[tuple[str, Any]] = (),
    json: Any = None,
    usage: Usage | None = DEFAULT_USAGE,
    stop: str | None = None,
    refusal: str | None = None,
    model: str = "fake/model",
    reported_cost: str | None = None,
) -> RawAnswer:
    """Build an answer as a chat-completions server would have sent it.

    Args:
        text: What the model says.
        tool_calls: Pairs of a tool's name and its arguments, a document or the very text.
        json: A document that becomes the text.
        usage: None plays a provider that reports none.
        stop: The finish reason; without one it follows from the rest.
        refusal: The words in which the model refuses.
        model: The model that answered.
        reported_cost: What the provider says it cost, in USD.
    """
    message: dict[str, Any] = {"role": "assistant", "content": _text(text, json)}
    if refusal is not None:
        message["refusal"] = refusal
    if tool_calls:
        message["tool_calls"] = [_tool_call(i, *call) for i, call in enumerate(tool_calls)]
    finish = stop or ("tool_calls" if tool_calls else "stop")
    raw_usage = _raw_usage(usage)
    body = {
        "id": "fake",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        **({"usage": raw_usage} if raw_usage else {}),
    }
    return RawAnswer(
        body=body,
        model=model,
        usage=usage,
        latency_s=0.0,
        reported_cost=reported_cost,
        raw_usage=raw_usage,
    )


def _text(text: str | None, document: Any) -> str | None:
    return dumps(document, ensure_ascii=False) if document is not None else text


def _tool_call(position: int, name: str, arguments: Any) -> dict[str, Any]:
    written = arguments if isinstance(arguments, str) else dumps(arguments, ensure_ascii=False)
    function = {"name": name, "arguments": written}
    return {"id": f"call_{position}", "type": "function", "function": function}


def _raw_usage(usage: Usage | None) -> dict[str, Any]:
    """Write buckets back in the provider's words, where the prompt includes the cache."""
    if usage is None:
        return {}
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_creation_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
