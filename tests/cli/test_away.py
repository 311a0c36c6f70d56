"""`swarm up` hears its founder while the database is away, over kills and restarts."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.app import App
from swarm.cli import exits
from swarm.runtime.local_inbox import FILE, LocalInbox
from swarm.settings import load
from swarm.store.tables import inbox, orders
from tests.acceptance.at_work import settings_of
from tests.servers.postgres import Server, missing
from tests.servers.telegram import TelegramServer

PATIENCE_S = 60.0


class Up:
    """The command, in a process of its own."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("a") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "swarm", "up"],
                env={"PATH": os.defpath, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=Path(__file__).parents[2],
            )

    async def says(self, words: str) -> None:
        """Wait until it says something."""
        async with asyncio.timeout(PATIENCE_S):
            while words not in self._log.read_text():
                assert self._process.poll() is None, self._log.read_text()
                await asyncio.sleep(0.05)

    async def end(self, number: signal.Signals) -> int:
        """End it by a signal, unless it ended, and return its exit code."""
        self._process.send_signal(number)
        return await asyncio.to_thread(self._process.wait, PATIENCE_S)


async def _drained(server: TelegramServer) -> None:
    await server.drained(timeout_s=PATIENCE_S)


def _rows(app: App, table: sa.Table) -> list[Any]:
    return list(app.store.read(lambda c: c.execute(sa.select(table).order_by(table.c[0])).all()))


async def test_what_is_said_before_the_database_is_there_is_worked_once_over_a_kill(
    tmp_path: Path,
) -> None:
    if reason := missing():
        pytest.skip(reason)
    home, log = tmp_path / "home", tmp_path / "log"
    with Server() as database:
        async with TelegramServer(is_strict=False) as telegram:
            ada = telegram.person("Ada")
            ada.chat()
            given = settings_of(
                home,
                "http://127.0.0.1:9/v1",
                channels="[]",
                database_url=database.create("acme"),
                telegram__token=telegram.token,
                telegram__base_url=telegram.base_url,
                telegram__founders=str(ada.id),
                telegram__chat_pause_s="0.01",
                telegram__poll_s="1",
                worker__takes_orders="false",
            )
            app = App(load(given))
            app.initialise()
            database.stop()

            first = Up(given, log)
            ada.says("Write page one.")
            await _drained(telegram)
            # No database told it who Ada is, but the settings did.
            async with asyncio.timeout(PATIENCE_S):
                while not ada.chat().from_bot:  # noqa: ASYNC110  # another process's message
                    await asyncio.sleep(0.02)
            assert ["kept safely" in sent.text for sent in ada.chat().from_bot] == [True]
            assert await first.end(signal.SIGKILL) == -signal.SIGKILL
            kept = LocalInbox(home)
            assert kept.waiting().rows == 1
            assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600

            second = Up(given, log)
            ada.says("Write page two.")
            telegram.disorder(7, copies=20)
            await _drained(telegram)
            assert kept.waiting().rows == 2
            assert "The database is away. Swarm listens to telegram all the same" in log.read_text()
            database.start()
            await second.says("The database is back.")
            async with asyncio.timeout(PATIENCE_S):
                while len(_rows(app, orders)) < 2:  # noqa: ASYNC110  # another process's rows
                    await asyncio.sleep(0.05)
            assert await second.end(signal.SIGTERM) == exits.DONE
            texts = [row.body for row in _rows(app, inbox)]
            assert len(texts) == 2
            assert "page one" in texts[0]
            assert "page two" in texts[1]
            assert kept.waiting().rows == 0
            told = [sent.text for sent in ada.chat().from_bot]
            assert sum("kept safely" in text for text in told) == 1
            assert sum("Messages kept from this chat: 2" in text for text in told) <= 1
            app.close()
