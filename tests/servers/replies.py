"""Bodies of chat-completions answers, whole and as a stream, and errors as providers word them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Body: TypeAlias = dict[str, Any]

PIECE = 24
"""Signs of text in one piece of a stream."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back over the wire, and how it goes wrong on the way."""

    body: Body | bytes | None = None
    """A document, or the very bytes; None leaves it to the script."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    framing: Literal["auto", "length", "chunked", "close"] = "auto"
    """How the end of the body is told; `close` tells it by the end of the connection alone."""
    cut_after: int | None = None
    """Close in good order after so many bytes of the body; -1: before the status line."""
    reset_after: int | None = None
    """Reset the connection after so many bytes of the body; -1: before the status line."""
    stall_after: int | None = None
    """Fall silent after so many bytes of the body; -1: before the status line."""
    delay_s: float | None = None


def completion(
    *,
    text: str | None = None,
    document: Any = None,
    tool_calls: Sequence[tuple[str, Any]] = (),
    stop: str | None = None,
    usage: Any = "default",
    refusal: str | None = None,
    model: str = "scripted-1",
    **extra: Any,
) -> Body:
    """Build a chat completion; arguments of a tool call may be a document or the very text."""
    content = json.dumps(document) if document is not None else text
    message: Body = {"role": "assistant", "content": content, "refusal": refusal}
    if tool_calls:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": a}}
            for i, (name, arguments) in enumerate(tool_calls)
            for a in [arguments if isinstance(arguments, str) else json.dumps(arguments)]
        ]
    finish = stop or ("tool_calls" if tool_calls else "stop")
    body: Body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        **extra,
    }
    if usage == "default":
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    if usage is not None:
        body["usage"] = usage
    return body


def error(message: str, *, type_: str = "server_error", code: str | None = None) -> Body:
    """Build an error in the words of OpenAI's interface."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


CONTEXT_OVERFLOW = error(
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 "
    "tokens. Please reduce the length of the messages.",
    type_="invalid_request_error",
    code="context_length_exceeded",
)
QUOTA = error(
    "You exceeded your current quota, please check your plan and billing details.",
    type_="insufficient_quota",
    code="insufficient_quota",
)
CONTENT_POLICY = error(
    "Your request was rejected as a result of our safety system.",
    type_="invalid_request_error",
    code="content_policy_violation",
)


def stream(body: Body, *, with_usage: bool) -> bytes:
    """Return a completion as server-sent events, in small pieces, with its usage in the last."""
    return b"".join(
        b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks(body, with_usage)
    ) + (b"data: [DONE]\n\n")


def chunks(body: Body, with_usage: bool) -> Iterator[Body]:
    """Cut a completion into chunk documents."""
    head = {k: v for k, v in body.items() if k not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    for choice in body.get("choices", []):
        base = {**head, "choices": [{"index": choice["index"], "delta": {}, "finish_reason": None}]}
        for delta in _deltas(choice["message"]):
            base["choices"][0]["delta"] = delta
            yield base
        base["choices"][0] |= {"delta": {}, "finish_reason": choice["finish_reason"]}
        yield base
    if with_usage and "usage" in body:
        yield {**head, "choices": [], "usage": body["usage"]}


def _deltas(message: Body) -> Iterator[Body]:
    yield {"role": "assistant", "content": "" if message.get("content") else None}
    for name in ("refusal", "content"):
        text = message.get(name) or ""
        for start in range(0, len(text), PIECE):
            yield {name: text[start : start + PIECE]}
    for index, call in enumerate(message.get("tool_calls", [])):
        function = call["function"]
        opening = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield {"tool_calls": [opening]}
        arguments = function["arguments"]
        step = max(PIECE, len(arguments) // 64)
        for start in range(0, len(arguments), step):
            piece = {"index": index, "function": {"arguments": arguments[start : start + step]}}
            yield {"tool_calls": [piece]}
