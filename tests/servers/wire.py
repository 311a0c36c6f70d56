"""A small HTTP/1.1 server on asyncio: keep-alive, no dependencies, faults at any byte."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tests.servers.replies import Reply, stream


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    """The JSON document; None where there was none."""
    connection: int
    """Number of the connection it came by, from 1: tells whether connections are reused."""


Handler = Callable[[Request], Reply]


class Wire(asyncio.Protocol):
    """One connection: reads requests, writes what the handler replies."""

    def __init__(self, handler: Handler, number: int, open_wires: "set[Wire]") -> None:
        self._handler = handler
        self._number = number
        self._open = open_wires
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(self)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._open.discard(self)
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._next_request()) is not None:
            reply = self._handler(request)
            if reply.delay_s:
                loop = asyncio.get_running_loop()
                loop.call_later(reply.delay_s, self._send, request, reply)
            else:
                self._send(request, reply)

    def _next_request(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", 0))
        if len(self._buffer) < end + 4 + size:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + size])
        del self._buffer[: end + 4 + size]
        method, path, _ = lines[0].split(" ", 2)
        return Request(method, path, headers, json.loads(body) if body else None, self._number)

    def _send(self, request: Request, reply: Reply) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        is_stream = isinstance(request.body, dict) and request.body.get("stream") is True
        payload, kind = _payload(request, reply, is_stream)
        framing = reply.framing
        if framing == "auto":
            framing = "chunked" if kind == "text/event-stream" else "length"
        head = _head(reply, kind, framing, len(payload))
        stop = next(
            (k for k in (reply.cut_after, reply.reset_after, reply.stall_after) if k is not None),
            None,
        )
        if stop is None:
            transport.write(head + _framed(payload, framing, is_whole=True))
            if framing == "close":
                transport.close()
            return
        if stop >= 0:
            transport.write(head + _framed(payload[:stop], framing, is_whole=False))
        if reply.reset_after is not None:
            self._reset()
        elif reply.cut_after is not None:
            transport.close()

    def _reset(self) -> None:
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        # Linger of zero seconds: closing then sends RST instead of FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()


def _payload(request: Request, reply: Reply, is_stream: bool) -> tuple[bytes, str]:
    body = reply.body
    if isinstance(body, bytes):
        is_events = is_stream and body.startswith(b"data:")
        return body, "text/event-stream" if is_events else "application/json"
    assert body is not None
    if is_stream and reply.status == HTTPStatus.OK and "choices" in body:
        options = request.body.get("stream_options") or {}
        with_usage = options.get("include_usage") is True
        return stream(body, with_usage=with_usage), "text/event-stream"
    return json.dumps(body).encode(), "application/json"


def _head(reply: Reply, kind: str, framing: str, size: int) -> bytes:
    headers = {"Content-Type": kind, **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    if framing == "length":
        lines.append(f"Content-Length: {size}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    else:
        lines.append("Connection: close")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Odd"


def _framed(payload: bytes, framing: str, *, is_whole: bool) -> bytes:
    if framing != "chunked":
        return payload
    chunk = b"%x\r\n%s\r\n" % (len(payload), payload) if payload else b""
    return chunk + b"0\r\n\r\n" if is_whole else chunk
