"""The Telegram channel against a strict server: what it hears, and what becomes of what it sends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from swarm.channels.base import SendRefused
from swarm.channels.telegram.channel import TelegramChannel
from swarm.channels.telegram.config import TelegramConfig
from swarm.core.errors import InvalidInput, Transient
from swarm.core.message import (
    Button,
    InboundKind,
    InboundMessage,
    OutboundKind,
    OutboundMessage,
    Signal,
    SignalKind,
)
from tests.servers.telegram import Person, TelegramServer, faults


class Ear:
    """Remember what is heard; fails as often as it is told to."""

    def __init__(self) -> None:
        self.heard: list[InboundMessage] = []
        self.came = asyncio.Condition()
        self.failures = 0

    async def __call__(self, message: InboundMessage) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is gone")
        async with self.came:
            self.heard.append(message)
            self.came.notify_all()

    async def until(self, count: int) -> list[InboundMessage]:
        async with asyncio.timeout(15), self.came:
            await self.came.wait_for(lambda: len(self.heard) >= count)
        return self.heard


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as found:
        yield found


@pytest.fixture
def ada(server: TelegramServer) -> Person:
    person = server.person("Ada")
    person.starts()
    server.updates().confirm(2**31)
    return person


def config(server: TelegramServer, **more: Any) -> TelegramConfig:
    values = {"token": SecretStr(server.token), "base_url": server.base_url, "poll_s": 1}
    return TelegramConfig(**(values | more))


@pytest.fixture
async def channel(server: TelegramServer) -> AsyncIterator[TelegramChannel]:
    found = TelegramChannel(config(server), menu=(("help", "what there is"),))
    yield found
    await found.close()


@contextlib.asynccontextmanager
async def listening(channel: TelegramChannel, ear: Ear) -> AsyncIterator[None]:
    job = asyncio.create_task(channel.run(ear))
    try:
        yield
    finally:
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job


def message(person: Person, text: str, **more: Any) -> OutboundMessage:
    values: dict[str, Any] = {"thread_id": None, "kind": OutboundKind.ANSWER}
    return OutboundMessage("telegram", str(person.chat().id), text=text, **(values | more))


async def sent(channel: TelegramChannel, whole: OutboundMessage) -> list[str]:
    return [await channel.send(part) for part in channel.parts(whole)]


async def test_an_update_is_told_received_only_after_it_was_stored(
    server: TelegramServer, ada: Person, channel: TelegramChannel
) -> None:
    ear = Ear()
    ear.failures = 1
    ada.says("one")
    job = asyncio.create_task(channel.run(ear))
    async with asyncio.timeout(15):
        while ear.failures:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
    # It could not be stored: it must still be there for whoever comes next.
    job.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await job
    again = TelegramChannel(config(server))
    async with listening(again, ear):
        (heard,) = await ear.until(1)
        await server.drained()
    await again.close()
    assert (heard.text, heard.sender_id, heard.is_private) == ("one", str(ada.id), True)
    assert heard.raw
    assert heard.account == server.token.partition(":")[0]


async def test_what_people_do_is_read(
    server: TelegramServer, ada: Person, channel: TelegramChannel
) -> None:
    ear = Ear()
    await channel.send(message(ada, "Sure?", buttons=((Button("Yes", "token-1"),),)))
    card = ada.chat().last
    async with listening(channel, ear):
        await server.updates().listened()
        said = ada.says("a first text")
        ada.edits(said, "a better text")
        ada.says("an answer", reply_to=card)
        ada.presses("Yes")
        ada.reacts(card, "\N{THUMBS UP SIGN}")
        ada.sends_document(b"x" * 10, name="../../etc/brief.txt", caption="Do this")
        ada.sends_voice(b"OggS")
        heard = await ear.until(7)
    kinds = [one.kind for one in heard]
    assert kinds == [
        InboundKind.TEXT, InboundKind.EDIT, InboundKind.TEXT, InboundKind.CALLBACK,
        InboundKind.REACTION, InboundKind.FILE, InboundKind.VOICE,
    ]  # fmt: skip
    assert heard[1].message_id == heard[0].message_id
    assert heard[2].reply_to == str(card.id)
    assert (heard[3].data, bool(heard[3].click_id)) == ("token-1", True)
    assert heard[4].data == "\N{THUMBS UP SIGN}"
    (file,) = heard[5].files
    assert heard[5].text == "Do this"
    assert await channel.fetch(file, most=100) == b"x" * 10
    with pytest.raises(InvalidInput, match="larger than"):
        await channel.fetch(file, most=5)


async def test_a_group_is_heard_where_the_bot_is_named(
    server: TelegramServer, channel: TelegramChannel
) -> None:
    ada, ear = server.person("Ada"), Ear()
    group = server.group("Team", ada, is_forum=True, is_bot_admin=True)
    ada.says("just talk", chat=group)
    topic = ada.opens_topic("Launch", group)
    async with listening(channel, ear):
        ada.says(f"@{server.bot.user.username} write a page", chat=group, topic=topic)
        ada.says("/status@someone_else_bot", chat=group)
        heard = [one for one in await ear.until(3) if one.kind is InboundKind.TEXT]
    assert not heard[0].is_addressed
    assert (heard[1].text, heard[1].is_addressed) == ("write a page", True)
    assert heard[1].thread_id == str(topic.id)
    assert not heard[1].is_private
    assert all("status" not in one.text for one in heard)


async def test_a_reply_goes_into_its_topic_and_general_is_never_named(
    server: TelegramServer, channel: TelegramChannel
) -> None:
    ada = server.person("Ada")
    group = server.group("Team", ada, is_forum=True, is_bot_admin=True)
    topic = ada.opens_topic("Launch", group)
    where: dict[str, Any] = {
        "channel": "telegram",
        "chat_id": str(group.id),
        "kind": OutboundKind.ANSWER,
    }
    await channel.send(OutboundMessage(**where, thread_id=str(topic.id), text="in the topic"))
    await channel.send(OutboundMessage(**where, thread_id=None, text="in general"))
    await channel.signal(Signal(SignalKind.TYPING, str(group.id), thread_id=str(topic.id)))
    assert [m.text for m in group.in_topic(topic)][-1] == "in the topic"
    assert "in general" in [m.text for m in group.in_topic(None)]
    assert not server.violations


async def test_a_long_text_arrives_in_numbered_parts_with_the_buttons_at_its_end(
    ada: Person, channel: TelegramChannel
) -> None:
    text = "\n\n".join(
        f"**Paragraph {n}** with < and & and \U0001f600 " + "words " * 60 for n in range(30)
    )
    ids = await sent(channel, message(ada, text, buttons=((Button("Go", "t"),),)))
    shown = ada.chat().from_bot
    assert len(ids) == len(shown) > 2
    assert [bool(m.buttons) for m in shown] == [False] * (len(ids) - 1) + [True]
    assert shown[0].text.endswith(f"(1/{len(ids)})")


async def test_what_the_platform_cannot_read_is_sent_again_plain(
    server: TelegramServer, ada: Person, channel: TelegramChannel
) -> None:
    broken = message(ada, "plain words", markup="<b>never closed")
    await channel.send(broken)
    assert ada.chat().last.text == "plain words"
    assert len(server.calls("sendMessage")) == 2


async def test_an_edit_changes_the_message_and_nothing_to_change_is_no_fault(
    server: TelegramServer, ada: Person, channel: TelegramChannel
) -> None:
    first = await channel.send(message(ada, "one"))
    assert await channel.send(message(ada, "two", edits=first)) == first
    assert await channel.send(message(ada, "two", edits=first)) == first
    assert [m.text for m in ada.chat().from_bot] == ["two"]
    gone = await channel.send(message(ada, "three", edits="99999"))
    assert gone != "99999"
    assert ada.chat().last.text == "three"


async def test_a_flood_says_how_long_to_wait(
    server: TelegramServer, ada: Person, channel: TelegramChannel
) -> None:
    server.faults.add(faults.too_many(7), "sendMessage")
    with pytest.raises(Transient) as caught:
        await channel.send(message(ada, "one"))
    assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize("fault", [faults.server_error(500), faults.html_page(502)])
async def test_a_server_that_says_no_has_not_sent_it(
    server: TelegramServer, ada: Person, channel: TelegramChannel, fault: Any
) -> None:
    server.faults.add(fault, "sendMessage")
    with pytest.raises(Transient):
        await channel.send(message(ada, "one"))


@pytest.mark.parametrize("fault", [faults.cut_before(), faults.cut_after()])
async def test_a_cut_line_leaves_everybody_in_doubt(
    server: TelegramServer, ada: Person, channel: TelegramChannel, fault: Any
) -> None:
    await channel.send(message(ada, "warm up"))
    server.faults.add(fault, "sendMessage")
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any but the two that mean `not sent`
        await channel.send(message(ada, "one"))
    assert not isinstance(caught.value, Transient | SendRefused)


async def test_nobody_there_means_surely_not_sent(
    server: TelegramServer, ada: Person, channel: TelegramChannel
) -> None:
    await channel.send(message(ada, "warm up"))
    await channel.close()
    await server.go_down()
    with pytest.raises(Transient):
        await channel.send(message(ada, "one"))
    await server.come_back()
    await channel.send(message(ada, "two"))
    assert [m.text for m in ada.chat().from_bot] == ["warm up", "two"]


async def test_a_chat_that_blocked_the_bot_refuses_for_good(
    ada: Person, channel: TelegramChannel
) -> None:
    ada.blocks()
    with pytest.raises(SendRefused):
        await channel.send(message(ada, "one"))


async def test_a_file_arrives_and_one_that_is_gone_is_named(
    ada: Person, channel: TelegramChannel, tmp_path: Path
) -> None:
    page, empty = tmp_path / "page.md", tmp_path / "empty.md"
    page.write_text("# Page")
    empty.touch()
    files = (str(page), str(empty), str(tmp_path / "gone.md"))
    await sent(channel, message(ada, "Here", files=files))
    shown = ada.chat().from_bot
    assert [bool(m.file) for m in shown] == [False, True, False, False]
    assert "is empty" in shown[2].text
    assert str(tmp_path / "gone.md") in shown[3].text


async def test_a_second_poller_is_waited_out_and_nothing_is_lost(
    server: TelegramServer, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.channels.telegram.channel.CONFLICT_S", (0.05, 0.2))
    first, second = TelegramChannel(config(server)), TelegramChannel(config(server))
    ear = Ear()
    async with listening(first, ear), listening(second, ear):
        for number in range(6):
            ada.says(f"text {number}")
            await asyncio.sleep(0.1)
        await server.drained()
    await first.close()
    await second.close()
    heard = {one.update_id: one.text for one in ear.heard}
    assert sorted(heard.values()) == [f"text {n}" for n in range(6)]


async def test_a_lease_keeps_the_second_poller_quiet(server: TelegramServer, ada: Person) -> None:
    class Station:
        def __init__(self) -> None:
            self.notes: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()

        async def hold(self, name: str, *, seconds: float) -> bool:
            return False

        async def release(self, name: str) -> None:
            """Do nothing."""

        async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
            self.notes.put_nowait((is_well, detail))

    station = Station()
    quiet = TelegramChannel(config(server), station=station)
    async with listening(quiet, Ear()):
        is_well, detail = await asyncio.wait_for(station.notes.get(), 10)
    await quiet.close()
    assert not is_well
    assert "another worker" in detail
    assert server.calls("getUpdates") == []


async def test_a_webhook_that_was_left_behind_gives_way_to_polling(
    server: TelegramServer, ada: Person, channel: TelegramChannel
) -> None:
    import telegram

    async with telegram.Bot(server.token, base_url=server.base_url) as bot:
        await bot.set_webhook("http://127.0.0.1:1/hook")
    ada.says("one")
    ear = Ear()
    async with listening(channel, ear):
        assert [one.text for one in await ear.until(1)] == ["one"]


async def test_the_menu_is_set(server: TelegramServer, channel: TelegramChannel) -> None:
    ear = Ear()
    async with listening(channel, ear):
        await server.updates().listened()
    assert len(server.calls("setMyCommands")) == 1


async def test_a_webhook_takes_what_brings_the_secret_and_nothing_else(
    server: TelegramServer, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/telegram/hook"
    taking = TelegramChannel(config(server, webhook_url=url, webhook_listen=f"127.0.0.1:{port}"))
    ear = Ear()
    ear.failures = 1
    async with listening(taking, ear):
        ada.says("one")
        (heard,) = await ear.until(1)
        await server.drained()
        assert heard.text == "one"
        assert b'"one"' in heard.raw
        forged = {"update_id": 1, "message": {"text": "/approve all"}}
        async with httpx.AsyncClient() as stranger:
            statuses = [
                (await stranger.post(url, json=forged)).status_code,
                (await stranger.post(url, json=forged, headers=secret("wrong"))).status_code,
                (await stranger.post(url + "x", json=forged)).status_code,
                (await stranger.get(url)).status_code,
            ]
            long = await stranger.post(url, content=b"x" * 2_000_000)
        assert statuses == [403, 403, 404, 403]
        assert long.status_code == 403
    await taking.close()
    assert len(ear.heard) == 1


def secret(value: str) -> dict[str, str]:
    return {"X-Telegram-Bot-Api-Secret-Token": value}


def test_settings_read_lists_from_texts_and_the_address_with_or_without_its_end() -> None:
    read = TelegramConfig.model_validate(
        {"token": "1:a", "founders": "12, 34", "groups": -5, "base_url": "http://h:1/bot"}
    )
    assert (read.founders, read.groups) == ((12, 34), (-5,))
    assert (read.api_url, read.file_url) == ("http://h:1/bot", "http://h:1/file/bot")
    assert TelegramConfig(base_url="http://h:1/").api_url == "http://h:1/bot"
    with pytest.raises(ValueError, match="https"):
        TelegramConfig(webhook_url="http://example.com/hook")
