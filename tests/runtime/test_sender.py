"""What is queued goes out: in order, within rates, once or in doubt."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.channels.base import Capabilities, SendRefused
from swarm.channels.fake import FakeChannel
from swarm.core.clock import iso
from swarm.core.errors import Transient
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.runtime import outbox as box
from swarm.runtime.sender import Sender
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import outbox, sent_messages
from tests.runtime.fronts import ADA, PHONE, MovingClock, desk

CLOCK = MovingClock()


@pytest.fixture
def store(fresh_home: Path, home: Path) -> Iterator[Store]:
    found = Store(sqlite_url(home / "swarm.db"))
    yield found
    found.close()


def phone(**more: Any) -> FakeChannel:
    return FakeChannel(name="phone", capabilities=replace(PHONE, **more))


def queue(store: Store, text: str, *, chat: str = "c1", kind: str = "answer", **more: Any) -> None:
    message = OutboundMessage("phone", chat, None, OutboundKind(kind), text, **more)
    store.write(
        lambda c: box.put(c, dedupe_key=f"{chat}/{text}", message=message, now=iso(CLOCK.now()))
    )


@contextlib.asynccontextmanager
async def sending(store: Store, channel: Any, **more: Any) -> AsyncIterator[None]:
    sender = Sender(store=store, clock=CLOCK, channels={"phone": channel}, poll_s=0.02, **more)
    job = asyncio.create_task(sender.run())
    try:
        yield
    finally:
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job


def states(store: Store) -> list[str]:
    query = sa.select(outbox.c.state).order_by(outbox.c.id)
    return list(store.read(lambda c: c.execute(query).scalars().all()))


def has_error(store: Store) -> bool:
    query = sa.select(outbox.c.id).where(outbox.c.error.is_not(None)).limit(1)
    return store.read(lambda c: c.execute(query).first()) is not None


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_so():  # noqa: ASYNC110  # what is awaited is a row, which sets no event
            await asyncio.sleep(0.01)


def is_done(store: Store) -> Callable[[], bool]:
    return lambda: not {"pending", "sending"} & set(states(store))


async def test_a_decision_goes_before_an_answer_and_that_before_progress(store: Store) -> None:
    channel = phone()
    queue(store, "progress", chat="c1", kind="progress")
    queue(store, "answer", chat="c2")
    queue(store, "decision", chat="c3", kind="decision")
    async with sending(store, channel):
        await until(is_done(store))
    assert [m.text for m in channel.sent] == ["decision", "answer", "progress"]


async def test_within_a_chat_what_was_said_first_arrives_first(store: Store) -> None:
    channel = phone()
    kinds = ["answer", "decision", "answer", "decision"] * 5
    for number, kind in enumerate(kinds):
        queue(store, f"{number:02}", kind=kind)
    async with sending(store, channel):
        await until(is_done(store))
    assert [m.text for m in channel.sent] == sorted(m.text for m in channel.sent)


async def test_a_flood_is_waited_out_by_its_whole_chat_and_by_no_other(store: Store) -> None:
    channel = phone()
    channel.fail_at(1, Transient("slow down", kind="rate_limit", retry_after_s=1.0))
    for text in ("one", "two", "three"):
        queue(store, text)
    began = time.monotonic()
    arrived: dict[str, float] = {}
    send = channel.send

    async def timed(message: OutboundMessage) -> str:
        sent = await send(message)
        arrived[message.text] = time.monotonic() - began
        return sent

    channel.send = timed  # type: ignore[method-assign]
    async with sending(store, channel):
        await until(lambda: has_error(store))
        queue(store, "elsewhere", chat="c2")
        queue(store, "later", kind="decision")
        await until(is_done(store))
    assert [m.text for m in channel.sent if m.chat_id == "c1"] == [
        "one", "two", "three", "later"
    ]  # fmt: skip
    assert min(arrived[text] for text in ("one", "two", "three", "later")) >= 1.0
    assert arrived["elsewhere"] < 1.0


async def test_a_chat_is_written_to_no_more_often_than_its_platform_allows(store: Store) -> None:
    channel = phone(chat_pause_s=0.2)
    for number in range(4):
        queue(store, f"{number}")
    began = time.monotonic()
    async with sending(store, channel):
        await until(is_done(store))
    assert time.monotonic() - began >= 0.6


async def test_a_platform_that_cannot_be_reached_loses_nothing(store: Store) -> None:
    channel = phone()
    for nth in range(1, 4):
        channel.fail_at(nth, Transient("no network", kind="network"))
    for text in ("one", "two"):
        queue(store, text)
    async with sending(store, channel):
        await until(is_done(store))
    assert [m.text for m in channel.sent] == ["one", "two"]
    assert states(store) == ["sent", "sent"]


async def test_progress_is_one_message_that_shows_the_last_of_many(store: Store) -> None:
    channel = phone(chat_pause_s=0.1)
    first = OutboundMessage("phone", "c1", None, OutboundKind.PROGRESS, "0", slot="progress/o1/0")

    def show(text: str) -> None:
        store.write(
            lambda c: box.coalesce(c, message=replace(first, text=text), now=iso(CLOCK.now()))
        )

    async with sending(store, channel):
        show("0")
        await until(is_done(store))
        for number in range(1, 30):
            show(str(number))
        await until(is_done(store))
    assert channel.sent[0].edits is None
    assert {m.edits for m in channel.sent[1:]} == {"phone-1"}
    assert channel.sent[-1].text == "29"
    assert len(channel.sent) < 6
    assert len(store.read(lambda c: c.execute(sa.select(sent_messages)).all())) <= len(channel.sent)


class Cutting(FakeChannel):
    """Cut each text into its words."""

    def parts(self, message: OutboundMessage) -> list[OutboundMessage]:
        return [replace(message, text=word) for word in message.text.split()]


async def test_a_part_that_fails_is_sent_again_without_those_before_it(store: Store) -> None:
    channel = Cutting(name="phone", capabilities=PHONE)
    channel.fail_at(2, Transient("no", kind="server", retry_after_s=0.05))
    queue(store, "a1 a2 a3")
    queue(store, "b1 b2")
    async with sending(store, channel):
        await until(is_done(store))
    assert [m.text for m in channel.sent] == ["a1", "a2", "a3", "b1", "b2"]


async def test_what_was_on_its_way_in_a_crash_is_unknown_and_asked_about(store: Store) -> None:
    asked: list[int] = []
    queue(store, "one")
    store.write(lambda c: c.execute(outbox.update().values(state="sending")))
    channel = phone()
    async with sending(store, channel, doubt=lambda c, row: asked.append(row.id)):
        await until(lambda: states(store) == ["unknown"])
    assert channel.sent == []
    assert len(asked) == 1


async def test_an_edit_caught_in_a_crash_is_simply_made_again(store: Store) -> None:
    channel = phone()
    first = OutboundMessage("phone", "c1", None, OutboundKind.PROGRESS, "0", slot="s")
    store.write(lambda c: box.coalesce(c, message=first, now=iso(CLOCK.now())))
    async with sending(store, channel):
        await until(is_done(store))
    again = replace(first, text="1")
    store.write(lambda c: box.coalesce(c, message=again, now=iso(CLOCK.now())))
    stuck = outbox.update().where(outbox.c.state == "pending").values(state="sending")
    store.write(lambda c: c.execute(stuck))
    async with sending(store, channel):
        await until(is_done(store))
    assert [(m.text, m.edits) for m in channel.sent] == [("0", None), ("1", "phone-1")]


async def test_a_refused_message_does_not_hold_up_the_next(store: Store) -> None:
    channel = phone()
    channel.fail_at(1, SendRefused("blocked"))
    queue(store, "one")
    queue(store, "two")
    async with sending(store, channel):
        await until(is_done(store))
    assert states(store) == ["refused", "sent"]


async def test_the_founder_is_asked_about_a_doubtful_message_and_it_is_sent_once_more(
    home: Path,
) -> None:
    async with desk(home) as company:
        company.channel.fail_at(1, OSError("cut"), is_sent=False)
        await company.hears("/team")
        await company.until(lambda: len(company.channel.sent) == 1)
        assert "cannot tell" in company.channel.sent[0].text
        told = await company.presses("Send again")
        await company.settled()
        assert "ceo" in "".join(m.text for m in [*told, *company.channel.sent])
        assert [m.text for m in company.channel.sent].count("It is sent again.") == 1
        assert sum(m.text.startswith("\u2022 ceo") for m in company.channel.sent) == 1
        await company.presses("Send again")
        assert sum(m.text.startswith("\u2022 ceo") for m in company.channel.sent) == 1


async def test_what_was_not_delivered_was_not_asked(home: Path) -> None:
    from swarm.store.tables import asks

    async with desk(home) as company:
        await company.hears("Write a page.")
        order = company.orders[0]["id"]
        company.channel.fail_at(2, SendRefused("blocked"))
        await company.waits(order, company.state(order), "q1", kind="question", text="Colour?")
        assert company.rows(asks)[0]["shown_at"] is None
        await company.hears("/inbox", by=ADA)
        assert company.rows(asks)[0]["shown_at"] is not None


def test_a_channel_that_says_nothing_of_itself_can_do_nothing() -> None:
    plain = Capabilities()
    assert plain.is_local
    assert not plain.has_buttons
    assert plain.text_units is None
