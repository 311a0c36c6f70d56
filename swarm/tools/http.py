"""The one HTTP client of the whole program; it reaches the public web and nothing behind it.

A host is resolved once, every answer is checked, and the connection goes to a checked address: there
is no moment in which a name could come to mean something else. Redirects start over from the check.
"""

import asyncio
import ssl
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from re import ASCII, fullmatch
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from swarm.core.errors import ToolError
from swarm.tools import addresses
from swarm.tools.addresses import Url, canonical_host, parse_url
from swarm.tools.resolving import (
    Dialler,
    PinnedBackend,
    Resolver,
    check_addresses,
    system_resolver,
)

if TYPE_CHECKING:
    import httpcore

__all__ = [
    "Page",
    "RedirectRefused",
    "WebClient",
    "WebConfig",
    "canonical_host",
    "system_resolver",
]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What decides where a request goes, how long it is or who sends it on is the client's alone.
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer"}
    | {"upgrade", "expect", "accept-encoding", "proxy-authorization", "proxy-connection"}
)


class WebConfig(BaseModel):
    """How far and how long the client goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(5 * 1024 * 1024, gt=0)
    """The most that is read of one body, on the wire and unpacked; the rest is cut off."""
    max_redirects: int = Field(5, ge=0)
    resolve_timeout_s: float = Field(5, gt=0)
    connect_timeout_s: float = Field(5, gt=0)
    """For each address of a host."""
    idle_timeout_s: float = Field(10, gt=0)
    """The longest silence while a request is sent or an answer read."""
    total_timeout_s: float = Field(30, gt=0)
    """For a fetch as a whole, redirects included."""
    user_agent: str = Field("swarm/0 (+agent)", min_length=1, pattern=r"^[\x21-\x7e ]+$")
    ports: tuple[int, ...] = (80, 443)
    """Ports that may be reached on any public host."""
    allow_private: tuple[str, ...] = ()
    """Exact `host:port` on the company's own network that the operator opened; any port.
    Metadata and link-local addresses stay closed."""

    @field_validator("allow_private")
    @classmethod
    def _canonical(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        found = []
        for entry in entries:
            try:
                url = parse_url(f"http://{entry}")
            except ToolError as error:
                raise ValueError(f"{entry!r}: {error}") from error
            if url.target != "/" or not fullmatch(r".*:[0-9]+", entry):
                raise ValueError(f"{entry!r}: write host:port")
            found.append(url.endpoint)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Page:
    """What came back."""

    url: str
    """Where the last redirect led."""
    status: int
    content_type: str
    """As the server says it, with its parameters; empty where it says nothing."""
    body: bytes = field(repr=False)
    is_cut: bool = False
    """The body was longer than `max_bytes`, or ended before it was complete."""
    redirects: tuple[str, ...] = ()
    """The URLs that led here, in their order, without the last."""


class RedirectRefused(ToolError):
    """Say that an answer leads on to a place nobody allowed; the text holds the server's words."""

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url
        """Where it leads, canonical."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: Url
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    content_type: str
    location: str | None
    body: bytes
    is_cut: bool


class WebClient:
    """Fetch pages of the public web. It keeps no cookie, no connection and no proxy."""

    def __init__(
        self,
        config: WebConfig | None = None,
        *,
        resolver: Resolver | None = None,
        dialler: Dialler | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the limits, and what stands in for DNS, for the network and for the known CAs."""
        self.config = config or WebConfig()
        self._resolver = resolver or system_resolver
        self._dialler = dialler
        self._given_tls = tls

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        may_visit: Callable[[str], bool] | None = None,
    ) -> Page:
        """Fetch one URL and follow its redirects.

        Args:
            url: Plain http or https, whatever its host claims to be.
            method: An HTTP method in capitals.
            headers: Sent to the origin of `url` alone, never on to another.
            body: Sent to the origin of `url` alone.
            may_visit: Says for a canonical host whether a redirect may lead there from another
                one; asked before that host is resolved. Without it no redirect leaves the host.

        Raises:
            RedirectRefused: The answer leads to a host that `may_visit` does not allow.
            ToolError: The URL, its host or its address is closed; or no whole answer came in time.
        """
        request = _Request(method, parse_url(url), _checked_headers(headers or {}), body)
        if not fullmatch("[A-Z]{1,16}", method) or method in ("CONNECT", "TRACE"):
            raise ToolError(f"{method!r} is not a method this client sends")
        try:
            async with asyncio.timeout(self.config.total_timeout_s):
                return await self._follow(request, may_visit)
        except TimeoutError:
            raise ToolError(
                f"{request.url.host} gave no whole answer within "
                f"{self.config.total_timeout_s:g} seconds; try later or another source"
            ) from None

    async def _follow(self, request: _Request, may_visit: Callable[[str], bool] | None) -> Page:
        first = request.url.host
        passed: list[str] = []
        while True:
            reply = await self._send(request)
            if reply.location is None:
                return Page(
                    str(request.url),
                    reply.status,
                    reply.content_type,
                    reply.body,
                    reply.is_cut,
                    tuple(passed),
                )
            if len(passed) == self.config.max_redirects:
                raise ToolError(f"{first} redirects more than {self.config.max_redirects} times")
            following = follow_up(request, reply.status, reply.location)
            check_redirect(first, following.url, may_visit)
            passed.append(str(request.url))
            request = following

    async def _send(self, request: _Request) -> _Reply:
        """Check, resolve, check, connect to what was checked, and read one answer."""
        import httpcore

        url = request.url
        is_open = url.endpoint in self.config.allow_private
        if not is_open:
            check_endpoint(url, self.config.ports)
        found = check_addresses(url.host, await self._addresses(url.host), is_open=is_open)
        connection = httpcore.AsyncHTTPConnection(
            origin=httpcore.Origin(url.scheme.encode(), url.host.encode(), url.port),
            ssl_context=self._tls if url.scheme == "https" else None,
            network_backend=cast(
                "httpcore.AsyncNetworkBackend",
                PinnedBackend(found, self._dialler or httpcore.AnyIOBackend()),
            ),
        )
        try:
            return await self._exchange(connection, request)
        except httpcore.TimeoutException as error:
            raise ToolError(f"{url.host} fell silent; try later or another source") from error
        except (httpcore.NetworkError, OSError) as error:
            if isinstance(error.__cause__ or error.__context__, ssl.SSLError):
                raise ToolError(
                    f"{url.host} gives no secure connection: its certificate is not accepted"
                ) from error
            raise ToolError(f"{url.host} cannot be reached") from error
        except (httpcore.ProtocolError, zlib.error) as error:
            raise ToolError(f"{url.host} gave a malformed or broken answer") from error
        finally:
            await connection.aclose()

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if addresses.is_address(host):
            return (host,)
        try:
            async with asyncio.timeout(self.config.resolve_timeout_s):
                return tuple(dict.fromkeys(await self._resolver(host)))
        except TimeoutError:
            raise ToolError(f"the name {host} was not resolved in time; try later") from None
        except (OSError, UnicodeError) as error:
            raise ToolError(f"there is no host {host}: check its spelling") from error

    async def _exchange(
        self, connection: "httpcore.AsyncHTTPConnection", request: _Request
    ) -> _Reply:
        import httpcore

        url, limits = request.url, self.config
        async with connection.stream(
            request.method,
            httpcore.URL(
                scheme=url.scheme.encode(),
                host=url.host.encode(),
                port=url.port,
                target=url.target.encode(),
            ),
            headers=self._headers(request),
            content=request.body,
            extensions={
                "timeout": {
                    "connect": limits.connect_timeout_s,
                    "read": limits.idle_timeout_s,
                    "write": limits.idle_timeout_s,
                }
            },
        ) as response:
            head = _first_values(response.headers)
            if response.status in _REDIRECTS and "location" in head:
                return _Reply(response.status, "", head["location"], b"", is_cut=False)
            if response.status < 200:
                raise ToolError(f"{url.host} wants to speak another protocol than HTTP")
            reader = BodyReader(limits.max_bytes, head.get("content-encoding", ""))
            if request.method != "HEAD":
                async for chunk in response.aiter_stream():
                    if not reader.take(chunk):
                        break
            kind = head.get("content-type", "")
            return _Reply(response.status, kind, None, bytes(reader.body), reader.is_cut)

    def _headers(self, request: _Request) -> list[tuple[bytes, bytes]]:
        headers = {
            "host": request.url.netloc,
            "user-agent": self.config.user_agent,
            "accept": "*/*",
            # The one packing that can be undone in bounded memory without a further dependency.
            "accept-encoding": "gzip",
            "connection": "close",
        }
        if request.body is not None:
            headers["content-length"] = str(len(request.body))
        headers |= {name.lower(): value for name, value in request.headers.items()}
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        import httpcore

        return self._given_tls or httpcore.default_ssl_context()


