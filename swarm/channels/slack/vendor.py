"""The vendor's client and socket, made on first use."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from swarm.channels.slack.config import SlackConfig
from swarm.core.errors import InvalidInput

CALL_S = 20
"""Longest wait for an answer of the Web API, in seconds."""
MEDIA_S = 120.0
"""Longest wait for a file on its way, in seconds."""
CONNECT_S = 15.0
"""Longest wait for the socket to open, in seconds."""

Keep: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
"""Store a payload; when it returns, Slack is told that it was received."""

# The library logs addresses that hold tickets, and a trace for each lost connection.
_log = logging.getLogger("swarm.slack.sdk")
_log.setLevel(logging.CRITICAL)


class Line:
    """One app in one workspace."""

    def __init__(self, config: SlackConfig) -> None:
        assert config.bot_token is not None
        assert config.app_token is not None
        self._config = config
        self._app_token = config.app_token.get_secret_value()
        self._bot_token = config.bot_token.get_secret_value()
        self.web = self._client(self._bot_token)
        self.user_id = ""
        self.team_id = ""
        self.scopes: frozenset[str] = frozenset()

    def _client(self, token: str) -> AsyncWebClient:
        # No session: a kept connection may be cut without a word, and what is then lost on its way
        # can only be called unknown. No retries: the library cannot know what arrived.
        return AsyncWebClient(
            token=token,
            base_url=self._config.base_url,
            timeout=CALL_S,
            retry_handlers=[],
            logger=_log,
        )

    async def open(self) -> str:
        """Learn who we are and return the bot's name; raises what Slack says against the token."""
        found = await self.web.auth_test()
        self.user_id = str(found.get("user_id") or "")
        self.team_id = str(found.get("team_id") or "")
        scopes = str((found.headers or {}).get("x-oauth-scopes") or "")
        self.scopes = frozenset(part.strip() for part in scopes.split(",") if part.strip())
        return str(found.get("user") or "")

    async def address(self) -> str:
        """Return where a socket may be opened; raises what Slack says against the app's token."""
        web = self._client(self._app_token)
        return str((await web.apps_connections_open(app_token=self._app_token))["url"])

    async def socket(self, keep: Keep) -> "Socket":
        """Open a socket; raises what Slack says against the app's token."""
        address = await self.address()
        # The socket's client carries the app's token: with the bot's, no address is given out.
        made = Socket(self._handler(self._client(self._app_token), keep))
        await made.open(address)
        return made

    def _handler(self, web: AsyncWebClient, keep: Keep) -> AsyncSocketModeHandler:
        async def first(body: dict[str, Any]) -> BoltResponse:
            # Before the library judges it: what it would drop or refuse is stored all the same, and
            # a second delivery is known by its id, never by a header.
            await keep(body)
            return BoltResponse(status=200, body="")

        async def authorize() -> AuthorizeResult:
            return AuthorizeResult(
                enterprise_id=None, team_id=self.team_id, bot_token=self._bot_token
            )

        app = AsyncApp(
            client=self._client(self._bot_token),
            authorize=authorize,
            before_authorize=first,
            request_verification_enabled=False,
            ssl_check_enabled=False,
            url_verification_enabled=False,
            logger=_log,
        )
        return AsyncSocketModeHandler(
            app,
            app_token=self._app_token,
            logger=_log,
            web_client=web,
            ping_interval=self._config.ping_s,
        )

    async def upload(self, address: str, content: bytes) -> None:
        """Put a file's bytes where Slack said; nobody sees them until the upload is completed.

        Raises:
            aiohttp.ClientError: They did not arrive.
        """
        timeout = aiohttp.ClientTimeout(total=MEDIA_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(address, data=content) as answer,
        ):
            answer.raise_for_status()

    async def download(self, address: str, *, most: int) -> bytes:
        """Return a file's bytes.

        Raises:
            InvalidInput: It is larger than `most` bytes, or the app may not read it.
            aiohttp.ClientError: Not now.
        """
        headers = {"Authorization": f"Bearer {self._bot_token}"} if self._is_ours(address) else {}
        timeout = aiohttp.ClientTimeout(total=MEDIA_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # A redirect could carry the token elsewhere; a page to log in is what it leads to.
            session.get(address, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status >= 500 or answer.status == 429:
                answer.raise_for_status()
            if answer.status != 200:
                raise InvalidInput(
                    "Slack does not hand the file out: does the app have the scope files:read?"
                )
            content = bytearray()
            async for piece in answer.content.iter_chunked(65536):
                content += piece
                if len(content) > most:
                    raise InvalidInput(f"The file is larger than {most // 1024**2} MiB.")
            return bytes(content)

    def _is_ours(self, address: str) -> bool:
        """Return whether an address may be shown the token: Slack's own, or the server that is set."""
        found, own = URL(address), URL(self._config.base_url)
        if found.origin() == own.origin():
            return True
        host = found.host or ""
        return found.scheme == "https" and (host == "slack.com" or host.endswith(".slack.com"))


class Socket:
    """One connection over which Slack brings what happens."""

    def __init__(self, handler: AsyncSocketModeHandler) -> None:
        self._handler = handler
        self._client = handler.client
        self._pong: float | None = None

    async def open(self, address: str) -> None:
        """Connect.

        Raises:
            TimeoutError: The socket did not open; it is closed.
        """
        self._client.wss_uri = address
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._handler.connect_async()  # type: ignore[no-untyped-call]  # the library is half typed
        except BaseException:
            await self.close()
            raise

    async def has_answered(self) -> bool:
        """Return whether the other end answered a ping since this was asked last."""
        before, self._pong = self._pong, self._client.last_ping_pong_time
        is_new = before is not None and self._pong is not None and self._pong != before
        return is_new and await self._client.is_connected()

    async def close(self) -> None:
        """Close the connection and end the library's tasks."""
        client = self._client
        tasks = [client.message_receiver, client.message_processor, client.current_session_monitor]
        with suppress(Exception):
            async with asyncio.timeout(5):
                await self._handler.close_async()  # type: ignore[no-untyped-call]  # see above
        # It may have been cut off before its own last line.
        with suppress(Exception):
            await client.aiohttp_client_session.close()
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
