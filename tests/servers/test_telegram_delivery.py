"""The fake Bot API server delivers updates as Telegram does, and goes wrong when it is told to."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import telegram
from telegram.error import BadRequest, Conflict, NetworkError, RetryAfter, TimedOut

from tests.servers.telegram import Conversation, NothingCame, Person, TelegramServer, faults
from tests.servers.telegram.fixtures import ada, bot, chat, server
from tests.servers.telegram.sockets import Answer, Listener, Request
from tests.servers.telegram.webhooks import SECRET_HEADER

__all__ = ["ada", "bot", "chat", "server"]

EVERYTHING = telegram.Update.ALL_TYPES


async def poll(bot: telegram.Bot, offset: int | None = None, **options: Any) -> list[int]:
    updates = await bot.get_updates(offset=offset, **{"timeout": 0, **options})
    return [update.update_id for update in updates]


async def hangs(server: TelegramServer, polls: int) -> None:
    """Wait until the server holds a poll, the given one in number."""
    async with asyncio.timeout(5):
        await server.updates().listened(polls)


# -- long polling


async def test_what_is_not_confirmed_is_delivered_again(bot: telegram.Bot, ada: Person) -> None:
    ada.says("two")
    first = await poll(bot)
    assert len(first) == 2
    assert await poll(bot) == first
    assert await poll(bot, first[1]) == first[1:]
    assert await poll(bot) == first[1:]
    assert await poll(bot, first[1] + 1) == []


async def test_limit_cuts_a_batch_and_loses_nothing(bot: telegram.Bot, ada: Person) -> None:
    for number in range(4):
        ada.says(str(number))
    all_ids = await poll(bot)
    assert await poll(bot, limit=2) == all_ids[:2]
    assert await poll(bot, all_ids[2], limit=2) == all_ids[2:4]


async def test_a_negative_offset_keeps_the_newest(bot: telegram.Bot, ada: Person) -> None:
    newest = ada.says("two").update_ids
    assert await poll(bot, -1) == newest
    assert await poll(bot) == newest


async def test_a_poll_waits_until_something_happens(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    await poll(bot, (await poll(bot))[-1] + 1)
    waiting = asyncio.create_task(poll(bot, timeout=20))
    await hangs(server, 3)
    said = ada.says("now")
    assert await waiting == said.update_ids


async def test_a_poll_ends_empty_after_its_timeout(bot: telegram.Bot) -> None:
    began = time.monotonic()
    assert await poll(bot, timeout=1) == []
    assert 0.9 < time.monotonic() - began < 3


async def test_kinds_that_were_not_asked_for_are_not_queued(bot: telegram.Bot, ada: Person) -> None:
    said = ada.says("x")
    assert ada.reacts(said, "👍") is None
    await poll(bot, said.update_ids[0] + 1, allowed_updates=EVERYTHING)
    reaction = ada.reacts(said, "🔥")
    assert reaction is not None
    assert await poll(bot) == [reaction]
    # Left out, the choice stays; an empty list goes back to all but the rare ones.
    await poll(bot, reaction + 1, allowed_updates=["callback_query"])
    assert ada.says("unheard").update_ids == []
    await poll(bot, allowed_updates=[])
    assert ada.says("heard").update_ids
    assert ada.reacts(said, "👍") is None


async def test_the_second_poller_ends_the_first_with_409(
    server: TelegramServer, bot: telegram.Bot
) -> None:
    first = asyncio.create_task(poll(bot, timeout=20))
    await hangs(server, 1)
    second = asyncio.create_task(poll(bot, timeout=20))
    with pytest.raises(Conflict, match="only one bot instance"):
        await first
    await hangs(server, 2)
    server.person("Ada").starts()
    assert len(await second) == 1


async def test_setting_a_webhook_ends_a_poll_with_409(
    server: TelegramServer, bot: telegram.Bot
) -> None:
    waiting = asyncio.create_task(poll(bot, timeout=20))
    await hangs(server, 1)
    await bot.set_webhook("https://example.org/")
    with pytest.raises(Conflict, match=r"(?i)terminated by setWebhook"):
        await waiting


async def test_a_poller_that_left_takes_no_update_with_it(
    server: TelegramServer, bot: telegram.Bot
) -> None:
    waiting = asyncio.create_task(poll(bot, timeout=20))
    await hangs(server, 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5):
        await server.updates().deserted()
    server.person("Ada").starts()
    assert server.updates().handed_out == []
    assert len(await poll(bot)) == 1


POLLER = """
import json, sys, urllib.request
offset = 0
while True:
    url = f"{sys.argv[1]}/getUpdates?timeout=20&offset={offset}"
    for update in json.load(urllib.request.urlopen(url))["result"]:
        print(update["update_id"], flush=True)
        offset = update["update_id"] + 1