class BodyReader:
    """Gather a body, unpacked, in memory bounded by `max_bytes` whatever the wire brings."""

    def __init__(self, max_bytes: int, encoding: str) -> None:
        """Take the limit and the `Content-Encoding`.

        Raises:
            ToolError: Packed in a way that was not asked for; nested packing is how bombs are made.
        """
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip"):
            raise ToolError("the answer is packed in a way that this client does not unpack")
        self.body = bytearray()
        self.is_cut = False
        self._max_bytes = max_bytes
        self._read_bytes = 0
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in name else None

    def take(self, chunk: bytes) -> bool:
        """Take the next bytes of the wire and return whether more are wanted."""
        # Both sides count: packed bytes that unpack to nothing could else come for ever.
        self._read_bytes += len(chunk)
        room = self._max_bytes - len(self.body)
        if self._unpacker is None:
            self.body += chunk[:room]
            self.is_cut = len(chunk) > room
            return not self.is_cut
        # One byte more than there is room for tells a body at the limit from one over it.
        piece = self._unpacker.decompress(chunk, room + 1)
        self.body += piece[:room]
        is_over = len(piece) > room or self._read_bytes > self._max_bytes
        self.is_cut = is_over or not self._unpacker.eof
        return not is_over and not self._unpacker.eof


