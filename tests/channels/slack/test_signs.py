"""The sign that somebody works, under the thread of an order."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from swarm.channels.slack.channel import STATUS, SlackChannel
from swarm.core.message import Signal, SignalKind
from tests.channels.slack.test_channel import MENU, Ear, config, listening, message
from tests.channels.whatsapp.chats import MovingClock
from tests.servers.slack import Fault, Person, SlackServer


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(ack_s=0.5) as found:
        yield found


@pytest.fixture
def ada(server: SlackServer) -> Person:
    return server.person("Ada")


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def channel(server: SlackServer, clock: MovingClock) -> AsyncIterator[SlackChannel]:
    found = SlackChannel(config(server), clock=clock, menu=MENU)
    yield found
    await found.close()


async def test_a_thread_at_work_shows_so_until_something_is_said_there(
    ada: Person, channel: SlackChannel, clock: MovingClock
) -> None:
    ear = Ear()
    async with listening(channel, ear):
        order = ada.says("Write a page")
        await ear.until(1)
        room = ada.chat().channel
        typing = Signal(SignalKind.TYPING, room.id, thread_id=order.ts)
        for _ in range(5):
            await channel.signal(typing)
        assert room.statuses == {order.ts: STATUS}
        assert room.status_calls == 1, "renewed once a minute, not with every sign"
        clock.ahead += timedelta(seconds=61)
        await channel.signal(typing)
        assert room.status_calls == 2
        await channel.send(message(ada, "half way", thread_id=order.ts))
        assert room.statuses == {}
        await channel.signal(typing)
        assert room.statuses == {order.ts: STATUS}


async def test_outside_a_thread_and_for_an_app_that_may_not_nothing_is_asked_for(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    room = ada.chat().channel
    await channel.signal(Signal(SignalKind.TYPING, room.id))
    assert room.status_calls == 0
    server.faults.append(Fault("assistant.threads.setStatus", code="access_denied"))
    for _ in range(3):
        await channel.signal(Signal(SignalKind.TYPING, room.id, thread_id="1.000001"))
    assert room.status_calls == 0
    assert not server.faults, "asked once, and then left alone"
