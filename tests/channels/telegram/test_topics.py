"""A topic for each order, in groups that have topics."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarm.store.tables import topics
from tests.channels.telegram.chats import ADA, Chatting, chatting
from tests.servers.telegram import Conversation, TelegramServer, Topic


@dataclass
class Forum:
    """A company that listens in a forum."""

    company: Chatting
    group: Conversation

    def orders(self, text: str, *, topic: Topic | None = None) -> None:
        """Let Ada order something."""
        name = self.company.server.bot.user.username
        self.company.ada.says(f"@{name} {text}", chat=self.group, topic=topic)

    async def sees(self, words: str) -> Any:
        return await self.group.next(words, timeout_s=90)

    def said(self, topic: Topic | None) -> str:
        """Return all that the bot said in a topic, or in General."""
        found = self.group.in_topic(topic)
        return "\n".join(m.text for m in found if m.is_bot)

    def states(self) -> list[str]:
        return [str(row["state"]) for row in self.company.rows(topics)]


@contextlib.asynccontextmanager
async def forum(
    home: Path, *, is_forum: bool = True, is_bot_admin: bool = True, is_on: str = "true"
) -> AsyncIterator[Forum]:
    async with TelegramServer() as server:
        ada = server.person("Ada", id=ADA)
        group = server.group("Team", ada, is_forum=is_forum, is_bot_admin=is_bot_admin)
        # The first number of a group is General's.
        ada.says("hello all", chat=group)
        async with chatting(
            home,
            server=server,
            telegram__groups=str(group.id),
            telegram__topics=is_on,
            budget__sign_above="0",
        ) as company:
            yield Forum(company, group)
        assert server.violations == []


async def test_an_order_has_a_topic_of_its_own_from_its_plan_to_its_end(tmp_path: Path) -> None:
    async with forum(tmp_path / "home") as room:
        room.orders("write a page about bread")
        card = await room.sees("revision 1")
        (topic,) = room.group.topics
        assert card.topic == topic.id
        (order,) = room.company.orders
        assert topic.name.startswith(order["id"])
        assert "is taken" in room.said(None), "what answers a message stands beside it"
        # In its topic, plain words are about the order.
        room.company.ada.says("yes", chat=room.group, topic=topic)
        done = await room.sees("is delivered")
        assert done.topic == topic.id
        await room.company.ada.presses("Accept", chat=room.group).answered()
        await room.sees("is yours")
        await room.company.until(lambda: topic.is_closed)
        assert topic.name.startswith("✅ ")
        assert "is delivered" not in room.said(None)
        assert room.states() == ["closed"]


@pytest.mark.parametrize("why", ["no forum", "no right"])
async def test_without_topics_or_the_right_to_them_it_goes_on_where_it_was_given(
    tmp_path: Path, why: str
) -> None:
    async with forum(
        tmp_path / "home",
        is_forum=why != "no forum",
        is_bot_admin=why != "no right",
    ) as room:
        for number, subject in enumerate(("bread", "cheese")):
            room.orders(f"write a page about {subject}")
            await room.sees("revision 1")
            # While it waits, the next order could be a word on it.
            order_id = room.company.orders[number]["id"]
            room.company.app.office.approve(order_id, by="ada")
            await room.sees(f"{order_id} is delivered")
        await room.company.settled()
        assert room.group.topics == []
        asked = len(room.company.server.calls("createForumTopic"))
        assert asked == 1, "a refusal is not asked for again"


async def test_a_topic_that_a_person_deleted_is_told_of_and_the_order_goes_on(
    tmp_path: Path,
) -> None:
    async with forum(tmp_path / "home") as room:
        room.orders("write a page about bread")
        card = await room.sees("revision 1")
        room.company.ada.deletes_topic(room.group.topics[0], room.group)
        room.company.app.office.approve(room.company.orders[0]["id"], by="ada")
        done = await room.sees("is delivered")
        assert done.topic is None
        await room.company.settled()
        said = room.said(None)
        assert said.count("was closed or deleted") == 1
        assert said.index("was closed or deleted") < said.index("is delivered")
        assert room.states() == ["lost"]
        assert card.topic is not None


async def test_a_topic_that_was_closed_to_the_bot_is_told_of(tmp_path: Path) -> None:
    async with forum(tmp_path / "home", is_bot_admin=False) as room:
        launch = room.company.ada.opens_topic("Launch", room.group)
        room.orders("write a page about bread", topic=launch)
        await room.sees("revision 1")
        room.company.ada.closes_topic(launch, room.group)
        room.company.app.office.approve(room.company.orders[0]["id"], by="ada")
        assert (await room.sees("is delivered")).topic is None
        await room.company.settled()
        assert room.said(None).count("was closed or deleted") == 1
