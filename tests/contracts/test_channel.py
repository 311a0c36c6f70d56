"""What every channel does."""

import asyncio
import io
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from swarm.channels.base import Channel
from swarm.channels.console import ConsoleChannel
from swarm.channels.fake import FakeChannel
from swarm.channels.registry import CHANNELS
from swarm.channels.slack.channel import SlackChannel
from swarm.channels.slack.config import SlackConfig
from swarm.channels.telegram.channel import TelegramChannel
from swarm.channels.telegram.config import TelegramConfig
from swarm.channels.whatsapp.channel import WhatsAppChannel
from swarm.channels.whatsapp.config import WhatsAppConfig
from swarm.core.errors import InvalidInput
from swarm.core.message import (
    InboundFile,
    InboundMessage,
    OutboundKind,
    OutboundMessage,
    Signal,
    SignalKind,
)
from tests.servers.slack import SlackServer
from tests.servers.telegram import TelegramServer
from tests.servers.whatsapp import WhatsAppServer

CHAT = 4711


@dataclass(frozen=True)
class Line:
    """A channel and the other end of it."""

    channel: Channel
    say: Callable[[str], object]
    """Let a person write."""
    seen: Callable[[], str]
    """What the person has been shown."""
    chat_id: str = "console"
    has_batches: bool = False
    """Whether messages that came at once are stored at once. They are confirmed at once, too: that
    none is confirmed before, the channel's own tests show."""


@asynccontextmanager
async def fake() -> AsyncIterator[Line]:
    channel = FakeChannel()
    yield Line(channel, channel.say, lambda: "\n".join(m.text for m in channel.sent))


@asynccontextmanager
async def console() -> AsyncIterator[Line]:
    reading, writing = os.pipe()
    out = io.StringIO()
    with os.fdopen(reading) as stream, os.fdopen(writing, "w", buffering=1) as keyboard:
        yield Line(
            ConsoleChannel(stream, out), lambda text: keyboard.write(text + "\n"), out.getvalue
        )


@asynccontextmanager
async def telegram() -> AsyncIterator[Line]:
    async with TelegramServer() as server:
        ada = server.person("Ada", id=CHAT)
        ada.starts()
        server.updates().confirm(2**31)
        config = TelegramConfig(token=SecretStr(server.token), base_url=server.base_url, poll_s=1)
        chat = ada.chat()
        yield Line(
            TelegramChannel(config),
            ada.says,
            lambda: "\n".join(m.text for m in chat.messages),
            chat_id=str(CHAT),
            has_batches=True,
        )


@asynccontextmanager
async def slack() -> AsyncIterator[Line]:
    async with SlackServer() as server:
        ada = server.person("Ada")
        chat = ada.chat()
        config = SlackConfig(
            bot_token=SecretStr(server.bot_token),
            app_token=SecretStr(server.app_token),
            base_url=server.base_url,
        )
        yield Line(
            SlackChannel(config),
            ada.says,
            lambda: "\n".join(m.shown for m in chat.from_bot),
            chat_id=chat.id,
        )


@asynccontextmanager
async def whatsapp() -> AsyncIterator[Line]:
    async with WhatsAppServer() as server:
        ada = server.person("Ada")
        server.windows[ada.id] = server.now()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = WhatsAppConfig(
            token=SecretStr(server.token),
            phone_id=server.phone_id,
            app_secret=SecretStr(server.app_secret),
            verify_token=SecretStr(server.verify_token),
            base_url=server.base_url,
            listen=f"127.0.0.1:{port}",
        )
        server.webhook_url = f"http://127.0.0.1:{port}/whatsapp"
        yield Line(
            WhatsAppChannel(config),
            ada.says,
            lambda: "\n".join(m.text for m in ada.chat.sent),
            chat_id=ada.id,
        )


MAKERS = {
    "console": console,
    "fake": fake,
    "slack": slack,
    "telegram": telegram,
    "whatsapp": whatsapp,
}
COVERED_ELSEWHERE: frozenset[str] = frozenset(CHANNELS.names()) - MAKERS.keys()
"""Channels that need a server; their own tests hold them to these sentences."""


@pytest.fixture(params=sorted(MAKERS))
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    async with MAKERS[request.param]() as found:
        yield found
        await found.channel.close()


