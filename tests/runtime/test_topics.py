"""Topics for orders, on a platform that does what it is told to."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.channels.base import SendRefused, ThreadGone
from swarm.channels.fake import FakeChannel
from swarm.core.clock import iso
from swarm.core.errors import Transient
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.runtime.outbox import put
from swarm.store.tables import orders, topics
from tests.runtime.fronts import PHONE, Desk, desk

GROUP = "-100"


class Forum(FakeChannel):
    """A platform with topics."""

    def __init__(self) -> None:
        super().__init__(name="phone", capabilities=replace(PHONE, has_topics=True))
        self.topics: dict[str, str] = {}
        self.gone: set[str] = set()
        self.fails: list[Exception] = []
        self.asked = 0

    async def open_topic(self, chat_id: str, name: str) -> str:
        self.asked += 1
        if self.fails:
            raise self.fails.pop(0)
        thread = str(7 + len(self.topics))
        self.topics[thread] = name
        return thread

    async def end_topic(self, chat_id: str, thread_id: str, name: str) -> None:
        self.topics[thread_id] = f"{name} (closed)"

    async def send(self, message: OutboundMessage) -> str:
        if message.thread_id in self.gone:
            raise ThreadGone("message thread not found")
        return await super().send(message)


async def order(company: Desk, thread_id: str | None = None, **more: Any) -> str:
    """Let Ada order something in the group; return the order's id."""
    before = {row["id"] for row in company.orders}
    text = "new order: write a page about bread"
    await company.hears(
        text, chat_id=GROUP, thread_id=thread_id, is_private=False, is_addressed=True, **more
    )
    (found,) = {row["id"] for row in company.orders} - before
    return str(found)


def tell(company: Desk, order_id: str, text: str, kind: str = "answer", **more: Any) -> None:
    """Queue what the company says of an order by itself."""
    values = {"chat_id": GROUP, "thread_id": None, **more}
    message = OutboundMessage(
        channel="phone", kind=OutboundKind(kind), text=text, order_id=order_id, **values
    )
    now = iso(company.clock.now())
    company.app.store.write(lambda c: put(c, dedupe_key=text, message=message, now=now))


async def told(company: Desk, *texts: str) -> list[tuple[str, str | None]]:
    """Return the newest messages with the threads they went to, once all is sent."""
    await company.settled()
    return [(m.text, m.thread_id) for m in company.channel.sent if m.text in texts]


def state_of(company: Desk, order_id: str) -> str:
    (row,) = [row for row in company.rows(topics) if row["order_id"] == order_id]
    return str(row["state"])


@pytest.fixture
async def room(home: Path) -> Any:
    channel = Forum()
    async with desk(home, channel=channel, telegram__groups=GROUP) as company:
        yield company, channel


Room = tuple[Desk, Forum]


async def test_two_orders_have_two_topics_and_each_its_own_messages(room: Room) -> None:
    company, forum = room
    one, two = await order(company), await order(company)
    for number in range(3):
        tell(company, one, f"one {number}")
        tell(company, two, f"two {number}")
    texts = [f"{who} {n}" for who in ("one", "two") for n in range(3)]
    found = dict(await told(company, *texts))
    assert {found[f"one {n}"] for n in range(3)} != {found[f"two {n}"] for n in range(3)}
    assert set(found.values()) == set(forum.topics)
    assert forum.asked == 2
    assert sorted(name.split()[0] for name in forum.topics.values()) == sorted([one, two])


async def test_words_in_its_topic_are_about_the_order(room: Room) -> None:
    company, _ = room
    one, _two = await order(company), await order(company)
    tell(company, one, "one")
    ((_, thread),) = await told(company, "one")
    said = await company.hears(
        "Rye above all.", chat_id=GROUP, thread_id=thread, is_private=False, is_addressed=False
    )
    assert [(one in m.text, m.thread_id) for m in said] == [(True, thread)]


async def test_in_private_there_are_none(room: Room) -> None:
    company, forum = room
    await company.hears("Write a page about bread.")
    (placed,) = company.orders
    tell(company, placed["id"], "private", chat_id="c1")
    await company.settled()
    assert forum.asked == 0


async def test_a_flood_is_waited_out_and_one_topic_opened(room: Room) -> None:
    company, forum = room
    forum.fails = [Transient("slow down", kind="rate_limit", retry_after_s=0.05)] * 2
    one = await order(company)
    tell(company, one, "one")
    ((_, thread),) = await told(company, "one")
    assert thread in forum.topics
    assert (forum.asked, len(forum.topics)) == (3, 1)


