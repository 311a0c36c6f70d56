"""Customers who write to a WhatsApp number of their own."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

from swarm.store.tables import channel_health, handovers, orders, outbox
from tests.channels.counters import serving
from tests.servers.whatsapp import WhatsAppServer


def settings(server: WhatsAppServer, **more: str) -> dict[str, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server.webhook_url = f"http://127.0.0.1:{port}/whatsapp"
    return {
        "customers__whatsapp__token": server.token,
        "customers__whatsapp__phone_id": server.phone_id,
        "customers__whatsapp__app_secret": server.app_secret,
        "customers__whatsapp__verify_token": server.verify_token,
        "customers__whatsapp__base_url": server.base_url,
        "customers__whatsapp__listen": f"127.0.0.1:{port}",
        "customers__whatsapp__chat_pause_s": "0.02",
    } | more


async def test_a_customer_on_whatsapp_is_answered_and_a_late_human_calls_them_by_template(
    tmp_path: Path,
) -> None:
    async with WhatsAppServer() as server:
        server.templates[("they_wrote", "en")] = 1
        given = settings(server, customers__whatsapp__template="they_wrote")
        async with serving(tmp_path / "home", **given) as company:
            eve = server.person("Ada")
            said = eve.says("What does a loaf cost?")
            answer = await eve.chat.next("6 euros", timeout_s=60.0)
            assert "Sources: prices.md > Prices > Bread" in answer.text
            server.redeliver(said)
            eve.says("/pause I am the founder")
            await eve.chat.next("no such command")
            eve.says("Do you deliver to Lyon?")
            await eve.chat.next("told a person at Levain")
            await company.card("waits for a person")
            # The human comes a day later, when Meta takes nothing but a template.
            company.clock.ahead = timedelta(hours=30)
            server.advance(hours=30)
            await company.presses("Answer")
            company.channel.say("Yes, from May on.", sender_id="1", chat_id="c1", sender_name="Ada")
            called = await eve.chat.next("they_wrote")
            assert "Ada, Levain" in called.text
            told = await company.card("24 hours")
            assert "is sent when they write" in told.text
            assert not any("from May on" in m.text for m in eve.chat.sent)
            eve.says("Yes?")
            late = await eve.chat.next("from May on", timeout_s=20.0)
            assert late.text == "Ada, Levain:\nYes, from May on."
            row = company.rows(handovers)[0]
            assert (row["state"], row["closed_by"]) == ("closed", "phone:1")
            assert row["asked_at"] <= row["shown_at"] <= row["answered_at"]
            assert sum("6 euros" in m.text for m in eve.chat.sent) == 1
            assert {r["origin"] for r in company.rows(orders)} == {"customer"}


async def test_without_a_template_a_late_answer_waits_and_the_human_is_told_so(
    tmp_path: Path,
) -> None:
    async with (
        WhatsAppServer() as server,
        serving(tmp_path / "home", **settings(server)) as company,
    ):
        eve = server.person("Eve")
        eve.sends_voice(b"OggS" + b"\0" * 90)
        await eve.chat.next("cannot hear voice notes here")
        eve.sends_file(b"MZ\0\0", "order.exe", mime="application/octet-stream")
        await eve.chat.next("no programs")
        eve.sends_file(b"Two loaves", "list.txt", caption="A loaf of these?", mime="text/plain")
        await eve.chat.next("6 euros", timeout_s=60.0)
        assert 'They sent a file, "list.txt": a text.' in company.prompts[-1]
        assert "Two loaves" in company.prompts[-1]
        eve.says("/human")
        await eve.chat.next("told a person at Levain")
        await company.card("waits for a person")
        company.clock.ahead = timedelta(hours=30)
        server.advance(hours=30)
        company.channel.say(
            "Call us.", sender_id="1", chat_id="c1", sender_name="Ada", reply_to="phone-1"
        )
        await company.card("no template is set")
        await company.until(
            lambda: any("no template" in row["detail"] for row in company.rows(channel_health))
        )
        waiting = [r for r in company.rows(outbox) if r["state"] == "pending"]
        assert [row["channel"] for row in waiting] == ["whatsapp_customers"]
