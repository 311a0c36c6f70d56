"""Sound as text, by any server that has OpenAI's `/audio/transcriptions`.

A request for a transcript travels as a `ModelRequest` that names the note by its digest and length, so
that it is reserved, charged and kept in the ledger as every other call is; the sound itself is handed
to the adapter beside it and is in no ledger.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_CEILING, Decimal
from typing import Any

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.errors import BadAnswer, ModelError, Refused, Transient
from swarm.llm.answers import read_usage
from swarm.llm.base import Capabilities
from swarm.llm.failures import Response, failure

MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_OUTPUT_TOKENS = 4_096
"""Most tokens that a transcript is taken to have, for models that are billed by tokens."""


def transcript_request(model: str, *, digest: str, seconds: Decimal, language: str) -> ModelRequest:
    """Return the request for the words of a note of at most `seconds`."""
    note = {"type": "input_audio", "sha256": digest, "seconds": format(seconds, "f")}
    if language:
        note["language"] = language
    return ModelRequest(
        model=model,
        messages=({"role": "user", "content": [note]},),
        max_output_tokens=MAX_OUTPUT_TOKENS,
    )


def seconds_asked(request: ModelRequest) -> Decimal:
    """Return the bound of a note's length that its request names."""
    return Decimal(request.messages[0]["content"][0]["seconds"])


def read_transcript(answer: RawAnswer) -> str:
    """Return the words of an answer.

    Raises:
        BadAnswer: It has none.
    """
    text = answer.body.get("text")
    if not isinstance(text, str):
        raise BadAnswer(f"{answer.model}: the answer holds no transcript", kind="malformed")
    return text.strip()


class Transcriptions:
    """Ask one server; the notes it may send are lent to it for the length of a call."""

    def __init__(self, *, api_base: str, api_key: str | None) -> None:
        """Take where to ask.

        Args:
            api_base: Up to and including `/v1`.
            api_key: What the server wants named; None where it wants nothing.
        """
        self._url = f"{api_base}/audio/transcriptions"
        self._key = api_key
        self._lent: dict[str, tuple[bytes, str]] = {}

    @contextmanager
    def lending(self, digest: str, content: bytes, name: str) -> Iterator[None]:
        """Lend a note for the length of a block."""
        self._lent[digest] = (content, name)
        try:
            yield
        finally:
            self._lent.pop(digest, None)

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Ask once for the words of a note that is lent.

        Raises:
            Transient, Refused, BadAnswer: As `LLM.complete` says.
        """
        import httpx

        note = request.messages[0]["content"][0]
        content, name = self._lent[note["sha256"]]
        fields = {"model": request.model.partition("/")[2] or request.model}
        fields |= {"response_format": "json"}
        if "language" in note:
            fields["language"] = note["language"]
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        times = httpx.Timeout(idle_timeout_s, connect=min(idle_timeout_s, 15.0))
        started = time.monotonic()
        try:
            async with (
                httpx.AsyncClient(timeout=times, trust_env=False) as client,
                client.stream(
                    "POST", self._url, data=fields, files={"file": (name, content)}, headers=headers
                ) as reply,
            ):
                body = await _bounded(reply)
                status, heads = reply.status_code, {k.lower(): v for k, v in reply.headers.items()}
        except httpx.HTTPError as error:
            raise _broken(error) from None
        if status != 200:
            raise failure(Response(request.model, status, heads, body, key=self._key))
        return _answer(request, body, time.monotonic() - started)

    def capabilities(self, model: str) -> Capabilities:
        """Say that there are neither tools nor schemas."""
        return Capabilities(
            native_tools=False, native_schema=False, max_output_tokens=MAX_OUTPUT_TOKENS
        )

    async def close(self) -> None:
        """Hold nothing: notes are rare, and each has a connection of its own."""


async def _bounded(reply: Any) -> bytes:
    body = bytearray()
    async for piece in reply.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise BadAnswer("the transcript is larger than any note's", kind="malformed")
    return bytes(body)


def _broken(error: Exception) -> ModelError:
    """Say what a broken exchange means: what had left may be billed."""
    import httpx

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return Transient("the transcription server cannot be reached", kind="unreachable")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return Refused("voice.api_base is no http address", kind="bad_address")
    kind = "timeout" if isinstance(error, httpx.TimeoutException) else "cut"
    sentence = "the connection broke before the transcript was whole"
    return Transient(sentence, kind=kind, is_billed_unknown=True)


def _answer(request: ModelRequest, content: bytes, latency_s: float) -> RawAnswer:
    import json

    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        sentence = f"{request.model}: the server's answer is no JSON document"
        raise BadAnswer(sentence, kind="malformed")
    raw = _usage(body)
    return RawAnswer(
        body=body, model=request.model, usage=read_usage(raw), latency_s=latency_s, raw_usage=raw
    )


def _usage(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the server says of its use: tokens as it counts them, or whole seconds of sound."""
    usage = body.get("usage")
    told = usage if isinstance(usage, dict) else {}
    seconds = told.get("seconds", body.get("duration"))
    if "input_tokens" in told or "prompt_tokens" in told:
        return {key: value for key, value in told.items() if value is not None and key != "type"}
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        return {}
    whole = int(Decimal(str(seconds)).to_integral_value(ROUND_CEILING))
    return by_second(whole)


def by_second(seconds: int) -> dict[str, Any]:
    """Return the usage of a call that is billed by the second."""
    return {"prompt_tokens": 0, "completion_tokens": 0, "prompt_audio_seconds": seconds}
