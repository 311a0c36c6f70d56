"""What really went over the wire: connections that are kept, and a tape of each call.

A model library retells an answer in its own words: it fills in a missing finish reason, counts
tokens nobody reported, and tries again behind the caller's back. So the bytes are recorded here,
below it, and the adapter believes the tape.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swarm.core.errors import BadAnswer, ModelError, Refused, Transient

if TYPE_CHECKING:
    import aiohttp

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Longest answer taken in; the longest output of any known model is a hundredth of it."""

DONE = b"data: [DONE]"
TAIL_S = 0.2
"""How long to wait, in seconds, for the end of a stream that has said it is done."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str]
    """Without those that tell of one connection's framing."""
    content: bytes


@dataclass(slots=True)
class Tape:
    """One call as the wire saw it; written by `TapedTransport`, read by the adapter."""

    idle_timeout_s: float
    sent: Sent | None = None
    """The last request."""
    path: str = ""
    """What was asked of the server."""
    status: int = 0
    """HTTP status; 0 as long as no status line came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    content: bytearray = field(default_factory=bytearray)
    """The body as far as it came, decompressed."""
    failure: ModelError | None = None
    """Why the body is not whole, or never came."""

    @property
    def is_used(self) -> bool:
        """Whether the call went through the taped transport at all."""
        return self.status != 0 or self.failure is not None

    @property
    def is_events(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        kind = self.headers.get("content-type", "")
        return kind.startswith("text/event-stream") or self.content.startswith(b"data:")

    def begin(self) -> None:
        """Make room for a request.

        Raises:
            WireStop: An earlier request of this call failed. Somebody is trying again, and a
                second try is a second bill that only the caller may decide on.
        """
        if self.failure is not None or self.status >= 300:
            raise WireStop("a model call is never sent twice")
        self.status, self.headers = 0, {}
        self.content.clear()

    def take(self, piece: bytes) -> None:
        """Add a piece of the body."""
        if len(self.content) + len(piece) > MAX_ANSWER_BYTES:
            raise WireStop("the answer is longer than any model writes")
        self.content += piece


BEFORE_SEND: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar(
    "swarm_llm_before_send", default=None
)
"""What this task waits for right before a request's first byte goes out; None is nothing."""
TAPE: ContextVar[Tape] = ContextVar("swarm_llm_tape")
"""The tape of the call that this task is in."""


class WireStop(Exception):
    """Leave a call through the model library; what happened is on the tape."""


class Connections:
    """Kept connections, one pool per event loop, made on first use."""

    def __init__(self) -> None:
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    def session(self) -> "aiohttp.ClientSession":
        """Return the pool of the running loop."""
        import aiohttp

        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            # No limit: how many calls run at once is decided by budgets, not by a hidden queue.
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60)
            jar = aiohttp.DummyCookieJar()
            session = aiohttp.ClientSession(connector=connector, cookie_jar=jar)
            self._sessions[loop] = session
        return session

    async def close(self) -> None:
        """Close every pool, each on its own loop where that still runs."""
        here = asyncio.get_running_loop()
        while self._sessions:
            loop, session = self._sessions.popitem()
            if loop is not here and loop.is_running():
                future = asyncio.run_coroutine_threadsafe(session.close(), loop)
                await asyncio.wrap_future(future)
            else:
                await session.close()


class TapedTransport:
    """Carries requests of an `httpx` client over `Connections` and records them on the tape.

    A body is read to its end here, streamed or not: the answer is used only as a whole, and the
    silence between two pieces is timed where the pieces arrive.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request and return its whole response.

        Raises:
            WireStop: The wire failed; `Tape.failure` says how.
        """
        import httpx

        headers = {k: v for k, v in request.headers.items() if k not in _SETTLED}
        content = await request.aread()
        await self.exchange(Sent(request.method, str(request.url), headers, content))
        tape = TAPE.get()
        headers = {k: v for k, v in tape.headers.items() if k not in _SETTLED}
        return httpx.Response(
            tape.status, headers=headers, content=bytes(tape.content), request=request
        )

    async def exchange(self, sent: Sent) -> None:
        """Send one request and take its whole response down on the tape.

        Raises:
            WireStop: The wire failed; `Tape.failure` says how.
        """
        if (turn := BEFORE_SEND.get()) is not None:
            await turn()
        tape = TAPE.get()
        tape.begin()
        tape.sent = sent
        try:
            await self._exchange(sent, tape)
        except WireStop as stop:
            tape.failure = BadAnswer(str(stop), kind="malformed")
            raise
        except _broken() as error:
            tape.failure = _failure(error)
            raise WireStop from None

    async def aclose(self) -> None:
        """Do nothing: the pool outlives the library's clients and is closed by its owner."""

    async def _exchange(self, sent: Sent, tape: Tape) -> None:
        import aiohttp
        import yarl

        idle = tape.idle_timeout_s
        url = yarl.URL(sent.url, encoded=True)
        tape.path = url.path
        async with self._connections.session().request(
            sent.method,
            url,
            data=sent.content or None,
            headers=sent.headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=idle, sock_read=idle),
            allow_redirects=False,
        ) as response:
            tape.headers = {k.lower(): v for k, v in response.headers.items()}
            tape.status = response.status
            async for piece in response.content.iter_any():
                tape.take(piece)
                if tape.is_events and tape.content.rstrip().endswith(DONE):
                    return await _finish(response)


_SETTLED = frozenset(
    ("host", "content-length", "transfer-encoding", "content-encoding", "connection")
)
"""Headers that tell of one connection's framing and mean nothing on the other side of it."""


async def _finish(response: "aiohttp.ClientResponse") -> None:
    """Read the end of a stream that said it is done, so that its connection can be kept.

    Some servers never end it; theirs is dropped. Nothing that comes now can spoil the answer.
    """
    try:
        async with asyncio.timeout(TAIL_S):
            await response.content.read()
    except _broken():
        response.close()


def _broken() -> tuple[type[Exception], ...]:
    """Return all that an exchange may raise; the client's part needs its import."""
    import aiohttp

    return (aiohttp.ClientError, OSError, ValueError, TimeoutError)


def _failure(error: Exception) -> ModelError:
    """Say what a broken exchange means for the one who asked."""
    import aiohttp

    match error:
        case aiohttp.InvalidURL() | ValueError():
            return Refused("the address of the model server is no http address", kind="bad_address")
        case aiohttp.ClientConnectorCertificateError():
            return Refused("the model server's certificate is not trusted", kind="bad_certificate")
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return Transient("the model server cannot be reached", kind="unreachable")
        case TimeoutError():
            return Transient("the model server fell silent", kind="timeout", is_billed_unknown=True)
        case aiohttp.ClientResponseError():
            return BadAnswer("the model server does not speak HTTP", kind="malformed")
        case _:
            sentence = "the connection broke before the answer was whole"
            return Transient(sentence, kind="cut", is_billed_unknown=True)
