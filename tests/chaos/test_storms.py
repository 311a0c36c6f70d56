"""Floods, cut lines, a dead socket and a second poller, while people write: nobody notices."""

import asyncio
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.acceptance.at_work import provider_of
from tests.chaos.nursery import Nursery
from tests.chaos.phones import PEOPLE, OnTelegram, Phone, check, lines_of
from tests.chaos.site import within
from tests.servers.telegram import TelegramServer
from tests.servers.telegram.faults import (
    cut_after,
    cut_before,
    html_page,
    server_error,
    slow,
    too_many,
)


async def rival(server: TelegramServer) -> None:
    """Poll the same bot, as a copy of the company on another machine would, and confirm nothing."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        while True:
            with suppress(httpx.HTTPError):
                await client.post(
                    f"{server.base_url}{server.token}/getUpdates", json={"timeout": 1}
                )
            await asyncio.sleep(0.05)


@contextmanager
def watched(server: TelegramServer) -> Iterator[None]:
    """Hold at the end that no flood's pause was disobeyed and no contract broken."""
    yield
    assert server.rates.disobeyed == []
    assert server.violations == []


async def storm(
    server: TelegramServer, rng: random.Random, *, faults: int, dead_s: float, rival_s: float
) -> None:
    """Let everything go wrong, one thing after the other."""
    made = (cut_before(), html_page(), server_error(), slow(0.2), too_many(1))
    for _ in range(faults):
        server.faults.add(rng.choice(made), "sendMessage", skip=rng.randrange(4))
        server.faults.add(rng.choice(made), "getUpdates", skip=rng.randrange(4))
    server.faults.add(cut_after(), "sendMessage", skip=2)
    server.go_silent()
    await asyncio.sleep(dead_s)
    await server.come_back()
    if not rival_s:
        return
    second = asyncio.create_task(rival(server))
    await asyncio.sleep(rival_s)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


async def run(
    phone: Phone,
    server: TelegramServer,
    *,
    updates: int,
    faults: int,
    dead_s: float,
    rival_s: float = 0.0,
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    rng, lines = random.Random(seed), lines_of(updates)
    child = phone.start()
    try:
        await within(child.event("ready"))
        storming = asyncio.create_task(
            storm(server, rng, faults=faults, dead_s=dead_s, rival_s=rival_s)
        )
        for line in lines:
            phone.platform.says(rng.randrange(PEOPLE), line)
            await asyncio.sleep(dead_s / updates)
        await storming
        await phone.platform.drained(timeout_s=300)
        await phone.settle(updates, timeout_s=300)
    finally:
        await phone.stop()
    assert server.faults.struck
    sys.stdout.write(check(phone, lines, kills=0, faults=2 * faults + 1))


async def test_storms_lose_nothing_keep_the_order_and_show_no_error(
    tmp_path: Path, template: Path, nursery: Nursery
) -> None:
    """The socket is dead for a second here; the second poller comes in the long form alone."""
    async with provider_of() as provider, TelegramServer() as server:
        phone = Phone(tmp_path, template, nursery, OnTelegram(server), provider.url)
        with watched(server):
            await run(phone, server, updates=8, faults=2, dead_s=1)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_ten_minutes_of_silence_and_a_hundred_faults(
    tmp_path: Path, template: Path, nursery: Nursery
) -> None:
    """Ten real minutes: polls end by the client's own time-outs, again and again."""
    async with provider_of() as provider, TelegramServer() as server:
        phone = Phone(tmp_path, template, nursery, OnTelegram(server), provider.url)
        with watched(server):
            await run(phone, server, updates=200, faults=50, dead_s=600, rival_s=30)