"""


@contextlib.asynccontextmanager
async def poller(server: TelegramServer) -> AsyncIterator[asyncio.StreamReader]:
    """Run a poller as a process that prints what it gets; it is killed at the end."""
    argv = [sys.executable, "-c", POLLER, f"{server.base_url}{server.token}"]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.communicate()


async def test_a_killed_poller_leaves_to_the_next_what_it_did_not_confirm(
    server: TelegramServer, ada: Person
) -> None:
    [start] = server.updates().waiting
    async with poller(server) as lines:
        assert int(await lines.readline()) == start
        # It hangs in its next poll, which has confirmed the first.
        await server.updates().listened(2)
        first = ada.says("one").update_ids[0]
        assert int(await lines.readline()) == first
        server.faults.add(faults.silent(), "getUpdates")
        second = ada.says("two").update_ids[0]
    # Killed too soon, it has not met the fault.
    server.faults.clear()
    assert set(server.updates().waiting) >= {second}
    async with poller(server) as lines:
        seen = [int(await lines.readline())]
        while seen[-1] != second:
            seen.append(int(await lines.readline()))
        assert set(seen) <= {first, second}
        await server.drained()


async def test_an_update_says_what_was_true_when_it_was_made(
    bot: telegram.Bot, ada: Person
) -> None:
    said = ada.says("first")
    ada.edits(said, "second")
    updates = (await bot.get_updates(timeout=0))[-2:]
    assert [u.effective_message and u.effective_message.text for u in updates] == [
        "first",
        "second",
    ]
    assert updates[1].edited_message is not None
    assert updates[1].edited_message.edit_date is not None


# -- disorder


async def test_a_replayed_update_comes_again_although_it_was_confirmed(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    said = ada.says("once").update_ids[0]
    await poll(bot, said + 1)
    assert await poll(bot, said + 1) == []
    server.replay(said, copies=2)
    assert await poll(bot, said + 1) == [said]
    assert await poll(bot, said + 1) == [said]
    assert await poll(bot, said + 1) == []


async def test_disorder_repeats_and_shuffles_but_loses_nothing(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    server.disorder(7, copies=5)
    sent = [ada.says(str(n)).update_ids[0] for n in range(60)]
    offset, heard = 0, list[int]()
    while server.updates().waiting:
        batch = await poll(bot, offset)
        heard += batch
        offset = max([offset - 1, *batch]) + 1
    assert set(heard) >= set(sent)
    assert heard != sorted(heard)
    assert len(heard) > len(sent)


async def test_updates_come_in_an_order_of_the_tests_own(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    said = ada.says("first")
    ada.edits(said, "second")
    server.updates().order = lambda waiting: waiting[::-1]
    first, edited = said.update_ids
    assert await poll(bot, limit=1) == [edited]
    # The older ones were never handed out, so a confirmation of the newest doesn't cover them.
    assert await poll(bot, edited + 1, limit=1) == [first]
    server.updates().order = lambda waiting: []
    assert await poll(bot, edited + 1) == []
    server.updates().order = lambda waiting: waiting
    assert len(await poll(bot, edited + 1)) == 1


async def test_drained_returns_when_everything_is_confirmed(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    with pytest.raises(TimeoutError):
        await server.drained(timeout_s=0.05)
    last = (await poll(bot))[-1]
    waiting = asyncio.create_task(server.drained())
    await poll(bot, last + 1)
    await waiting


# -- webhooks


class Hook:
    """A bot's end of a webhook: answers by a plan, then with 200."""

    def __init__(self, plan: list[int] | None = None) -> None:
        self.plan = list(plan or ())
        self.got: list[tuple[str, int]] = []
        self.reply: dict[str, Any] | None = None
        self._listener = Listener(self._answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}/hook"

    async def _answer(self, request: Request) -> Answer:
        assert request.method == "POST"
        secret = request.headers.get(SECRET_HEADER.lower(), "")
        self.got.append((secret, json.loads(request.body)["update_id"]))
        status = self.plan.pop(0) if self.plan else 200
        if status == 0:
            return Answer(is_cut=True)
        return Answer(status, json.dumps(self.reply).encode() if self.reply else b"")

    async def __aenter__(self) -> "Hook":
        await self._listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.stop()


