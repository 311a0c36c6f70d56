"""Read a recorded answer: its documents, whether it is whole, what it used, what it cost."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from swarm.core.money import plain
from swarm.core.usage import Usage
from swarm.core.usage_counts import UsageFaultError
from swarm.core.usage_reading import read
from swarm.core.usage_reading import reported_cost as cost_in

Document: TypeAlias = dict[str, Any]


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
    """Sort a usage object into disjoint buckets, whichever provider's shape it has.

    Returns:
        None where a count is missing, negative, no integer, or contradicts another: what nobody
        can know is unpriced, not guessed.
    """
    try:
        return read(raw).usage()
    except UsageFaultError:
        return None


def reported_cost(raw: Mapping[str, Any]) -> str | None:
    """Return what the provider says the call cost, in USD, as a decimal text; None if silent."""
    cost = cost_in(raw)
    return None if cost is None else plain(cost)
