"""Turn what a provider says went wrong into the error that names who acts."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from swarm.core.errors import BadAnswer, ModelError, Refused, Transient
from swarm.core.text import shorten

MAX_MESSAGE = 200
"""Signs of the provider's own message that are passed on."""

_KEYS = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|key|tok)[-_][\w*.-]{4,}|\bAIza[\w-]{8,}|(?i:bearer)\s+\S+"
    r"|\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{32,}"
)
_OVERFLOW = re.compile(
    r"context[_ ](?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens"
    r"|input (?:is too long|length)|exceeds? the (?:maximum|available) (?:context|number of tokens)"
    r"|input token count",
    re.I,
)
_POLICY = re.compile(
    r"content[_ ](?:policy|filter|management)|safety system|responsible.?ai|flagged as", re.I
)
_QUOTA = re.compile(r"insufficient[_ ](?:quota|balance|credit)|billing|payment required", re.I)
_BAD_KEY = re.compile(r"(?:incorrect|invalid) api key|api[_ ]key[_ ](?:not valid|invalid)", re.I)


@dataclass(frozen=True, slots=True)
class Response:
    """A response that is no answer."""

    model: str
    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    content: bytes
    key: str | None = None
    """The configured API key, so that it can be taken out of every text."""


def failure(response: Response) -> ModelError:
    """Return the error for a response with a status other than success."""
    said = _message(response.content)
    text = said + " " + _codes(response.content)
    match response.status:
        case 401:
            return Refused(
                _say(response, "the provider refused the key", said), kind="unauthorized"
            )
        case 402:
            return Refused(_say(response, "the account has no credit left", said), kind="quota")
        case 403:
            return Refused(_say(response, "the key may not use this", said), kind="forbidden")
        case 404:
            return Refused(_say(response, "no such model or address", said), kind="unknown_model")
        case 408:
            return _transient(response, "the provider timed out", said, "timeout")
        case 429:
            return _too_many(response, said, text)
        case status if status >= 500:
            return _server(response, said)
        case status if status < 400:
            return Refused(_say(response, "the address redirects", said), kind="bad_address")
    return _bad_request(response, said, text)


def _bad_request(response: Response, said: str, text: str) -> ModelError:
    if _BAD_KEY.search(text):
        return Refused(_say(response, "the provider refused the key", said), kind="unauthorized")
    if _OVERFLOW.search(text) or response.status == 413:
        sentence = "the prompt is longer than the model can read"
        return Refused(_say(response, sentence, said), kind="context_overflow")
    if _POLICY.search(text):
        sentence = "the provider's content filter stopped the call"
        return BadAnswer(_say(response, sentence, said), kind="content_filter")
    return Refused(_say(response, "the provider refused the request", said), kind="bad_request")


def _too_many(response: Response, said: str, text: str) -> ModelError:
    if _QUOTA.search(text):
        return Refused(_say(response, "the account's quota is used up", said), kind="quota")
    return _transient(response, "the provider limits the rate of calls", said, "rate_limited")


def _server(response: Response, said: str) -> Transient:
    is_busy = response.status in (503, 529)
    sentence = "the provider is overloaded" if is_busy else "the provider failed"
    return _transient(response, sentence, said, "overloaded" if is_busy else "server_error")


def _transient(response: Response, sentence: str, said: str, kind: str) -> Transient:
    return Transient(
        _say(response, sentence, said),
        kind=kind,
        retry_after_s=retry_after(response.headers, now=datetime.now(UTC)),
        # A gateway that gave up waiting had passed the request on.
        is_billed_unknown=response.status in (408, 502, 504),
    )


def failure_inside(response: Response, error: Any) -> ModelError:
    """Return the error for one that a successful response, or a stream under way, reports.

    Its code is read as a status where it is one; else the provider failed while it worked.
    """
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    content = json.dumps({"error": error}).encode()
    made = failure(Response(response.model, status, response.headers, content, response.key))
    if isinstance(made, Transient):
        made.is_billed_unknown = True
    return made


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the pause a provider asks for in seconds, never negative, or None.

    A date is measured from the provider's own `Date`, so that a wrong clock here does not matter;
    without one from `now`.
    """
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * factor
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    until = _date(headers.get("retry-after"))
    if until is None:
        return None
    return max((until - (_date(headers.get("date")) or now)).total_seconds(), 0.0)


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def redact(text: str, key: str | None) -> str:
    """Take the configured key, and whatever looks like one, out of a text."""
    if key:
        text = text.replace(key, "***")
    return _KEYS.sub("***", text)


def _say(response: Response, sentence: str, said: str) -> str:
    said = shorten(redact(said, response.key), MAX_MESSAGE)
    return f"{response.model}: {sentence} ({response.status})" + (f": {said}" if said else "")


def _message(content: bytes) -> str:
    """Return the provider's own words, from any of the shapes they come in."""
    document = _document(content)
    if document is None:
        text = content.decode("utf-8", "replace").strip()
        return "" if text.startswith(("<", "{", "[")) else text
    error = document.get("error") or document
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or document.get("detail") or ""
    return error if isinstance(error, str) else json.dumps(error)


def _codes(content: bytes) -> str:
    error = (_document(content) or {}).get("error")
    if not isinstance(error, dict):
        return ""
    return " ".join(str(error.get(k)) for k in ("code", "type", "status") if error.get(k))


def _document(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except ValueError:
        return None
    # Google wraps its errors in a list where the request asked for a stream.
    if isinstance(document, list) and document:
        document = document[0]
    return document if isinstance(document, dict) else None
