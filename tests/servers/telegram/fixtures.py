"""Fixtures over the server: `server`, a started python-telegram-bot `bot`, and the founder Ada."""

import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import telegram
from telegram.request import HTTPXRequest

from tests.servers.telegram import Conversation, Person, TelegramServer
from tests.servers.telegram.remote import Remote

# Plain HTTP on loopback: reading the certificates of the world takes longer than most tests.
PLAIN = {"trust_env": False, "verify": False}


def bot_of(server: TelegramServer | Remote, token: str | None = None) -> telegram.Bot:
    """Return python-telegram-bot's client for a server, unpatched."""
    return telegram.Bot(
        token or server.token,
        base_url=server.base_url,
        base_file_url=server.base_file_url,
        request=HTTPXRequest(connection_pool_size=16, httpx_kwargs=PLAIN),
        get_updates_request=HTTPXRequest(connection_pool_size=4, httpx_kwargs=PLAIN),
    )


def plain_client() -> httpx.AsyncClient:
    """Return a client for calls that the SDK would not make."""
    return httpx.AsyncClient(trust_env=False, verify=False)


@contextlib.asynccontextmanager
async def unchecked(server: TelegramServer, token: str) -> AsyncIterator[telegram.Bot]:
    """Yield a client that has not asked who it is, so that its token may be wrong."""
    bot = bot_of(server, token)
    try:
        yield bot
    finally:
        await bot.request.shutdown()


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as made:
        yield made


@pytest.fixture
async def bot(server: TelegramServer) -> AsyncIterator[telegram.Bot]:
    async with bot_of(server) as made:
        yield made


@pytest.fixture
def ada(server: TelegramServer) -> Person:
    person = server.person("Ada")
    person.starts()
    return person


@pytest.fixture
def chat(ada: Person) -> Conversation:
    return ada.chat()
