"""The fake Bot API server can't drift: what goes in and out is checked against the contract."""

import json
from typing import Any

import pytest
import telegram
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.telegram import ContractViolation, Conversation, Person, TelegramServer
from tests.servers.telegram.calls import Call, Upload
from tests.servers.telegram.contract import DEFAULT_PATH, Contract
from tests.servers.telegram.entities import find_entities, trimmed
from tests.servers.telegram.fixtures import ada, bot, bot_of, chat, plain_client, server
from tests.servers.telegram.markup import parse_html, units
from tests.servers.telegram.methods import METHODS
from tests.servers.telegram.refusals import Refusal

__all__ = ["ada", "bot", "chat", "server"]

published = pytest.mark.skipif(
    not DEFAULT_PATH.is_file(), reason="the published contract is not beside this repository"
)


@pytest.fixture(scope="module")
def contract() -> Contract:
    made = Contract.load()
    assert made is not None
    return made


@published
def test_the_contract_knows_every_method_of_the_fake(contract: Contract) -> None:
    assert contract.version.startswith("Bot API ")
    assert len(contract.method_names) >= 180
    assert set(METHODS) <= set(contract.method_names)


@published
async def test_every_published_method_answers_by_the_contract(contract: Contract) -> None:
    async with TelegramServer() as server, plain_client() as client:
        ada = server.person("Ada", id=1)
        ada.starts()
        for name in contract.method_names:
            call = contract.smallest_call(name)
            url = f"{server.base_url}{server.token}/{name}"
            answer = (await client.post(url, json=call.parameters)).json()
            assert answer["ok"] or answer["error_code"] in (400, 403, 409), (name, answer)
        # The smallest call can't hold a file, nor every attachment that it names.
        server.violations[:] = [v for v in server.violations if "Traceback" in v]


@published
async def test_the_sdk_parses_the_smallest_results(contract: Contract) -> None:
    async with TelegramServer() as server, bot_of(server) as bot:
        for name in contract.method_names:
            types = contract.result_type(name)
            parser = getattr(telegram, types, None)
            if name not in METHODS and parser is not None and hasattr(parser, "de_json"):
                assert parser.de_json(contract.smallest_result(name), bot) is not None, name


@published
@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"chat_id": "1", "text": "x", "markdown": "true"}, "no parameter 'markdown'"),
        ({"chat_id": "1"}, "needs 'text'"),
        ({"chat_id": "1", "text": "x", "message_thread_id": "one"}, "'one' is no Integer"),
        ({"chat_id": "1", "text": "x", "disable_notification": "maybe"}, "'maybe' is no Boolean"),
        ({"chat_id": "1", "text": "x", "reply_parameters": "7"}, "7 is no ReplyParameters"),
        ({"chat_id": "1", "text": "x", "reply_parameters": "{}"}, "needs 'message_id'"),
        (
            {"chat_id": "1", "text": "x", "entities": '[{"type": "bold", "offset": 0}]'},
            "entities[0]: MessageEntity needs 'length'",
        ),
        (
            {
                "chat_id": "1",
                "text": "x",
                "reply_markup": '{"inline_keyboard": [[{"text": "a", "data": "b"}]]}',
            },
            "InlineKeyboardButton has no field 'data'",
        ),
    ],
)
def test_a_call_outside_the_contract_is_told_apart(
    contract: Contract, parameters: dict[str, str], problem: str
) -> None:
    assert any(problem in p for p in contract.call_problems(Call("sendMessage", parameters)))


@published
def test_a_call_inside_the_contract_has_no_problem(contract: Contract) -> None:
    keyboard = {"inline_keyboard": [[{"text": "a", "callback_data": "b"}]]}
    for markup in (keyboard, json.dumps(keyboard)):
        parameters = {"chat_id": "@team", "text": "x", "reply_markup": markup}
        assert contract.call_problems(Call("sendMessage", parameters)) == []


@published
def test_files_must_belong_to_something(contract: Contract) -> None:
    upload = Upload("x.txt", "text/plain", b"x")
    media = json.dumps([{"type": "document", "media": "attach://a"}])
    call = Call("sendMediaGroup", {"chat_id": "1", "media": media})
    assert contract.call_problems(call) == ["sendMediaGroup: attach://a has no file"]
    call.uploads = {"a": upload}
    assert contract.call_problems(call) == []
    call.uploads["b"] = upload
    assert contract.call_problems(call) == ["sendMediaGroup: no file parameter 'b'"]


