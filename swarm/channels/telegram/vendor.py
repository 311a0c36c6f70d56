"""The vendor's bot, made on first use, with the bytes of what it received kept."""

import json
import logging
import ssl
from functools import cache
from http import HTTPStatus
from typing import Any

from swarm.channels.telegram.config import TelegramConfig
from swarm.core.importing import importing_without

# They are for passports, HTTP/2 and httpx's own command line, and would stay with ten megabytes for
# as long as somebody listens.
with importing_without("click", "cryptography", "h2"):
    import httpx
    from telegram import Bot
    from telegram.error import TelegramError
    from telegram.request import HTTPXRequest

_TALKATIVE = ("httpx", "httpcore", "telegram")
"""Loggers that write each request's address, which holds the token, below the level of a warning."""
CONNECT_S, READ_S, MEDIA_S = 10.0, 20.0, 120.0
"""Longest waits of a call, in seconds: to be connected, for its answer, for a file's upload."""


class FloodError(TelegramError):
    """Say that the platform wants a pause."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Flood control exceeded. Retry in {seconds:g} seconds")
        self.flood_s = seconds


class HeedingRequest(HTTPXRequest):
    """Tell of a flood in plain seconds: the library's own error warns of its future each time."""

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        """Make the request as usual.

        Raises:
            FloodError: The platform named a time to wait.
        """
        status, payload = await super().do_request(*args, **kwargs)
        wanted = _retry_after(payload) if status == HTTPStatus.TOO_MANY_REQUESTS else None
        if wanted is not None:
            raise FloodError(wanted)
        return status, payload


def _retry_after(payload: bytes) -> float | None:
    try:
        wanted = json.loads(payload)["parameters"]["retry_after"]
    except (ValueError, KeyError, TypeError):
        return None
    return float(wanted) if isinstance(wanted, int | float) else None


_NO_UPDATES = b'{"ok": true, "result": []}'


class KeepingRequest(HeedingRequest):
    """Keep the last answer: the library's own reading of updates drops what it does not know."""

    payload: bytes = b""

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        """Make the request as usual."""
        self.payload = b""
        status, payload = await super().do_request(*args, **kwargs)
        if status != HTTPStatus.OK:
            return status, payload
        self.payload = payload
        # The library would make an object of every update, of which none is ever looked at.
        return status, _NO_UPDATES

    def updates(self) -> list[dict[str, Any]]:
        """Return the updates of the last answer, as they came."""
        found = json.loads(self.payload or b"{}").get("result")
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


@cache
def _authorities() -> ssl.SSLContext:
    """Load once whom to trust: it takes a megabyte and some thirtieth of a second each time."""
    return httpx.create_ssl_context()


class Line:
    """One bot and its connections."""

    def __init__(self, config: TelegramConfig) -> None:
        assert config.token is not None
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        times = {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "write_timeout": READ_S}
        # Kept-alive connections are closed after a pause: servers cut them without a word, and a
        # message that is then lost on the way can only be called unknown.
        limits = {"limits": httpx.Limits(max_connections=16, keepalive_expiry=5.0)}
        trust = {"verify": _authorities()}
        self.polling = KeepingRequest(
            connection_pool_size=1,
            httpx_kwargs=trust,
            **times,  # type: ignore[arg-type]
        )
        self.bot = Bot(
            config.token.get_secret_value(),
            base_url=config.api_url,
            base_file_url=config.file_url,
            request=HeedingRequest(
                connection_pool_size=16,
                pool_timeout=READ_S,
                media_write_timeout=MEDIA_S,
                httpx_kwargs=limits | trust,
                **times,  # type: ignore[arg-type]
            ),
            get_updates_request=self.polling,
        )

    async def open(self) -> str:
        """Open the connections and return the bot's name, without the sign before it."""
        await self.bot.initialize()
        return self.bot.username

    async def close(self) -> None:
        """Close the connections."""
        await self.bot.shutdown()
