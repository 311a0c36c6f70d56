"""A door for updates that Telegram brings: one path, one secret, nothing read before both are right."""

import hmac
from collections.abc import Awaitable, Callable

from swarm.channels.door import Asked, Door, Reply

SECRET_HEADER = b"x-telegram-bot-api-secret-token"
MAX_BODY_BYTES = 1024 * 1024
"""An update has a few kilobytes; files are fetched, never brought."""

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
        self._path = path.encode()
        self._secret = secret.encode()
        self._take = take
        self._door = Door(
            listen=listen, max_body=MAX_BODY_BYTES, judge=self._judge, take=self._deliver
        )

    @property
    def port(self) -> int:
        """Return what is listened on; 0 before it is."""
        return self._door.port

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._door.run()

    def _judge(self, asked: Asked) -> Reply | None:
        """Look at what stands before the body, of which nothing has been read yet."""
        if asked.path != self._path:
            return Reply(404)
        if not hmac.compare_digest(asked.headers.get(SECRET_HEADER, b""), self._secret):
            return Reply(403)
        return None if asked.method == b"POST" else Reply(405)

    async def _deliver(self, asked: Asked, body: bytes) -> Reply:
        await self._take(body)
        return Reply(200)
