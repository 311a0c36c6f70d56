"""A door for updates that Telegram brings: one path, one secret, nothing read before both are right."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

log = structlog.get_logger("swarm.telegram")

SECRET_HEADER = b"x-telegram-bot-api-secret-token"
MAX_BODY_BYTES = 1024 * 1024
"""An update has a few kilobytes; files are fetched, never brought."""
IDLE_S = 60.0
MAX_OPEN = 100
"""Connections at a time; Telegram opens 40 at most."""

Take = Callable[[bytes], Awaitable[None]]
"""Store an update; when it returns, the platform is told that it was received."""


class WebhookDoor:
    """Listen on one address until cancelled."""

    def __init__(self, *, listen: str, path: str, secret: str, take: Take) -> None:
        """Take what to listen to.

        Args:
            listen: `HOST:PORT`; port 0 takes any free one.
            path: The one path that is answered.
            secret: What each request must bring in its header.
            take: Told of each body that did, byte for byte.
        """
        self._host, _, port = listen.rpartition(":")
        self._port = int(port)
        self._path = path.encode()
        self._secret = secret.encode()
        self._take = take
        self._open = 0
        self.port = 0
        """What is listened on, once it is."""

    async def run(self) -> None:
        """Listen until cancelled."""
        server = await asyncio.start_server(self._serve, self._host, self._port)
        self.port = server.sockets[0].getsockname()[1]
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
            log.exception("a webhook request broke")
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
                status = await self._request(connection, reader)
            except h11.RemoteProtocolError:
                status = 400
            if status is None:
                return
            writer.write(_response(connection, status))
            await writer.drain()
            if connection.our_state is h11.MUST_CLOSE or status != 200:
                return
            connection.start_next_cycle()

    async def _request(self, connection: "object", reader: asyncio.StreamReader) -> int | None:
        """Read one request and return the status of its answer; None where nobody asks any more."""
        import h11

        assert isinstance(connection, h11.Connection)
        body, is_allowed = bytearray(), False
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await asyncio.wait_for(reader.read(65536), IDLE_S))
            elif isinstance(event, h11.Request):
                status = self._judge(event.method, event.target, list(event.headers))
                if status != 200:
                    return status
                is_allowed = True
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    return 413
            elif isinstance(event, h11.EndOfMessage) and is_allowed:
                return await self._deliver(bytes(body))
            else:
                return None

    def _judge(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> int:
        """Look at what stands before the body, of which nothing has been read yet."""
        known = dict(headers)
        if target.partition(b"?")[0] != self._path:
            return 404
        if not hmac.compare_digest(known.get(SECRET_HEADER, b""), self._secret):
            return 403
        length = known.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            return 413
        return 200 if method == b"POST" else 405

    async def _deliver(self, body: bytes) -> int:
        try:
            await self._take(body)
        except ValueError:
            return 400
        except Exception:
            # Not stored: any other answer would tell the platform to forget it.
            log.exception("an update could not be stored")
            return 500
        return 200


def _response(connection: "object", status: int) -> bytes:
    import h11

    assert isinstance(connection, h11.Connection)
    headers = [(b"content-length", b"0")]
    if status != 200:
        headers.append((b"connection", b"close"))
    written = connection.send(h11.Response(status_code=status, headers=headers)) or b""
    return written + (connection.send(h11.EndOfMessage()) or b"")
