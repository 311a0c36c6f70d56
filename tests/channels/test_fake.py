"""The channel in memory."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from swarm.channels.console import ConsoleChannel
from swarm.channels.fake import FakeChannel
from swarm.channels.registry import CHANNELS
from swarm.core.errors import Transient
from swarm.core.message import InboundMessage, OutboundKind, OutboundMessage

ANSWER = OutboundMessage("fake", "chat", None, OutboundKind.ANSWER, "Grüße", order_id="o-1")


async def test_each_sent_message_is_one_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sent"
    channel = FakeChannel(path)
    await channel.send(ANSWER)
    await FakeChannel(path).send(ANSWER)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["text"], line["order_id"], line["kind"]) for line in lines] == [
        ("Grüße", "o-1", "answer")
    ] * 2
    assert channel.sent == [ANSWER]


async def test_a_line_is_on_disk_before_the_message_counts_as_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = FakeChannel(tmp_path / "sent")

    def refuse(_: int) -> None:
        raise OSError(5, "I/O error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="I/O"):
        await channel.send(ANSWER)


async def test_the_nth_try_fails_as_told_and_is_not_sent(tmp_path: Path) -> None:
    channel = FakeChannel(tmp_path / "sent")
    channel.fail_at(2, Transient("slow down", kind="rate_limited", retry_after_s=3))
    await channel.send(ANSWER)
    with pytest.raises(Transient) as caught:
        await channel.send(ANSWER)
    assert caught.value.retry_after_s == 3
    await channel.send(ANSWER)
    assert len(channel.sent) == 2
    assert len((tmp_path / "sent").read_text().splitlines()) == 2


async def test_a_message_can_be_sent_although_the_answer_is_lost() -> None:
    channel = FakeChannel()
    channel.fail_at(1, ConnectionResetError("cut"), is_sent=True)
    with pytest.raises(ConnectionResetError):
        await channel.send(ANSWER)
    assert channel.sent == [ANSWER]


async def test_the_same_update_can_be_said_twice() -> None:
    channel = FakeChannel()
    seen: list[InboundMessage] = []

    async def hear(message: InboundMessage) -> None:
        seen.append(message)

    channel.say("one", update_id="7", sender_id="42", chat_id="c", thread_id="t")
    channel.say("one", update_id="7")
    running = asyncio.ensure_future(channel.run(hear))
    await channel.drained()
    running.cancel()
    assert [message.update_id for message in seen] == ["7", "7"]
    assert (seen[0].sender_id, seen[0].chat_id, seen[0].thread_id) == ("42", "c", "t")
    assert channel.acknowledged == ["7", "7"]


async def test_a_message_that_could_not_be_stored_is_heard_again() -> None:
    channel = FakeChannel()
    tries: list[str] = []

    async def hear(message: InboundMessage) -> None:
        tries.append(message.text)
        if len(tries) == 1:
            raise RuntimeError("no store")

    channel.say("order")
    with pytest.raises(RuntimeError):
        await channel.run(hear)
    assert channel.acknowledged == []
    running = asyncio.ensure_future(channel.run(hear))
    await channel.drained()
    running.cancel()
    assert tries == ["order", "order"]
    assert channel.acknowledged == ["1"]


def test_channels_are_found_by_name() -> None:
    assert CHANNELS.load("console") is ConsoleChannel
    assert CHANNELS.load("fake") is FakeChannel
