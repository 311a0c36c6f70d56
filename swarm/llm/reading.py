"""Judge a recorded call: whether an answer came whole, and which error it is if not."""

import copy
import re
from typing import Any, NoReturn

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.errors import BadAnswer, ModelError, Refused, Transient
from swarm.core.text import shorten
from swarm.llm.answers import (
    Document,
    assemble,
    error_in,
    has_ended,
    is_chat,
    provider_usage,
    read_documents,
    read_usage,
    reported_cost,
)
from swarm.llm.failures import MAX_MESSAGE, Response, failure, failure_inside, redact
from swarm.llm.wire import DONE, Tape

_LIBRARY_WORDS = re.compile(r"(?:litellm\.)?\w+(?:Error|Exception)(?:: | - )|Give Feedback.*", re.S)
_MISSING_PACKAGE = re.compile(r"No module named '([\w.]+)'")
_DISGUISE = "json_tool_call"
"""The tool by which litellm asks a model for a document that takes no schema."""

_CHAT_PATH = "/chat/completions"
_READABLE = ("application/json", "text/")
"""Kinds of bodies that are read here; others (binary event streams) only the library can read."""


class Reading:
    """One call's tape, judged for the request that was made.

    Args:
        request: What was asked.
        tape: What the wire saw.
        key: The configured API key, to be taken out of every text.
    """

    def __init__(self, request: ModelRequest, tape: Tape, key: str | None) -> None:
        self._request = request
        self._tape = tape
        self._key = key
        self._documents: list[Document] = []

    def judge(self) -> None:
        """Read the tape.

        Raises:
            ModelError: There is no whole answer; see `LiteLLM.complete` for the kinds.
        """
        tape = self._tape
        if tape.status >= 300:
            raise failure(self._response())
        self._documents = self._read()
        if tape.failure is not None and not self._is_complete_already():
            raise self._named(tape.failure)
        error = error_in(self._documents)
        if error is not None:
            raise failure_inside(self._response(), error)
        if tape.is_events and not has_ended(self._documents):
            self._cut()
        if tape.path.endswith(_CHAT_PATH) and not self.is_chat:
            raise self.malformed()

    @property
    def is_chat(self) -> bool:
        """Whether the provider speaks chat completions, so that its own body is the answer."""
        return is_chat(self._documents)

    def verbatim(self, *, latency_s: float) -> RawAnswer:
        """Return the answer as the provider wrote it."""
        body = assemble(self._documents)
        if self._request.schema is not None and not self._request.tools:
            body = _without_disguise(body)
        raw = provider_usage(self._documents)
        return self._answer(body, raw, raw, latency_s)

    def translated(self, body: Document, *, latency_s: float) -> RawAnswer:
        """Return the library's translation, with the provider's own usage beside it.

        The library counts tokens by itself where the provider reported none; its count is believed
        only where the wire shows that something was reported, or where there is no readable tape.
        """
        usage = body.get("usage")
        normalised = usage if isinstance(usage, dict) else {}
        raw = provider_usage(self._documents) if self._documents else copy.copy(normalised)
        if not raw:
            body.pop("usage", None)
        return self._answer(body, raw, normalised if raw else {}, latency_s)

    def untaped(self, error: Exception) -> ModelError:
        """Return the error for a call that failed beside the tape, or before anything was sent."""
        message = redact(_LIBRARY_WORDS.sub("", str(error)), self._key)
        model = self._request.model
        if "Provider NOT provided" in str(error):
            sentence = f"{model}: the model's name does not say its provider, as in openai/gpt-4o"
            return Refused(sentence, kind="unknown_model")
        package = _MISSING_PACKAGE.search(str(error))
        if package:
            sentence = f"{model}: litellm needs the package {package[1]!r} for this model"
            return Refused(sentence, kind="missing_package")
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and status >= 400:
            headers = getattr(getattr(error, "response", None), "headers", None) or {}
            plain = {str(k).lower(): str(v) for k, v in dict(headers).items()}
            return failure(Response(model, status, plain, message.encode(), self._key))
        sentence = f"{model}: the request cannot be made: {shorten(message, MAX_MESSAGE)}"
        return Refused(sentence, kind="bad_request")

    def malformed(self) -> BadAnswer:
        """Return the error for bytes that are no answer."""
        return BadAnswer(
            f"{self._request.model}: what came back is no chat completion", kind="malformed"
        )

    def _read(self) -> list[Document]:
        tape = self._tape
        try:
            return read_documents(bytes(tape.content), is_events=tape.is_events)
        except (ValueError, RecursionError):
            if tape.failure is not None:
                raise self._named(tape.failure) from None
            kind = tape.headers.get("content-type", "").partition(";")[0]
            if kind and not tape.is_events and not kind.startswith(_READABLE):
                return []
            if not {"content-length", "transfer-encoding"} & tape.headers.keys():
                self._cut()
            raise self.malformed() from None

    def _is_complete_already(self) -> bool:
        """Whether the wire broke only after everything had come.

        A JSON document that parses is whole. A stream is where it ended and told its usage: one
        that broke in between may owe more than anybody would know.
        """
        if not self._tape.is_events:
            return bool(self._documents)
        is_told = bool(provider_usage(self._documents)) or DONE in self._tape.content
        return is_told and has_ended(self._documents)

    def _cut(self) -> NoReturn:
        sentence = f"{self._request.model}: the answer ended before it was whole"
        raise Transient(sentence, kind="cut", is_billed_unknown=True)

    def _named(self, error: ModelError) -> ModelError:
        """Put the model's name before the wire's own sentence."""
        error.args = (f"{self._request.model}: {error}",)
        return error

    def _response(self) -> Response:
        tape = self._tape
        content = bytes(tape.content)
        return Response(self._request.model, tape.status, tape.headers, content, self._key)

    def _answer(self, body: Document, raw: Document, counted: Any, latency_s: float) -> RawAnswer:
        name = body.get("model")
        return RawAnswer(
            body=body,
            model=name if isinstance(name, str) and name else self._request.model,
            usage=read_usage(counted),
            latency_s=latency_s,
            reported_cost=reported_cost(raw),
            raw_usage=raw,
        )


def _without_disguise(body: Document) -> Document:
    """Turn the call of a tool that stands for a document back into that document's text."""
    choice = _first(body.get("choices"))
    function = _first((choice.get("message") or {}).get("tool_calls")).get("function")
    if not isinstance(function, dict) or function.get("name") != _DISGUISE:
        return body
    plain = {"role": "assistant", "content": function.get("arguments")}
    finish = "length" if choice.get("finish_reason") == "length" else "stop"
    return body | {"choices": [choice | {"message": plain, "finish_reason": finish}]}


def _first(items: Any) -> Document:
    """Return the first of several documents, or an empty one."""
    first = items[0] if isinstance(items, list) and items else None
    return first if isinstance(first, dict) else {}
