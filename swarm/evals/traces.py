"""Take in other programs' traces as cassettes: to price them again, and to look for faults.

Three shapes are read: `chat`, lines of requests with their chat-completions responses; `otel`, spans
with the attributes of OpenTelemetry's conventions for generative AI, as OTLP JSON or one a line;
`messages`, conversations as plain lists of messages. A trace says nothing of plans, policy or the
founder, so what comes of it can be priced and explained, not replayed.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from swarm.core.clock import parse_iso
from swarm.core.errors import InvalidInput
from swarm.evals.cassette import Entry
from swarm.evals.imported import Call, Imported, imported

SHAPES = ("chat", "otel", "messages")
MAX_BYTES = 256 * 1024 * 1024
MAX_CALLS = 100_000
_KNOWN = {
    "chat": {
        "request", "response", "model", "messages", "usage", "choices", "id", "object", "created",
        "started_at", "ended_at", "latency_s", "latency_ms", "error", "timestamp",
    },
    "messages": {"messages", "model", "usage", "id", "started_at", "timestamp"},
}  # fmt: skip


_SAYS_CALL = {"request", "response", "messages", "choices", "error"}
"""At least one of these stands in a line of a model call."""
_STATUS = {"429": "rate_limited", "401": "unauthorized", "403": "forbidden", "408": "timeout"}
"""Codes of failed calls, as this program calls them."""


class _Trace:
    """What was read so far."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.calls: list[Call] = []
        self.tools: list[Entry] = []
        self._unmapped: dict[str, int] = {}
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)

    def left_out(self, what: str) -> None:
        """Note something that has no place in a cassette."""
        self._unmapped[what] = self._unmapped.get(what, 0) + 1

    @property
    def unmapped(self) -> list[str]:
        """Return what was left out, with how often."""
        return [f"{what} ({count} times)" if count > 1 else what
                for what, count in self._unmapped.items()]  # fmt: skip

    def moment(self, *values: Any) -> datetime:
        """Return the first value that is a time; else a second after the last, and say so."""
        for value in values:
            found = _moment(value)
            if found is not None:
                self._clock = max(self._clock, found)
                return found
        self.left_out("the time of a call, which the trace does not say: counted in seconds")
        self._clock += timedelta(seconds=1)
        return self._clock


def read_trace(path: Path, *, shape: str = "auto", model: str = "") -> Imported:
    """Read a trace; nothing of it is run.

    Args:
        path: A JSON document, or one on each line.
        shape: One of `SHAPES`, or `auto`.
        model: The model, where the trace names none.

    Raises:
        InvalidInput: It cannot be read, or no model call is in it.
    """
    if shape not in (*SHAPES, "auto"):
        raise InvalidInput(f"--shape {shape}: write one of {', '.join(SHAPES)}, or auto.")
    documents = _documents(path)
    kind = _shape_of(documents) if shape == "auto" else shape
    trace = _Trace(model)
    readers = {"chat": _chat, "otel": _otel, "messages": _messages}
    for number, document in documents:
        if not isinstance(document, dict):
            trace.left_out(f"an item that is no JSON object, but {type(document).__name__}")
            continue
        try:
            readers[kind](trace, document)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            trace.left_out(f"line {number}: {type(error).__name__}: {str(error)[:80]}")
        if len(trace.calls) > MAX_CALLS:
            raise InvalidInput(f"{path}: holds more than {MAX_CALLS:,} calls: cut it into parts.")
    if not trace.calls:
        why = f" ({trace.unmapped[0]})" if trace.unmapped else ""
        raise InvalidInput(
            f"{path}: holds no model call of the shape {kind}{why}. `--shape` names another: "
            f"{', '.join(SHAPES)}."
        )
    return imported(trace.calls, trace.tools, trace.unmapped, path=path, kind=kind)


