"""Kill -9 at random points while people write, each update delivered several times in any order."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from swarm.app import App
from swarm.settings import load
from tests.acceptance.at_work import provider_of, settings_of
from tests.servers.telegram import Person, TelegramServer

SETTLE_S = 90.0


class Phone:
    """A company as a process that is killed and started again, and its bot's server."""

    def __init__(self, home: Path, server: TelegramServer, url: str, people: list[Person]) -> None:
        self.home = home
        self.server = server
        self.people = people
        given = {
            "telegram__token": server.token,
            "telegram__base_url": server.base_url,
            "telegram__founders": ",".join(str(person.id) for person in people),
            "telegram__chat_pause_s": "0.01",
            "telegram__poll_s": "1",
            "channels": "[]",
        }
        self.settings = settings_of(home, url, **given)
        app = App(load(self.settings))
        app.initialise()
        app.close()

    def start(self) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **self.settings}  # noqa: TID251  # a process of its own
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "swarm.cli", "up"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )

    def rows(self, query: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.home / "swarm.db", timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def is_settled(self, orders: int) -> bool:
        found = self.rows("SELECT status FROM orders")
        is_moving = any(row["status"] in ("queued", "working") for row in found)
        waiting = self.rows("SELECT id FROM inbox WHERE state = 'new'")
        unsent = self.rows("SELECT id FROM outbox WHERE state IN ('pending', 'sending')")
        return len(found) == orders and not is_moving and not waiting and not unsent

    async def settle(self, orders: int) -> None:
        async with asyncio.timeout(SETTLE_S):
            # What is awaited are rows of another process, which set no event here.
            while not await asyncio.to_thread(self.is_settled, orders):  # noqa: ASYNC110
                await asyncio.sleep(0.2)


async def campaign(home: Path, *, updates: int, kills: int, copies: int, seed: int) -> None:
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    async with provider_of() as provider, TelegramServer() as server:
        people = [server.person(f"P{n}") for n in range(5)]
        for person in people:
            person.chat()
        phone = Phone(home, server, provider.url, people)
        left = [f"Write page number {n}." for n in range(updates)]
        for life in range(kills):
            process = phone.start()
            share = left[: updates // kills] if life < kills - 1 else left
            left = left[len(share) :]
            for text in share:
                rng.choice(people).says(text)
            server.disorder(rng.randrange(10**6), copies=copies)
            await asyncio.sleep(rng.uniform(1.5, 6.0))
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait)
        process = phone.start()
        try:
            await server.drained(timeout_s=60)
            await phone.settle(updates)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)
        check(phone, updates)


def check(phone: Phone, updates: int) -> None:
    """Every order once, every message once or in doubt, each in its chat's order."""
    states = {row["text"]: row for row in texts_of(phone)}
    assert len(states) == updates
    statuses = Counter(row["status"] for row in phone.rows("SELECT status FROM orders"))
    assert statuses == {"delivered": updates}
    sent = phone.rows(
        "SELECT chat_id, body, sent_id FROM outbox WHERE state = 'sent' AND slot IS NULL"
        " AND files = '[]' ORDER BY id"
    )
    doubtful = phone.rows("SELECT body FROM outbox WHERE state = 'unknown'")
    assert {r["state"] for r in phone.rows("SELECT state FROM outbox")} <= {
        "sent",
        "unknown",
        "void",
    }
    shown = Counter(
        (str(person.id), m.text) for person in phone.people for m in person.chat().from_bot
    )
    for row in sent:
        if "is taken" in row["body"] or "is delivered" in row["body"]:
            assert shown[(row["chat_id"], row["body"])] == 1, row["body"]
    extra = sum(count - 1 for key, count in shown.items() if "is taken" in key[1])
    assert extra == 0
    assert len(doubtful) <= 2 * updates
    assert phone.server.violations == []


def texts_of(phone: Phone) -> list[dict[str, Any]]:
    return phone.rows("SELECT json_extract(state, '$.text') AS text, status FROM orders")


async def test_kills_while_people_write_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    await campaign(home, updates=6, kills=2, copies=3, seed=random.SystemRandom().randrange(10**6))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_a_thousand_updates_and_fifty_kills(tmp_path: Path) -> None:
    home = tmp_path / "home"
    await campaign(
        home, updates=1000, kills=50, copies=5, seed=random.SystemRandom().randrange(10**6)
    )
