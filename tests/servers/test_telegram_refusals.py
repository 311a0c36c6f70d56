"""The fake Bot API server refuses what Telegram refuses; each test fails if it accepts."""

import re
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import telegram
from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram import InputMediaDocument, MenuButtonDefault, ReplyParameters
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
)

from tests.servers.telegram import Conversation, Person, TelegramServer
from tests.servers.telegram.fixtures import ada, bot, chat, plain_client, server, unchecked

__all__ = ["ada", "bot", "chat", "server"]

OGG = b"OggS" + bytes(60)


async def is_refused(call: Awaitable[Any], words: str, kind: type[Exception] = BadRequest) -> None:
    with pytest.raises(kind, match=re.compile(words, re.IGNORECASE)):
        await call


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + bytes(9)


async def raw(server: TelegramServer, method: str, **parameters: Any) -> dict[str, Any]:
    """Call without the SDK, which would correct what is to be refused."""
    async with plain_client() as client:
        answer = await client.post(f"{server.base_url}{server.token}/{method}", json=parameters)
    document: dict[str, Any] = answer.json()
    assert document["ok"] is (answer.status_code == 200)
    return document


# -- who asks


async def test_a_wrong_token_is_refused(server: TelegramServer) -> None:
    async with unchecked(server, "1:wrong") as stranger:
        await is_refused(stranger.get_me(), "Unauthorized", InvalidToken)


async def test_the_token_before_a_change_is_refused(server: TelegramServer) -> None:
    old = server.token
    server.change_token(f"{server.bot.id}:new")
    async with unchecked(server, server.token) as bot:
        assert (await bot.get_me()).id == server.bot.id
    async with unchecked(server, old) as bot:
        await is_refused(bot.get_me(), "Unauthorized", InvalidToken)


async def test_an_unknown_method_is_404(server: TelegramServer, bot: telegram.Bot) -> None:
    answer = await raw(server, "sendNothing")
    assert answer["error_code"] == 404
    assert answer["description"] == "Not Found: method not found"
    await is_refused(bot.do_api_request("sendNothing"), "not found", EndPointNotFound)


async def test_a_path_without_a_bot_is_not_found(server: TelegramServer) -> None:
    async with plain_client() as client:
        assert (await client.get(f"{server.url}/elsewhere")).status_code == 404
        assert (await client.get(f"{server.url}/botnonsense/getMe")).status_code == 404


# -- texts


@pytest.mark.parametrize("text", ["x" * 4097, "😀" * 2049, "&lt;" * 4097])
async def test_a_text_over_4096_utf16_units_after_formatting_is_refused(
    bot: telegram.Bot, ada: Person, text: str
) -> None:
    await is_refused(bot.send_message(ada.id, text, parse_mode="HTML"), "is too long")


@pytest.mark.parametrize("text", ["x" * 4096, "😀" * 2048, "&lt;" * 4096, "<b>x</b>" * 4096])
async def test_a_text_of_4096_utf16_units_after_formatting_passes(
    bot: telegram.Bot, ada: Person, text: str
) -> None:
    await bot.send_message(ada.id, text, parse_mode="HTML")


@pytest.mark.parametrize("text", [" ", "\n\t", "<b> </b>"])
async def test_an_empty_text_is_refused(bot: telegram.Bot, ada: Person, text: str) -> None:
    await is_refused(bot.send_message(ada.id, text, parse_mode="HTML"), "text is empty")