def _documents(path: Path) -> list[tuple[int, Any]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{path}: is larger than {MAX_BYTES // 2**20} MiB: cut it in parts.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: is no UTF-8 text.") from error
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return list(_lines(path, text))
    items = whole if isinstance(whole, list) else [whole]
    objects = [item for item in items if isinstance(item, dict)]
    if objects and all("role" in item for item in objects):
        items = [{"messages": items}]
    return list(enumerate(items, start=1))


def _lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{path}:{number}: is no JSON: {error}.") from error
        if not isinstance(document, dict):
            raise InvalidInput(f"{path}:{number}: is no JSON object.")
        yield number, document


def _shape_of(documents: list[tuple[int, Any]]) -> str:
    for _, document in documents:
        if not isinstance(document, dict):
            continue
        if "resourceSpans" in document or "attributes" in document or "traceId" in document:
            return "otel"
        if "response" in document or "choices" in document or "request" in document:
            return "chat"
    return "messages"


def _chat(trace: _Trace, document: dict[str, Any]) -> None:
    """Take a line of `{request, response}`, or of a response with the messages it answered."""
    if not document.keys() & _SAYS_CALL:
        trace.left_out("a line with neither a request nor a response")
        return
    request = document.get("request") or {
        k: v for k, v in document.items() if k in ("model", "messages", "tools")
    }
    request = request.get("body", request)
    answer = document.get("response") or ({"choices": document["choices"], "usage": document.get("usage")}
                                          if "choices" in document else None)  # fmt: skip
    answer = answer.get("body", answer) if isinstance(answer, dict) else None
    error = document.get("error") or (answer or {}).get("error")
    for key in document.keys() - _KNOWN["chat"]:
        trace.left_out(f"the field {key!r} of a line")
    model = str((answer or {}).get("model") or request.get("model") or trace.model)
    latency = document.get("latency_s", float(document.get("latency_ms") or 0) / 1000)
    started = trace.moment(
        document.get("started_at"), document.get("timestamp"), document.get("created"),
        (answer or {}).get("created"),
    )  # fmt: skip
    has_answer = bool(answer) and "choices" in (answer or {})
    trace.calls.append(
        Call(
            model=model or "unknown",
            request=_request(trace, request),
            answer=answer if has_answer else None,
            usage=dict((answer or {}).get("usage") or document.get("usage") or {}),
            started_at=started,
            latency_s=max(0.0, float(latency)),
            error="" if has_answer else json.dumps(error, ensure_ascii=False)[:400],
            error_kind=_kind_of(error),
        )
    )


def _kind_of(error: Any) -> str:
    """Return the kind of a failure by the code that it names; `imported` where it names none."""
    named = error if isinstance(error, Mapping) else {"code": error}
    codes = [str(named.get(key) or "") for key in ("code", "status", "type")]
    for code in codes:
        if code in _STATUS:
            return _STATUS[code]
        if len(code) == 3 and code.startswith("5") and code.isdigit():
            return "server_error"
    is_rate = any("rate_limit" in code for code in codes)
    return "rate_limited" if is_rate else "imported"


def _request(trace: _Trace, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request whose messages are messages; what is none is left out, and said."""
    given = request.get("messages")
    said = [m for m in given if isinstance(m, dict)] if isinstance(given, list) else []
    if given is not None and (not isinstance(given, list) or len(said) < len(given)):
        trace.left_out("a message that is none")
    return {**request, "messages": said}


def _messages(trace: _Trace, document: dict[str, Any]) -> None:
    """Take a conversation: each word of the assistant is a call, each of a tool its result."""
    for key in document.keys() - _KNOWN["messages"]:
        trace.left_out(f"the field {key!r} of a conversation")
    given = document.get("messages")
    said = [m for m in given if isinstance(m, dict)] if isinstance(given, list) else []
    if not isinstance(given, list):
        trace.left_out("a conversation without a list of messages")
    elif len(said) < len(given):
        trace.left_out("a message that is none")
    named: dict[str, Any] = {}
    for place, message in enumerate(said):
        role = message.get("role")
        if role == "tool":
            _tool_result(trace, named, message)
        elif role == "assistant":
            named |= {c.get("id", ""): c for c in message.get("tool_calls") or []}
            usage = message.get("usage") or {}
            model = str(message.get("model") or document.get("model") or trace.model or "unknown")
            body = {"model": model, "choices": [{"index": 0, "message": message}], "usage": usage}
            started = trace.moment(message.get("timestamp"), document.get("timestamp"))
            request = {"messages": list(said[:place])}
            trace.calls.append(Call(model, request, body, dict(usage), started, 0.0))
            if not usage:
                trace.left_out("the usage of a call, which the trace does not say: unpriced")
        elif role not in ("system", "user", "developer"):
            trace.left_out(f"a message of role {role!r}")


def _tool_result(trace: _Trace, named: Mapping[str, Any], message: Mapping[str, Any]) -> None:
    call = named.get(str(message.get("tool_call_id") or ""))
    if call is None:
        trace.left_out("a tool's result whose call is not in the trace")
        return
    function = call.get("function") or {}
    if message.get("content") is None:
        trace.left_out("what a tool came to, which its message does not say")
    _add_tool(
        trace,
        str(function.get("name") or "?"),
        function.get("arguments"),
        message.get("content") or "",
    )


def _add_tool(trace: _Trace, name: str, arguments: Any, content: Any, fault: bool = False) -> None:
    given = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    seq = max(len(trace.calls) - 1, 0)
    before = sum(1 for entry in trace.tools if entry["seq"] == seq)
    trace.tools.append(
        {
            "lane": "tool",
            "node": "t1/0.0/w0",
            "seq": seq,
            "position": before,
            "tool": name,
            "arguments": given,
            "decision": "allow",
            "rule": "not ours to say: another program decided",
            "state": "done",
            "result": {"content": text, "is_fault": fault},
        }
    )


def _otel(trace: _Trace, document: dict[str, Any]) -> None:
    """Take OTLP JSON, or a span on its own."""
    if "resourceSpans" not in document:
        _span(trace, document)
        return
    for resource in document["resourceSpans"]:
        for key in _attributes((resource.get("resource") or {}).get("attributes") or {}):
            trace.left_out(f"the resource's attribute {key!r}")
    spans = [
        span
        for resource in document["resourceSpans"]
        for scope in resource.get("scopeSpans") or resource.get("instrumentationLibrarySpans") or []
        for span in scope.get("spans") or []
    ]
    for span in sorted(spans, key=_started):
        try:
            _span(trace, span)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            # One span that is none must not take the others with it.
            trace.left_out(f"a span: {type(error).__name__}: {str(error)[:80]}")


def _started(span: Any) -> int:
    value = str(span.get("startTimeUnixNano") or "") if isinstance(span, Mapping) else ""
    return int(value) if value.isascii() and value.isdigit() else 0


def _span(trace: _Trace, span: dict[str, Any]) -> None:
    facts = _attributes(span.get("attributes") or {})
    operation = str(facts.get("gen_ai.operation.name") or str(span.get("name") or "").split(" ")[0])
    if operation == "execute_tool":
        name = str(facts.get("gen_ai.tool.name") or "?")
        given = facts.get("gen_ai.tool.call.arguments", "{}")
        result = facts.get("gen_ai.tool.call.result", "")
        _add_tool(trace, name, given, result, _has_failed(span))
        return
    if operation not in ("chat", "text_completion", "generate_content"):
        trace.left_out(f"a span of the operation {operation!r}")
        return
    started = trace.moment(_nanos(span.get("startTimeUnixNano")), span.get("start_time"))
    ended = _moment(_nanos(span.get("endTimeUnixNano"))) or _moment(span.get("end_time")) or started
    model = facts.get("gen_ai.response.model") or facts.get("gen_ai.request.model") or trace.model
    usage = _span_usage(facts)
    asked, said = (_said(trace, facts, span, side) for side in ("input", "output"))
    message = said[-1] if said else {"role": "assistant", "content": None}
    finish = facts.get("gen_ai.response.finish_reasons") or ["stop"]
    if not said:
        trace.left_out("the words of an answer, which the span does not hold")
    provider = str(facts.get("gen_ai.provider.name") or facts.get("gen_ai.system") or "")
    name = str(model or "unknown")
    for key in facts:
        if key not in _READ:
            trace.left_out(f"the attribute {key!r}")
    for event in span.get("events") or []:
        known = _attributes(event.get("attributes") or {})
        if not known.keys() & {"gen_ai.input.messages", "gen_ai.output.messages"}:
            trace.left_out(f"the event {str(event.get('name') or '?')!r}")
    failed = _has_failed(span)
    choice = {"index": 0, "message": message, "finish_reason": finish[0] if finish else "stop"}
    trace.calls.append(
        Call(
            model=f"{provider}/{name}" if provider and "/" not in name else name,
            request={"messages": asked, "model": name},
            answer=None if failed else {"model": name, "choices": [choice], "usage": usage},
            usage=usage,
            started_at=started,
            latency_s=max(0.0, (ended - started).total_seconds()),
            error=str(facts.get("error.type") or span.get("status")) if failed else "",
            error_kind=_kind_of(facts.get("error.type")),
        )
    )


_READ = (
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system", "gen_ai.request.model",
    "gen_ai.response.model", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "gen_ai.input.messages",
    "gen_ai.output.messages", "gen_ai.response.finish_reasons", "gen_ai.tool.name",
    "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "error.type",
)  # fmt: skip


def _attributes(raw: Any) -> dict[str, Any]:
    """Return a span's attributes as plain values, from OTLP's list or from a mapping."""
    if isinstance(raw, Mapping):
        return dict(raw)
    return {item["key"]: _value(item.get("value")) for item in raw}


def _value(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    for kind in ("stringValue", "boolValue", "doubleValue"):
        if kind in value:
            return value[kind]
    if "intValue" in value:
        return int(value["intValue"])
    if "arrayValue" in value:
        return [_value(item) for item in value["arrayValue"].get("values") or []]
    if "kvlistValue" in value:
        return _attributes(value["kvlistValue"].get("values") or [])
    return value.get("bytesValue")


def _span_usage(facts: Mapping[str, Any]) -> dict[str, Any]:
    read = facts.get("gen_ai.usage.input_tokens", facts.get("gen_ai.usage.prompt_tokens"))
    written = facts.get("gen_ai.usage.output_tokens", facts.get("gen_ai.usage.completion_tokens"))
    if read is None or written is None:
        return {}
    # By the conventions the input tokens include those that a cache gave.
    usage = {"prompt_tokens": int(read), "completion_tokens": int(written)}
    cached = facts.get("gen_ai.usage.cache_read.input_tokens")
    if cached is not None:
        return {**usage, "prompt_tokens_details": {"cached_tokens": int(cached)}}
    return usage


def _said(
    trace: _Trace, facts: Mapping[str, Any], span: Mapping[str, Any], side: str
) -> list[dict[str, Any]]:
    raw = facts.get(f"gen_ai.{side}.messages")
    if raw is None:
        for event in span.get("events") or []:
            raw = raw or _attributes(event.get("attributes") or {}).get(f"gen_ai.{side}.messages")
    found = json.loads(raw) if isinstance(raw, str) else raw
    return [_message(trace, item) for item in found or []]


def _message(trace: _Trace, item: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a message of parts into one of chat completions."""
    if "parts" not in item:
        return dict(item)
    texts = [str(part.get("content", "")) for part in item["parts"] if part.get("type") == "text"]
    message: dict[str, Any] = {
        "role": item.get("role", "user"),
        "content": "\n".join(texts) or None,
    }
    calls = [part for part in item["parts"] if part.get("type") == "tool_call"]
    for part in item["parts"]:
        if part.get("type") not in ("text", "tool_call"):
            trace.left_out(f"a part of a message of the type {str(part.get('type'))!r}")
    if calls:
        message["tool_calls"] = [
            {
                "id": str(part.get("id") or ""),
                "type": "function",
                "function": {
                    "name": str(part.get("name")),
                    "arguments": json.dumps(part.get("arguments")),
                },
            }
            for part in calls
        ]
    return message


def _has_failed(span: Mapping[str, Any]) -> bool:
    status = span.get("status") or {}
    code = status.get("code") if isinstance(status, Mapping) else status
    return code in (2, "2", "ERROR", "STATUS_CODE_ERROR")


def _nanos(value: Any) -> float | None:
    return None if value in (None, "") else int(value) / 1e9


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(float(value), UTC)
        if isinstance(value, str) and value:
            found = parse_iso(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
