"""HTTP/1.1 on asyncio: keep-alive, large bodies, and a handler that learns when its client left."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias


@dataclass(slots=True)
class Request:
    """One request as it came by the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    gone: asyncio.Event
    """Set when the client has closed the connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; `is_cut` closes the connection instead of answering."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    is_cut: bool = False
    headers: dict[str, str] = field(default_factory=dict)


CUT = Answer(is_cut=True)
Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]


class Connection(asyncio.Protocol):
    """One client: its requests are handled one after the other."""

    def __init__(self, handler: Handler, open_ones: "set[Connection]") -> None:
        self._handler = handler
        self._open = open_ones
        self._buffer = bytearray()
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self._gone = asyncio.Event()
        self._has_continued = False
        self._is_idle = True
        self.worker: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(self)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.worker = asyncio.get_running_loop().create_task(self._work())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._gone.set()
        if self._requests.empty() and self.worker is not None and self._is_idle:
            self.worker.cancel()

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._next_request()) is not None:
            self._requests.put_nowait(request)

    async def _work(self) -> None:
        try:
            while not self._gone.is_set() or not self._requests.empty():
                request = await self._requests.get()
                self._is_idle = False
                answer = await self._handler(request)
                self._send(answer)
                self._is_idle = True
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(self)

    def _next_request(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if "100-continue" in headers.get("expect", "").lower() and not self._has_continued:
            self._has_continued = True
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._body(headers, end + 4)
        if body is None:
            return None
        self._has_continued = False
        method, _, rest = first.partition(" ")
        return Request(method, rest.rpartition(" ")[0], headers, body, self._gone)

    def _body(self, headers: dict[str, str], start: int) -> bytes | None:
        """Take the body that begins at `start` out of the buffer; None while it is not whole."""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunks(start)
        size = int(headers.get("content-length", 0))
        if len(self._buffer) < start + size:
            return None
        body = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        return body

    def _chunks(self, at: int) -> bytes | None:
        parts = bytearray()
        while True:
            line_end = self._buffer.find(b"\r\n", at)
            if line_end < 0:
                return None
            size = int(self._buffer[at:line_end].split(b";")[0], 16)
            begin, at = line_end + 2, line_end + 2 + size + 2
            if len(self._buffer) < at:
                return None
            if size == 0:
                del self._buffer[:at]
                return bytes(parts)
            parts += self._buffer[begin : begin + size]

    def _send(self, answer: Answer) -> None:
        if answer.is_cut:
            self.drop()
            return
        try:
            phrase = HTTPStatus(answer.status).phrase
        except ValueError:
            phrase = "Odd"
        lines = [f"HTTP/1.1 {answer.status} {phrase}", f"Content-Type: {answer.content_type}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        lines.append(f"Content-Length: {len(answer.body)}")
        self._write(("\r\n".join(lines) + "\r\n\r\n").encode() + answer.body)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def drop(self) -> None:
        """Reset the connection, as a dead network would."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            # Linger of zero seconds: closing then sends RST instead of FIN.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class Listener:
    """A listening socket on loopback that can go away and come back on the same port."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self._handler = handler
        self._open: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = port
        self.connections = 0

    async def start(self) -> None:
        """Listen, unless it does already."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections, drop the open ones, and wait until no handler runs."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        workers = []
        for connection in list(self._open):
            connection.drop()
            if connection.worker is not None:
                connection.worker.cancel()
                workers.append(connection.worker)
        await asyncio.gather(*workers, return_exceptions=True)
        await server.wait_closed()

    def _connect(self) -> Connection:
        self.connections += 1
        return Connection(self._handler, self._open)
