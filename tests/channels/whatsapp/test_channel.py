"""The WhatsApp channel against a strict server: what it hears, and what becomes of what it sends."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from swarm.channels.base import SendRefused
from swarm.channels.runs import units
from swarm.channels.whatsapp.channel import WhatsAppChannel
from swarm.channels.whatsapp.config import WhatsAppConfig
from swarm.channels.whatsapp.formatting import choices
from swarm.channels.whatsapp.reading import Reader
from swarm.core.errors import InvalidInput, Transient
from swarm.core.message import (
    Button,
    InboundFile,
    InboundKind,
    OutboundKind,
    OutboundMessage,
    Signal,
    SignalKind,
)
from tests.channels.whatsapp.chats import (
    Books,
    Ear,
    MovingClock,
    config,
    listening,
    message,
    sent,
)
from tests.servers.whatsapp import Fault, Person, WhatsAppServer


@pytest.fixture
async def server() -> AsyncIterator[WhatsAppServer]:
    async with WhatsAppServer() as found:
        yield found


@pytest.fixture
def ada(server: WhatsAppServer) -> Person:
    person = server.person("Ada")
    server.windows[person.id] = server.now()
    return person


@pytest.fixture
async def channel(server: WhatsAppServer) -> AsyncIterator[WhatsAppChannel]:
    found = WhatsAppChannel(config(server))
    yield found
    await found.close()


async def test_meta_is_told_received_only_after_it_was_stored(
    server: WhatsAppServer, ada: Person, channel: WhatsAppChannel
) -> None:
    ear = Ear()
    ear.failures = 1
    async with listening(channel, ear, server):
        delivery = ada.says("héllo")
        (heard,) = await ear.until(1)
        await server.drained()
    assert delivery.statuses == [500, 200]
    assert (heard.text, heard.sender_id, heard.sender_name) == ("héllo", ada.id, "Ada")
    assert (heard.account, heard.update_id) == (server.phone_id, delivery.message_id)
    assert heard.raw == delivery.body


async def test_what_people_do_is_read(
    server: WhatsAppServer, ada: Person, channel: WhatsAppChannel
) -> None:
    ear = Ear()
    async with listening(channel, ear, server):
        await channel.send(message(ada, "Sure?", buttons=((Button("Yes", "token-1"),),)))
        card = ada.chat.last
        first = ada.says("a first text")
        ada.says("an answer", reply_to=card)
        ada.edits(first.message_id, "a better text")
        ada.presses("Yes")
        ada.reacts(card, "👍")
        ada.sends_file(b"x" * 10, "../../etc/brief.pdf", caption="Do this")
        ada.sends_voice(b"OggS")
        ada.answers_template(card)
        heard = await ear.until(8)
        assert await channel.fetch(heard[5].files[0], most=100) == b"x" * 10
        with pytest.raises(InvalidInput, match="larger than"):
            await channel.fetch(heard[5].files[0], most=5)
    kinds = [one.kind for one in heard]
    assert kinds == [
        InboundKind.TEXT, InboundKind.TEXT, InboundKind.EDIT, InboundKind.CALLBACK,
        InboundKind.REACTION, InboundKind.FILE, InboundKind.VOICE, InboundKind.OTHER,
    ]  # fmt: skip
    assert heard[1].reply_to == card.id
    assert (heard[2].text, heard[2].message_id) == ("a better text", first.message_id)
    assert (heard[3].data, heard[3].message_id) == ("token-1", card.id)
    assert (heard[4].data, heard[4].message_id) == ("👍", card.id)
    assert heard[5].text == "Do this"


async def test_one_webhook_may_bring_several_messages_and_other_numbers_are_not_ours(
    server: WhatsAppServer, ada: Person, channel: WhatsAppChannel
) -> None:
    ear = Ear()
    ben = server.person("Ben")
    async with listening(channel, ear, server):
        with server.batch():
            ada.says("one")
            ben.says("two")
        ours, server.phone_id = server.phone_id, "999999999999"
        ada.says("for another number")
        server.phone_id = ours
        ada.says("three")
        heard = await ear.until(3)
        await server.drained()
    assert [(m.sender_name, m.text) for m in heard] == [
        ("Ada", "one"), ("Ben", "two"), ("Ada", "three"),
    ]  # fmt: skip


async def test_a_copy_that_comes_days_later_has_its_own_time_and_the_same_id(
    server: WhatsAppServer, ada: Person
) -> None:
    clock, ear = MovingClock(), Ear()
    channel = WhatsAppChannel(config(server), clock=clock)
    async with listening(channel, ear, server):
        first = ada.says("one")
        await ear.until(1)
        clock.ahead = timedelta(days=8)
        server.redeliver(first)
        heard = await ear.until(2)
    assert heard[0].update_id == heard[1].update_id
    assert abs(heard[1].received_at - heard[0].received_at) < timedelta(minutes=1)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.chaos)])
async def test_webhooks_that_are_not_signed_store_nothing(
    server: WhatsAppServer, ada: Person, channel: WhatsAppChannel, count: int
) -> None:
    ear = Ear()
    body = ada.says("one").body
    forms: list[dict[str, str]] = [
        {},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": server.signature(body + b" ")},
        {"X-Hub-Signature": "sha1=abc"},
        {"X-Hub-Signature-256": server.signature(body).removeprefix("sha256=")},
    ]
    statuses: list[int] = []
    numbers = iter(range(count))
    async with listening(channel, ear, server):
        await ear.until(1)

        async def attack() -> None:
            async with httpx.AsyncClient(trust_env=False) as stranger:
                for number in numbers:
                    headers = forms[number % len(forms)]
                    answer = await stranger.post(server.webhook_url, content=body, headers=headers)
                    statuses.append(answer.status_code)

        await asyncio.gather(*(attack() for _ in range(4)))
    assert statuses == [403] * count
    assert len(ear.heard) == 1


async def test_the_address_is_verified_by_its_word_and_strangers_learn_nothing(
    server: WhatsAppServer, channel: WhatsAppChannel
) -> None:
    ask = {"hub.mode": "subscribe", "hub.challenge": "1158201444"}
    async with listening(channel, Ear(), server), httpx.AsyncClient(trust_env=False) as meta:
        url = server.webhook_url
        good = await meta.get(url, params=ask | {"hub.verify_token": server.verify_token})
        assert (good.status_code, good.text) == (200, "1158201444")
        wrong = [
            await meta.get(url, params=ask | {"hub.verify_token": "x"}),
            await meta.get(url, params=ask),
            await meta.get(url),
            await meta.get(
                url,
                params=ask | {"hub.challenge": "<script>", "hub.verify_token": server.verify_token},
            ),
            await meta.put(url),
            await meta.post(url + "/x"),
        ]
        assert [answer.status_code for answer in wrong] == [403, 403, 403, 403, 405, 404]
        signed = {"X-Hub-Signature-256": server.signature(b"[1]")}
        assert (await meta.post(url, content=b"[1]", headers=signed)).status_code == 400
        signed = {"X-Hub-Signature-256": server.signature(b"{")}
        assert (await meta.post(url, content=b"{", headers=signed)).status_code == 400
        long = {"X-Hub-Signature-256": "sha256=0"}
        assert (await meta.post(url, content=b"x" * 4_000_000, headers=long)).status_code == 413


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["entry", "changes", "value", "messages", "statuses", "id", "from", "type",
                     "text", "body", "field", "metadata", "contacts", "interactive", "document"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)  # fmt: skip
def test_no_signed_form_of_a_webhook_breaks_the_reader(found: Any) -> None:
    reader = Reader(phone_id="1")
    value = {"metadata": {"phone_number_id": "1"}, "messages": [found], "statuses": [found]}
    for document in (
        {"entry": found},
        {"entry": [{"changes": [{"field": "messages", "value": value}]}]},
    ):
        raw = json.dumps(document).encode()
        list(reader.messages(document, raw=raw, at=datetime.now(UTC)))
        list(reader.failures(document))


async def test_a_short_card_is_one_message_and_a_long_one_has_its_buttons_at_its_end(
    ada: Person, channel: WhatsAppChannel
) -> None:
    three = ((Button("✅ Approve", "a"), Button("✏️ Edit", "e")), (Button("❌ Reject", "r"),))
    await sent(channel, message(ada, "**A plan**", buttons=three))
    assert ada.chat.last.text == "*A plan*\n\n1 ✅ Approve · 2 ✏️ Edit · 3 ❌ Reject"
    assert [b["id"] for b in ada.chat.last.buttons] == ["a", "e", "r"]
    text = "**A plan**\n\n" + "\n\n".join(f"Paragraph {n} " + "words " * 60 for n in range(30))
    ids = await sent(channel, message(ada, text, buttons=three))
    shown = ada.chat.sent[1:]
    assert len(ids) == len(shown) > 3
    assert [bool(m.buttons) for m in shown] == [False] * (len(ids) - 1) + [True]
    assert "A plan" in shown[-1].text
    assert "3 ❌ Reject" in shown[-1].text


@pytest.mark.parametrize("count", [1, 3, 4, 10, 11, 30])
async def test_any_number_of_options_fits_and_each_has_its_number(
    ada: Person, channel: WhatsAppChannel, count: int
) -> None:
    labels = [f"{n}. an option that has many words" for n in range(1, count + 1)]
    text = "\n".join(labels)
    rows = tuple((Button(label, f"t{n}"),) for n, label in enumerate(labels, start=1))
    await sent(channel, message(ada, text, buttons=rows))
    assert [b["id"] for b in ada.chat.last.buttons] == [
        f"t{n}" for n in range(1, min(count, 10) + 1)
    ]
    shown = "\n".join(m.text for m in ada.chat.sent)
    assert all(label in shown for label in labels)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=14))
def test_titles_are_short_and_told_apart_whatever_the_labels_are(labels: list[str]) -> None:
    found = choices([Button(label, str(n)) for n, label in enumerate(labels)])
    most = 20 if len(labels) <= 3 else 24
    assert all(0 < units(one.title) <= most and one.title.strip() for one in found)
    assert len({one.title for one in found}) == len(found)
    assert all(units(one.detail) <= 72 for one in found)


async def test_nothing_is_edited_here_it_is_said_anew(
    ada: Person, channel: WhatsAppChannel
) -> None:
    assert not channel.capabilities.has_edits
    first = await channel.send(message(ada, "one"))
    assert await channel.send(message(ada, "two", edits=first)) != first
    assert [m.text for m in ada.chat.sent] == ["one", "two"]


async def test_over_the_window_one_template_calls_and_the_message_waits(
    server: WhatsAppServer, ada: Person
) -> None:
    clock, books = MovingClock(), Books()
    server.templates["decision_needed", "fr"] = 1
    more = {"template": "decision_needed", "template_language": "fr"}
    channel = WhatsAppChannel(config(server, **more), clock=clock, station=books)
    books.heard_at = clock.now()
    await channel.send(message(ada, "in time"))
    clock.ahead = timedelta(hours=24)
    server.advance(hours=24)
    card = message(ada, "**A plan**\nof *many* words", kind=OutboundKind.DECISION)
    for _ in range(3):
        with pytest.raises(Transient) as caught:
            await channel.send(card)
        assert caught.value.retry_after_s is not None
    with pytest.raises(SendRefused, match="window"):
        await channel.send(message(ada, "⏳", kind=OutboundKind.PROGRESS))
    assert [m.text for m in ada.chat.sent] == ["in time", "<decision_needed: A plan>"]
    # Another process after a crash does not call again.
    others = Books(books.leases)
    others.heard_at = books.heard_at
    again = WhatsAppChannel(config(server, **more), clock=clock, station=others)
    with pytest.raises(Transient):
        await again.send(card)
    await again.close()
    assert len(ada.chat.sent) == 2
    ear = Ear()
    async with listening(channel, ear, server):
        ada.says("I am here")
        await ear.until(1)
        await server.drained()
        await channel.send(card)
    await channel.close()
    assert ada.chat.last.text.startswith("**A plan**")


async def test_without_a_template_it_waits_and_the_operator_is_told(
    server: WhatsAppServer, ada: Person
) -> None:
    books = Books()
    channel = WhatsAppChannel(config(server), station=books)
    with pytest.raises(Transient):
        await channel.send(message(ada, "one"))
    assert books.notes == [
        (False, "the 24-hour window is closed and no template is set: messages wait")
    ]
    await channel.close()
    assert ada.chat.sent == []


async def test_what_meta_reports_as_undelivered_counts_as_not_sent(
    server: WhatsAppServer, ada: Person
) -> None:
    books, ear = Books(), Ear()
    books.heard_at = datetime.now(UTC)
    channel = WhatsAppChannel(config(server), station=books)
    async with listening(channel, ear, server):
        # Our clock is wrong: Meta takes it, and says afterwards that it came too late.
        server.advance(hours=25)
        late = await channel.send(message(ada, "one"))
        await server.drained()
        assert books.lost == [(late, True)]
        with pytest.raises(Transient):
            await channel.send(message(ada, "one"))
        other = {"code": 131026, "title": "Message undeliverable"}
        server.fails(ada.id, "wamid.x", other)
        await server.drained()
        assert books.lost[1] == ("wamid.x", False)
    await channel.close()


async def test_a_window_that_meta_says_is_closed_is_closed(
    server: WhatsAppServer, ada: Person, channel: WhatsAppChannel
) -> None:
    server.advance(hours=25)
    server.is_late_at_once = True
    with pytest.raises(Transient, match="24 hours"):
        await channel.send(message(ada, "one"))


@pytest.mark.parametrize(
    ("fault", "wait_s"),
    [
        (Fault(131056), 6.0),
        (Fault(130429, status=429), 5.0),
        (Fault(80007), 60.0),
        (Fault(131016, status=503), None),
        (Fault(2, status=500), None),
        (Fault(status=502, body="<html>down</html>"), None),
        (Fault(190, status=401), 60.0),
    ],
)
async def test_what_was_surely_not_sent_is_tried_again(
    server: WhatsAppServer,
    ada: Person,
    channel: WhatsAppChannel,
    fault: Fault,
    wait_s: float | None,
) -> None:
    server.faults.append(fault)
    with pytest.raises(Transient) as caught:
        await channel.send(message(ada, "one"))
    assert caught.value.retry_after_s == wait_s
    assert ada.chat.sent == []


@pytest.mark.parametrize(
    "fault", [Fault(cut="before"), Fault(cut="after"), Fault(131000, status=500)]
)
async def test_doubt_is_told_as_doubt_and_never_sent_twice(
    server: WhatsAppServer, ada: Person, channel: WhatsAppChannel, fault: Fault
) -> None:
    server.faults.append(fault)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any but the two that mean `not sent`
        await channel.send(message(ada, "one"))
    assert not isinstance(caught.value, Transient | SendRefused)
    assert len(ada.chat.sent) <= 1


async def test_nobody_there_means_surely_not_sent(
    server: WhatsAppServer, ada: Person, channel: WhatsAppChannel
) -> None:
    await channel.send(message(ada, "one"))
    await channel.close()
    await server.go_down()
    with pytest.raises(Transient):
        await channel.send(message(ada, "two"))
    await server.come_back()
    await channel.send(message(ada, "three"))
    assert [m.text for m in ada.chat.sent] == ["one", "three"]


async def test_a_person_who_cannot_be_written_to_is_refused_for_good(
    server: WhatsAppServer, channel: WhatsAppChannel
) -> None:
    nobody = OutboundMessage("whatsapp", "4915100000", None, OutboundKind.ANSWER, "one")
    with pytest.raises(SendRefused, match="131030"):
        await channel.send(nobody)


async def test_files_arrive_and_what_cannot_is_named(
    ada: Person, channel: WhatsAppChannel, tmp_path: Path
) -> None:
    page, binary, empty = tmp_path / "page.html", tmp_path / "a.zip", tmp_path / "empty.md"
    page.write_text("<h1>Page</h1>")
    binary.write_bytes(b"PK\x03\x04\x00\xff")
    empty.touch()
    files = (str(page), str(binary), str(empty), str(tmp_path / "gone.md"))
    await sent(channel, message(ada, "Here", files=files))
    shown = ada.chat.sent
    assert [m.kind for m in shown] == ["text", "document", "text", "text", "text"]
    assert (shown[1].file, shown[1].content["filename"]) == (b"<h1>Page</h1>", "page.html")
    for sent_one, path in zip(shown[2:], files[1:], strict=True):
        assert path in sent_one.text


async def test_a_refused_click_is_told_in_words(
    server: WhatsAppServer, ada: Person, channel: WhatsAppChannel
) -> None:
    where: dict[str, Any] = {"chat_id": ada.id, "click_id": "wamid.1"}
    await channel.signal(Signal(SignalKind.CLICK, text="Good.", **where))
    assert ada.chat.sent == []
    await channel.signal(Signal(SignalKind.CLICK, text="Not yours.", is_refusal=True, **where))
    assert ada.chat.last.text == "Not yours."


async def test_a_file_that_lies_elsewhere_is_not_fetched_with_our_token(
    server: WhatsAppServer,
) -> None:
    from swarm.channels.whatsapp.vendor import Line

    line = Line(WhatsAppConfig(token=SecretStr("t"), phone_id="1"))
    try:
        assert line._is_ours("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1")
        for foreign in (
            "https://fbsbx.com.evil.example/a", "http://lookaside.fbsbx.com/a",
            "https://evilfacebook.com/a", "http://169.254.169.254/latest",
        ):  # fmt: skip
            assert not line._is_ours(foreign)
    finally:
        await line.close()


async def test_a_file_that_is_gone_is_said_to_be_so(channel: WhatsAppChannel) -> None:
    with pytest.raises(InvalidInput):
        await channel.fetch(InboundFile("123", "a.txt", None), most=1000)


def test_settings_read_numbers_and_name_what_is_wrong() -> None:
    read = WhatsAppConfig.model_validate({"founders": "+33612345678, 4915112345678"})
    assert read.founders == ("33612345678", "4915112345678")
    assert WhatsAppConfig.model_validate({"founders": 33612345678}).founders == ("33612345678",)
    assert (
        WhatsAppConfig.model_validate({"phone_id": 106540352242922}).phone_id == "106540352242922"
    )
    assert not WhatsAppConfig(token=SecretStr("t"), phone_id="1").is_set
    for bad in ({"founders": "ada"}, {"listen": "8444"}, {"base_url": "graph"}):
        with pytest.raises(ValueError, match=r"digits alone|HOST:PORT|an address"):
            WhatsAppConfig.model_validate(bad)


async def test_a_door_that_cannot_be_opened_shows_and_is_tried_again(
    server: WhatsAppServer, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.channels.whatsapp.channel.PAUSE_S", 0.1)
    books, ear = Books(), Ear()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        channel = WhatsAppChannel(config(server, listen=f"127.0.0.1:{port}"), station=books)
        job = asyncio.create_task(channel.run(ear))
        async with asyncio.timeout(10):
            while not books.notes:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.01)
    assert not books.notes[0][0]
    assert "cannot be opened" in books.notes[0][1]
    server.webhook_url = f"http://127.0.0.1:{port}/whatsapp"
    ada.says("one")
    assert [m.text for m in await ear.until(1)] == ["one"]
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await channel.close()
