"""A worker's sign of life, as a container's health check reads it."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from swarm.runtime.heartbeat import BEAT_S, FILE, Heartbeat
from tools.docker import healthy

CHECK = Path(healthy.__file__)


def look(home: Path) -> tuple[int, str]:
    """Run the health check as Docker does."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(CHECK)], env={"SWARM_HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


async def test_a_beating_worker_is_healthy_and_one_that_ended_is_not(tmp_path: Path) -> None:
    # What a killed worker left is no sign of life of the next one.
    (tmp_path / FILE).touch()
    assert (FILE, look(tmp_path)) == (healthy.NAME, (0, "works\n"))
    with Heartbeat(tmp_path) as heartbeat:
        assert look(tmp_path) == (1, "nobody works in this home yet\n")
        beating = asyncio.create_task(heartbeat.run())
        await asyncio.sleep(0)
        assert look(tmp_path) == (0, "works\n")
        beating.cancel()
        await asyncio.wait({beating})
    assert look(tmp_path)[0] == 1


def test_a_worker_whose_loop_hangs_is_not_healthy(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    old = time.time() - healthy.MAX_AGE_S - 1
    os.utime(tmp_path / FILE, (old, old))
    code, said = look(tmp_path)
    assert code == 1
    assert said.startswith("the last sign of life is 46 s old")


async def test_a_disk_that_takes_no_sign_stops_nothing_and_is_noticed_when_it_does(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Heartbeat(home, beat_s=0.01) as heartbeat:
        home.rmdir()
        beating = asyncio.create_task(heartbeat.run())
        await asyncio.sleep(0.03)
        assert not beating.done()
        home.mkdir()
        async with asyncio.timeout(5):
            while not (home / FILE).exists():  # noqa: ASYNC110  # a file sets no event
                await asyncio.sleep(0.01)
        beating.cancel()
        await asyncio.wait({beating})


def test_a_few_beats_may_be_late_before_somebody_is_called_dead() -> None:
    assert 3 * BEAT_S < healthy.MAX_AGE_S
