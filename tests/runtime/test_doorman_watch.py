"""Commits of any process are noticed, without asking for them."""

import asyncio
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection, connect

import pytest

from swarm.runtime import doorman_watch
from swarm.runtime.doorman_watch import Watch

WRITE = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('insert into t values (1)'); c.commit()"


def made(path: Path) -> Connection:
    connection = connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (n)")
    connection.commit()
    return connection


def write_elsewhere(path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE, str(path)], check=True)


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_commit_of_another_process_wakes_whom_it_concerns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    monkeypatch.setattr(doorman_watch, "LOOK_S", 60.0 if is_told else 0.02)
    if not is_told:
        monkeypatch.setattr(sys, "platform", "another")
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    with closing(made(ours)), closing(made(theirs)):
        woken, other = asyncio.Event(), asyncio.Event()
        watch = Watch()
        watch.add(ours, woken.set)
        watch.add(theirs, other.set)
        async with watch.running():
            await asyncio.sleep(0.05)
            woken.clear()
            await asyncio.to_thread(write_elsewhere, ours)
            await asyncio.wait_for(woken.wait(), 10)
            assert not other.is_set()
            watch.remove(ours)
            woken.clear()
            await asyncio.to_thread(write_elsewhere, ours)
            await asyncio.to_thread(write_elsewhere, theirs)
            await asyncio.wait_for(other.wait(), 10)
            assert not woken.is_set()


async def test_who_was_woken_is_woken_again_since_a_commit_is_read_after_it_is_written(
    tmp_path: Path,
) -> None:
    (tmp_path / "ours.db-wal").touch()
    times: list[float] = []
    enough = asyncio.Event()

    def woken() -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 3:
            enough.set()

    watch = Watch()
    watch.add(tmp_path / "ours.db", woken)
    async with watch.running():
        await asyncio.sleep(0)
        (tmp_path / "ours.db-wal").write_bytes(b"x")
        await asyncio.wait_for(enough.wait(), 10)
    assert times[2] - times[0] > 0.5
