"""What every channel does."""

import asyncio
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from swarm.channels.base import Channel
from swarm.channels.console import ConsoleChannel
from swarm.channels.fake import FakeChannel
from swarm.channels.registry import CHANNELS
from swarm.core.message import InboundMessage, OutboundKind, OutboundMessage


@dataclass(frozen=True)
class Line:
    """A channel and the other end of it."""

    channel: Channel
    say: Callable[[str], object]
    """Let a person write."""
    seen: Callable[[], str]
    """What the person has been shown."""


def fake() -> Iterator[Line]:
    channel = FakeChannel()
    yield Line(channel, channel.say, lambda: "\n".join(m.text for m in channel.sent))


def console() -> Iterator[Line]:
    reading, writing = os.pipe()
    out = io.StringIO()
    with os.fdopen(reading) as stream, os.fdopen(writing, "w", buffering=1) as keyboard:
        yield Line(
            ConsoleChannel(stream, out), lambda text: keyboard.write(text + "\n"), out.getvalue
        )


MAKERS = {"console": console, "fake": fake}
COVERED_ELSEWHERE: frozenset[str] = frozenset(CHANNELS.names()) - MAKERS.keys()
"""Channels that need a server; their own tests hold them to these sentences."""


@pytest.fixture(params=sorted(MAKERS))
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    yield from MAKERS[request.param]()


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
        line.channel.name, "console", None, OutboundKind.ANSWER, text, order_id="o-1"
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
    assert ear.entered.empty()
    ear.may_store.set()
    assert await asyncio.wait_for(ear.entered.get(), timeout=20) == "two"
    await stop(running)


async def test_listening_ends_when_cancelled_and_can_begin_again(line: Line) -> None:
    ear = Ear()
    for number in range(2):
        running = asyncio.ensure_future(line.channel.run(ear))
        line.say(f"message {number}")
        await asyncio.wait_for(ear.entered.get(), timeout=20)
        await stop(running)
    assert [message.text for message in ear.heard] == ["message 0", "message 1"]


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
