"""The Slack channel against a strict server: what it hears, and what becomes of what it sends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from swarm.channels.base import SendRefused
from swarm.channels.slack.channel import SlackChannel
from swarm.channels.slack.config import SlackConfig
from swarm.core.errors import InvalidInput, Transient
from swarm.core.message import (
    Button,
    InboundFile,
    InboundKind,
    InboundMessage,
    OutboundKind,
    OutboundMessage,
    Signal,
    SignalKind,
)
from tests.servers.slack import Fault, Person, SlackServer

MENU = (("status", "where orders stand"), ("order", "give an order"), ("help", "this list"))


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


class Notes:
    """A station that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[tuple[bool, str]] = []
        self.is_free = True

    async def hold(self, name: str, *, seconds: float) -> bool:
        return self.is_free

    async def release(self, name: str) -> None:
        """Do nothing."""

    async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
        self.notes.append((is_well, detail))

    async def last_heard(self, channel: str, chat_id: str) -> None:
        return None

    async def undelivered(self, channel: str, message_id: str, *, why: str, is_late: bool) -> None:
        """Do nothing."""


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(ack_s=0.5) as found:
        yield found


@pytest.fixture
def ada(server: SlackServer) -> Person:
    return server.person("Ada")


def config(server: SlackServer, **more: Any) -> SlackConfig:
    values = {
        "bot_token": SecretStr(server.bot_token),
        "app_token": SecretStr(server.app_token),
        "base_url": server.base_url,
    }
    return SlackConfig(**(values | more))


@pytest.fixture
async def channel(server: SlackServer) -> AsyncIterator[SlackChannel]:
    found = SlackChannel(config(server), menu=MENU)
    yield found
    await found.close()


@contextlib.asynccontextmanager
async def listening(channel: SlackChannel, ear: Ear) -> AsyncIterator[None]:
    job = asyncio.create_task(channel.run(ear))
    try:
        yield
    finally:
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job


def message(person: Person, text: str, **more: Any) -> OutboundMessage:
    values: dict[str, Any] = {"thread_id": None, "kind": OutboundKind.ANSWER}
    return OutboundMessage("slack", person.chat().id, text=text, **(values | more))


async def sent(channel: SlackChannel, whole: OutboundMessage) -> list[str]:
    return [await channel.send(part) for part in channel.parts(whole)]


