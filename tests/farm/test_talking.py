"""Whom to talk to, asked where the token is: of the strict Telegram server, by what runs inside."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from swarm.core.clock import SystemClock
from swarm.core.ids import RandomIds
from swarm.farm.base import InstanceSpec, Ran
from swarm.farm.fake import FakeDriver, FakePlace
from swarm.farm.farm import Farm, Started
from swarm.farm.records import Records
from swarm.store.database import Store, sqlite_url
from tests.contracts.test_farm import site_in
from tests.servers.telegram import TelegramServer

TOKEN = "SWARM_TELEGRAM__TOKEN"


class Inside(FakeDriver):
    """A driver whose instances' commands run for real, in a home of this machine."""

    home: Path
    variables: dict[str, str]

    async def run(self, name: str, words: Sequence[str]) -> Ran:
        program = Path(sys.executable).parent / "swarm" if words[0] == "swarm" else sys.executable
        process = await asyncio.create_subprocess_exec(
            program, *words[1:], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, "HOME": str(self.home), **self.variables},
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The instance's home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


async def started(tmp_path: Path, home: Path, base_url: str, token: str) -> tuple[Farm, Started]:
    """Start an instance with a bot's token, its own way to Telegram beside."""
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    driver = Inside(site_in(tmp_path), place=FakePlace())
    driver.home = home
    driver.variables = {
        f"{TOKEN}_FILE": str(file), "SWARM_TELEGRAM__BASE_URL": base_url, "SWARM_HOME": str(home),
    }  # fmt: skip
    store = Store(sqlite_url(tmp_path / "farm.db"))
    records = Records(store, SystemClock(), RandomIds())
    farm = Farm(site=driver._site, records=records, drivers=lambda _: driver)
    spec = InstanceSpec("ada", "Ann", "swarm:1")
    found = await farm.up(spec, {TOKEN: SecretStr(token)}, driver="fake")
    return farm, found


async def test_an_instance_says_its_bot_s_name_and_how_its_founder_comes_in(
    tmp_path: Path, home: Path
) -> None:
    async with TelegramServer() as server:
        # As python-telegram-bot has it; the channel takes it with `/bot` at its end and without.
        farm, found = await started(tmp_path, home, server.base_url, server.token)
        assert [request.status for request in server.requests] == [200]
        assert found.talk.bot == server.bot.user.username
        assert len(found.talk.code) >= 6
        assert found.talk.problem == ""
        assert farm.records.get("ada").bot == found.talk.bot
    farm.records._store.close()


@pytest.mark.parametrize(
    ("token", "is_up", "words"),
    [
        ("123456:" + "x" * 35, True, "Telegram refuses the token (HTTP 401)"),
        ("123456:" + "x" * 35, False, "Telegram cannot be reached (URLError)"),
    ],
)
async def test_a_bot_that_cannot_be_asked_is_said_without_its_token(
    tmp_path: Path, home: Path, token: str, is_up: bool, words: str
) -> None:
    async with TelegramServer() as server:
        if not is_up:
            await server.go_down()
        farm, found = await started(tmp_path, home, server.url, token)
        assert (found.talk.bot, found.talk.problem) == ("", words)
        assert token not in repr(found.talk)
        assert farm.records.get("ada").bot is None
        if not is_up:
            await server.come_back()
    farm.records._store.close()
