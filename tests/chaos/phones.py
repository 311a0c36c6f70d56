"""A company on a platform that is killed again and again, and what must be so at the end.

The platforms differ in how people speak and how updates come twice; what is counted is the same for
all: every update once, every order once, every message on the platform known to us or in doubt.
"""

import asyncio
import os
import random
import shutil
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol

from swarm.app import App
from swarm.settings import load
from tests.acceptance.at_work import settings_of
from tests.chaos.nursery import Child, Nursery
from tests.chaos.site import within
from tests.servers.slack import SlackServer
from tests.servers.telegram import TelegramServer
from tests.servers.whatsapp import WhatsAppServer

PEOPLE = 5
ORDER_EVERY = 5
BETWEEN = ("/help", "thanks", "/team", "hello")
LANES = 8
"""Messages that may be on their way at a kill; of each of them nobody knows whether it arrived."""
HEAR_S = 60.0
"""Longest wait for the first update after a start, in seconds."""
FAULTS = ("Something inside", "database is locked", "Traceback", "DBOSUnexpectedStep")


class Platform(Protocol):
    """A platform with people who write."""

    name: str

    @property
    def settings(self) -> Mapping[str, str]:
        """How the company reaches it, as for `settings_of`."""
        ...

    def says(self, who: int, text: str) -> None:
        """Let a person write in private."""
        ...

    def stir(self, rng: random.Random, *, copies: int) -> None:
        """Let what was said come up to so many times, in any order."""
        ...

    async def drained(self, *, timeout_s: float) -> None:
        """Wait until everything was acknowledged."""
        ...

    def shown(self) -> dict[str, str]:
        """Return what the company wrote and people can read, by its id; files are left out."""
        ...


class OnTelegram:
    """Long polling; the server itself repeats and mixes updates."""

    name = "telegram"

    def __init__(self, server: TelegramServer) -> None:
        self.server = server
        self.people = [server.person(f"P{number}") for number in range(PEOPLE)]
        for person in self.people:
            person.chat()

    @property
    def settings(self) -> Mapping[str, str]:
        """How the company reaches it."""
        return {
            "telegram__token": self.server.token,
            "telegram__base_url": self.server.base_url,
            "telegram__founders": ",".join(str(person.id) for person in self.people),
            "telegram__chat_pause_s": "0.01",
            "telegram__poll_s": "1",
        }

    def says(self, who: int, text: str) -> None:
        """Let a person write in private."""
        self.people[who].says(text)

    def stir(self, rng: random.Random, *, copies: int) -> None:
        """Let what was said come up to so many times, in any order."""
        self.server.disorder(rng.randrange(10**6), copies=copies)

    async def drained(self, *, timeout_s: float) -> None:
        """Wait until everything was confirmed."""
        await self.server.drained(timeout_s=timeout_s)

    def shown(self) -> dict[str, str]:
        """Return what the bot wrote."""
        return {
            f"{person.id}/{message.id}": message.text
            for person in self.people
            for message in person.chat().from_bot
            if message.file is None
        }


class OnSlack:
    """Socket Mode; deliveries that were acknowledged are brought again."""

    name = "slack"

    def __init__(self, server: SlackServer) -> None:
        self.server = server
        self.people = [server.person(f"P{number}") for number in range(PEOPLE)]
        self._stirred = 0

    @property
    def settings(self) -> Mapping[str, str]:
        """How the company reaches it."""
        return {
            "slack__bot_token": self.server.bot_token,
            "slack__app_token": self.server.app_token,
            "slack__base_url": self.server.base_url,
            "slack__founders": ",".join(person.identity for person in self.people),
            "slack__chat_pause_s": "0.01",
            "slack__ping_s": "0.5",
            "slack__stall_s": "3",
        }

    def says(self, who: int, text: str) -> None:
        """Let a person write in private."""
        self.people[who].says(text)

    def stir(self, rng: random.Random, *, copies: int) -> None:
        """Let what was said come up to so many times, in any order."""
        fresh = self.server.deliveries[self._stirred :]
        again = [self.server.redeliver(d) for d in fresh for _ in range(rng.randrange(copies))]
        mixed = fresh + again
        rng.shuffle(mixed)
        self.server.deliveries[self._stirred :] = mixed
        self._stirred = len(self.server.deliveries)

    async def drained(self, *, timeout_s: float) -> None:
        """Wait until everything was acknowledged."""
        await self.server.drained(timeout_s=timeout_s)

    def shown(self) -> dict[str, str]:
        """Return what the app wrote."""
        return {
            f"{channel.id}/{message.ts}": message.shown
            for channel in self.server.world.channels.values()
            for message in channel.messages.values()
            if message.is_bot and not message.files
        }