def check_endpoint(url: Url, ports: tuple[int, ...]) -> None:
    """Refuse by port and by name, before anything is resolved.

    Raises:
        ToolError: Closed.
    """
    if url.port not in ports:
        raise ToolError(f"port {url.port} is closed; the web answers on ports 80 and 443")
    refusal = addresses.name_refusal(url.host)
    if refusal:
        raise ToolError(f"{url.host} is closed: {refusal}")


def check_redirect(first: str, url: Url, may_visit: Callable[[str], bool] | None) -> None:
    """Refuse a redirect to another host than the one that was asked for, unless it may be visited.

    Raises:
        RedirectRefused: It may not.
    """
    if url.host == first or (may_visit is not None and may_visit(url.host)):
        return
    raise RedirectRefused(
        f"{first} redirects to another host; to go there, fetch {url} itself", url=str(url)
    )


def follow_up(request: _Request, status: int, location: str) -> _Request:
    """Return the request a redirect leads to.

    What the caller gave stays with the origin it was given for, and is not taken up again when a
    later redirect comes back to it.

    Raises:
        ToolError: It leads to no plain URL, or wants a body carried to another origin.
    """
    url = addresses.join_url(request.url, location)
    following = replace(request, url=url, headers=carried(request.headers, request.url, url))
    if (status == 303 and request.method != "HEAD") or (
        status in (301, 302) and request.method == "POST"
    ):
        return replace(following, method="GET", body=None)
    if request.body is not None and url.origin != request.url.origin:
        raise ToolError(f"{request.url.host} wants what was sent to it sent on to another server")
    return following


def carried(headers: Mapping[str, str], source: Url, target: Url) -> Mapping[str, str]:
    """Return what of the caller's headers goes along: all within one origin, else nothing."""
    return headers if source.origin == target.origin else {}


def _checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        is_fit = fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name, ASCII) and fullmatch(r"[\t -~]*", value)
        if not is_fit or name.lower() in _OWN_HEADERS:
            raise ToolError(f"the header {name!r} cannot be sent")
    return dict(headers)


def _first_values(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return each header's first value; several packings of one body are joined and so refused."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        if name == "content-encoding" and name in found:
            value = f"{found[name]}, {value}"
        elif name in found:
            continue
        found[name] = value
    return found
