"""Read a recorded answer: its documents, whether it is whole, what it used, what it cost."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from swarm.core.money import plain
from swarm.core.usage import Usage

Document: TypeAlias = dict[str, Any]

MAX_TOKENS = 10**12
"""A count above this is a mistake of the provider."""

XAI_TICKS_PER_USD = 10**10
"""Source: docs.x.ai, `usage.cost_in_usd_ticks`."""


def read_documents(content: bytes, *, is_events: bool) -> list[Document]:
    """Return the JSON objects of a body: one, or one per event of a stream.

    Raises:
        ValueError: Something is no JSON object. An event that the end of the stream cut in two is
            left out without a word; whether the answer is whole, `has_ended` tells.
    """
    if not is_events:
        return [_object(content)]
    return list(_events(content))


def _events(content: bytes) -> Iterator[Document]:
    text = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    blocks = text.split(b"\n\n")
    for position, block in enumerate(blocks):
        lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        data = b"\n".join(lines)
        if not data or data == b"[DONE]":
            continue
        try:
            yield _object(data)
        except ValueError:
            if position < len(blocks) - 1:
                raise


def _object(data: bytes) -> Document:
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def is_chat(documents: list[Document]) -> bool:
    """Say whether the documents are in the chat-completions shape."""
    return any(isinstance(d.get("choices"), list) for d in documents)


def has_ended(documents: list[Document]) -> bool:
    """Say whether a stream came to its end: a finish reason in the words of any known provider."""
    return any(_finish_in(d) for d in documents)


_FINISH = ("finish_reason", "stop_reason", "finishReason", "done_reason", "stopReason")
_NESTS = ("choices", "candidates", "delta", "message", "response")


def _finish_in(node: Any) -> bool:
    if isinstance(node, list):
        return any(_finish_in(item) for item in node)
    if not isinstance(node, dict):
        return False
    if any(node.get(key) for key in _FINISH) or node.get("type") == "response.completed":
        return True
    return any(_finish_in(node.get(key)) for key in _NESTS)


def error_in(documents: list[Document]) -> Any:
    """Return the error that a successful response reports inside, or None.

    Some servers send an empty error along with every answer; it means nothing.
    """
    for document in documents:
        error = document.get("error")
        if isinstance(error, dict) and not any(error.get(k) for k in ("message", "code", "type")):
            continue
        if error:
            return error
    return None


def assemble(documents: list[Document]) -> Document:
    """Join the chunks of a stream into the completion they tell of; a whole one stays as it is."""
    if len(documents) == 1 and documents[0].get("object") != "chat.completion.chunk":
        return documents[0]
    body: Document = {}
    choices: dict[int, Document] = {}
    for document in documents:
        for key, value in document.items():
            if key not in ("choices", "object") and value is not None:
                body[key] = value
        for choice in document.get("choices") or []:
            _add(choice, choices)
    body["object"] = "chat.completion"
    body["choices"] = [choices[index] for index in sorted(choices)]
    return body


def _add(piece: Document, choices: dict[int, Document]) -> None:
    index = piece.get("index") or 0
    empty: Document = {
        "index": index,
        "message": {"role": "assistant", "content": None},
        "finish_reason": None,
    }
    choice = choices.setdefault(index, empty)
    if piece.get("finish_reason"):
        choice["finish_reason"] = piece["finish_reason"]
    message = choice["message"]
    # A server that sends one last whole message instead of a delta is heard as well.
    for key, value in (piece.get("delta") or piece.get("message") or {}).items():
        if key == "tool_calls":
            for call in value or []:
                _add_call(call, message.setdefault("tool_calls", []))
        elif isinstance(value, str) and key != "role":
            message[key] = (message.get(key) or "") + value
        elif value is not None:
            message[key] = value


def _add_call(piece: Document, calls: list[Document]) -> None:
    """Add a piece of a tool call; some servers number all of them 0, or none."""
    position = piece.get("index")
    known = next((c for c in reversed(calls) if c["index"] == position), None)
    if position is None and not piece.get("id") and calls:
        known = calls[-1]
    if known is None or (piece.get("id") and known["id"] and piece["id"] != known["id"]):
        known = {"index": position, "id": None, "type": "function"}
        known["function"] = {"name": "", "arguments": ""}
        calls.append(known)
    function = piece.get("function") or {}
    known["id"] = known["id"] or piece.get("id")
    known["function"]["name"] = known["function"]["name"] or function.get("name") or ""
    known["function"]["arguments"] += function.get("arguments") or ""


def provider_usage(documents: list[Document]) -> Document:
    """Return the provider's own usage object; later events of a stream win. Empty if it has none."""
    found: Document = {}
    for document in documents:
        for holder in (document, document.get("message"), document.get("response")):
            if isinstance(holder, dict):
                for key in ("usage", "usageMetadata"):
                    value = holder.get(key)
                    found |= value if isinstance(value, dict) else {}
    return found


def read_usage(raw: Mapping[str, Any]) -> Usage | None:
    """Sort a usage object of the chat-completions shape into disjoint buckets.

    There the prompt's count includes what was read from and written to a cache. Some providers
    leave reasoning out of `completion_tokens`: their total, or a reasoning count above it, tells.

    Returns:
        None where a count is missing, negative, no integer, or contradicts another: what nobody
        can know is unpriced, not guessed.
    """
    prompt = _mapping(raw.get("prompt_tokens_details"))
    answer = _mapping(raw.get("completion_tokens_details"))
    try:
        total_in, output = _count(raw["prompt_tokens"]), _count(raw["completion_tokens"])
        read = _first(prompt, "cached_tokens", raw, "cache_read_input_tokens")
        written = _first(prompt, "cache_write_tokens", prompt, "cache_creation_tokens")
        written = written or _first(raw, "cache_creation_input_tokens", prompt, "")
        reasoning = _first(answer, "reasoning_tokens", raw, "reasoning_tokens")
        total = _first(raw, "total_tokens", raw, "")
    except (KeyError, ValueError):
        return None
    if read + written > total_in:
        return None
    if reasoning > output or (reasoning and total == total_in + output + reasoning):
        output += reasoning
    return Usage(
        input_tokens=total_in - read - written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=reasoning,
    )


def _first(one: Mapping[str, Any], name: str, other: Mapping[str, Any], second: str) -> int:
    for holder, key in ((one, name), (other, second)):
        if holder.get(key) is not None:
            return _count(holder[key])
    return 0


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_TOKENS:
        raise ValueError("not a count")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def reported_cost(raw: Mapping[str, Any]) -> str | None:
    """Return what the provider says the call cost, in USD, as a decimal text; None if it is silent.

    `usage.cost` is OpenRouter's (Perplexity's holds a `total_cost`), `cost_in_usd_ticks` is xAI's.
    """
    ticks = raw.get("cost_in_usd_ticks")
    if type(ticks) is int and ticks >= 0:
        return plain(Decimal(ticks) / XAI_TICKS_PER_USD)
    cost = raw.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float | str):
        return None
    try:
        amount = Decimal(str(cost))
    except InvalidOperation:
        return None
    return plain(amount) if amount.is_finite() and amount >= 0 else None