class OnWhatsApp:
    """Webhooks; bodies that were taken are brought again, byte for byte."""

    name = "whatsapp"

    def __init__(self, server: WhatsAppServer) -> None:
        self.server = server
        self.people = [server.person(f"P{number}") for number in range(PEOPLE)]
        self.place = f"127.0.0.1:{free_port()}"
        server.webhook_url = f"http://{self.place}/whatsapp"
        self._stirred = 0

    @property
    def settings(self) -> Mapping[str, str]:
        """How the company reaches it."""
        return {
            "whatsapp__token": self.server.token,
            "whatsapp__phone_id": self.server.phone_id,
            "whatsapp__app_secret": self.server.app_secret,
            "whatsapp__verify_token": self.server.verify_token,
            "whatsapp__base_url": self.server.base_url,
            "whatsapp__listen": self.place,
            "whatsapp__founders": ",".join(person.id for person in self.people),
            "whatsapp__chat_pause_s": "0.01",
        }

    def says(self, who: int, text: str) -> None:
        """Let a person write."""
        self.people[who].says(text)

    def stir(self, rng: random.Random, *, copies: int) -> None:
        """Let what was said come up to so many times, in any order."""
        fresh = self.server.deliveries[self._stirred :]
        again = [delivery for delivery in fresh for _ in range(rng.randrange(copies))]
        rng.shuffle(again)
        for delivery in again:
            self.server.redeliver(delivery)
        self._stirred = len(self.server.deliveries)

    async def drained(self, *, timeout_s: float) -> None:
        """Wait until everything was answered with 200."""
        await self.server.drained(timeout_s=timeout_s)

    def shown(self) -> dict[str, str]:
        """Return what the company wrote."""
        return {
            f"{person.id}/{sent.id}": sent.text
            for person in self.people
            for sent in person.chat.sent
            if sent.file is None
        }


