"""Kill -9 at random points while people write, each update delivered several times in any order."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.at_work import provider_of
from tests.chaos import phones
from tests.chaos.nursery import Nursery
from tests.chaos.phones import OnSlack, OnTelegram, OnWhatsApp, Phone, Platform
from tests.servers.slack import SlackServer
from tests.servers.telegram import TelegramServer
from tests.servers.whatsapp import WhatsAppServer

SERVERS = {"telegram": TelegramServer, "slack": SlackServer, "whatsapp": WhatsAppServer}
ON = {"telegram": OnTelegram, "slack": OnSlack, "whatsapp": OnWhatsApp}


def platform_on(name: str, server: object) -> Platform:
    made: Platform = ON[name](server)
    return made


async def run(
    tmp_path: Path,
    template: Path,
    nursery: Nursery,
    name: str,
    *,
    is_apart: bool = True,
    **options: float,
) -> None:
    # How fast something is acknowledged says nothing where processes are killed meanwhile.
    made: AbstractAsyncContextManager[Any] = SERVERS[name](is_strict=False)
    async with provider_of() as provider, made as server:
        platform = platform_on(name, server)
        phone = Phone(tmp_path, template, nursery, platform, provider.url, is_apart=is_apart)
        await phones.campaign(phone, **options)  # type: ignore[arg-type]
        assert [v for v in server.violations if "Slack wants three" not in v] == []


@pytest.mark.parametrize(
    ("name", "is_apart"),
    [("telegram", True), ("slack", False), ("whatsapp", False)],
    ids=["telegram, two processes", "slack", "whatsapp"],
)
async def test_kills_while_people_write_lose_nothing_and_double_nothing(
    tmp_path: Path, template: Path, nursery: Nursery, name: str, is_apart: bool
) -> None:
    await run(
        tmp_path,
        template,
        nursery,
        name,
        is_apart=is_apart,
        updates=12,
        kills=2,
        copies=3,
        life_s=4 if is_apart else 1.5,
        settle_s=90,
    )


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_a_thousand_updates_and_fifty_kills(
    tmp_path: Path, template: Path, nursery: Nursery
) -> None:
    await run(
        tmp_path,
        template,
        nursery,
        "telegram",
        updates=1000,
        kills=50,
        copies=5,
        life_s=4,
        settle_s=1500,
    )


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["slack", "whatsapp"])
async def test_two_hundred_updates_and_twenty_kills(
    tmp_path: Path, template: Path, nursery: Nursery, name: str
) -> None:
    await run(
        tmp_path, template, nursery, name, updates=200, kills=20, copies=5, life_s=4, settle_s=600
    )