@contextlib.asynccontextmanager
async def hooked(bot: telegram.Bot, plan: list[int] | None = None) -> AsyncIterator[Hook]:
    async with Hook(plan) as hook:
        await bot.set_webhook(hook.url, secret_token="s3-cret_Z")
        yield hook
        await bot.delete_webhook()


async def test_a_webhook_gets_each_update_with_the_secret(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    async with hooked(bot) as hook:
        said = ada.says("x")
        await server.drained()
        assert [secret for secret, _ in hook.got] == ["s3-cret_Z"] * 2
        assert hook.got[-1][1] == said.update_ids[0]


async def test_a_webhook_is_tried_until_it_answers_200(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    async with hooked(bot, [500, 0, 403, 302, 200]) as hook:
        ada.says("x")
        await server.drained()
        ids = [number for _, number in hook.got]
        # One chat keeps its order: the second waits until the first is taken.
        assert ids == [ids[0]] * 5 + [ids[0] + 1]
        info = await bot.get_webhook_info()
        assert info.url == hook.url
        assert info.pending_update_count == 0
        assert info.last_error_message is not None
        assert "302" in info.last_error_message


async def test_updates_that_waited_go_to_the_webhook_or_are_dropped_on_demand(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    assert (await bot.get_webhook_info()).pending_update_count == 1
    async with hooked(bot) as hook:
        await server.drained()
        assert len(hook.got) == 1
    ada.says("unwanted")
    await bot.delete_webhook(drop_pending_updates=True)
    assert await poll(bot) == []


async def test_a_replay_goes_to_the_webhook_too(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    async with hooked(bot) as hook:
        await server.drained()
        number = hook.got[0][1]
        server.replay(number, copies=3)
        await server.drained()
        assert [n for _, n in hook.got] == [number] * 4


async def test_a_call_in_the_answer_of_a_webhook_is_carried_out(
    server: TelegramServer, bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    async with Hook() as hook:
        hook.reply = {"method": "sendMessage", "chat_id": ada.id, "text": "by the way"}
        await bot.set_webhook(hook.url)
        assert (await chat.next()).text == "by the way"
        await bot.delete_webhook()


# -- faults


Do = Callable[[telegram.Bot, int], Awaitable[Any]]


@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
async def test_a_flood_lasts_and_coming_too_early_is_recorded(
    server: TelegramServer, bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    server.faults.add(faults.too_many(3), "sendMessage")
    with pytest.raises(RetryAfter) as refused:
        await bot.send_message(ada.id, "x")
    assert refused.value.retry_after == 3
    with pytest.raises(RetryAfter):
        await bot.send_message(ada.id, "x")
    [early] = server.rates.disobeyed
    assert (early.chat_id, early.method) == (ada.id, "sendMessage")
    assert 2 < early.early_s <= 3
    # Somebody else's chat is free.
    ben = server.person("Ben")
    ben.starts()
    await bot.send_message(ben.id, "x")
    server.advance(3)
    await bot.send_message(ada.id, "x")
    assert len(chat.from_bot) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words", "arrives"),
    [
        (faults.server_error(500), NetworkError, "Internal Server Error", False),
        (faults.server_error(503), NetworkError, "Service Unavailable", False),
        (faults.html_page(502), NetworkError, "Bad Gateway", False),
        (faults.garbage(), telegram.error.TelegramError, "Invalid server response", True),
        (faults.cut_before(), NetworkError, None, False),
        (faults.cut_after(), NetworkError, None, True),
        (faults.silent(), TimedOut, None, False),
        (faults.silent(has_effect=True), TimedOut, None, True),
        (faults.slow(0.6), TimedOut, None, True),
        (faults.slow(0.0), None, None, True),
    ],
)
async def test_a_fault_strikes_once_and_has_its_effect_or_none(
    server: TelegramServer,
    bot: telegram.Bot,
    chat: Conversation,
    fault: faults.Fault,
    kind: type[Exception] | None,
    words: str | None,
    arrives: bool,
) -> None:
    server.faults.add(fault, "sendMessage")
    with pytest.raises(kind, match=words) if kind else contextlib.nullcontext():
        await bot.send_message(chat.id, "x", read_timeout=0.3)
    assert [m.text for m in chat.from_bot] == (["x"] if arrives else [])
    assert server.faults.struck == [(fault.name, "sendMessage")]
    assert server.calls("sendMessage")[0].fault == fault.name
    await bot.send_message(chat.id, "y")


async def test_a_fault_strikes_the_planned_calls_only(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    ben = server.person("Ben")
    ben.starts()
    server.faults.add(faults.server_error(), "sendMessage", chat_id=ada.id, skip=1, times=2)
    await bot.send_message(ada.id, "1")
    for _ in range(2):
        await bot.send_message(ben.id, "x")
        with pytest.raises(NetworkError):
            await bot.send_message(ada.id, "2")
    await bot.send_message(ada.id, "3")
    server.faults.add(faults.server_error(), times=None, matches=lambda c: c.text("text") == "no")
    for _ in range(3):
        with pytest.raises(NetworkError):
            await bot.send_message(ada.id, "no")
    server.faults.clear()
    await bot.send_message(ada.id, "no")


async def test_a_poll_that_is_cut_after_its_effect_loses_nothing(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    server.faults.add(faults.cut_after(), "getUpdates")
    with pytest.raises(NetworkError):
        await poll(bot)
    assert len(await poll(bot)) == 1


async def test_a_download_can_go_wrong(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    said = ada.sends_document(b"content")
    file = await bot.get_file(said.document["document"]["file_id"])
    server.faults.add(faults.cut_before(), "download")
    with pytest.raises(NetworkError):
        await file.download_as_bytearray()
    assert await file.download_as_bytearray() == b"content"


async def test_a_server_that_is_down_or_silent_keeps_everything(
    server: TelegramServer, bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    port = server.port
    await server.go_down()
    with pytest.raises(NetworkError):
        await bot.send_message(chat.id, "x")
    said = ada.says("while you were out")
    await server.come_back()
    assert server.port == port
    server.go_silent()
    with pytest.raises(TimedOut):
        await bot.send_message(chat.id, "x", read_timeout=0.2)
    await server.come_back()
    assert (await poll(bot))[-1:] == said.update_ids
    assert chat.from_bot == []


async def test_a_server_that_flaps_comes_back_each_time(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    await server.flap(3, down_s=0.01, up_s=0.01)
    assert len(await poll(bot)) == 1


# -- what a test sees when nothing comes


async def test_waiting_in_vain_fails_with_the_chat_as_it_stands(
    bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    with pytest.raises(NothingCame, match="no message of the bot"):
        _ = chat.last
    await bot.send_message(ada.id, "Hello.")
    await chat.next("Hello")
    with pytest.raises(NothingCame, match=r"(?s)'Plan'.*Ada:.*/start.*Swarm:.*Hello\."):
        await chat.next("Plan", timeout_s=0.05)
    with pytest.raises(NothingCame):
        await chat.until(lambda c: len(c.from_bot) == 2, timeout_s=0.05)


async def test_waiting_is_woken_by_edits_too(
    bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    sent = await bot.send_message(ada.id, "1 of 2")
    await chat.next()
    waiting = asyncio.create_task(chat.next("2 of 3"))
    await sent.edit_text("2 of 3")
    assert (await waiting).id == sent.message_id
    await sent.edit_text("3 of 3")
    await sent.edit_text("2 of 2")
    # Each state was there, although only the last is to be read now.
    assert (await chat.next("3 of 3")).text == "2 of 2"
    assert (await chat.next("2 of 2")).history == ["1 of 2", "2 of 3", "3 of 3"]
    with pytest.raises(BadRequest):
        await sent.edit_text("2 of 2")
