"""The fake Slack refuses what Slack refuses, and keeps its state; slack-sdk talks to it unpatched."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack import ContractViolation, Fault, Person, SlackServer


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(is_strict=False, ack_s=0.2) as found:
        yield found


@pytest.fixture
def ada(server: SlackServer) -> Person:
    return server.person("Ada")


@pytest.fixture
def web(server: SlackServer) -> AsyncWebClient:
    return AsyncWebClient(token=server.bot_token, base_url=server.base_url, retry_handlers=[])


def section(text: str, kind: str = "mrkdwn") -> dict[str, Any]:
    return {"type": "section", "text": {"type": kind, "text": text}}


def button(**more: Any) -> dict[str, Any]:
    text = {"type": "plain_text", "text": more.pop("label", "Go")}
    return {"type": "button", "text": text, "action_id": "a", "value": "v"} | more


def actions(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


async def refusal(call: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


@pytest.mark.parametrize(
    "blocks",
    [
        [section("x")] * 51,
        [section("x" * 3001)],
        [section("")],
        [section("x", kind="html")],
        [section("x") | {"colour": "red"}],
        [{"type": "text"}],
        [actions()],
        [actions(*(button(action_id=f"a{n}") for n in range(26)))],
        [actions(button(), button())],
        [actions(button(label="x" * 76))],
        [actions(button(label=""))],
        [actions(button(value="v" * 2001))],
        [actions(button(action_id="a" * 256))],
        [actions(button(callback_data="t"))],
        [actions(button() | {"text": {"type": "mrkdwn", "text": "Go"}})],
        [section("x") | {"block_id": "b"}, section("y") | {"block_id": "b"}],
    ],
)
async def test_blocks_that_slack_refuses_are_refused(
    ada: Person, web: AsyncWebClient, blocks: list[Any]
) -> None:
    call = web.chat_postMessage(channel=ada.chat().id, text="x", blocks=blocks)
    assert await refusal(call) == "invalid_blocks"
    assert ada.chat().from_bot == []


async def test_blocks_at_their_limits_are_taken(ada: Person, web: AsyncWebClient) -> None:
    row = actions(*(button(action_id=f"a{n}", label="x" * 75) for n in range(25)))
    blocks = [section("x" * 3000), row, *[section("y")] * 48]
    await web.chat_postMessage(channel=ada.chat().id, text="x", blocks=blocks)
    assert len(ada.chat().last.buttons) == 25


async def test_messages_are_refused_in_slacks_words(
    server: SlackServer, ada: Person, web: AsyncWebClient
) -> None:
    chat = ada.chat().id
    elsewhere = server.channel("elsewhere", ada, has_app=False)
    old = server.channel("old", ada)
    old.channel.is_archived = True
    said = ada.says("mine")
    post, update = web.chat_postMessage, web.chat_update
    for call, word in (
        (web.api_call("chat.postMessage", json={"channel": chat, "text": " "}), "no_text"),
        (post(channel=chat, text="x" * 40_001), "msg_too_long"),
        (post(channel="C0NOWHERE", text="x"), "channel_not_found"),
        (post(channel=elsewhere.id, text="x"), "not_in_channel"),
        (post(channel=old.id, text="x"), "is_archived"),
        (post(channel=chat, text="x", thread_ts="1.1"), "thread_not_found"),
        (update(channel=chat, ts="1.1", text="x"), "message_not_found"),
        (update(channel=chat, ts=said.ts, text="x"), "cant_update_message"),
        (web.chat_postEphemeral(channel=old.id, user="U0", text="x"), "is_archived"),
        (web.chat_postEphemeral(channel=chat, user="U0", text="x"), "user_not_in_channel"),
        (web.files_info(file="F0"), "file_not_found"),
        (web.users_info(user="U0"), "user_not_found"),
        (web.conversations_open(users="U0"), "user_not_found"),
        (web.files_completeUploadExternal(files=[{"id": "F0"}]), "file_not_found"),
        (web.api_call("chat.postMessage", json={"text": "x"}), "invalid_arguments"),
        (web.api_call("chat.invent"), "unknown_method"),
    ):
        assert await refusal(call) == word


async def test_tokens_are_told_apart(server: SlackServer) -> None:
    def client(token: str | None) -> AsyncWebClient:
        return AsyncWebClient(token=token, base_url=server.base_url, retry_handlers=[])

    assert await refusal(client("xoxb-other").auth_test()) == "invalid_auth"
    assert await refusal(client(server.app_token).auth_test()) == "not_allowed_token_type"
    opened = client(None).apps_connections_open(app_token=server.bot_token)
    assert await refusal(opened) == "not_allowed_token_type"
    server.methods.scopes.discard("chat:write")
    sent = client(server.bot_token).chat_postMessage(channel="D1", text="x")
    assert await refusal(sent) == "missing_scope"


async def test_an_upload_of_another_length_is_refused(ada: Person, web: AsyncWebClient) -> None:
    place = await web.files_getUploadURLExternal(filename="a.txt", length=5)
    async with aiohttp.ClientSession() as session:
        await (await session.post(place["upload_url"], data=b"abc")).read()
    files = [{"id": place["file_id"]}]
    call = web.files_completeUploadExternal(files=files, channel_id=ada.chat().id)
    assert await refusal(call) == "file_update_failed"


async def test_a_parameter_that_slack_does_not_know_fails_the_test() -> None:
    async def wrong() -> None:
        async with SlackServer() as strict:
            web = AsyncWebClient(token=strict.bot_token, base_url=strict.base_url)
            chat = strict.person("Ada").chat().id
            body = {"channel": chat, "text": "x", "chat_id": 1}
            await web.api_call("chat.postMessage", json=body)

    with pytest.raises(ContractViolation, match="chat_id"):
        await wrong()


async def test_a_ticket_is_good_once_and_what_is_not_acknowledged_comes_again(
    server: SlackServer, ada: Person, web: AsyncWebClient
) -> None:
    opened = await web.apps_connections_open(app_token=server.app_token)
    async with aiohttp.ClientSession() as session, session.ws_connect(opened["url"]) as socket:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(opened["url"])
        assert (await socket.receive_json())["type"] == "hello"
        ada.says("one")
        first = await socket.receive_json()
        second = await socket.receive_json()
        assert first["payload"]["event_id"] == second["payload"]["event_id"]
        assert first["envelope_id"] != second["envelope_id"]
        assert (second["retry_attempt"], second["retry_reason"]) == (1, "timeout")
        await socket.send_str(json.dumps({"envelope_id": second["envelope_id"]}))
        await server.drained()
        await socket.send_str(json.dumps({"envelope_id": "never given"}))
        async with asyncio.timeout(5):
            while not server.violations:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.01)
    assert "an acknowledgement of nothing" in server.violations[0]


async def test_a_file_is_given_to_who_has_the_token(server: SlackServer, ada: Person) -> None:
    file = ada.sends_file(b"secret", "a.txt").files[0]
    address = f"{server.url}/files/{file.id}"
    async with aiohttp.ClientSession() as session:
        async with session.get(address, allow_redirects=False) as answer:
            assert answer.status == 302
        headers = {"Authorization": f"Bearer {server.bot_token}"}
        async with session.get(address, headers=headers) as answer:
            assert await answer.read() == b"secret"


async def test_faults_happen_as_often_as_asked(
    server: SlackServer, ada: Person, web: AsyncWebClient
) -> None:
    server.faults.append(Fault("chat.postMessage", code="ratelimited", status=429, skip=1, times=2))
    words = []
    for _ in range(4):
        try:
            await web.chat_postMessage(channel=ada.chat().id, text="x")
            words.append("sent")
        except SlackApiError as error:
            words.append(error.response["error"])
    assert words == ["sent", "ratelimited", "ratelimited", "sent"]
