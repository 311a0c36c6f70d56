"""The commonest mistakes of a WhatsApp number's set-up, each found and each with what helps."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from swarm.channels.mistakes import Mistake
from swarm.channels.whatsapp.config import WhatsAppConfig
from swarm.channels.whatsapp.diagnosis import diagnose
from tests.channels.whatsapp.chats import config
from tests.servers.whatsapp import WhatsAppServer


@pytest.fixture
async def server() -> AsyncIterator[WhatsAppServer]:
    async with WhatsAppServer() as found:
        yield found


def good(server: WhatsAppServer, **more: Any) -> WhatsAppConfig:
    return config(server, **({"template": "decision_needed"} | more))


async def looked(found: WhatsAppConfig, **facts: bool) -> list[Mistake]:
    given = {"has_founder": True, "was_heard": True} | facts
    return [one async for one in diagnose(found, **given)]


async def test_a_good_set_up_has_nothing_to_mend(server: WhatsAppServer) -> None:
    found = await looked(good(server))
    assert [m.text for m in found if m.remedy] == []
    assert "+1 555 078 3881" in found[0].text


async def test_without_settings_there_is_nothing_to_mend() -> None:
    (found,) = await looked(WhatsAppConfig())
    assert not found.remedy


@pytest.mark.parametrize(
    ("change", "words", "remedy"),
    [
        ({"token": None}, "TOKEN is not set", "system user"),
        ({"app_secret": None}, "APP_SECRET is not set", "Basic"),
        ({"verify_token": None}, "VERIFY_TOKEN is not set", "own choice"),
        ({"phone_id": ""}, "PHONE_ID is not set", "API Setup"),
        ({"token": SecretStr("old")}, "ended or was revoked", "within a day"),
        ({"phone_id": "15550783881"}, "knows no number", "not the number itself"),
        ({"app_secret": SecretStr("short")}, "does not look like", "every webhook"),
        ({"founders": ("0612345678",)}, "begins with 0", "33612345678"),
        ({"template": ""}, "no template", "utility template"),
        ({"listen": "0.0.0.0:8444"}, "open to the whole network", "https"),
        ({"base_url": "http://127.0.0.1:9"}, "cannot be reached", "firewall"),
    ],
)
async def test_each_mistake_in_the_settings_is_named(
    server: WhatsAppServer, change: dict[str, Any], words: str, remedy: str
) -> None:
    found = [m for m in await looked(good(server, **change)) if m.remedy]
    assert [words in m.text and remedy in m.remedy for m in found] == [True], found


async def test_each_mistake_at_meta_is_named(server: WhatsAppServer) -> None:
    server.phone |= {
        "quality_rating": "RED",
        "code_verification_status": "EXPIRED",
        "platform_type": "ON_PREMISE",
    }
    found = await looked(good(server), has_founder=False, was_heard=False)
    texts = "\n".join(m.text for m in found if m.remedy)
    for words in (
        "not registered", "verification is EXPIRED", "blocked or reported", "nobody may write",
        "nothing was heard",
    ):  # fmt: skip
        assert words in texts, texts
