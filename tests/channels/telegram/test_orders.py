"""Whole orders from a phone."""

from pathlib import Path

from swarm.core.order import OrderStatus
from tests.acceptance.at_work import provider_of
from tests.channels.telegram.chats import ADA, chatting
from tests.servers.telegram import TelegramServer, faults


async def test_an_order_its_plan_its_signature_and_its_delivery_all_happen_on_a_phone(
    tmp_path: Path,
) -> None:
    provider = provider_of(questions=("Which colour?",))
    async with chatting(tmp_path / "home", provider, budget__sign_above="0") as company:
        ada = company.ada
        ada.says("Write a launch page for the bakery that opens in May.")
        await company.sees("is taken")
        await company.sees("Which colour?")
        ada.says("Warm brown")
        card = await company.sees("revision 1")
        assert {"✅ Approve", "✏️ Edit", "❌ Reject"} <= {b.text for b in card.buttons}
        for words in ("Forecast", "Budget left", "A human team", "cto", "To sign: Ada"):
            assert words in card.text, words
        await ada.presses("Edit").answered()
        await company.sees("What should be different")
        ada.says("Two pages, not one")
        card = await company.sees("revision 2")
        await ada.presses("Approve").answered()
        await company.sees("goes on")
        done = await company.sees("is delivered")
        assert {"✅ Accept", "🔁 Rework", "💶 Show cost"} <= {b.text for b in done.buttons}
        await ada.presses("Show cost").answered()
        await company.sees("Spent on")
        await ada.presses("Rework").answered()
        await company.sees("What should be different")
        ada.says("Make it shorter")
        card = await company.sees("revision 3")
        ada.says("yes")
        await company.sees("is delivered")
        await ada.presses("Accept").answered()
        await company.sees("is yours")
        await company.settled()
        (order,) = company.orders
        assert order["status"] == OrderStatus.ACCEPTED.value
        assert order["signed_off_by"] == "Ada"


async def test_a_flood_a_dead_network_and_a_stranger_change_nothing_for_the_founder(
    tmp_path: Path,
) -> None:
    async with chatting(tmp_path / "home") as company:
        server, ada = company.server, company.ada
        eve = server.person("Ada")
        server.faults.add(faults.too_many(1), "sendMessage", chat_id=ada.id)
        server.faults.add(faults.server_error(500), "getUpdates")
        eve.says("/approve all")
        ada.says("Write a page.")
        await company.sees("is taken")
        await server.go_down()
        await server.come_back()
        await company.sees("is delivered")
        await company.settled()
        assert [row["sender_id"] for row in company.orders] == [str(ada.id)]
        assert "pairing approve" in eve.chat().last.text
        assert server.rates.disobeyed == []
        assert not any("broke" in m.text or "rror" in m.text for m in company.chat.from_bot)


async def test_an_order_in_a_topic_is_answered_in_its_topic(tmp_path: Path) -> None:
    async with TelegramServer() as server:
        ada = server.person("Ada", id=ADA)
        group = server.group("Team", ada, is_forum=True, is_bot_admin=True)
        ada.says("hello all", chat=group)
        topic = ada.opens_topic("Launch", group)
        async with chatting(
            tmp_path / "home",
            server=server,
            telegram__groups=str(group.id),
            budget__sign_above="0",
        ) as company:
            ada.says(f"@{server.bot.user.username} write a page", chat=group, topic=topic)
            await group.next("revision 1", timeout_s=40)
            ada.says("yes", chat=group, topic=topic)
            await group.next("is delivered", timeout_s=40)
            await company.settled()
        said = [m.text for m in group.in_topic(topic)]
        assert any("is delivered" in text for text in said)
        assert not any("is delivered" in m.text for m in group.in_topic(None))
        assert len(company.orders) == 1
