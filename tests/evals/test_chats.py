"""Orders that were steered from a chat are recorded, and come out the same with no network."""

from pathlib import Path
from typing import Any

import pytest

from swarm.core.order import OrderStatus
from swarm.evals.cassette import Cassette, read, write
from swarm.evals.recording import record
from swarm.evals.replaying import Replay
from tests.channels.companies import START_S, Company, company_on, unhurried
from tests.channels.slack.test_orders import settings as slack_settings
from tests.channels.telegram.chats import chatting
from tests.channels.whatsapp.test_orders import settings as whatsapp_settings
from tests.evals.shelf import played
from tests.runtime.test_transcribing import MODEL, PRICES, ogg, serving
from tests.servers.slack import SlackServer
from tests.servers.whatsapp import WhatsAppServer

ORDER = "Write a launch page for the bakery that opens in May."


async def again(cassette: Cassette, folder: Path) -> Replay:
    """Play a cassette as it is read from a file."""
    write(cassette, folder / "order.jsonl")
    kept = read(folder / "order.jsonl")
    assert kept == cassette
    return await played(kept, folder)


def taken(company: Company) -> Cassette:
    """Record the one order of a company, which was accepted."""
    (row,) = company.orders
    assert row["status"] == OrderStatus.ACCEPTED.value
    return record(company.app, row["id"])


async def on_slack(home: Path) -> Cassette:
    async with SlackServer() as server:
        ada = server.person("Ada")
        chat, given = ada.chat(), slack_settings(server, ada.identity)
        provider = unhurried(questions=("Which colour?",))
        async with company_on("slack", home, provider, **given) as company:
            order = ada.says(ORDER)
            await chat.next("Which colour?", timeout_s=START_S)
            ada.says("Warm brown", thread=order)
            await chat.next("revision 1", timeout_s=START_S)
            ada.presses("Edit")
            await chat.next("What should be different")
            ada.says("Two pages, not one")
            await chat.next("revision 2", timeout_s=START_S)
            ada.says("/pause")
            await chat.next("aused")
            ada.says("/resume")
            await company.settled()
            ada.presses("Approve")
            await chat.next("is delivered", timeout_s=START_S)
            ada.presses("Accept")
            await chat.next("is yours")
            await company.settled()
            return taken(company)


async def on_whatsapp(home: Path) -> Cassette:
    async with WhatsAppServer() as server:
        ada = server.person("Ada")
        provider = unhurried(questions=("Which colour?",))
        given = whatsapp_settings(server, ada.id)
        async with company_on("whatsapp", home, provider, **given) as company:
            ada.says(ORDER)
            await ada.chat.next("Which colour?", timeout_s=START_S)
            ada.says("Warm brown")
            await ada.chat.next("revision 1", timeout_s=START_S)
            ada.presses("Edit")
            await ada.chat.next("What should be different")
            ada.says("Two pages, not one")
            await ada.chat.next("revision 2", timeout_s=START_S)
            ada.says("1")
            await ada.chat.next("is delivered", timeout_s=START_S)
            ada.says("3")
            await ada.chat.next("Spent on")
            ada.says("1")
            await ada.chat.next("is yours")
            await company.settled()
            return taken(company)


@pytest.mark.parametrize("day", [on_slack, on_whatsapp], ids=lambda day: day.__name__)
async def test_an_order_from_a_chat_comes_out_the_same_to_the_last_message(
    day: Any, tmp_path: Path
) -> None:
    cassette = await day(tmp_path / "company")
    assert [e["channel"] for e in cassette.lane("inbound")] != []
    found = await again(cassette, tmp_path)
    assert found.misses == []
    assert found.leftover == []
    assert found.is_same
    said = {entry["key"]: entry["text"] for entry in cassette.lane("message")}
    assert {message["key"]: message["text"] for message in found.messages} == said
    assert any("revision 2" in text for text in said.values())


async def test_a_spoken_order_is_recorded_by_its_words_and_pays_for_them_again(
    tmp_path: Path,
) -> None:
    sound = ogg(90)
    async with serving() as hearing:
        settings: dict[str, Any] = {
            "voice__api_base": hearing.url, "voice__model": MODEL, "voice__api_key": "sk-voice",
            "prices": PRICES,
        }  # fmt: skip
        async with chatting(tmp_path / "company", **settings) as company:
            company.ada.sends_voice(sound)
            await company.sees("Write a page about bread")
            company.ada.presses("Run")
            await company.sees("is delivered")
            await company.settled()
            (row,) = company.orders
            cassette = record(company.app, row["id"])
    first = cassette.lane("inbound")[0]
    assert first["text"] == "/order Write a page about bread"
    assert first["spoken"]["by"] == MODEL
    (note,) = first["spoken"]["notes"]
    (call,) = [e for e in cassette.lane("model") if e["role"] == "transcriber"]
    assert call["request"]["messages"][0]["content"][0]["sha256"] == note
    assert call["charge"]["cost"] == "0.009"
    found = await again(cassette, tmp_path)
    assert found.misses == []
    assert found.leftover == []
    assert found.is_same
    assert found.calls == len(cassette.lane("model"))