async def test_a_caption_over_1024_is_refused(bot: telegram.Bot, ada: Person) -> None:
    await is_refused(bot.send_document(ada.id, b"x", caption="x" * 1025), "caption is too long")
    await bot.send_document(ada.id, b"x", caption="x" * 1024)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a < b", 'Unsupported start tag "" at byte offset 2'),
        ("é<p>x</p>", 'Unsupported start tag "p" at byte offset 2'),
        ("if x <y", "Unclosed start tag at byte offset 5"),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<a href=x/y>z</a>", "Unexpected end of name token at byte offset 8"),
        ("<a href>z</a>", 'Expected equal sign in declaration of an attribute of the tag "a"'),
        ('<a ="x">z</a>', 'Empty attribute name in the tag "a" at byte offset 0'),
        ('<a href="x>z</a>', "Unclosed start tag at byte offset 0"),
        ("<b>x</b y", "Unclosed end tag at byte offset 4"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
async def test_html_that_telegram_cannot_parse_is_refused_with_its_offset(
    server: TelegramServer, bot: telegram.Bot, chat: Conversation, text: str, words: str
) -> None:
    with pytest.raises(BadRequest):
        await bot.send_message(chat.id, text, parse_mode="HTML")
    said = server.requests[-1].reply["description"]
    assert said.startswith("Bad Request: can't parse entities: ")
    assert words in said
    assert not chat.from_bot


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Done.", "Character '.' is reserved"),
        ("é *x", "Can't find end of Bold entity at byte offset 3"),
        ("[x](y", "Can't find end of a URL at byte offset 3"),
    ],
)
async def test_markdown_v2_that_telegram_cannot_parse_is_refused(
    server: TelegramServer, bot: telegram.Bot, ada: Person, text: str, words: str
) -> None:
    with pytest.raises(BadRequest):
        await bot.send_message(ada.id, text, parse_mode="MarkdownV2")
    assert words in server.requests[-1].reply["description"]


async def test_old_markdown_without_its_end_is_refused(bot: telegram.Bot, ada: Person) -> None:
    call = bot.send_message(ada.id, "a_b", parse_mode="Markdown")
    await is_refused(call, "end of the entity starting at byte offset 1")


async def test_an_unknown_parse_mode_is_refused(bot: telegram.Bot, ada: Person) -> None:
    await is_refused(bot.send_message(ada.id, "x", parse_mode="BBCode"), "parse_mode")


async def test_an_entity_beyond_the_text_is_refused(bot: telegram.Bot, ada: Person) -> None:
    far = telegram.MessageEntity("bold", 1, 9)
    await is_refused(bot.send_message(ada.id, "abc", entities=[far]), "UTF-16 offset 1")


# -- buttons


@pytest.mark.parametrize("data", ["x" * 65, "é" * 33])
async def test_callback_data_over_64_bytes_is_refused(
    bot: telegram.Bot, ada: Person, data: str
) -> None:
    markup = Keyboard([[Button("Go", callback_data=data)]])
    await is_refused(bot.send_message(ada.id, "x", reply_markup=markup), "button_data_invalid")


async def test_a_button_without_an_action_is_refused(bot: telegram.Bot, ada: Person) -> None:
    markup = Keyboard([[Button("Go")]])
    await is_refused(bot.send_message(ada.id, "x", reply_markup=markup), "Text buttons")


async def test_a_button_without_text_is_refused(bot: telegram.Bot, ada: Person) -> None:
    markup = Keyboard([[Button(" ", callback_data="x")]])
    await is_refused(bot.send_message(ada.id, "x", reply_markup=markup), "non-empty")


async def test_more_than_a_hundred_buttons_are_refused(bot: telegram.Bot, ada: Person) -> None:
    markup = Keyboard([[Button("Go", callback_data="x")]] * 101)
    await is_refused(bot.send_message(ada.id, "x", reply_markup=markup), "too_long")


async def test_an_unknown_press_is_refused(bot: telegram.Bot, ada: Person) -> None:
    await is_refused(bot.answer_callback_query("1"), "query is too old")


