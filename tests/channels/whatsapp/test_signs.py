"""The sign that somebody types."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from swarm.channels.whatsapp.channel import WhatsAppChannel
from swarm.core.message import Signal, SignalKind
from tests.channels.whatsapp.chats import Ear, MovingClock, config, listening, message
from tests.servers.whatsapp import WhatsAppServer


@pytest.fixture
async def server() -> AsyncIterator[WhatsAppServer]:
    async with WhatsAppServer() as found:
        yield found


async def test_it_is_renewed_before_meta_takes_it_away_and_no_sooner(
    server: WhatsAppServer,
) -> None:
    clock = MovingClock()
    channel = WhatsAppChannel(config(server), clock=clock)
    ada = server.person("Ada")
    server.windows[ada.id] = server.now()
    ear = Ear()

    def marks() -> list[str]:
        return [str(d["message_id"]) for kind, d in server.record if kind == "read"]

    async with listening(channel, ear, server):
        typing = Signal(SignalKind.TYPING, ada.id)
        await channel.signal(typing)
        assert marks() == [], "there is nothing to answer yet"
        first = ada.says("Write a page")
        await ear.until(1)
        for _ in range(4):
            await channel.signal(typing)
        assert marks() == [first.message_id]
        (_, document) = server.record[-1]
        assert document["typing_indicator"] == {"type": "text"}
        clock.ahead += timedelta(seconds=21)
        await channel.signal(typing)
        assert len(marks()) == 2
        await channel.send(message(ada, "half way"))
        await channel.signal(typing)
        assert len(marks()) == 3, "what is sent takes the sign away"
        second = ada.says("And one on cheese")
        await ear.until(2)
        await channel.signal(typing)
        assert marks()[-1] == second.message_id
    assert server.violations == []
    await channel.close()
