"""Killed at any moment: every order is delivered, each answer is used once, none is mixed."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.chaos.audit import Books, check_all
from tests.chaos.nursery import Child
from tests.chaos.script import KeyedCompany, jitter
from tests.chaos.site import Ground, Site, within
from tests.servers.provider import ScriptedProvider

MANY_MS = 3_600_000
"""Deaths within an hour count as one here: they come by chance and in haste, and an order that met
six of them before its next answer would be taken for their cause."""
ACCEPT_S = 0.03
"""A platform answers over a network: between its yes and our row lies a moment too."""


async def test_ten_kills_lose_and_mix_nothing(ground: Ground, tmp_path: Path) -> None:
    await campaign(ground, tmp_path, orders=10, kills=10)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
async def test_fifty_kills_lose_and_mix_nothing(ground: Ground, tmp_path: Path) -> None:
    await campaign(ground, tmp_path, orders=60, kills=50)


@pytest.mark.parametrize("halt", ["before", "after"])
async def test_a_reply_caught_in_the_act_is_unknown_and_never_sent_again(
    ground: Ground, tmp_path: Path, halt: str
) -> None:
    script = KeyedCompany(lambda: 0.0)
    async with (
        ScriptedProvider(script) as provider,
        ground(tmp_path, api_base=provider.url) as site,
    ):
        await site.place(0)
        worker = site.worker(halt=halt)
        await within(worker.event("halted"))
        await site.end(worker, signal.SIGKILL)
        heir = site.worker()
        await site.halted(heir)
        assert await site.end(heir) == 0
        check_all(site, script)
        assert Books(site).rows("SELECT state FROM outbox") == [{"state": "unknown"}]
        assert len(site.sent.read_text().splitlines()) == (halt == "after")


async def campaign(ground: Ground, folder: Path, *, orders: int, kills: int) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    # Shown when the test fails.
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    script = KeyedCompany(jitter(rng, 0.02, 0.06))
    async with (
        ScriptedProvider(script) as provider,
        ground(folder, api_base=provider.url) as site,
    ):
        landed = 0
        while landed < kills:
            await top_up(site, orders, share=(landed + 1) / kills)
            landed += await one_life(site, script, rng)
        await top_up(site, orders, share=1)
        worker = site.worker(spacing_ms=MANY_MS)
        await site.halted(worker)
        assert await site.end(worker) == 0
        check_all(site, script)


async def top_up(site: Site, orders: int, *, share: float) -> None:
    """Place the part of all orders that is due; where none is left, one more to be killed in."""
    due = max(round(orders * share), 1)
    if share < 1 and not any(s.is_moving for s in site.statuses().values()):
        due = max(due, len(site.keys) + 1)
    for number in range(len(site.keys), due):
        await site.place(number)


async def one_life(site: Site, script: KeyedCompany, rng: random.Random) -> bool:
    """Start a worker and kill it at a moment of chance; True where it had work in its hands."""
    worker = site.worker(accept_s=ACCEPT_S, spacing_ms=MANY_MS)
    await moment(site, script, worker, rng)
    is_busy = worker.is_alive and (script.is_asked or site.is_working)
    code = await site.end(worker, signal.SIGKILL)
    assert code == -signal.SIGKILL, site.shown()
    return is_busy


async def moment(site: Site, script: KeyedCompany, worker: Child, rng: random.Random) -> None:
    """Wait for the moment to kill: some requests on, or somewhere in the start and the recovery."""
    if rng.random() < 0.2:
        await within(worker.event("started"))
        await asyncio.sleep(rng.uniform(0, 0.4))
        return
    arrived = asyncio.ensure_future(script.arrival(script.count + rng.randint(1, 14)))
    halted = asyncio.ensure_future(site.halted(worker))
    await asyncio.wait([arrived, halted], return_when=asyncio.FIRST_COMPLETED)
    for waiting in (arrived, halted):
        waiting.cancel()
    await asyncio.gather(arrived, halted, return_exceptions=True)
    # Between two requests lie commits, files and messages: each of them may be hit.
    await asyncio.sleep(rng.uniform(0, 0.08))