class Ear:
    """Remember what is heard; can be made to wait before it has stored anything."""

    def __init__(self) -> None:
        self.heard: list[InboundMessage] = []
        self.entered: asyncio.Queue[str] = asyncio.Queue()
        self.may_store = asyncio.Event()
        self.may_store.set()

    async def __call__(self, message: InboundMessage) -> None:
        self.entered.put_nowait(message.text)
        await self.may_store.wait()
        self.heard.append(message)


def answer(line: Line, text: str) -> OutboundMessage:
    return OutboundMessage(
        line.channel.name, line.chat_id, None, OutboundKind.ANSWER, text, order_id="o-1"
    )


async def stop(running: "asyncio.Future[None]") -> None:
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_a_person_writes_is_heard_in_order(line: Line) -> None:
    ear = Ear()
    running = asyncio.ensure_future(line.channel.run(ear))
    for text in ("one", "zwei", "trois"):
        line.say(text)
        assert await asyncio.wait_for(ear.entered.get(), timeout=20) == text
    await stop(running)
    for message in ear.heard:
        assert message.channel == line.channel.name
        assert message.sender_id
        assert message.chat_id
        assert message.received_at.utcoffset() is not None
    assert len({(m.account, m.update_id) for m in ear.heard}) == 3


async def test_the_next_message_waits_until_the_one_before_is_stored(line: Line) -> None:
    ear = Ear()
    ear.may_store.clear()
    running = asyncio.ensure_future(line.channel.run(ear))
    line.say("one")
    line.say("two")
    assert await asyncio.wait_for(ear.entered.get(), timeout=20) == "one"
    assert line.has_batches or ear.entered.empty()
    ear.may_store.set()
    assert await asyncio.wait_for(ear.entered.get(), timeout=20) == "two"
    await stop(running)


async def test_listening_ends_when_cancelled_and_can_begin_again(line: Line) -> None:
    ear = Ear()
    for number in range(2):
        running = asyncio.ensure_future(line.channel.run(ear))
        line.say(f"message {number}")
        while await asyncio.wait_for(ear.entered.get(), timeout=20) != f"message {number}":
            pass
        await stop(running)
    # What was heard just before the end may be heard again, under the same id.
    heard = {(message.account, message.update_id): message.text for message in ear.heard}
    assert [*heard.values()] == ["message 0", "message 1"]


async def test_what_is_sent_is_seen_and_has_an_id_of_its_own(line: Line) -> None:
    ids = [await line.channel.send(answer(line, f"Antwort {number} ✓")) for number in range(3)]
    assert len(set(ids)) == 3
    for number in range(3):
        assert f"Antwort {number} ✓" in line.seen()


async def test_one_can_send_while_listening(line: Line) -> None:
    ear = Ear()
    running = asyncio.ensure_future(line.channel.run(ear))
    await line.channel.send(answer(line, "first"))
    line.say("hello")
    await asyncio.wait_for(ear.entered.get(), timeout=20)
    await line.channel.send(replace(answer(line, "second"), kind=OutboundKind.PROGRESS))
    await stop(running)
    assert "first" in line.seen()
    assert "second" in line.seen()


async def test_a_part_is_sent_as_it_is(line: Line) -> None:
    parts = line.channel.parts(answer(line, "one line"))
    assert len(parts) == 1
    assert await line.channel.send(parts[0])
    assert "one line" in line.seen()


async def test_parts_fit_and_lose_no_word(line: Line) -> None:
    words = " ".join(f"w{n}" for n in range(3_000))
    parts = line.channel.parts(answer(line, words))
    most = line.channel.capabilities.text_units
    assert most is None or all(len(part.text.encode("utf-16-le")) // 2 <= most for part in parts)
    said = " ".join(part.text for part in parts).split()
    assert [word for word in said if word.startswith("w")] == words.split()


async def test_a_hint_raises_nothing_even_where_it_makes_no_sense(line: Line) -> None:
    for kind in SignalKind:
        await line.channel.signal(Signal(kind, "0", click_id="none", message_id="1"))


async def test_a_file_that_is_not_there_is_said_to_be_so(line: Line) -> None:
    with pytest.raises(InvalidInput):
        await line.channel.fetch(InboundFile("nowhere", "a.txt", None), most=1000)
