"""A door for what platforms bring over HTTP: one path, nothing read before its bearer is judged."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import structlog

if TYPE_CHECKING:
    import h11

log = structlog.get_logger("swarm.door")

IDLE_S = 60.0
MAX_OPEN = 100
"""Connections at a time."""
LINGER_S, LINGER_BYTES = 2.0, 8 * 1024 * 1024
"""What is still read and thrown away of a request that was refused: a connection that is closed over
unread bytes is reset, and its other end may never see the refusal."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands before the body of a request."""

    method: bytes
    path: bytes
    query: str
    headers: Mapping[bytes, bytes] = field(repr=False)
    """By lower-case name."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    body: bytes = b""


Judge: TypeAlias = Callable[[Asked], Reply | None]
"""Look at a request before its body is read; None lets it in."""
Take: TypeAlias = Callable[[Asked, bytes], Awaitable[Reply]]
"""Take a request with its body, byte for byte."""


class Door:
    """Listen on one address until cancelled."""

    def __init__(self, *, listen: str, max_body: int, judge: Judge, take: Take) -> None:
        """Take what to listen to.

        Args:
            listen: `HOST:PORT`; port 0 takes any free one.
            max_body: Longest body that is read, in bytes.
            judge: Asked of each request first.
            take: Given each request that was let in.
        """
        self._host, _, port = listen.rpartition(":")
        self._port = int(port)
        self._max_body = max_body
        self._judge = judge
        self._take = take
        self._open = 0
        self.opened = asyncio.Event()
        """Set once it listens."""
        self.port = 0
        """What is listened on, once it is."""

    async def run(self) -> None:
        """Listen until cancelled."""
        server = await asyncio.start_server(self._serve, self._host, self._port)
        self.port = server.sockets[0].getsockname()[1]
        self.opened.set()
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MAX_OPEN:
                await self._requests(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception:
            log.exception("a request broke")
        finally:
            self._open -= 1
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import h11

        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
        while True:
            try:
                reply = await self._request(connection, reader)
            except h11.RemoteProtocolError:
                reply = Reply(400)
            if reply is None:
                return
            writer.write(_written(connection, reply))
            await writer.drain()
            if connection.our_state is h11.MUST_CLOSE or reply.status != 200:
                if connection.their_state is h11.SEND_BODY:
                    await _linger(reader, writer)
                return
            connection.start_next_cycle()

    async def _request(
        self, connection: "h11.Connection", reader: asyncio.StreamReader
    ) -> Reply | None:
        """Read one request and return its answer; None where nobody asks any more."""
        import h11

        body, asked = bytearray(), None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await asyncio.wait_for(reader.read(65536), IDLE_S))
            elif isinstance(event, h11.Request):
                asked = _asked(event)
                refusal = self._judge(asked) or self._too_long(asked)
                if refusal is not None:
                    return refusal
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._max_body:
                    return Reply(413)
            elif isinstance(event, h11.EndOfMessage) and asked is not None:
                return await self._taken(asked, bytes(body))
            else:
                return None

    def _too_long(self, asked: Asked) -> Reply | None:
        length = asked.headers.get(b"content-length", b"0")
        return Reply(413) if length.isdigit() and int(length) > self._max_body else None

    async def _taken(self, asked: Asked, body: bytes) -> Reply:
        try:
            return await self._take(asked, body)
        except ValueError:
            return Reply(400)
        except Exception:
            # Not stored: any other answer would tell the platform to forget it.
            log.exception("what was brought could not be stored")
            return Reply(500)


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Throw away what is still on its way, for a short while."""
    writer.write_eof()
    left = LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while left > 0 and (piece := await reader.read(65536)):
                left -= len(piece)


def _asked(event: "h11.Request") -> Asked:
    path, _, query = event.target.partition(b"?")
    return Asked(event.method, path, query.decode("ascii", "replace"), dict(event.headers))


def _written(connection: "h11.Connection", reply: Reply) -> bytes:
    import h11

    headers = [(b"content-length", str(len(reply.body)).encode())]
    if reply.body:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    if reply.status != 200:
        headers.append((b"connection", b"close"))
    written = connection.send(h11.Response(status_code=reply.status, headers=headers)) or b""
    if reply.body:
        written += connection.send(h11.Data(data=reply.body)) or b""
    return written + (connection.send(h11.EndOfMessage()) or b"")
