"""The commonest mistakes of a Slack app's set-up, each found and each with what helps."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from swarm.channels.mistakes import Mistake
from swarm.channels.slack.config import SlackConfig
from swarm.channels.slack.diagnosis import diagnose
from tests.channels.slack.test_channel import config
from tests.servers.slack import Fault, SlackServer


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer() as found:
        yield found


async def looked(found: SlackConfig, **facts: bool) -> list[Mistake]:
    given = {"has_founder": True, "was_heard": True} | facts
    return [one async for one in diagnose(found, **given)]


async def test_a_good_set_up_has_nothing_to_mend(server: SlackServer) -> None:
    found = await looked(config(server))
    assert [m.text for m in found if m.remedy] == []
    assert "@swarm" in found[0].text


async def test_without_tokens_there_is_nothing_to_mend() -> None:
    (found,) = await looked(SlackConfig())
    assert not found.remedy


@pytest.mark.parametrize(
    ("change", "words", "remedy"),
    [
        ({"app_token": None}, "APP_TOKEN is not set", "connections:write"),
        ({"bot_token": None}, "BOT_TOKEN is not set", "OAuth"),
        ({"bot_token": SecretStr("xapp-1")}, "another kind of token", "OAuth"),
        ({"app_token": SecretStr("xoxb-1")}, "another kind of token", "App-Level"),
        ({"bot_token": SecretStr("xoxb-1")}, "invalid_auth", "copy it anew"),
        ({"app_token": SecretStr("xapp-1")}, "gives out no socket", "Socket Mode"),
        ({"founders": ("T0OTHER:U0123",)}, "another workspace", "copy the id"),
        ({"groups": ("C0NOWHERE",)}, "cannot be seen", "groups:history"),
        ({"base_url": "http://127.0.0.1:9/api/"}, "cannot be reached", "firewall"),
    ],
)
async def test_each_mistake_in_the_settings_is_named(
    server: SlackServer, change: dict[str, Any], words: str, remedy: str
) -> None:
    found = [m for m in await looked(config(server, **change)) if m.remedy]
    assert [words in m.text and remedy in m.remedy for m in found] == [True]


async def test_each_mistake_at_slack_is_named(server: SlackServer) -> None:
    server.methods.scopes -= {"files:read", "im:history"}
    elsewhere = server.channel("launch", server.person("Ada"), has_app=False)
    found = await looked(config(server, groups=(elsewhere.id,)), has_founder=False, was_heard=False)
    texts = "\n".join(m.text for m in found if m.remedy)
    for words in (
        "files:read: it cannot take files in", "im:history: it cannot hear", "not in the channel",
        "nobody may write", "nothing was heard",
    ):  # fmt: skip
        assert words in texts, texts
    assert [m.is_fatal for m in found if "im:history" in m.text] == [True]


async def test_an_app_that_was_removed_is_named(server: SlackServer) -> None:
    server.faults.append(Fault("auth.test", code="account_inactive"))
    (found,) = [m for m in await looked(config(server)) if m.remedy]
    assert "installed again" in found.remedy
