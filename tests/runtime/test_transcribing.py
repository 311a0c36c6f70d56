"""Voice notes that a server writes down: on the books before there is an order, and then on the order."""

import asyncio
import contextlib
import email.parser
import email.policy
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from swarm.app import App
from swarm.channels.voice.config import VoiceConfig
from swarm.channels.voice.length import at_most_s, seconds_of
from swarm.core.errors import ConfigError, InvalidInput
from swarm.core.message import InboundFile, InboundKind
from swarm.core.money import from_pico
from swarm.ledger.metered import ModelAccess
from swarm.ledger.reports.check import faults
from swarm.ledger.unplaced import MeteredVoice, UnplacedBook, unplaced
from swarm.llm.transcription import Transcriptions
from swarm.runtime.transcribing import PaidTranscriber
from swarm.settings import load
from swarm.store.tables import budgets, ledger
from tests.acceptance.at_work import settings_of
from tests.runtime.fronts import Desk, desk

MODEL = "openai/whisper-1"
PRICES = json.dumps({MODEL: {"audio_per_minute": "0.006"}})
WORDS = "Write a page about bread"


def ogg(seconds: float, *, filler: int = 900) -> bytes:
    """Return the pages that tell a length: the head of an Opus stream, and its last page."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48_000, 0, 0)
    granule = int(seconds * 48_000) + 312
    pages = [(2, 0, head), (4, granule, b"\1" * 40)]
    found = b""
    for number, (kind, at, body) in enumerate(pages):
        found += b"OggS" + struct.pack("<BBqIIIB", 0, kind, at, 7, number, 0, 1)
        found += bytes([len(body)]) + body + (b"\0" * filler if not number else b"")
    return found


@dataclass
class Server:
    """A server of transcripts, over a real socket."""

    url: str = ""
    answers: list[tuple[int, Any]] = field(default_factory=list)
    """Status and body of the next answers; a body of bytes is sent as it is, None cuts the line."""
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        parts = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
            b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body
        )
        fields: dict[str, Any] = {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
            for part in parts.iter_parts()
        }
        self.asked.append(
            {"path": lines[0].split()[1], "key": headers.get("authorization"), **fields}
        )
        said = {"text": WORDS, "usage": {"type": "duration", "seconds": 90}}
        status, answer = self.answers.pop(0) if self.answers else (200, said)
        if answer is not None:
            payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(payload)}\r\n".encode())
            writer.write(b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + payload)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    made = Server()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield made


@contextlib.asynccontextmanager
async def hearing(home: Path, server: Server, **more: str) -> AsyncIterator[Desk]:
    settings = {
        "voice__api_base": server.url, "voice__model": MODEL, "voice__api_key": "sk-voice",
        "voice__language": "en", "prices": PRICES, **more,
    }  # fmt: skip
    async with desk(home, transcriber=None, **settings) as company:  # type: ignore[arg-type]
        yield company


async def says(company: Desk, content: bytes, **more: Any) -> str:
    """Let a voice note come; return all that its sender is told."""
    company.channel.files["v"] = content
    note = InboundFile(file_id="v", name="voice.ogg", bytes=len(content))
    sent = await company.hears("", kind=InboundKind.VOICE, files=(note,), **more)
    return "\n".join(message.text for message in sent)


def lines(company: Desk) -> list[tuple[str, str, Decimal, str]]:
    return [
        (row["order_id"], row["state"], from_pico(row["cost_pico"]), row["cost_status"])
        for row in company.rows(ledger)
    ]


def spent(company: Desk, scope: str) -> Decimal:
    (row,) = [row for row in company.rows(budgets) if row["scope"].startswith(scope)]
    assert row["reserved_pico"] == 0
    return from_pico(row["spent_pico"])


async def test_a_note_is_paid_by_the_minute_and_booked_on_the_order_that_it_becomes(
    home: Path,
) -> None:
    async with serving() as server, hearing(home, server) as company:
        assert WORDS in await says(company, ogg(89.2))
        (asked,) = server.asked
        assert asked["path"] == "/v1/audio/transcriptions"
        assert asked["key"] == "Bearer sk-voice"
        assert (asked["model"], asked["language"]) == (b"whisper-1", b"en")
        assert asked["file"] == ogg(89.2)
        ((name, state, cost, status),) = lines(company)
        assert name.startswith("voice:")
        assert (state, cost, status) == ("used", Decimal("0.009"), "paid")
        await company.presses("Run")
        (order,) = company.orders
        assert lines(company) == [(order["id"], "used", Decimal("0.009"), "paid")]
        for scope in (f"order:{order['id']}", "day:", "company"):
            assert spent(company, scope) == Decimal("0.009")
        assert "0.009 USD" in (await company.hears(f"/cost {order['id']}"))[0].text
        assert company.app.store.read(lambda c: list(faults(c))) == []


async def test_a_note_that_is_written_anew_is_booked_on_what_was_written(home: Path) -> None:
    async with serving() as server, hearing(home, server) as company:
        await says(company, ogg(2))
        await company.presses("Fix")
        await company.hears("Write a page about rye")
        (order,) = company.orders
        assert [line[0] for line in lines(company)] == [order["id"]]


async def test_a_note_that_is_thrown_away_stays_on_the_company(home: Path) -> None:
    async with serving() as server, hearing(home, server) as company:
        await says(company, ogg(2))
        await company.hears("Write a page about something else.")
        ((name, _, cost, _),) = lines(company)
        assert name.startswith("voice:")
        assert cost == spent(company, "company") == Decimal("0.009")
        assert "0.009" in (await company.hears("/report"))[0].text
        assert company.app.store.read(lambda c: list(faults(c))) == []


async def test_the_same_note_again_is_read_from_the_books(home: Path) -> None:
    async with serving() as server, hearing(home, server) as company:
        for _ in range(3):
            assert WORDS in await says(company, ogg(2))
        assert len(server.asked) == len(lines(company)) == 1


async def test_a_budget_that_does_not_cover_it_is_asked_before_the_server_is(home: Path) -> None:
    async with serving() as server, hearing(home, server, budget__day="0.008") as company:
        said = await says(company, ogg(89))
        assert "budget" in said
        assert "did not listen" in said
        assert server.asked == []
        assert lines(company) == []


async def test_a_note_that_is_too_long_is_refused_unheard(home: Path) -> None:
    async with serving() as server, hearing(home, server, voice__longest_s="60") as company:
        assert "longer than 60 seconds" in await says(company, ogg(61))
        assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "words", "state"),
    [
        ((401, {"error": {"message": "bad key sk-voice"}}), "write it", ("failed", "paid")),
        ((500, {"error": {"message": "out of order"}}), "later", ("failed", "paid")),
        ((200, b"<html>"), "write it", ("failed", "unpriced")),
        ((200, {"no": "text"}), "write it", ("used", "paid")),
        ((200, None), "later", ("failed", "unpriced")),
    ],
    ids=["a bad key", "a server error", "a page", "no words", "a cut line"],
)
async def test_what_goes_wrong_at_the_server_is_said_in_a_sentence(
    home: Path, answer: tuple[int, Any], words: str, state: tuple[str, str]
) -> None:
    async with serving() as server, hearing(home, server, llm__max_attempts="1") as company:
        server.answers = [answer]
        said = await says(company, ogg(2))
        assert words in said
        assert "sk-voice" not in said
        ((_, found, _, status),) = lines(company)
        assert (found, status) == state
        assert company.orders == []


async def test_a_line_that_was_cut_holds_its_worst_case_for_a_day(home: Path) -> None:
    async with serving() as server, hearing(home, server, llm__max_attempts="1") as company:
        server.answers = [(200, None)]
        await says(company, ogg(60))

        def held() -> int:
            return sum(row["reserved_pico"] for row in company.rows(budgets))

        assert held() > 0
        company.clock.ahead += timedelta(days=1, minutes=1)
        await says(company, ogg(3))
        assert held() == 0


async def test_a_note_of_which_the_server_names_no_length_has_its_own(home: Path) -> None:
    async with serving() as server, hearing(home, server) as company:
        server.answers = [(200, {"text": WORDS})]
        await says(company, ogg(29.3))
        assert lines(company)[0][2] == Decimal("0.003")


async def test_the_book_that_ships_prices_a_note_that_no_setting_does(home: Path) -> None:
    async with serving() as server, hearing(home, server, prices="{}") as company:
        await says(company, ogg(89.2))
        assert lines(company)[0][2:] == (Decimal("0.009"), "paid")


async def test_what_no_one_knows_the_length_of_is_unpriced_and_never_zero(home: Path) -> None:
    async with serving() as server, hearing(home, server) as company:
        server.answers = [(200, {"text": WORDS})]
        await says(company, b"some other sound" * 90)
        assert lines(company)[0][3] == "unpriced"


async def test_a_model_without_a_price_is_not_asked(home: Path) -> None:
    app = App(load(settings_of(home, "http://127.0.0.1:9/v1")))
    server = Transcriptions(api_base="http://127.0.0.1:9/v1", api_key=None)
    config = VoiceConfig(model="openai/unheard-of", api_base="http://127.0.0.1:9/v1")
    parts = {"store": app.store, "clock": app.clock, "currency": "USD"}
    metered = MeteredVoice(
        book=UnplacedBook(**parts, rates={}, day_limit=None, company_limit=None),
        prices=app.prices,
        access=lambda model: ModelAccess(server, is_own_hardware=False),
        config=app.settings.llm,
        clock=app.clock,
        currency="USD",
    )
    with pytest.raises(InvalidInput, match="No price is known"):
        await PaidTranscriber(config, server=server, metered=metered).transcribe(ogg(2), name="n")
    assert app.store.read(lambda c: c.execute(sa.select(ledger.c.id)).all()) == []
    app.close()


async def test_tokens_are_priced_where_a_model_is_billed_by_them(home: Path) -> None:
    prices = json.dumps({MODEL: {"input_per_million": "6", "output_per_million": "10"}})
    usage = {
        "type": "tokens", "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 100},
    }  # fmt: skip
    async with serving() as server, hearing(home, server, prices=prices) as company:
        server.answers = [(200, {"text": WORDS, "usage": usage})]
        await says(company, ogg(10))
        assert lines(company)[0][2:] == (Decimal("0.0008"), "paid")


def test_a_price_of_a_minute_is_stated_alone_and_never_a_silent_zero(tmp_path: Path) -> None:
    for document, hint in (
        ('{"m/x": {"audio_per_minute": "0"}}', "notional"),
        ('{"m/x": {}}', "to be stated"),
        ('{"m/x": {"input_per_million": "1"}}', "output_per_million"),
    ):
        with pytest.raises(ConfigError, match=hint):
            load(settings_of(tmp_path / "h", "http://127.0.0.1:9/v1", prices=document))


@given(st.integers(0, 20 * 60 * 100))
def test_the_length_of_a_note_is_read_from_its_last_page(hundredths: int) -> None:
    seconds = hundredths / 100
    found = seconds_of(ogg(seconds, filler=2_000))
    assert found is not None
    assert abs(found - Decimal(str(seconds))) < Decimal("0.001")


@given(st.binary(max_size=300), st.booleans(), st.integers(0, 120))
def test_no_bytes_break_the_reader_of_lengths(noise: bytes, is_ogg: bool, cut: int) -> None:
    content = ogg(5)[:cut] + noise if is_ogg else noise
    assert at_most_s(content) >= 0


def test_a_length_that_its_bytes_could_not_hold_is_not_believed() -> None:
    assert seconds_of(ogg(10**6)) is None
    assert unplaced("x") == "voice:x"
