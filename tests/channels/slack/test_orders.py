"""Whole orders from Slack."""

from pathlib import Path
from typing import Any

from swarm.core.order import OrderStatus
from swarm.store.tables import asks
from tests.channels.companies import START_S, company_on, unhurried
from tests.servers.slack import SlackServer


def settings(server: SlackServer, founder: str) -> dict[str, Any]:
    return {
        "slack__bot_token": server.bot_token,
        "slack__app_token": server.app_token,
        "slack__base_url": server.base_url,
        "slack__chat_pause_s": "0.02",
        "slack__founders": founder,
        "budget__sign_above": "0",
    }


async def test_an_order_its_plan_its_signature_and_its_delivery_all_happen_in_one_thread(
    tmp_path: Path,
) -> None:
    provider = unhurried(questions=("Which colour?",))
    async with SlackServer() as server:
        ada = server.person("Ada")
        chat = ada.chat()
        async with company_on(
            "slack", tmp_path / "home", provider, **settings(server, ada.identity)
        ) as company:
            order = ada.says("Write a launch page for the bakery that opens in May.")
            await chat.next("is taken", timeout_s=START_S)
            # It comes again minutes later, over another socket.
            server.redeliver(server.deliveries[0])
            await chat.next("Which colour?", timeout_s=START_S)
            ada.says("Warm brown", thread=order)
            card = await chat.next("revision 1", timeout_s=START_S)
            labels = {b["text"]["text"] for b in card.buttons}
            assert {"✅ Approve", "✏️ Edit", "❌ Reject"} <= labels
            for words in ("Forecast", "Budget left", "A human team", "cto", "To sign: Ada"):
                assert words in card.shown, words
            ada.presses("Edit")
            await chat.next("What should be different")
            # Answered outside the thread, as people do.
            ada.says("Two pages, not one")
            await chat.next("revision 2", timeout_s=START_S)
            server.redeliver(ada.presses("Approve"))
            await chat.next("goes on")
            done = await chat.next("is delivered", timeout_s=START_S)
            assert {"✅ Accept", "🔁 Rework"} <= {b["text"]["text"] for b in done.buttons}
            ada.presses("Accept")
            await chat.next("is yours")
            await company.settled()
            (row,) = company.orders
            assert row["status"] == OrderStatus.ACCEPTED.value
            assert row["signed_off_by"] == "Ada"
            assert all(ask["shown_at"] for ask in company.rows(asks))
            assert all(m.thread_ts == order.ts for m in chat.from_bot if "revision" in m.shown)
            (delivered,) = [m for m in chat.from_bot if m.files]
            assert delivered.files[0].content.startswith(b"# Result")
            assert delivered.thread_ts == order.ts
            await company.until(
                lambda: any(m.edits for m in chat.from_bot if m.shown.startswith("⏳"))
            )
            said = [m.shown for m in chat.from_bot]
            assert sum("goes on" in text for text in said) == 1
            assert sum("is taken" in text for text in said) == 1
            # What was decided has no buttons any more.
            assert done.buttons == []
