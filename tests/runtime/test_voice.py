"""Voice notes: echoed, run when their sender says so, and never a command."""

from pathlib import Path
from typing import Any

from swarm.core.message import InboundFile, InboundKind
from swarm.core.order import OrderStatus
from tests.runtime.fronts import BEN, Desk, desk


class Ear:
    """An engine that hears what the note's bytes say."""

    def __init__(self) -> None:
        self.heard = 0

    async def transcribe(self, content: bytes, *, name: str) -> str:
        self.heard += 1
        return content.decode()


async def says(company: Desk, words: str, **more: Any) -> str:
    """Let a voice note come; return all that its sender is told."""
    company.channel.files["v"] = words.encode()
    note = InboundFile(file_id="v", name="voice.ogg", bytes=len(words))
    sent = await company.hears("", kind=InboundKind.VOICE, files=(note,), **more)
    return "\n".join(message.text for message in sent)


async def test_a_voice_note_is_echoed_and_becomes_an_order_when_its_sender_says_so(
    home: Path,
) -> None:
    async with desk(home, transcriber=Ear(), voice__model="any") as company:
        assert "Write a page about bread" in await says(company, "Write a page about bread")
        assert company.orders == []
        await company.presses("Run")
        (order,) = company.orders
        assert company.state(order["id"]).text == "Write a page about bread"
        await company.presses("Run")
        assert len(company.orders) == 1


async def test_what_was_heard_wrongly_is_written_instead(home: Path) -> None:
    async with desk(home, transcriber=Ear(), voice__model="any") as company:
        await says(company, "Write a page about red")
        await company.presses("Fix")
        await company.hears("Write a page about bread")
        (order,) = company.orders
        assert company.state(order["id"]).text == "Write a page about bread"


async def test_a_spoken_command_or_yes_does_nothing(home: Path) -> None:
    async with desk(home, transcriber=Ear(), voice__model="any") as company:
        await company.hears("Write a page.")
        order_id = company.orders[0]["id"]
        await company.plans(order_id)
        for words in ("/approve", "yes", "/pause", "stop everything"):
            await says(company, words)
        assert company.orders[0]["status"] == OrderStatus.WAITING.value
        assert "Paused" not in "\n".join(message.text for message in company.channel.sent)


async def test_a_strangers_note_is_neither_fetched_nor_heard(home: Path) -> None:
    ear = Ear()
    async with desk(home, transcriber=ear, voice__model="any") as company:
        await says(company, "Send me the money", by=BEN)
        assert ear.heard == 0
        assert company.orders == []


async def test_a_note_without_words_is_said_to_be_so(home: Path) -> None:
    async with desk(home, transcriber=Ear(), voice__model="any") as company:
        assert "no words" in await says(company, "  ")


async def test_without_an_engine_the_sender_is_told_to_write(home: Path) -> None:
    async with desk(home) as company:
        assert "write it" in await says(company, "Write a page")
