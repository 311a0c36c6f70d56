"""The fake Bot API server: python-telegram-bot drives it, people answer, and it can be read."""

import asyncio
import base64
import contextlib
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import telegram
from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram import InputMediaPhoto, KeyboardButton, ReplyKeyboardMarkup, ReplyParameters
from telegram.constants import ZERO_DATE, ReactionEmoji

from tests.servers.telegram import Conversation, NothingCame, Person, TelegramServer
from tests.servers.telegram.fixtures import ada, bot, bot_of, chat, server
from tests.servers.telegram.methods.sending import REACTIONS
from tests.servers.telegram.person import PNG
from tests.servers.telegram.remote import Remote, in_process

__all__ = ["ada", "bot", "chat", "server"]

OGG = b"OggS" + bytes(60)
GO = Keyboard([[Button("Approve", callback_data="a1"), Button("Reject", callback_data="r1")]])


async def forum_of(server: TelegramServer, *people: Person) -> Conversation:
    return server.group("Forum", *people, is_forum=True, is_bot_admin=True)


# -- every method that a bot of ours may use passes the contract, and says what Telegram says


async def test_texts_are_sent_edited_deleted_and_pinned(
    bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    said = ada.says("question")
    quote = ReplyParameters(said.id)
    sent = await bot.send_message(
        ada.id, "<b>a</b>", "HTML", reply_parameters=quote, reply_markup=GO
    )
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "question"
    edited = await bot.edit_message_text("b", ada.id, sent.message_id)
    assert isinstance(edited, telegram.Message)
    assert (edited.text, edited.reply_markup) == ("b", None)
    assert edited.edit_date is not None
    await bot.edit_message_reply_markup(ada.id, sent.message_id, reply_markup=GO)
    assert [b.text for b in chat.last.buttons] == ["Approve", "Reject"]
    assert await bot.pin_chat_message(ada.id, sent.message_id, disable_notification=True)
    assert chat.pinned == [chat.last]
    assert await bot.unpin_chat_message(ada.id, sent.message_id)
    assert await bot.unpin_all_chat_messages(ada.id)
    assert await bot.delete_message(ada.id, sent.message_id)
    assert chat.from_bot == []
    assert await bot.delete_messages(ada.id, [sent.message_id, said.id])


async def test_actions_reactions_and_drafts_are_shown(
    server: TelegramServer, bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    said = ada.says("x")
    assert await bot.send_chat_action(ada.id, "typing")
    assert chat.is_busy
    server.advance(6)
    assert not chat.is_busy
    assert await bot.set_message_reaction(ada.id, said.id, "👀")
    assert said.reactions == {server.bot.id: ["👀"]}
    assert await bot.set_message_reaction(ada.id, said.id, [])
    assert await bot.send_message_draft(ada.id, 5, "thin")
    assert await bot.send_message_draft(ada.id, 5, "thinking")
    assert chat.drafts == ["thinking"]
    assert chat.from_bot == []
    server.advance(31)
    assert chat.drafts == []
    await bot.send_message_draft(ada.id, 6, "again")
    await bot.send_chat_action(ada.id, "typing")
    await bot.send_message(ada.id, "done")
    assert (chat.drafts, chat.is_busy) == ([], False)


async def test_the_reactions_are_those_the_sdk_knows() -> None:
    assert {r.value.replace("\ufe0f", "") for r in ReactionEmoji} == REACTIONS


async def test_files_are_sent_edited_and_fetched(
    bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    document = await bot.send_document(
        ada.id, b"text", filename="plan.md", caption="<i>c</i>", parse_mode="HTML"
    )
    photo = await bot.send_photo(ada.id, PNG, caption="seen")
    voice = await bot.send_voice(ada.id, OGG, duration=4)
    again = await bot.send_document(ada.id, document.document.file_id)  # type: ignore[union-attr]
    assert document.caption_entities[0].type == "italic"
    assert photo.photo[-1].width == 1
    assert voice.voice is not None
    assert voice.voice.mime_type == "audio/ogg"
    for message, content in ((document, b"text"), (photo, PNG), (voice, OGG), (again, b"text")):
        attachment: Any = message.effective_attachment
        file_id = attachment[-1].file_id if isinstance(attachment, tuple) else attachment.file_id
        file = await bot.get_file(file_id)
        assert bytes(await file.download_as_bytearray()) == content
    assert await bot.edit_message_caption(ada.id, photo.message_id, caption="better")
    await bot.edit_message_media(InputMediaPhoto(PNG, caption="best"), ada.id, photo.message_id)
    group = await bot.send_media_group(ada.id, [InputMediaPhoto(PNG), InputMediaPhoto(PNG)])
    assert len({m.media_group_id for m in group}) == 1
    assert [m.file and m.file.name for m in chat.from_bot[:1]] == ["plan.md"]
    await bot.send_audio(ada.id, b"x")
    await bot.send_video(ada.id, b"x")


async def test_the_account_can_be_set_and_read(bot: telegram.Bot, server: TelegramServer) -> None:
    me = await bot.get_me()
    assert (me.id, me.username) == (server.bot.id, "swarm_bot")
    assert not me.can_read_all_group_messages
    commands = [("order", "Give an order"), ("status", "What is going on")]
    assert await bot.set_my_commands(commands)
    assert await bot.set_my_commands([("ordre", "Donner un ordre")], language_code="fr")
    scope = telegram.BotCommandScopeAllPrivateChats()
    assert await bot.set_my_commands(commands[:1], scope=scope)
    assert [c.command for c in await bot.get_my_commands()] == ["order", "status"]
    assert [c.command for c in await bot.get_my_commands(language_code="fr")] == ["ordre"]
    assert await bot.delete_my_commands(scope=scope)
    assert await bot.get_my_commands(scope=scope) == ()
    assert await bot.set_my_description("A company")
    assert (await bot.get_my_description()).description == "A company"
    assert await bot.set_my_short_description("Co")
    assert (await bot.get_my_short_description()).short_description == "Co"
    assert (await bot.get_my_name()).name == "Swarm"


async def test_webhooks_can_be_set_read_and_deleted(bot: telegram.Bot) -> None:
    kinds = ["message", "callback_query"]
    assert await bot.set_webhook("https://example.org/x", allowed_updates=kinds, secret_token="s")
    info = await bot.get_webhook_info()
    assert (info.url, info.allowed_updates) == ("https://example.org/x", tuple(kinds))
    assert await bot.delete_webhook()
    assert (await bot.get_webhook_info()).url == ""


async def test_chats_and_members_can_be_read(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    ben = server.person("Ben", username="ben")
    team = server.group("Team", ada, ben, is_bot_admin=True)
    assert (await bot.get_chat(ada.id)).first_name == "Ada"
    assert (await bot.get_chat(team.id)).title == "Team"
    statuses = [(await bot.get_chat_member(team.id, p.id)).status for p in (ada, ben)]
    assert statuses == ["creator", "member"]
    assert {m.user.id for m in await bot.get_chat_administrators(team.id)} == {
        ada.id,
        server.bot.id,
    }
    assert await bot.get_chat_member_count(team.id) == 3
    stranger = server.person("Eve")
    assert (await bot.get_chat_member(team.id, stranger.id)).status == "left"
    assert await bot.leave_chat(team.id)
    with pytest.raises(telegram.error.Forbidden):
        await bot.send_message(team.id, "x")


async def test_topics_are_opened_renamed_closed_and_deleted(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    forum = await forum_of(server, ada)
    topic = await bot.create_forum_topic(forum.id, "Order 1")
    where: dict[str, Any] = {"chat_id": forum.id, "message_thread_id": topic.message_thread_id}
    sent = await bot.send_message(text="x", **where)
    assert (sent.message_thread_id, sent.is_topic_message) == (topic.message_thread_id, True)
    assert await bot.send_chat_action(action="typing", **where)
    assert forum.actions == [("typing", topic.message_thread_id)]
    assert await bot.edit_forum_topic(name="Order 1: page", **where)
    assert [t.name for t in forum.topics] == ["Order 1: page"]
    assert await bot.close_forum_topic(**where)
    assert await bot.reopen_forum_topic(**where)
    assert [m.text for m in forum.in_topic(topic.message_thread_id) if m.text] == ["x"]
    assert await bot.delete_forum_topic(**where)
    with pytest.raises(telegram.error.BadRequest, match="thread not found"):
        await bot.send_message(text="y", **where)


async def test_a_private_chat_may_have_topics() -> None:
    async with TelegramServer(has_topics=True) as server, bot_of(server) as bot:
        ada = server.person("Ada")
        ada.starts()
        topic = await bot.create_forum_topic(ada.id, "Order 1")
        said = ada.says("hello", topic=topic.message_thread_id)
        assert said.topic == topic.message_thread_id
        assert (await bot.get_me()).has_topics_enabled


async def test_messages_are_forwarded_and_copied(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada)
    said = ada.says("x")
    forwarded = await bot.forward_message(team.id, ada.id, said.id)
    assert forwarded.forward_origin is not None
    copied = await bot.copy_message(team.id, ada.id, said.id)
    assert team.chat.messages[copied.message_id].text == "x"


# -- people


async def test_pressing_a_button_asks_and_the_first_answer_is_shown(
    bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    await bot.send_message(ada.id, "Plan", reply_markup=GO)
    press = ada.presses("approve")
    [*_, update] = await bot.get_updates(timeout=0)
    query = update.callback_query
    assert query is not None
    assert (query.data, query.from_user.id) == ("a1", ada.id)
    assert query.message is not None
    waiting = asyncio.create_task(press.answered())
    await query.answer("Approved", show_alert=True)
    assert await waiting == {"text": "Approved", "show_alert": True}
    with pytest.raises(AssertionError, match=r"no button 'Later'.*Approve"):
        ada.presses("Later")


async def test_anybody_may_send_any_callback_data(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    sent = await bot.send_message(ada.id, "Plan", reply_markup=GO)
    await sent.delete()
    ada.forges(ada.chat().chat.messages[sent.message_id], "a2")
    [*_, update] = await bot.get_updates(timeout=0)
    assert update.callback_query is not None
    assert update.callback_query.data == "a2"
    message = update.callback_query.message
    assert message is not None
    # What is out of reach has the date 0.
    assert message.date == ZERO_DATE


async def test_the_reply_keyboard_can_be_tapped(bot: telegram.Bot, ada: Person) -> None:
    keys = ReplyKeyboardMarkup([[KeyboardButton("Yes"), KeyboardButton("No")]])
    await bot.send_message(ada.id, "Sure?", reply_markup=keys)
    assert ada.taps("Yes").text == "Yes"
    await bot.send_message(ada.id, "Thanks", reply_markup=telegram.ReplyKeyboardRemove())
    with pytest.raises(AssertionError):
        ada.taps("Yes")


async def test_people_send_voice_photos_and_documents(bot: telegram.Bot, ada: Person) -> None:
    ada.sends_voice(OGG, seconds=4)
    ada.sends_photo(caption="/order like @swarm_bot this")
    ada.sends_document(b"%PDF", "brief.pdf", mime_type="application/pdf")
    _, voice, photo, document = (u.message for u in await bot.get_updates(timeout=0))
    assert voice is not None
    assert voice.voice is not None
    assert bytes(await (await voice.voice.get_file()).download_as_bytearray()) == OGG
    assert photo is not None
    assert [e.type for e in photo.caption_entities] == ["bot_command", "mention"]
    assert document is not None
    assert document.document is not None
    assert document.document.mime_type == "application/pdf"


async def test_a_picture_comes_in_two_sizes_and_the_last_is_the_whole(
    bot: telegram.Bot, ada: Person
) -> None:
    whole = PNG[:16] + (640).to_bytes(4) + (480).to_bytes(4) + PNG[24:]
    ada.sends_photo(whole)
    [*_, update] = await bot.get_updates(timeout=0)
    assert update.message is not None
    small, large = update.message.photo
    assert (small.width, large.width, large.height) == (90, 640, 480)
    assert bytes(await (await large.get_file()).download_as_bytearray()) == whole
    assert bytes(await (await small.get_file()).download_as_bytearray()) == PNG


async def test_an_album_is_a_message_each_with_one_caption(bot: telegram.Bot, ada: Person) -> None:
    ada.sends_album(caption="both")
    *_, one, two = (u.message for u in await bot.get_updates(timeout=0))
    assert one is not None
    assert two is not None
    assert one.media_group_id == two.media_group_id is not None
    assert (one.caption, two.caption) == ("both", None)


async def test_a_long_paste_comes_in_parts_that_lose_nothing(ada: Person) -> None:
    text = "😀é" * 3000
    parts = ada.pastes(text)
    assert "".join(part.text for part in parts) == text
    assert len(parts) == 3
    with pytest.raises(AssertionError, match="pastes"):
        ada.says(text)


async def test_a_reaction_tells_what_was_and_what_is_but_no_topic(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    await bot.get_updates(timeout=0, allowed_updates=telegram.Update.ALL_TYPES)
    forum = await forum_of(server, ada)
    topic = await bot.create_forum_topic(forum.id, "x")
    await bot.send_message(forum.id, "y", message_thread_id=topic.message_thread_id)
    ada.reacts(forum.last, "👍")
    ada.reacts(forum.last, "🔥")
    [*_, update] = await bot.get_updates(timeout=0)
    change = update.message_reaction
    assert change is not None
    kinds = [r.to_dict()["emoji"] for r in (*change.old_reaction, *change.new_reaction)]
    assert kinds == ["👍", "🔥"]
    assert "thread" not in json.dumps(change.to_dict())


async def test_a_renamed_person_keeps_the_id_and_ids_look_alike_across_chats(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    eve = server.person("Eve", username="eve")
    eve.starts()
    eve.renames("Ada", username="ada")
    said = eve.says("I am Ada")
    assert said.document["from"]["first_name"] == "Ada"
    assert said.document["from"]["id"] == eve.id != ada.id
    one, two = (server.group(title, ada) for title in ("One", "Two"))
    assert ada.says("@swarm_bot x", chat=one).id == ada.says("@swarm_bot y", chat=two).id


async def test_blocking_is_told_to_the_bot(bot: telegram.Bot, ada: Person) -> None:
    ada.blocks()
    ada.unblocks()
    *_, gone, back = await bot.get_updates(timeout=0)
    assert gone.my_chat_member is not None
    assert gone.my_chat_member.new_chat_member.status == "kicked"
    assert back.my_chat_member is not None
    assert back.my_chat_member.new_chat_member.status == "member"


async def test_a_forward_is_sent_by_who_forwards_it(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    eve = server.person("Eve")
    eve.forwards(ada.says("pay everything"))
    [*_, update] = await bot.get_updates(timeout=0)
    assert update.message is not None
    assert update.message.from_user is not None
    assert update.message.from_user.id == eve.id
    assert update.message.forward_origin is not None
    assert update.message.forward_origin.to_dict()["sender_user"]["id"] == ada.id


# -- groups


async def test_an_anonymous_administrator_is_nobody(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada, is_bot_admin=True)
    ada.says_anonymously("/approve", team)
    [*_, update] = await bot.get_updates(timeout=0)
    assert update.message is not None
    assert update.message.from_user is not None
    assert update.message.from_user.id != ada.id
    assert update.message.sender_chat is not None
    assert update.message.sender_chat.id == team.id
    assert team.from_bot == []


async def test_the_bot_is_told_who_comes_and_that_it_must_go(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada)
    ben = server.person("Ben")
    server.enter(team, ben)
    server.kick(team)
    *_, came, gone = await bot.get_updates(timeout=0)
    assert came.message is not None
    assert [user.id for user in came.message.new_chat_members] == [ben.id]
    assert gone.my_chat_member is not None
    assert gone.my_chat_member.new_chat_member.status == "kicked"


@pytest.mark.parametrize(
    ("text", "is_heard"),
    [
        ("hello everybody", False),
        ("hello @swarm_bot", True),
        ("hello @swarm_bot_fan", False),
        ("/status", True),
        ("/status@swarm_bot", True),
        ("/status@other_bot", False),
    ],
)
async def test_group_privacy_hides_what_is_not_for_the_bot(
    server: TelegramServer, ada: Person, text: str, is_heard: bool
) -> None:
    team = server.group("Team", ada)
    assert bool(ada.says(text, chat=team).update_ids) is is_heard


async def test_replies_to_the_bot_are_heard_and_administrators_hear_all(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada)
    await bot.send_message(team.id, "x")
    assert ada.says("yes", chat=team, reply_to=team.last).update_ids
    assert not ada.sends_photo(chat=team).update_ids
    assert ada.says("hello", chat=server.group("Board", ada, is_bot_admin=True)).update_ids


async def test_privacy_changes_count_only_after_the_bot_is_added_again(
    server: TelegramServer, ada: Person
) -> None:
    team = server.group("Team", ada)
    server.bot.has_privacy = False
    assert not ada.says("hello", chat=team).update_ids
    server.join(team, server.bot, by=ada)
    assert ada.says("hello", chat=team).update_ids


async def test_messages_of_a_topic_carry_it_and_those_of_general_do_not(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    forum = await forum_of(server, ada)
    topic = ada.opens_topic("Site", forum)
    ada.says("here", chat=forum, topic=topic)
    ada.says("there", chat=forum)
    *_, here, there = (u.message for u in await bot.get_updates(timeout=0))
    assert here is not None
    assert (here.message_thread_id, here.is_topic_message) == (topic.id, True)
    # The apps reply to the message that opened the topic, which is no answer to anything.
    assert here.reply_to_message is not None
    assert here.reply_to_message.forum_topic_created is not None
    assert there is not None
    assert (there.message_thread_id, there.is_topic_message) == (None, None)
    reply = await bot.send_message(forum.id, "x", reply_parameters=ReplyParameters(here.message_id))
    assert reply.message_thread_id == topic.id


async def test_two_bots_have_their_own_chats_with_one_person(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    support = server.add_bot("720000002:support", "support_bot")
    async with bot_of(server, support.token) as other:
        with pytest.raises(telegram.error.Forbidden):
            await other.send_message(ada.id, "x")
        ada.says("help", chat=ada.chat(support))
        await other.send_message(ada.id, "I am an AI.")
        assert len(await other.get_updates(timeout=0)) == 1
    assert ada.chat().from_bot == []
    assert [m.text for m in ada.chat(support).from_bot] == ["I am an AI."]


# -- reading


async def test_the_transcript_reads_like_the_chat(
    bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    ada.says("Write a page\nabout gardens")
    gone = await bot.send_message(ada.id, "…")
    await gone.delete()
    sent = await bot.send_message(ada.id, "Plan 1", reply_markup=GO)
    await sent.edit_text("Plan 2", reply_markup=GO)
    press = ada.presses("Approve")
    await bot.answer_callback_query(press.id, "Signed")
    await bot.send_document(ada.id, b"x" * 20_000, filename="page.html", caption="Done")
    ada.says("Thanks", reply_to=chat.last)
    assert chat.transcript(with_times=False) == (
        "Ada:\n    /start\n"
        "Ada:\n    Write a page\n    about gardens\n"
        "Swarm (edited 1 time):\n    Plan 2\n    [Approve] [Reject]\n"
        "(Ada pressed [Approve])\n"
        "(Signed)\n"
        "Swarm:\n    [document: page.html, 20 kB]\n    Done\n"
        "Ada:\n    > Done\n    Thanks\n"
    )
    assert chat.transcript().startswith("[")
    assert "deleted" in chat.transcript(with_deleted=True)


async def test_the_transcript_of_a_forum_names_its_topics(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    forum = await forum_of(server, ada)
    topic = ada.opens_topic("Site", forum)
    ada.says("go", chat=forum, topic=topic)
    server.enter(forum, server.person("Ben"))
    await bot.send_message(forum.id, "yes", message_thread_id=topic.id)
    await bot.set_message_reaction(forum.id, forum.last.id, "👍")
    await bot.send_voice(forum.id, OGG, filename="voice.ogg")
    assert forum.transcript(with_times=False) == (
        "(Ada opened the topic Site)\n"
        "Ada (#Site):\n    go\n"
        "(Ben joined)\n"
        "Swarm (#Site):\n    yes\n"
        "(Swarm reacted 👍)\n"
        "Swarm:\n    [voice: voice.ogg, 64 B]\n"
    )


async def test_next_goes_on_behind_the_last_and_find_looks_at_what_is(
    bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    for text in ("one", "two", "three"):
        await bot.send_message(ada.id, text)
    assert (await chat.next("two")).text == "two"
    assert (await chat.next()).text == "three"
    with pytest.raises(NothingCame):
        await chat.next("one", timeout_s=0.01)
    found = chat.find("one")
    assert found is not None
    assert found.text == "one"
    await bot.send_message(ada.id, "four")
    chat.catch_up()
    with pytest.raises(NothingCame):
        await chat.next(timeout_s=0.01)


async def test_delays_run_from_a_message_to_what_the_bot_does_next(
    server: TelegramServer, bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    server.advance(2)
    ada.says("again")
    server.advance(1)
    await bot.send_message(ada.id, "x")
    assert [round(delay) for delay in chat.delays_s()] == [3, 1]


async def test_calls_are_recorded_with_what_they_did(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    sent = await bot.send_message(ada.id, "x", disable_notification=True)
    [record] = server.calls("sendMessage")
    assert record.call.parameters["text"] == "x"
    assert (record.status, record.chat_id) == (200, ada.id)
    assert record.effect is not None
    assert (record.effect.id, record.effect.is_silent) == (sent.message_id, True)
    assert record.reply["result"]["message_id"] == sent.message_id
    assert record.took_s > 0


# -- the whole SDK


async def test_an_application_of_the_sdk_runs_against_it(
    server: TelegramServer, ada: Person, chat: Conversation
) -> None:
    async def echo(update: telegram.Update, _: Any) -> None:
        assert update.message is not None
        await update.message.reply_text(f"You said {update.message.text}")

    from telegram.ext import ApplicationBuilder, MessageHandler, filters

    builder = ApplicationBuilder().token(server.token).base_url(server.base_url)
    application = builder.base_file_url(server.base_file_url).build()
    application.add_handler(MessageHandler(filters.TEXT, echo))
    async with application:
        await application.start()
        assert application.updater is not None
        await application.updater.start_polling(timeout=5)
        ada.says("hello")
        assert (await chat.next("hello")).text == "You said hello"
        await application.updater.stop()
        await application.stop()


# -- as a process


@pytest.fixture(scope="module")
def remote() -> Any:
    with in_process() as made:
        yield made


async def do(remote: Remote, verb: str, **fields: Any) -> Any:
    return await asyncio.to_thread(remote.do, verb, **fields)


async def test_a_server_of_its_own_process_is_steered_over_its_socket(remote: Remote) -> None:
    ada = (await do(remote, "person", name="Ada"))["id"]
    ben = (await do(remote, "person", name="Ben"))["id"]
    said = await do(remote, "says", person=ada, text="Write a page")
    await do(remote, "edits", person=ada, message=said["message_id"], text="Write two")
    await do(remote, "sends", person=ada, kind="voice", content=base64.b64encode(OGG).decode())
    team = (
        await do(remote, "group", title="Team", people=[ada, ben], is_forum=True, is_bot_admin=True)
    )["id"]
    topic = (await do(remote, "opens_topic", person=ben, name="Site", chat=team))["id"]
    await do(remote, "says", person=ben, text="hi", chat=team, topic=topic)
    async with bot_of(remote) as bot:
        updates = await bot.get_updates(timeout=0)
        assert len(updates) == 6
        await do(remote, "fault", fault="cut_after", method="sendMessage")
        with pytest.raises(telegram.error.NetworkError):
            await bot.send_message(ada, "Plan", reply_markup=GO)
        card = await do(remote, "next", chat=ada, contains="Plan")
        assert card["buttons"][0][0] == {"text": "Approve", "data": "a1"}
        press = await do(remote, "presses", person=ada, button="Approve")
        await bot.answer_callback_query(press["id"])
        waiting = asyncio.create_task(do(remote, "drained"))
        await bot.get_updates(offset=press["update_id"] + 1, timeout=0)
        await waiting
    transcript = await do(remote, "transcript", chat=ada)
    assert "(Ada pressed [Approve])" in transcript
    assert (await do(remote, "updates"))["waiting"] == []
    assert (await do(remote, "rates"))["total"] == 1
    assert [r["fault"] for r in await do(remote, "requests", method="sendMessage")] == ["cut after"]
    await asyncio.to_thread(remote.check)


async def test_a_process_goes_down_and_comes_back_by_itself(remote: Remote) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(remote.url).port)
    await do(remote, "flap", down_s=0.05, up_s=0.05)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        while not await _is_up(remote):
            pass


async def _is_up(remote: Remote) -> bool:
    try:
        return bool(await do(remote, "state"))
    except OSError:
        return False


async def test_the_admin_path_says_what_it_does_not_understand(remote: Remote) -> None:
    with pytest.raises(AssertionError, match="no verb 'dance'"):
        await do(remote, "dance")
    with pytest.raises(AssertionError, match="no person 5"):
        await do(remote, "says", person=5, text="x")
    with pytest.raises(AssertionError, match="no chat 4"):
        await do(remote, "next", chat=4)


async def test_a_broken_contract_is_told_over_the_admin_path() -> None:
    async with TelegramServer() as server, bot_of(server) as bot:
        if not server.has_contract:
            pytest.skip("the published contract is not beside this repository")
        await bot.get_me(api_kwargs={"nonsense": 1})
        remote = await asyncio.to_thread(Remote, server.url)
        with pytest.raises(AssertionError, match="nonsense"):
            await asyncio.to_thread(remote.check)
        server.violations.clear()
