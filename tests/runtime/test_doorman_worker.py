"""A doorman keeps a process for its orders: while there is work, over deaths, and no longer."""

import asyncio
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarm.runtime.doorman_worker import Command, WorkerProcess

BEGIN = """
import os, socket, sys
line = socket.socket(fileno=int(sys.argv[1]))
with open(sys.argv[4], "a") as seen:
    print(os.getpid(), file=seen, flush=True)
"""
WORKS = BEGIN + "sys.exit(0)"
DIES = BEGIN + "os.kill(os.getpid(), 9)"
OBEYS = BEGIN + "line.send(b'a')\nwhile line.recv(1) not in (b's', b''): pass"
DEAF = BEGIN + "line.send(b'a')\nimport time; time.sleep(600)"


class Bench:
    """Workers of a script, in a folder with a lock."""

    def __init__(self, folder: Path, script: str) -> None:
        self.seen = folder / "seen"
        self.seen.touch()
        self.script = script
        self.lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.left = 0
        self.deaths: list[tuple[int, str]] = []
        self.told = asyncio.Event()

    async def has_work(self) -> bool:
        self.left -= 1
        return self.left >= 0

    async def dies(self, deaths: int, ended: str) -> None:
        self.deaths.append((deaths, ended))
        self.told.set()

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in self.seen.read_text().split()]

    @asynccontextmanager
    async def at_work(self, **options: Any) -> AsyncIterator[WorkerProcess]:
        worker = WorkerProcess(
            Command(argv=(sys.executable, "-c", self.script), options=(str(self.seen),)),
            lock=lambda: self.lock,
            has_work=self.has_work,
            dies=self.dies,
            **options,
        )
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            await worker.stop()
            await asyncio.wait_for(running, 10)
            os.close(self.lock)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  # files of another process are looked at
            await asyncio.sleep(0.01)


async def test_a_worker_is_there_only_while_there_is_work(tmp_path: Path) -> None:
    bench = Bench(tmp_path, WORKS)
    async with bench.at_work() as worker:
        await asyncio.sleep(0.05)
        assert (worker.pid, bench.pids) == (None, [])
        bench.left = 2
        worker.look()
        await until(lambda: len(bench.pids) == 2 and worker.pid is None)
        assert bench.deaths == []


async def test_founders_are_told_once_when_workers_keep_dying(tmp_path: Path) -> None:
    bench = Bench(tmp_path, DIES)
    bench.left = 4
    async with bench.at_work(first_pause_s=0.001) as worker:
        await asyncio.wait_for(bench.told.wait(), 20)
        await until(lambda: len(bench.pids) == 4 and worker.pid is None)
    assert bench.deaths == [(3, "SIGKILL")]


async def test_a_worker_holds_the_lock_of_the_home_until_it_is_gone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, OBEYS)
    bench.left = 1
    other = os.open(tmp_path / "lock", os.O_RDWR)
    async with bench.at_work() as worker:
        await until(lambda: bool(bench.pids))
        # As when the doorman is gone: the worker's own hold is left.
        os.close(bench.lock)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        await worker.stop()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        bench.lock = other
    assert bench.deaths == []


@pytest.mark.parametrize("how", ["it is told to stop", "it gives no sign of life"])
async def test_a_worker_that_does_not_answer_is_killed(tmp_path: Path, how: str) -> None:
    bench = Bench(tmp_path, DEAF)
    bench.left = 1
    limits: dict[str, Any] = {"stop_s": 0.1} if how == "it is told to stop" else {"hangs_s": 0.3}
    async with bench.at_work(**limits) as worker:
        await until(lambda: bool(bench.pids))
        if how == "it is told to stop":
            await worker.stop()
        await until(lambda: worker.pid is None)
        with pytest.raises(ProcessLookupError):
            os.kill(bench.pids[0], 0)
