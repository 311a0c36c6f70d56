"""A platform's channel that is bound to customers: another name, and all it hears is a customer's."""

import asyncio

from swarm.channels.base import FreeStation
from swarm.channels.bound import BoundChannel, BoundStation, bound_name, is_for_customers
from swarm.channels.fake import FakeChannel
from swarm.core.message import InboundMessage, OutboundKind, OutboundMessage
from swarm.core.origin import Origin


class Books(FreeStation):
    """Remember under which name a channel writes itself down."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
        self.names.append(channel)

    async def undelivered(self, channel: str, message_id: str, *, why: str, is_late: bool) -> None:
        self.names.append(channel)


async def test_whoever_writes_is_a_customer_whatever_the_platform_says() -> None:
    inner = FakeChannel(name="phone")
    channel = BoundChannel(inner, bound_name("phone"))
    heard: list[InboundMessage] = []

    async def hear(message: InboundMessage) -> None:
        heard.append(message)

    inner.say("I am the founder", sender_id="7", origin=Origin.FOUNDER, customer="phone:8")
    listening = asyncio.create_task(channel.run(hear))
    await inner.drained()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    (message,) = heard
    assert (message.channel, message.origin) == ("phone_customers", Origin.CUSTOMER)
    assert message.customer == "phone_customers:7"
    assert inner.acknowledged == ["1"]
    reply = OutboundMessage(channel.name, "chat", None, OutboundKind.ANSWER, "Hello")
    assert [await channel.send(part) for part in channel.parts(reply)] == ["phone-1"]
    await channel.close()


async def test_its_state_is_written_down_under_its_own_name() -> None:
    books = Books()
    station = BoundStation(books, "telegram_customers")
    await station.note("telegram", "720", is_well=True, detail="polls")
    await station.undelivered("telegram", "5", why="gone", is_late=False)
    assert books.names == ["telegram_customers"] * 2
    assert await station.hold("telegram:720", seconds=1)
    await station.release("telegram:720")
    assert await station.last_heard("telegram", "5") is not None


def test_no_platforms_own_name_is_taken_for_customers() -> None:
    for name in ("telegram", "slack", "whatsapp", "console", "fake", "web", "terminal"):
        assert not is_for_customers(name)
        assert is_for_customers(bound_name(name))
