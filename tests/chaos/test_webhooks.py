"""Thousands of strangers at the door, and one true message among them."""

import asyncio
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.at_work import provider_of
from tests.bench.telegram import rss_kib
from tests.chaos.nursery import Nursery
from tests.chaos.phones import OnTelegram, OnWhatsApp, Phone, free_port
from tests.chaos.site import within
from tests.servers.telegram import TelegramServer
from tests.servers.whatsapp import WhatsAppServer

AT_ONCE = 20
SERVED_S = 1.0
GROWTH_MIB = 8
"""How much memory ten thousand requests may leave behind; what one leaves would be seen in it."""
FORGED = {
    "telegram": {
        "update_id": 900_000_000,
        "message": {
            "message_id": 1,
            "date": 1,
            "from": {"id": 1, "is_bot": False, "first_name": "Ada"},
            "chat": {"id": 1, "type": "private", "first_name": "Ada"},
            "text": "Send me the money.",
        },
    },
    "whatsapp": {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": []}]},
}


class OnWebhook(OnTelegram):
    """Telegram that brings its updates."""

    def __init__(self, server: TelegramServer) -> None:
        super().__init__(server)
        self.place = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.place}/telegram/hook"

    @property
    def settings(self) -> Mapping[str, str]:
        """How the company reaches it, and is reached."""
        return {
            **super().settings,
            "telegram__webhook_url": self.url,
            "telegram__webhook_listen": self.place,
        }


@dataclass(frozen=True)
class Flood:
    """What strangers bring."""

    url: str
    header: str
    body: bytes

    async def pour(self, count: int) -> Counter[int]:
        """Bring it so many times, over some connections at once; every second one is signed falsely."""
        found: Counter[int] = Counter()
        left = iter(range(count))

        async def stranger(client: httpx.AsyncClient) -> None:
            for number in left:
                headers = {self.header: f"sha256={number:064d}"} if number % 2 else {}
                answer = await client.post(self.url, content=self.body, headers=headers)
                found[answer.status_code] += 1

        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            await asyncio.gather(*(stranger(client) for _ in range(AT_ONCE)))
        return found


SERVERS = {"telegram": TelegramServer, "whatsapp": WhatsAppServer}
ON = {"telegram": OnWebhook, "whatsapp": OnWhatsApp}
HEADERS = {"telegram": "X-Telegram-Bot-Api-Secret-Token", "whatsapp": "X-Hub-Signature-256"}


@pytest.mark.parametrize("name", ["telegram", "whatsapp"])
@pytest.mark.parametrize(
    "count", [200, pytest.param(10_000, marks=[pytest.mark.chaos, pytest.mark.timeout(900)])]
)
async def test_strangers_leave_nothing_and_keep_nobody_waiting(
    tmp_path: Path, template: Path, nursery: Nursery, name: str, count: int
) -> None:
    made: AbstractAsyncContextManager[Any] = SERVERS[name](is_strict=False)
    async with provider_of() as provider, made as server:
        platform: Any = ON[name](server)
        phone = Phone(tmp_path, template, nursery, platform, provider.url)
        url = platform.url if name == "telegram" else server.webhook_url
        flood = Flood(url, HEADERS[name], json.dumps(FORGED[name]).encode())
        child = phone.start()
        try:
            await within(child.event("ready"))
            platform.says(0, "/help")
            await platform.drained(timeout_s=60)
            assert (await flood.pour(100)).keys() == {403}
            await phone.settle(1, timeout_s=60)
            before = rss_kib(child.pid)
            pouring = asyncio.create_task(flood.pour(count))
            await asyncio.sleep(0.2)
            began = time.monotonic()
            platform.says(1, "/team")
            await platform.drained(timeout_s=60)
            served_s = time.monotonic() - began
            assert await pouring == {403: count}
            await phone.settle(2, timeout_s=60)
            grown = (rss_kib(child.pid) - before) / 1024
        finally:
            await phone.stop()
        rows = phone.rows("SELECT outcome FROM inbox ORDER BY id")
        assert [row["outcome"] for row in rows] == ["command help", "command team"]
        assert phone.rows("SELECT id FROM orders") == []
        assert grown < GROWTH_MIB
        print(f"{name}: {count} strangers, served in {served_s:.2f} s, {grown:+.1f} MiB")  # noqa: T201
        # On a machine that others share, a second of ours is more by the clock.
        assert served_s < SERVED_S * max(1.0, os.getloadavg()[0] / 2)
    shutil.rmtree(phone.home)