class Phone:
    """A home on one platform, and the processes that live and die on it."""

    def __init__(
        self,
        folder: Path,
        template: Path,
        nursery: Nursery,
        platform: Platform,
        url: str,
        *,
        is_apart: bool = False,
    ) -> None:
        """Make the home; with `is_apart` whoever works is another process than who listens."""
        self.home = folder / "home"
        shutil.copytree(template, self.home)
        self.log = folder / "log"
        self.platform = platform
        given = settings_of(self.home, url, channels="[]", **platform.settings)
        self.environment = given
        app = App(load(given))
        app.initialise()
        app.close()
        self.is_apart = is_apart
        self._nursery = nursery
        self._children: list[Child] = []

    def start(self) -> Child:
        """Start a process that serves the channel as `swarm up` does."""
        job, more = (
            ("listen", {"settings": dict(self.environment)}) if self.is_apart else ("serve", {})
        )
        child = self._nursery.start(
            job, self.environment, stderr=self.log, channel=self.platform.name, **more
        )
        self._children.append(child)
        return child

    async def kill(self, child: Child) -> bool:
        """Kill with signal 9; False where it had ended before."""
        await asyncio.to_thread(child.signal, signal.SIGKILL)
        return int(await within(child.event("ended"))) == -signal.SIGKILL

    def kill_worker(self, child: Child) -> bool:
        """Kill whom a child has its orders worked by; False where there is nobody now."""
        with suppress(OSError):
            for task in Path(f"/proc/{child.pid}/task").iterdir():
                for pid in (task / "children").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                    return True
        return False

    async def stop(self) -> None:
        """End what still runs, kindly."""
        for child in self._children:
            if child.is_alive:
                await asyncio.to_thread(child.signal, signal.SIGTERM)
                await within(child.event("ended"))

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Read the database as any program could."""
        with closing(sqlite3.connect(self.home / "swarm.db", timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def heard(self) -> int:
        """Return how many updates are on disk."""
        return int(self.rows("SELECT COUNT(*) AS n FROM inbox")[0]["n"])

    async def hears(self, *, more_than: int) -> None:
        """Wait until further updates are on disk, so that a kill meets a company at work."""
        async with asyncio.timeout(HEAR_S):
            while await asyncio.to_thread(self.heard) <= more_than:  # noqa: ASYNC110  # see settle
                await asyncio.sleep(0.02)

    def is_settled(self, updates: int) -> bool:
        """Say whether all was heard, handled, worked and sent."""
        heard = self.rows("SELECT COUNT(*) AS n FROM inbox WHERE state != 'new'")[0]["n"]
        moving = self.rows("SELECT id FROM orders WHERE status IN ('queued', 'working') LIMIT 1")
        unsent = self.rows("SELECT id FROM outbox WHERE state IN ('pending', 'sending') LIMIT 1")
        return bool(heard >= updates and not moving and not unsent)

    async def settle(self, updates: int, *, timeout_s: float) -> None:
        """Wait until there is nothing left to do."""
        async with asyncio.timeout(timeout_s):
            # What is awaited are rows of another process, which set no event here.
            while not await asyncio.to_thread(self.is_settled, updates):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


def lines_of(updates: int) -> list[str]:
    """Return what is said: every so often an order, and talk in between."""
    return [
        f"Write page number {n}." if n % ORDER_EVERY == 0 else BETWEEN[n % len(BETWEEN)]
        for n in range(updates)
    ]


def check(phone: Phone, lines: Sequence[str], *, kills: int, faults: int = 0) -> str:
    """Hold the books against the platform, and return the figures as a sentence.

    Where the platform made faults the log tells of them; people see none in any case.
    """
    states = Counter(row["state"] for row in phone.rows("SELECT state FROM inbox"))
    assert states == {"done": len(lines)}
    wanted = Counter(line for line in lines if line.startswith("Write"))
    found = phone.rows("SELECT json_extract(state, '$.text') AS text, status FROM orders")
    assert Counter(row["text"] for row in found) == wanted
    assert {row["status"] for row in found} == {"delivered"}
    _check_order(phone)
    # The last edit of a progress message comes after the order's end, maybe as late as the stop.
    outbox = phone.rows(
        "SELECT state, chat_id, sent_id, kind, slot, body FROM outbox WHERE files = '[]'"
        " AND NOT (kind = 'progress' AND state = 'pending')"
    )
    assert [row for row in outbox if row["state"] not in ("sent", "unknown", "void")] == []
    unknown = sum(row["state"] == "unknown" for row in outbox)
    known = {f"{r['chat_id']}/{r['sent_id']}" for r in outbox if r["state"] == "sent"}
    shown = phone.platform.shown()
    # Sent once: whatever people see and the books do not know is one of those in doubt.
    assert known <= shown.keys()
    extra = [text for key, text in shown.items() if key not in known]
    assert len(extra) <= unknown, extra
    assert unknown <= LANES * (kills + 1) + faults
    log = phone.log.read_text() if phone.log.exists() and not faults else ""
    for fault in FAULTS:
        assert fault not in log, log[-3_000:]
        assert not [text for text in shown.values() if fault in text]
    return (
        f"{phone.platform.name}: {len(lines)} updates, {len(found)} orders, {kills} kills, "
        f"{len(known)} messages sent once, {unknown} unknown, {len(extra)} of them arrived\n"
    )


def _check_order(phone: Phone) -> None:
    """Hold that replies went out in the order in which the messages of a chat were taken."""
    rows = phone.rows(
        "SELECT o.chat_id AS chat, o.sent_at AS at, i.id AS id FROM inbox i"
        " JOIN outbox o ON o.dedupe_key = 'reply/' || i.id || '/1'"
        " WHERE o.state = 'sent' ORDER BY i.id"
    )
    newest: dict[str, str] = {}
    for row in rows:
        assert row["at"] >= newest.get(row["chat"], ""), row
        newest[row["chat"]] = row["at"]


async def campaign(
    phone: Phone, *, updates: int, kills: int, copies: int, life_s: float, settle_s: float
) -> str:
    """Let people write while the company is killed again and again; return the figures."""
    seed = random.SystemRandom().randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    rng = random.Random(seed)
    lines = lines_of(updates)
    landed = workers = 0
    for life in range(kills):
        heard = phone.heard()
        child = phone.start()
        await within(child.event("ready"))
        for line in lines[updates * life // kills : updates * (life + 1) // kills]:
            phone.platform.says(rng.randrange(PEOPLE), line)
        phone.platform.stir(rng, copies=copies)
        await phone.hears(more_than=heard)
        await asyncio.sleep(rng.uniform(0.02, life_s))
        # Seldom: an order that is at work whenever a worker alone dies is set apart at the sixth.
        if phone.is_apart and life % 10 == 1:
            workers += phone.kill_worker(child)
            await asyncio.sleep(rng.uniform(0.02, life_s))
        landed += await phone.kill(child)
    assert landed == kills
    last = phone.start()
    try:
        await within(last.event("ready"))
        await phone.platform.drained(timeout_s=settle_s)
        await phone.settle(updates, timeout_s=settle_s)
    finally:
        await phone.stop()
    figures = check(phone, lines, kills=kills)
    if phone.is_apart:
        figures = f"{figures.rstrip()}, {workers} workers killed besides\n"
    sys.stdout.write(figures)
    return figures


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
