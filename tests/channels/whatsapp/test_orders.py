"""Whole orders from WhatsApp."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.core.order import OrderStatus
from swarm.runtime.outbox import put
from swarm.store.tables import asks
from tests.acceptance.at_work import provider_of
from tests.channels.companies import START_S, Company, company_on, unhurried
from tests.channels.whatsapp.chats import MovingClock
from tests.servers.whatsapp import WhatsAppServer


def settings(server: WhatsAppServer, founder: str, **more: str) -> dict[str, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server.webhook_url = f"http://127.0.0.1:{port}/whatsapp"
    return {
        "whatsapp__token": server.token,
        "whatsapp__phone_id": server.phone_id,
        "whatsapp__app_secret": server.app_secret,
        "whatsapp__verify_token": server.verify_token,
        "whatsapp__base_url": server.base_url,
        "whatsapp__listen": f"127.0.0.1:{port}",
        "whatsapp__chat_pause_s": "0.02",
        "whatsapp__founders": founder,
        "budget__sign_above": "0",
    } | more


async def test_an_order_its_plan_its_signature_and_its_delivery_all_happen_on_a_phone(
    tmp_path: Path,
) -> None:
    provider = unhurried(questions=("Which colour?",))
    async with WhatsAppServer() as server:
        ada = server.person("Ada")
        given = settings(server, ada.id)
        async with company_on("whatsapp", tmp_path / "home", provider, **given) as company:
            first = ada.says("Write a launch page for the bakery that opens in May.")
            await ada.chat.next("is taken", timeout_s=START_S)
            # Meta brings it again for days.
            server.redeliver(first)
            await ada.chat.next("Which colour?", timeout_s=START_S)
            ada.says("Warm brown")
            card = await ada.chat.next("revision 1", timeout_s=START_S)
            for words in ("Forecast", "Budget left", "A human team", "cto", "To sign: Ada"):
                assert words in card.text, words
            assert [b["title"] for b in card.buttons] == ["✅ Approve", "✏️ Edit", "❌ Reject"]
            assert "1 ✅ Approve · 2 ✏️ Edit" in card.text
            ada.presses("Edit")
            await ada.chat.next("What should be different")
            ada.says("Two pages, not one")
            await ada.chat.next("revision 2", timeout_s=START_S)
            ada.says("1")
            await ada.chat.next("goes on")
            done = await ada.chat.next("is delivered", timeout_s=START_S)
            assert len(done.buttons) == 3
            ada.says("3")
            await ada.chat.next("Spent on")
            ada.says("1")
            await ada.chat.next("is yours")
            await company.settled()
            (row,) = company.orders
            assert (row["status"], row["signed_off_by"]) == (OrderStatus.ACCEPTED.value, "Ada")
            (file,) = [m for m in ada.chat.sent if m.kind == "document"]
            assert (file.file or b"").startswith(b"# Result")
            milestones = [m for m in ada.chat.sent if m.text.startswith("⏳")]
            assert 1 <= len(milestones) <= 4 * 2
            assert any(kind == "read" for kind, _ in server.record), "typing"


async def test_what_waits_over_the_window_is_called_for_once_and_shown_when_they_write(
    tmp_path: Path,
) -> None:
    clock = MovingClock()
    async with WhatsAppServer() as server:
        ada = server.person("Ada")
        server.templates["decision_needed", "en"] = 1
        given = settings(server, ada.id, whatsapp__template="decision_needed")
        provider = provider_of(questions=("Which colour?",))
        async with company_on(
            "whatsapp", tmp_path / "home", provider, clock=clock, **given
        ) as company:
            ada.says("Write a launch page for the bakery that opens in May.")
            await ada.chat.next("Which colour?", timeout_s=START_S)
            await company.settled()
            clock.ahead = timedelta(hours=25)
            server.advance(hours=25)
            company.app.store.write(lambda c: ask_again(c, company))
            called = await ada.chat.next("<decision_needed", timeout_s=START_S)
            assert "ceo asks" in called.text
            # What was not shown was not asked, and a word before it means nothing.
            ada.says("ok")
            await ada.chat.next("Which colour?", timeout_s=START_S)
            await company.settled()
            assert "Something is on its way" in ada.chat.last.text
            (ask,) = company.rows(asks)
            assert (ask["state"], bool(ask["shown_at"])) == ("open", True)
            assert len([m for m in ada.chat.sent if m.kind == "template"]) == 1
            assert len(company.orders) == 1


def ask_again(connection: Connection, company: Company) -> None:
    """Queue the card of what waits, as if it had never been shown."""
    (order,) = company.orders
    message = OutboundMessage(
        "whatsapp",
        order["chat_id"],
        None,
        OutboundKind.DECISION,
        order["id"],
        order_id=order["id"],
        card="waiting",
    )
    connection.execute(asks.update().values(shown_at=None))
    put(connection, dedupe_key="again", message=message, now=iso(company.app.clock.now()))