@published
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"text": 7}, "7 is no String"),
        ({"date": "now"}, "'now' is no Integer"),
        ({"chat": None}, "None is no Chat"),
        ({"thread": 1}, "Message has no field 'thread'"),
        ({"is_topic_message": 1}, "1 is no Boolean"),
        ({"from": {"id": 1, "is_bot": False}}, "User needs 'first_name'"),
        ({"photo": {"file_id": "x"}}, "is no Array of PhotoSize"),
    ],
)
def test_a_result_outside_the_contract_is_told_apart(
    contract: Contract, change: dict[str, Any], problem: str
) -> None:
    good = {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}, "text": "x"}
    assert contract.result_problems("sendMessage", good) == []
    found = contract.result_problems("sendMessage", good | change)
    assert any(problem in p for p in found), found


@published
def test_a_member_is_checked_by_its_status(contract: Contract) -> None:
    user = {"id": 1, "is_bot": False, "first_name": "Ada"}
    assert contract.problems("ChatMember", {"status": "member", "user": user}) == []
    assert contract.problems("ChatMember", {"status": "guest", "user": user})
    assert contract.problems("ChatMember", {"status": "administrator", "user": user})


@published
async def test_breaking_the_contract_fails_the_test_at_its_end() -> None:
    async def misspell() -> None:
        async with TelegramServer() as server, bot_of(server) as bot:
            await bot.get_me(api_kwargs={"markdown": True})

    with pytest.raises(ContractViolation, match="no parameter 'markdown'"):
        await misspell()


@published
async def test_an_update_outside_the_contract_fails_the_test_at_its_end() -> None:
    server = TelegramServer()
    server.queue(server.bot, "message", {"message_id": 1, "date": 1})
    with pytest.raises(ContractViolation, match="Message needs 'chat'"):
        server.check()


async def test_another_error_is_not_hidden_by_a_broken_contract() -> None:
    async def fail() -> None:
        async with TelegramServer() as server:
            server.violations.append("something")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_a_mistake_of_the_fake_itself_fails_the_test(
    server: TelegramServer, bot: telegram.Bot, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("oops")

    monkeypatch.setitem(METHODS, "sendDice", broken)
    with pytest.raises(telegram.error.NetworkError):
        await bot.send_dice(ada.id)
    with pytest.raises(ContractViolation, match="KeyError"):
        server.check()
    server.violations.clear()


async def test_the_server_works_without_the_contract() -> None:
    async with TelegramServer(contract=None) as server, bot_of(server) as bot:
        assert not server.has_contract
        ada = server.person("Ada")
        ada.starts()
        await bot.send_message(ada.id, "x", api_kwargs={"markdown": True})


# -- bodies


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"chat_id": 7, "text": "<b>x</b>", "parse_mode": "HTML"}},
        {"json": {"chat_id": "7", "text": "<b>x</b>", "parse_mode": "HTML"}},
        {"data": {"chat_id": "7", "text": "<b>x</b>", "parse_mode": "HTML"}},
        {"params": {"chat_id": "7", "text": "<b>x</b>", "parse_mode": "HTML"}},
        {
            "files": {
                "chat_id": (None, "7"),
                "text": (None, "<b>x</b>"),
                "parse_mode": (None, "HTML"),
            }
        },
    ],
)
@pytest.mark.parametrize("name", ["sendMessage", "sendmessage", "SENDMESSAGE"])
async def test_a_call_comes_as_json_form_multipart_or_query(
    server: TelegramServer, body: dict[str, Any], name: str
) -> None:
    ada = server.person("Ada", id=7)
    ada.starts()
    async with plain_client() as client:
        answer = await client.post(f"{server.base_url}{server.token}/{name}", **body)
    assert answer.json()["result"]["text"] == "x"
    assert ada.chat().last.entities == [{"type": "bold", "offset": 0, "length": 1}]


async def test_a_body_may_come_in_chunks(server: TelegramServer) -> None:
    ada = server.person("Ada", id=7)
    ada.starts()

    async def chunks() -> Any:
        yield b"chat_id=7&te"
        yield b"xt=%F0%9F%98%80"

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with plain_client() as client:
        url = f"{server.base_url}{server.token}/sendMessage"
        answer = await client.post(url, content=chunks(), headers=headers)
    assert answer.json()["result"]["text"] == "😀"