async def test_an_expired_press_is_refused(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    await bot.send_message(ada.id, "x", reply_markup=Keyboard([[Button("Go", callback_data="x")]]))
    press = ada.presses("Go")
    server.advance(server.rules.callback_lifetime_s + 1)
    await is_refused(bot.answer_callback_query(press.id), "query is too old")


async def test_a_second_answer_to_a_press_changes_nothing(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    await bot.send_message(ada.id, "x", reply_markup=Keyboard([[Button("Go", callback_data="x")]]))
    press = ada.presses("Go")
    await bot.answer_callback_query(press.id, "first")
    await bot.answer_callback_query(press.id, "second")
    assert press.answer == {"text": "first", "show_alert": False}
    server.rules.second_answer = "refused"
    await is_refused(bot.answer_callback_query(press.id, "third"), "query is too old")


# -- edits and deletions


async def test_an_edit_that_changes_nothing_is_refused(bot: telegram.Bot, ada: Person) -> None:
    markup = Keyboard([[Button("Go", callback_data="x")]])
    sent = await bot.send_message(ada.id, "<b>x</b>", parse_mode="HTML", reply_markup=markup)
    where = {"chat_id": ada.id, "message_id": sent.message_id, "reply_markup": markup}
    call = bot.edit_message_text("<b>x</b> ", parse_mode="HTML", **where)  # type: ignore[arg-type]
    await is_refused(call, "is not modified")
    await is_refused(bot.edit_message_reply_markup(**where), "is not modified")  # type: ignore[arg-type]
    # Without its bold it is another message, though the letters are the same.
    await bot.edit_message_text("x", **where)  # type: ignore[arg-type]


async def test_an_edit_of_an_unknown_message_is_refused(bot: telegram.Bot, ada: Person) -> None:
    await is_refused(bot.edit_message_text("x", ada.id, 999), "message to edit not found")


async def test_an_edit_of_a_persons_message_is_refused(bot: telegram.Bot, ada: Person) -> None:
    said = ada.says("mine")
    await is_refused(bot.edit_message_text("x", ada.id, said.id), "message can't be edited")


async def test_an_edit_of_a_deleted_message_is_refused(bot: telegram.Bot, ada: Person) -> None:
    sent = await bot.send_message(ada.id, "x")
    await sent.delete()
    await is_refused(sent.edit_text("y"), "message to edit not found")
    await is_refused(sent.delete(), "message to delete not found")


async def test_a_text_edit_of_a_file_is_refused(bot: telegram.Bot, ada: Person) -> None:
    sent = await bot.send_document(ada.id, b"x", caption="y")
    await is_refused(sent.edit_text("z"), "no text in the message to edit")
    await sent.edit_caption("z")


async def test_a_caption_edit_of_a_text_is_refused(bot: telegram.Bot, ada: Person) -> None:
    sent = await bot.send_message(ada.id, "x")
    await is_refused(sent.edit_caption("z"), "no caption in the message to edit")


async def test_deleting_after_two_days_is_refused(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    sent = await bot.send_message(ada.id, "x")
    server.advance(48 * 3600 + 1)
    await is_refused(sent.delete(), "can't be deleted for everyone")


async def test_deleting_a_members_message_without_the_right_is_refused(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    said = ada.says("mine", chat=server.group("Team", ada))
    await is_refused(bot.delete_message(said.chat.id, said.id), "message can't be deleted")


# -- chats


async def test_a_person_who_never_started_the_bot_is_403(
    server: TelegramServer, bot: telegram.Bot
) -> None:
    stranger = server.person("Eve")
    words = "can't initiate conversation"
    await is_refused(bot.send_message(stranger.id, "x"), words, Forbidden)
    stranger.chat()
    await is_refused(bot.send_message(stranger.id, "x"), words, Forbidden)


async def test_a_person_who_blocked_the_bot_is_403(bot: telegram.Bot, ada: Person) -> None:
    ada.blocks()
    await is_refused(bot.send_message(ada.id, "x"), "blocked by the user", Forbidden)
    ada.unblocks()
    await bot.send_message(ada.id, "x")


async def test_an_unknown_chat_is_refused(bot: telegram.Bot, server: TelegramServer) -> None:
    await is_refused(bot.send_message(42, "x"), "chat not found")
    await is_refused(bot.send_message("@nobody_here", "x"), "chat not found")


async def test_a_group_that_threw_the_bot_out_is_403(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada)
    server.kick(team)
    await is_refused(bot.send_message(team.id, "x"), "kicked from the supergroup", Forbidden)
    elsewhere = server.group("Others", ada, bots=())
    await is_refused(bot.send_message(elsewhere.id, "x"), "not a member", Forbidden)


async def test_a_group_that_became_a_supergroup_names_its_new_id(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    plain = server.group("Team", ada, is_plain=True)
    await bot.send_message(plain.id, "x")
    team = server.upgrade(plain)
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(plain.id, "y")
    assert moved.value.new_chat_id == team.id
    await bot.send_message(team.id, "y")
    *_, told, tells = (u.message for u in await bot.get_updates(timeout=0))
    assert told is not None
    assert told.migrate_to_chat_id == team.id
    assert tells is not None
    assert tells.migrate_from_chat_id == plain.id


async def test_methods_without_state_are_refused_where_the_bot_may_not_act(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    if not server.has_contract:
        pytest.skip("without the published contract these methods are unknown")
    await is_refused(bot.send_dice(42), "chat not found")
    ada.blocks()
    await is_refused(bot.send_dice(ada.id), "blocked by the user", Forbidden)


async def test_a_private_chat_has_no_administrators(bot: telegram.Bot, ada: Person) -> None:
    await is_refused(bot.get_chat_administrators(ada.id), "no administrators in the private chat")


async def test_an_unknown_member_is_refused(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada)
    await is_refused(bot.get_chat_member(team.id, 42), "user not found")
    await is_refused(bot.get_chat_member(ada.id, -1), "invalid user_id")


async def test_leaving_a_private_chat_is_refused(bot: telegram.Bot, ada: Person) -> None:
    await is_refused(bot.leave_chat(ada.id), "can't be changed in private chats")


async def test_a_reply_to_an_unknown_message_is_refused(bot: telegram.Bot, ada: Person) -> None:
    call = bot.send_message(ada.id, "x", reply_parameters=ReplyParameters(99))
    await is_refused(call, "message to be replied not found")
    kind = ReplyParameters(99, allow_sending_without_reply=True)
    assert (await bot.send_message(ada.id, "x", reply_parameters=kind)).reply_to_message is None


# -- topics


@pytest.mark.parametrize("thread", [1, 77])
async def test_general_by_number_and_unknown_topics_are_refused(
    server: TelegramServer, bot: telegram.Bot, ada: Person, thread: int
) -> None:
    forum = server.group("Forum", ada, is_forum=True)
    words = "message thread not found"
    where = {"chat_id": forum.id, "message_thread_id": thread}
    await is_refused(bot.send_message(text="x", **where), words)  # type: ignore[arg-type]
    await is_refused(bot.send_document(document=b"x", **where), words)  # type: ignore[arg-type]
    await is_refused(bot.send_chat_action(action="typing", **where), words)  # type: ignore[arg-type]
    assert (await bot.send_message(forum.id, "x")).message_thread_id is None


async def test_the_thread_of_a_plain_reply_cannot_be_sent_to(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada, is_bot_admin=True)
    first = ada.says("first", chat=team)
    second = ada.says("second", chat=team, reply_to=first)
    assert second.topic == first.id
    call = bot.send_message(team.id, "x", message_thread_id=second.topic)
    await is_refused(call, "message thread not found")


async def test_a_closed_topic_takes_no_message_of_a_mere_member(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    forum = server.group("Forum", ada, is_forum=True)
    topic = ada.opens_topic("Site", forum)
    topic.is_closed = True
    call = bot.send_message(forum.id, "x", message_thread_id=topic.id)
    await is_refused(call, "topic_closed")


async def test_topics_need_a_forum_the_right_and_a_name(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    plain = server.group("Team", ada, is_bot_admin=True)
    await is_refused(bot.create_forum_topic(plain.id, "x"), "not a forum")
    await is_refused(bot.create_forum_topic(ada.id, "x"), "not a forum")
    member = server.group("Forum", ada, is_forum=True)
    await is_refused(bot.create_forum_topic(member.id, "x"), "not enough rights")
    admin = server.group("Forum", ada, is_forum=True, is_bot_admin=True)
    await is_refused(bot.create_forum_topic(admin.id, " "), "topic_title_empty")
    await is_refused(bot.create_forum_topic(admin.id, "x" * 129), "too_long")
    made = await bot.create_forum_topic(admin.id, "x")
    call = bot.edit_forum_topic(admin.id, made.message_thread_id, name="x")
    await is_refused(call, "not_modified")
    await is_refused(bot.edit_forum_topic(admin.id, 99, name="y"), "thread not found")
    await is_refused(bot.reopen_forum_topic(admin.id, made.message_thread_id), "not_modified")


async def test_pinning_in_a_group_needs_the_right(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada)
    sent = await bot.send_message(team.id, "x")
    await is_refused(sent.pin(), "not enough rights")
    await is_refused(bot.pin_chat_message(ada.id, 99), "message to pin not found")


# -- reactions, drafts, actions


@pytest.mark.parametrize("emoji", ["🧀", "ok"])
async def test_a_reaction_telegram_does_not_know_is_refused(
    bot: telegram.Bot, ada: Person, emoji: str
) -> None:
    said = ada.says("x")
    call = bot.set_message_reaction(ada.id, said.id, emoji)
    await is_refused(call, "reaction_invalid")


async def test_two_reactions_of_one_bot_are_refused(bot: telegram.Bot, ada: Person) -> None:
    said = ada.says("x")
    call = bot.set_message_reaction(ada.id, said.id, ["👍", "🔥"])
    await is_refused(call, "too_many")


async def test_a_reaction_to_an_unknown_message_is_refused(bot: telegram.Bot, ada: Person) -> None:
    await is_refused(bot.set_message_reaction(ada.id, 99, "👍"), "message to react not found")


async def test_a_draft_outside_a_private_chat_is_refused(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada)
    await is_refused(bot.send_message_draft(team.id, 1, "x"), "private chats")
    await is_refused(bot.send_message_draft(ada.id, 0, "x"), "non-zero")


async def test_an_unknown_chat_action_is_refused(bot: telegram.Bot, ada: Person) -> None:
    await is_refused(bot.send_chat_action(ada.id, "thinking"), "wrong parameter action")


# -- commands


async def test_more_than_a_hundred_commands_are_refused(bot: telegram.Bot) -> None:
    many = [(f"c{n}", "x") for n in range(101)]
    await is_refused(bot.set_my_commands(many), "too_much")
    await bot.set_my_commands(many[:100])


async def test_commands_with_too_much_text_are_refused(bot: telegram.Bot) -> None:
    await is_refused(bot.set_my_commands([(f"c{n}", "x" * 200) for n in range(50)]), "too_much")


@pytest.mark.parametrize(
    ("name", "text"), [("Mit-Strich", "x"), ("c" * 33, "x"), ("ok", " "), ("ok", "x" * 257)]
)
async def test_a_malformed_command_is_refused(bot: telegram.Bot, name: str, text: str) -> None:
    await is_refused(bot.set_my_commands([(name, text)]), "bot_command")


async def test_descriptions_over_their_limits_are_refused(bot: telegram.Bot) -> None:
    await is_refused(bot.set_my_description("x" * 513), "too_long")
    await is_refused(bot.set_my_short_description("x" * 121), "too_long")
    await is_refused(bot.set_my_name("x" * 65), "too_long")


# -- files


async def test_a_file_over_20_mb_cannot_be_fetched(bot: telegram.Bot, ada: Person) -> None:
    small = ada.sends_document(b"x", declared_size=20 * 1024 * 1024)
    large = ada.sends_document(b"x", declared_size=20 * 1024 * 1024 + 1)
    await bot.get_file(small.document["document"]["file_id"])
    await is_refused(bot.get_file(large.document["document"]["file_id"]), "file is too big")


async def test_an_unknown_file_cannot_be_fetched(bot: telegram.Bot, server: TelegramServer) -> None:
    await is_refused(bot.get_file("nothing"), "invalid file_id")


async def test_a_link_that_was_never_asked_for_or_is_old_is_404(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    said = ada.sends_document(b"x")
    assert said.file is not None
    url = f"{server.base_file_url}{server.token}/{said.file.path}"
    async with plain_client() as client:
        assert (await client.get(url)).status_code == 404
        await bot.get_file(said.file.id)
        assert (await client.get(url)).content == b"x"
        server.advance(3601)
        assert (await client.get(url)).status_code == 404
        wrong = url.replace(server.token, "1:wrong")
        assert (await client.get(wrong)).status_code == 401


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no picture", "image_process_failed"),
        (png(9000, 1001), "photo_invalid_dimensions"),
        (png(2100, 100), "photo_invalid_dimensions"),
        (b"", "file must be non-empty"),
    ],
)
async def test_a_photo_telegram_cannot_take_is_refused(
    bot: telegram.Bot, ada: Person, content: bytes, words: str
) -> None:
    await is_refused(bot.send_photo(ada.id, telegram.InputFile(content, "p.png")), words)
    await bot.send_photo(ada.id, telegram.InputFile(png(200, 100), "p.png"))


async def test_uploads_over_their_limits_are_refused(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    server.rules.max_upload, server.rules.max_photo = 1000, 500
    await is_refused(bot.send_document(ada.id, bytes(1001)), "Too Large", NetworkError)
    await is_refused(bot.send_photo(ada.id, png(9, 9) + bytes(500)), "too big for a photo")
    assert server.calls("sendDocument")[0].status == 413


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("BQnothing", "wrong file identifier"),
        ("https://example.org/x.pdf", "failed to get HTTP URL content"),
    ],
)
async def test_files_that_are_not_there_are_refused(
    bot: telegram.Bot, ada: Person, value: str, words: str
) -> None:
    await is_refused(bot.send_document(ada.id, value), words)


async def test_a_media_group_has_two_to_ten_of_one_sort(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    files = [InputMediaDocument(b"x", filename=f"{n}.txt") for n in range(11)]
    await is_refused(bot.send_media_group(ada.id, files), "from 2 to 10")
    await is_refused(bot.send_media_group(ada.id, files[:1]), "from 2 to 10")
    mixed: list[Any] = [files[0], telegram.InputMediaPhoto(png(9, 9))]
    await is_refused(bot.send_media_group(ada.id, mixed), "can't be mixed")
    assert len(await bot.send_media_group(ada.id, files[:2])) == 2


async def test_a_voice_note_that_is_no_ogg_comes_as_a_document(
    bot: telegram.Bot, ada: Person
) -> None:
    sent = await bot.send_voice(ada.id, b"RIFF no ogg")
    assert sent.voice is None
    assert sent.document is not None
    assert (await bot.send_voice(ada.id, OGG)).voice is not None


# -- updates


async def test_polling_while_a_webhook_is_set_is_409(
    server: TelegramServer, bot: telegram.Bot
) -> None:
    await bot.set_webhook("https://example.org/hook")
    await is_refused(bot.get_updates(timeout=0), "webhook is active", Conflict)
    await bot.delete_webhook()
    await bot.get_updates(timeout=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "http://example.org/"}, "An HTTPS URL must be provided"),
        ({"url": "https://example.org:9999/"}, "only on ports 80, 88, 443 or 8443"),
        ({"url": "https://example.org/", "secret_token": "a b"}, "unallowed characters"),
        ({"url": "https://example.org/", "secret_token": "x" * 257}, "unallowed characters"),
        ({"url": "https://example.org/", "max_connections": 101}, "between 1 and 100"),
    ],
)
async def test_a_webhook_telegram_does_not_take_is_refused(
    bot: telegram.Bot, server: TelegramServer, options: dict[str, Any], words: str
) -> None:
    await is_refused(bot.set_webhook(**options), words)


# -- floods


# The SDK warns of a change of `retry_after` each time it reads one.
flooding = pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
Write = Callable[[telegram.Bot, int], Awaitable[Any]]


@flooding
@pytest.mark.parametrize(
    "write",
    [
        lambda bot, chat: bot.send_message(chat, "x"),
        lambda bot, chat: bot.send_document(chat, b"x"),
        lambda bot, chat: bot.send_message(chat, "x", disable_notification=True),
    ],
)
async def test_writing_faster_than_the_limits_is_429_where_they_are_enforced(
    server: TelegramServer, bot: telegram.Bot, ada: Person, write: Write
) -> None:
    server.rates.is_enforced = True
    await write(bot, ada.id)
    await is_refused(write(bot, ada.id), "Flood control", RetryAfter)
    assert server.rates.exceeded == [
        f"more than 1 a second in a chat: {server.requests[-1].method} in chat {ada.id}"
    ]
    await is_refused(write(bot, ada.id), "Flood control", RetryAfter)
    assert [early.chat_id for early in server.rates.disobeyed] == [ada.id]
    server.advance(1.1)
    await write(bot, ada.id)


@flooding
async def test_more_than_twenty_a_minute_in_a_group_are_429_where_limits_are_enforced(
    server: TelegramServer, bot: telegram.Bot, ada: Person
) -> None:
    team = server.group("Team", ada)
    server.rates.is_enforced = True
    for _ in range(20):
        await bot.send_message(team.id, "x")
        server.advance(1)
    await is_refused(bot.send_message(team.id, "x"), "Flood control", RetryAfter)
    assert server.rates.busiest_group_minute == 20
    assert server.rates.busiest_chat_second == 1


@flooding
async def test_more_than_thirty_a_second_are_429_where_limits_are_enforced(
    server: TelegramServer, bot: telegram.Bot
) -> None:
    people = [server.person(f"P{n}") for n in range(31)]
    for person in people:
        person.starts()
    server.rates.is_enforced = True
    server.rates.per_second = 5
    for person in people[:5]:
        await bot.send_message(person.id, "x")
    await is_refused(bot.send_message(people[5].id, "x"), "Flood control", RetryAfter)


# -- what the fake must not swallow


@pytest.mark.parametrize(
    ("method", "parameters", "words"),
    [
        ("sendMessage", {"text": "x"}, "chat_id is empty"),
        ("sendMessage", {"chat_id": 1, "text": "x", "reply_markup": "{"}, "chat not found"),
        ("setMyCommands", {"commands": "{"}, "can't parse commands JSON object"),
        ("setMyCommands", {"commands": "{}"}, "can't parse commands JSON object"),
        ("setMyCommands", {"commands": '["x"]'}, "can't parse BotCommand: expected an Object"),
        ("getUpdates", {"allowed_updates": '"x"'}, "can't parse allowed updates JSON array"),
    ],
)
async def test_malformed_parameters_are_refused_and_break_the_contract(
    server: TelegramServer, method: str, parameters: dict[str, Any], words: str
) -> None:
    answer = await raw(server, method, **parameters)
    assert words in answer["description"]
    if server.has_contract:
        assert server.violations
    server.violations.clear()


KEYS: dict[str, Any] = {"inline_keyboard": [[{"text": "a", "callback_data": "b"}]]}


@pytest.mark.parametrize(
    ("method", "parameters", "words"),
    [
        ("sendMessage", {"reply_markup": "[]"}, "object expected as reply markup"),
        ("sendMessage", {"reply_markup": {"inline_keyboard": {}}}, "must be of type Array"),
        ("sendMessage", {"reply_markup": {"inline_keyboard": [["a"]]}}, "expected an Object"),
        (
            "sendMessage",
            {"reply_markup": {"inline_keyboard": [[{"text": "a", "url": "no address"}]]}},
            "button URL 'no address' is invalid",
        ),
        ("sendMessage", {"reply_parameters": "7"}, "can't parse reply parameters JSON object"),
        ("sendMessage", {"entities": [{"type": 1}]}, "type must be a string"),
        ("sendMessage", {"text": "<a href= ", "parse_mode": "HTML"}, 'Unclosed start tag "a"'),
        ("sendMessage", {"text": "`a``b", "parse_mode": "MarkdownV2"}, "end of Code entity"),
        ("sendMessage", {"text": "```a`b```", "parse_mode": "MarkdownV2"}, "'`' is reserved"),
        ("sendDocument", {"document": ""}, "there is no document in the request"),
        ("sendMediaGroup", {"media": [{"type": "x"}] * 2}, "can't parse InputMedia"),
        ("setMessageReaction", {"message_id": 2, "reaction": "7"}, "can't parse reaction types"),
        ("editMessageText", {"inline_message_id": "x"}, "MESSAGE_ID_INVALID"),
        ("editMessageText", {}, "message identifier is not specified"),
        (
            "editMessageText",
            {"message_id": 2, "reply_markup": {"force_reply": True}},
            "inline keyboard expected",
        ),
        ("unpinChatMessage", {"message_id": 2}, "message to unpin not found"),
        ("answerCallbackQuery", {"callback_query_id": "p", "text": "x" * 201}, "MESSAGE_TOO_LONG"),
    ],
)
async def test_what_the_sdk_would_not_send_is_refused_too(
    server: TelegramServer, method: str, parameters: dict[str, Any], words: str
) -> None:
    ada = server.person("Ada", id=7)
    ada.starts()
    await raw(server, "sendMessage", chat_id=7, text="x", reply_markup=KEYS)
    server.bot.presses["p"] = ada.presses("a")
    answer = await raw(server, method, **{"chat_id": 7, "text": "y", **parameters})
    assert words in answer["description"]
    # Some of this breaks the contract as well, which has its own tests.
    server.violations.clear()


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("application/json", b"{", "can't parse JSON object"),
        ("application/json", b"[]", "object expected"),
        ("multipart/form-data", b"x", "no boundary"),
    ],
)
async def test_a_broken_body_is_refused(
    server: TelegramServer, kind: str, content: bytes, words: str
) -> None:
    async with plain_client() as client:
        url = f"{server.base_url}{server.token}/getMe"
        answer = await client.post(url, content=content, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert words in answer.json()["description"]


async def test_a_menu_button_is_kept(bot: telegram.Bot, ada: Person) -> None:
    assert (await bot.get_chat_menu_button(ada.id)).type == "commands"
    await bot.set_chat_menu_button(ada.id, MenuButtonDefault())
    assert (await bot.get_chat_menu_button(ada.id)).type == "default"