async def test_slack_is_told_received_only_after_it_was_stored(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    ear = Ear()
    ear.failures = 1
    ada.says("one")
    async with listening(channel, ear):
        (heard,) = await ear.until(1)
        await server.drained()
    # The first try could not be stored and was not acknowledged, so it came again.
    assert server.deliveries[0].tries == 2
    assert (heard.text, heard.sender_id, heard.is_private) == ("one", ada.identity, True)
    assert heard.account == server.world.team_id
    assert b"event_callback" in heard.raw


async def test_a_second_delivery_has_the_same_id_whatever_its_envelope_says(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    ear = Ear()
    async with listening(channel, ear):
        await channel.send(message(ada, "Sure?", buttons=((Button("Yes", "t"),),)))
        ada.says("one")
        ada.presses("Yes")
        ada.commands("/swarm", "status")
        await ear.until(3)
        for delivery in list(server.deliveries):
            server.redeliver(delivery)
        heard = await ear.until(6)
        await server.drained()
    assert [m.update_id for m in heard[:3]] == [m.update_id for m in heard[3:]]
    assert len({m.update_id for m in heard}) == 3


async def test_what_people_do_is_read(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    ear = Ear()
    await channel.send(message(ada, "Sure?", buttons=((Button("Yes", "token-1"),),)))
    card = ada.chat().last
    async with listening(channel, ear):
        said = ada.says("fish &amp; chips, see <https://a.b/c|a page>")
        ada.edits(said, "a better text")
        ada.unfurls(said)
        ada.says("an answer", thread=said)
        ada.presses("Yes")
        ada.reacts(card, "+1::skin-tone-3")
        ada.sends_file(b"x" * 10, "../../etc/brief.txt", text="Do this")
        ada.sends_file(b"OggS", "memo.m4a", mime="audio/mp4", subtype="slack_audio")
        ada.commands("/swarm", "status")
        ada.commands("/swarm", "write a page")
        heard = await ear.until(10)
    kinds = [one.kind for one in heard]
    assert kinds == [
        InboundKind.TEXT, InboundKind.EDIT, InboundKind.OTHER, InboundKind.TEXT,
        InboundKind.CALLBACK, InboundKind.REACTION, InboundKind.FILE, InboundKind.VOICE,
        InboundKind.TEXT, InboundKind.TEXT,
    ]  # fmt: skip
    assert heard[0].text == "fish & chips, see a page (https://a.b/c)"
    assert heard[0].sender_name == "Ada"
    assert heard[1].message_id == heard[0].message_id
    assert heard[3].thread_id == said.ts
    assert (heard[4].data, heard[4].message_id) == ("token-1", card.ts)
    assert heard[5].data == "👍"
    (file,) = heard[6].files
    assert await channel.fetch(file, most=100) == b"x" * 10
    with pytest.raises(InvalidInput, match="larger than"):
        await channel.fetch(file, most=5)
    assert [m.text for m in heard[8:]] == ["/status", "write a page"]
    assert all(m.sender_id == ada.identity for m in heard if m.kind is not InboundKind.OTHER)


async def test_a_mention_is_one_message_although_slack_brings_it_twice(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    ear = Ear()
    team = server.channel("launch", ada)
    async with listening(channel, ear):
        ada.says("just talk", channel=team)
        ada.says(f"<@{server.world.bot_user}> write a page", channel=team)
        heard = await ear.until(3)
    assert [m.is_addressed for m in heard] == [False, True, True]
    assert heard[1].update_id == heard[2].update_id
    assert heard[1].text == "write a page"
    assert not heard[1].is_private


async def test_a_command_given_elsewhere_is_answered_in_private(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    ear = Ear()
    other = server.channel("random", ada, has_app=False)
    async with listening(channel, ear):
        ada.commands("/swarm", "", channel=other)
        (heard,) = await ear.until(1)
    assert (heard.text, heard.chat_id, heard.is_private) == ("/help", ada.chat().id, True)


async def test_the_apps_own_words_are_not_heard_as_a_persons(
    server: SlackServer, channel: SlackChannel
) -> None:
    ear = Ear()
    event = {"type": "message", "channel": "D1", "channel_type": "im", "ts": "1.1", "text": "x"}
    async with listening(channel, ear):
        server.event(event | {"user": server.world.bot_user})
        server.event(event | {"bot_id": "B1", "user": "U0OTHER01"})
        server.event({"type": "message", "subtype": "channel_join", "user": "U1", "ts": "1.2"})
        server.event({"type": "something_new", "odd": [1]})
        heard = await ear.until(4)
        await server.drained()
    assert {m.kind for m in heard} == {InboundKind.OTHER}


async def test_a_dead_socket_is_found_and_another_one_opened(
    server: SlackServer, ada: Person
) -> None:
    notes, ear = Notes(), Ear()
    found = SlackChannel(config(server, ping_s=0.5, stall_s=2), station=notes)
    async with listening(found, ear):
        await server.connected()
        server.sockets_die()
        ada.says("one")
        (heard,) = await ear.until(1)
        assert heard.text == "one"
        assert server.opened >= 2
    await found.close()
    assert notes.notes[0] == (True, "listens over its socket")


async def test_ten_minutes_without_a_network_lose_nothing_and_show(
    server: SlackServer, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.channels.slack.channel.PAUSE_S", (0.1, 0.3))
    notes, ear = Notes(), Ear()
    found = SlackChannel(config(server, ping_s=0.3, stall_s=1.5), station=notes)
    async with listening(found, ear):
        await server.connected()
        await server.go_down()
        for number in range(3):
            ada.says(f"text {number}")
        async with asyncio.timeout(15):
            while not any("cannot be reached" in text for _, text in notes.notes):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await server.come_back()
        heard = await ear.until(3)
        await server.drained()
    await found.close()
    assert {m.text for m in heard} == {"text 0", "text 1", "text 2"}
    assert notes.notes[-1] == (True, "listens over its socket")


async def test_slack_may_ask_for_a_new_socket(server: SlackServer, ada: Person) -> None:
    ear, found = Ear(), SlackChannel(config(server, ping_s=0.5))
    async with listening(found, ear):
        await server.connected()
        await server.asks_to_reconnect()
        ada.says("one")
        assert (await ear.until(1))[0].text == "one"
        assert server.opened == 2
    await found.close()


async def test_a_lease_keeps_a_second_listener_quiet(server: SlackServer) -> None:
    notes = Notes()
    notes.is_free = False
    quiet = SlackChannel(config(server), station=notes)
    async with listening(quiet, Ear()), asyncio.timeout(10):
        while not notes.notes:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
    assert "another worker" in notes.notes[0][1]
    assert server.opened == 0


async def test_a_long_text_arrives_in_numbered_parts_with_the_buttons_at_its_end(
    ada: Person, channel: SlackChannel
) -> None:
    text = "\n\n".join(
        f"**Paragraph {n}** with < and & and \U0001f600 " + "words " * 60 for n in range(30)
    )
    ids = await sent(channel, message(ada, text, buttons=((Button("Go", "t"),),)))
    shown = ada.chat().from_bot
    assert len(ids) == len(shown) > 3
    assert [bool(m.buttons) for m in shown] == [False] * (len(ids) - 1) + [True]
    assert shown[0].shown.endswith(f"(1/{len(ids)})")
    assert "*Paragraph 0* with < and &" in shown[0].shown


async def test_what_grows_by_its_escapes_still_fits(ada: Person, channel: SlackChannel) -> None:
    hard = "<&>" * 2_000 + f" [words](https://a.b/{'x' * 4_000}) **{'y' * 4_000}**"
    for part in channel.parts(message(ada, hard)):
        assert part.markup is not None
        assert len(part.markup) <= 3000
        await channel.send(part)


@pytest.mark.parametrize("count", [1, 3, 25, 48, 60, 200])
async def test_any_number_of_buttons_fits(ada: Person, channel: SlackChannel, count: int) -> None:
    rows = tuple((Button(f"{n}. {'long ' * 30}", f"t{n}"),) for n in range(count))
    await sent(channel, message(ada, "Which?", buttons=rows))
    assert [b["value"] for b in ada.chat().last.buttons] == [f"t{n}" for n in range(count)]


async def test_blocks_that_are_refused_are_sent_again_plain(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    server.faults.append(Fault("chat.postMessage", code="invalid_blocks"))
    await sent(channel, message(ada, "**plain** words", buttons=((Button("Go", "t"),),)))
    assert ada.chat().last.shown == "plain words"
    assert ada.chat().last.buttons


async def test_an_edit_changes_the_message_and_a_lost_one_is_written_anew(
    ada: Person, channel: SlackChannel
) -> None:
    first = await channel.send(message(ada, "one"))
    assert await channel.send(message(ada, "two", edits=first)) == first
    assert [m.shown for m in ada.chat().from_bot] == ["two"]
    assert await channel.send(message(ada, "three", edits="1.000001")) != first
    assert ada.chat().last.shown == "three"


async def test_a_thread_that_is_gone_is_no_reason_to_stay_silent(
    ada: Person, channel: SlackChannel
) -> None:
    await channel.send(message(ada, "one", thread_id="1.000001"))
    assert ada.chat().last.thread_ts is None


async def test_a_flood_says_how_long_to_wait(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    server.faults.append(Fault("chat.postMessage", code="ratelimited", status=429, retry_after=7))
    with pytest.raises(Transient) as caught:
        await channel.send(message(ada, "one"))
    assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    "fault",
    [
        Fault("chat.postMessage", status=503, body="<html>down</html>"),
        Fault("chat.postMessage", code="service_unavailable"),
        Fault("chat.postMessage", code="invalid_auth"),
    ],
)
async def test_what_was_surely_not_sent_is_tried_again(
    server: SlackServer, ada: Person, channel: SlackChannel, fault: Fault
) -> None:
    server.faults.append(fault)
    with pytest.raises(Transient):
        await channel.send(message(ada, "one"))
    assert ada.chat().from_bot == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("chat.postMessage", cut="before"),
        Fault("chat.postMessage", cut="after"),
        Fault("chat.postMessage", code="internal_error"),
        Fault("chat.postMessage", code="fatal_error", status=500),
    ],
)
async def test_doubt_is_told_as_doubt_and_never_sent_twice(
    server: SlackServer, ada: Person, channel: SlackChannel, fault: Fault
) -> None:
    server.faults.append(fault)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any but the two that mean `not sent`
        await channel.send(message(ada, "one"))
    assert not isinstance(caught.value, Transient | SendRefused)
    assert len(ada.chat().from_bot) <= 1


async def test_nobody_there_means_surely_not_sent(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    await channel.send(message(ada, "warm up"))
    await server.go_down()
    with pytest.raises(Transient):
        await channel.send(message(ada, "one"))
    await server.come_back()
    await channel.send(message(ada, "two"))
    assert [m.shown for m in ada.chat().from_bot] == ["warm up", "two"]


async def test_a_channel_without_the_app_refuses_for_good(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    team = server.channel("elsewhere", ada, has_app=False)
    with pytest.raises(SendRefused, match="not_in_channel"):
        await channel.send(OutboundMessage("slack", team.id, None, OutboundKind.ANSWER, "one"))


async def test_a_file_arrives_in_its_thread_and_one_that_is_gone_is_named(
    server: SlackServer, ada: Person, channel: SlackChannel, tmp_path: Path
) -> None:
    page, empty = tmp_path / "page.md", tmp_path / "empty.md"
    page.write_text("# Page")
    empty.touch()
    order = ada.says("write")
    files = (str(page), str(empty), str(tmp_path / "gone.md"))
    await sent(channel, message(ada, "Here", files=files, thread_id=order.ts))
    shown = ada.chat().from_bot
    assert [bool(m.files) for m in shown] == [False, True, False, False]
    assert shown[1].files[0].content == b"# Page"
    assert {m.thread_ts for m in shown} == {order.ts}
    assert "is empty" in shown[2].shown
    assert str(tmp_path / "gone.md") in shown[3].shown
    server.methods.scopes.discard("files:write")
    await sent(channel, message(ada, "Again", files=(str(page),)))
    assert "files:write" in ada.chat().last.shown


async def test_a_refused_click_is_told_to_who_pressed_and_buttons_go(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    ear = Ear()
    await channel.send(message(ada, "Sure?", buttons=((Button("Yes", "t"),),)))
    card = ada.chat().last
    async with listening(channel, ear):
        ada.presses("Yes")
        (heard,) = await ear.until(1)
    where: dict[str, Any] = {"chat_id": heard.chat_id, "click_id": heard.click_id}
    await channel.signal(Signal(SignalKind.CLICK, text="Good.", **where))
    assert ada.chat().whispers == []
    await channel.signal(Signal(SignalKind.CLICK, text="Not yours.", is_refusal=True, **where))
    assert [(m.shown, m.only_for) for m in ada.chat().whispers] == [("Not yours.", ada.id)]
    await channel.signal(Signal(SignalKind.UNBUTTON, heard.chat_id, message_id=heard.message_id))
    assert (card.buttons, card.shown) == ([], "Sure?")


async def test_a_file_is_not_fetched_where_slack_shows_a_page_to_log_in(
    server: SlackServer, ada: Person, channel: SlackChannel
) -> None:
    sent_file = ada.sends_file(b"secret", "a.txt").files[0]
    file = InboundFile(sent_file.id, "a.txt", None)
    server.methods.scopes.discard("files:read")
    with pytest.raises(Transient, match="files:read"):
        await channel.fetch(file, most=1000)
    server.methods.scopes.add("files:read")
    sent_file.mode = "tombstone"
    with pytest.raises(InvalidInput, match="no longer"):
        await channel.fetch(file, most=1000)


def test_the_token_is_shown_to_slack_alone() -> None:
    from swarm.channels.slack.vendor import Line

    tokens = {"bot_token": SecretStr("xoxb-1"), "app_token": SecretStr("xapp-1")}
    line = Line(SlackConfig(**tokens))
    assert line._is_ours("https://files.slack.com/files-pri/T1-F1/a.txt")
    for foreign in (
        "https://slack.com.evil.example/a", "http://files.slack.com/a", "https://evilslack.com/a",
    ):  # fmt: skip
        assert not line._is_ours(foreign)


def test_settings_read_lists_from_texts_and_name_what_is_wrong() -> None:
    read = SlackConfig.model_validate({"founders": "T0AB:U0CD, T0AB:W0EF", "groups": "C0AB"})
    assert (read.founders, read.groups) == (("T0AB:U0CD", "T0AB:W0EF"), ("C0AB",))
    assert SlackConfig(base_url="http://h:1").base_url == "http://h:1/api/"
    assert SlackConfig(base_url="http://h:1/api").base_url == "http://h:1/api/"
    assert not SlackConfig(bot_token=SecretStr("x")).is_set
    for bad in ({"founders": "ada"}, {"groups": "#general"}, {"base_url": "slack.com"}):
        with pytest.raises(ValueError, match=r"write TEAM|no channel id|an address"):
            SlackConfig.model_validate(bad)