@pytest.mark.parametrize("content", [b"", b"\r\n--", b"\x00\xff\r\n\r\n--x--", bytes(200_000)])
async def test_files_arrive_byte_by_byte(
    server: TelegramServer, bot: telegram.Bot, ada: Person, content: bytes
) -> None:
    content += b"end"
    sent = await bot.send_document(ada.id, content, filename="größe.bin")
    assert sent.document is not None
    assert sent.document.file_name == "größe.bin"
    assert sent.document.file_size == len(content)
    file = await sent.document.get_file()
    assert bytes(await file.download_as_bytearray()) == content


# -- formatting

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
TAGS = st.sampled_from(["b", "i", "u", "s", "code", "tg-spoiler", "blockquote"])


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@given(TEXT)
def test_an_escaped_text_comes_back_as_it_was(text: str) -> None:
    made = parse_html(escaped(text))
    assert (made.text, made.entities) == (text, [])


@given(st.lists(st.tuples(TEXT.filter(bool), TAGS), max_size=6))
def test_entities_lie_where_their_text_is_in_utf16_units(parts: list[tuple[str, str]]) -> None:
    made = parse_html("".join(f"<{tag}>{escaped(text)}</{tag}>" for text, tag in parts))
    raw = made.text.encode("utf-16-le")
    cut = [raw[2 * e["offset"] : 2 * (e["offset"] + e["length"])] for e in made.entities]
    assert [piece.decode("utf-16-le") for piece in cut] == [text for text, _ in parts]


@given(st.text("<>/ab =\"'&;#é😀", max_size=30))
def test_any_html_is_parsed_or_refused(text: str) -> None:
    refused, made = None, None
    try:
        made = trimmed(parse_html(text))
    except Refusal as refusal:
        refused = refusal.description
    if made is not None:
        ends = [e["offset"] + e["length"] for e in made.entities]
        assert max(ends, default=0) <= units(made.text)
    else:
        assert refused is not None
        assert refused.startswith("Bad Request: can't parse entities: ")


@given(st.text(max_size=60))
def test_found_entities_never_overlap_and_stay_in_the_text(text: str) -> None:
    found = find_entities(text)
    ends = [e["offset"] + e["length"] for e in found]
    starts = [e["offset"] for e in found]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert all(end <= units(text) for end in ends)


def test_commands_mentions_links_and_tags_are_found() -> None:
    text = "/start@swarm_bot 😀 see https://example.org/a, ask @swarm_bot or a@b.org #plan"
    raw = text.encode("utf-16-le")
    found = {
        e["type"]: raw[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le")
        for e in find_entities(text)
    }
    assert found == {
        "bot_command": "/start@swarm_bot",
        "url": "https://example.org/a",
        "mention": "@swarm_bot",
        "email": "a@b.org",
        "hashtag": "#plan",
    }


def test_the_tags_of_telegram_become_its_entities() -> None:
    html = (
        '<b>a<i>b</i></b><a href="https://e.org/?a=1&amp;b=2">c</a>'
        '<pre><code class="language-py">d</code></pre><code>e</code>'
        '<span class="tg-spoiler">f</span><blockquote expandable>g</blockquote>'
    )
    made = parse_html(html)
    assert made.text == "abcdefg"
    assert [(e["type"], e["offset"], e["length"]) for e in made.entities] == [
        ("bold", 0, 2),
        ("italic", 1, 1),
        ("text_link", 2, 1),
        ("pre", 3, 1),
        ("code", 4, 1),
        ("spoiler", 5, 1),
        ("expandable_blockquote", 6, 1),
    ]
    assert made.entities[2]["url"] == "https://e.org/?a=1&b=2"
    assert made.entities[3]["language"] == "py"


async def test_a_trimmed_text_keeps_its_entities_in_place(
    bot: telegram.Bot, ada: Person, chat: Conversation
) -> None:
    sent = await bot.send_message(ada.id, " \n 😀 <b>x</b> \n", parse_mode="HTML")
    assert sent.text == "😀 x"
    assert sent.parse_entities() == {sent.entities[0]: "x"}
    assert chat.last.text == "😀 x"