async def test_where_nobody_knows_whether_it_was_opened_no_second_one_is(room: Room) -> None:
    company, forum = room
    forum.fails = [TimeoutError("the line was cut")]
    one = await order(company, "5")
    await order(company, "5")
    tell(company, one, "one", thread_id="5")
    tell(company, one, "more", thread_id="5")
    assert await told(company, "one", "more") == [("one", "5"), ("more", "5")]
    assert forum.asked == 1
    assert state_of(company, one) == "opening"


async def test_a_group_that_refuses_is_left_alone_for_an_hour(room: Room) -> None:
    company, forum = room
    forum.fails = [SendRefused("the chat is not a forum")]
    one, two = await order(company), await order(company)
    tell(company, one, "one")
    tell(company, two, "two")
    assert await told(company, "one", "two") == [("one", None), ("two", None)]
    company.clock.ahead += timedelta(seconds=3601)
    three = await order(company)
    tell(company, three, "three")
    ((_, thread),) = await told(company, "three")
    assert thread in forum.topics


async def test_the_topic_that_a_person_chose_is_kept_unless_another_order_lives_there(
    room: Room,
) -> None:
    company, forum = room
    one = await order(company, "5")
    tell(company, one, "one", thread_id="5")
    assert await told(company, "one") == [("one", "5")]
    two = await order(company, "5")
    tell(company, two, "two", thread_id="5")
    ((_, thread),) = await told(company, "two")
    assert thread in forum.topics


async def test_a_topic_that_is_lost_is_told_of_once_and_all_goes_where_it_was_ordered(
    room: Room,
) -> None:
    company, forum = room
    await order(company, "5")
    one = await order(company, "5")
    tell(company, one, "one", thread_id="5")
    ((_, thread),) = await told(company, "one")
    assert thread not in ("5", None)
    forum.gone.add(str(thread))
    tell(company, one, "two", thread_id="5")
    tell(company, one, "three", thread_id=thread)
    before = len(company.channel.sent)
    await company.settled()
    said = [(m.text[:12], m.thread_id) for m in company.channel.sent[before:]]
    assert said == [("↪ The topic ", "5"), ("two", "5"), ("three", "5")]
    assert state_of(company, one) == "lost"
    # Written by work that began before: it is told of once.
    tell(company, one, "late", thread_id=thread)
    assert await told(company, "late") == [("late", "5")]
    assert sum("↪" in m.text for m in company.channel.sent) == 1
    # And where that one is lost as well, in the group itself.
    forum.gone.add("5")
    tell(company, one, "four", thread_id="5")
    assert await told(company, "four") == [("four", None)]


async def test_the_topic_of_an_order_that_is_over_is_renamed_and_closed(room: Room) -> None:
    company, forum = room
    one = await order(company)
    tell(company, one, "one")
    ((_, thread),) = await told(company, "one")
    company.app.store.write(
        lambda c: c.execute(sa.update(orders).where(orders.c.id == one).values(status="accepted"))
    )
    tell(company, one, "yours")
    await company.until(lambda: "(closed)" in forum.topics[str(thread)])
    assert forum.topics[str(thread)].startswith(f"✅ {one}")


async def test_an_order_that_ended_at_the_terminal_is_closed_at_the_next_start(home: Path) -> None:
    forum = Forum()
    async with desk(home, channel=forum, telegram__groups=GROUP) as company:
        one = await order(company)
        tell(company, one, "one")
        await told(company, "one")
        company.app.store.write(lambda c: c.execute(sa.update(orders).values(status="cancelled")))
    async with desk(home, channel=forum, has_founder=False, telegram__groups=GROUP) as company:
        await company.until(lambda: "(closed)" in forum.topics["7"])


async def test_a_worker_that_died_while_it_asked_opens_no_second_topic(home: Path) -> None:
    forum = Forum()
    hangs = asyncio.Event()

    async def hang(chat_id: str, name: str) -> str:
        forum.asked += 1
        hangs.set()
        await asyncio.Event().wait()
        return ""

    whole, forum.open_topic = forum.open_topic, hang  # type: ignore[method-assign]
    async with desk(home, channel=forum, telegram__groups=GROUP) as company:
        one = await order(company)
        tell(company, one, "one")
        await hangs.wait()
    forum.open_topic = whole  # type: ignore[method-assign]
    async with desk(home, channel=forum, has_founder=False, telegram__groups=GROUP) as company:
        tell(company, one, "two")
        assert await told(company, "two") == [("two", None)]
    assert (forum.asked, forum.topics) == (1, {})
