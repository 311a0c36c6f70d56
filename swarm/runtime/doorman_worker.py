"""The worker of a doorman: a process of its own, there while there is something to work.

It is started when work was enqueued or left over, ends by itself after a while without any, and is
begun again when it dies. It holds the lock of the home together with its doorman, and the system
kills it with its doorman: nobody else can work the home while one of the two lives.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

import structlog

from swarm.runtime.doorman_line import LOOK, STOP, Line

log = structlog.get_logger("swarm.doorman")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 60.0
"""How long to wait before a worker that died is begun again; twice as long each time."""
HEALTHY_S = 60.0
"""A worker that lived so long was no failure at its start, in seconds."""
MANY = 3
"""After how many deaths in a row a person is told."""
HANGS_S = 90.0
"""After how many seconds without a sign of life a worker is ended; one that loads a model's library
on a busy machine is silent for a few."""
STOP_S = 3.5
"""How long a worker may take to end when it is told to, in seconds."""


@dataclass(frozen=True)
class Command:
    """How a worker is started."""

    argv: Sequence[str] = (sys.executable, "-m", "swarm.cli.works")
    environment: Mapping[str, str] | None = None
    """Its whole environment; None is this process's own."""
    options: Sequence[str] = field(default_factory=tuple)
    """What was said on the doorman's own command line."""


class WorkerProcess:
    """Keep a worker for one home while there is work. Runs on the doorman's main thread.

    The system kills a process with the thread that started it, so no other thread may do that.
    """

    def __init__(
        self,
        command: Command,
        *,
        lock: Callable[[], int],
        has_work: Callable[[], Awaitable[bool]],
        dies: Callable[[int, str], Awaitable[None]],
        room: asyncio.Semaphore | None = None,
        stop_s: float = STOP_S,
        hangs_s: float = HANGS_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """Take how to start a worker.

        Args:
            command: Starts it.
            lock: Returns the open file of the home's lock, which it inherits.
            has_work: Says whether anything is left to be worked.
            dies: Told when workers keep dying: how often, and how the last one ended.
            room: Holds as many workers as this machine has room for; None is no limit.
            stop_s: How long a worker may take to end when it is told to.
            hangs_s: After how long without a sign of life a worker is ended.
            first_pause_s: How long to wait before a worker that died is begun again.
        """
        self._room = room
        self._stop_s, self._hangs_s = stop_s, hangs_s
        self._first_pause_s = first_pause_s
        self._command = command
        self._lock = lock
        self._has_work = has_work
        self._dies = dies
        self._wanted = asyncio.Event()
        self._line: Line | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False
        self._alive_at = 0.0
        self._is_begun = False
        """Whether the worker gave a sign of life: before that it has nothing in hand."""
        self._began = 0.0
        self.deaths = 0
        """In a row, up to now."""
        self.deaths_in_all = 0
        self.last_end = ""
        """How the last one that died ended."""

    @property
    def is_failing(self) -> bool:
        """Say whether workers keep dying: several did in a row, and none has lived for long since."""
        if self.deaths < MANY:
            return False
        lived_s = asyncio.get_running_loop().time() - self._began
        return self._process is None or lived_s < HEALTHY_S

    @property
    def pid(self) -> int | None:
        """Return the process id of the worker; None while none is there."""
        return None if self._process is None else self._process.pid

    def look(self) -> None:
        """Look for work; something may have been enqueued."""
        self._wanted.set()
        if self._line is not None:
            self._line.say(LOOK)

    async def run(self) -> None:
        """Start a worker whenever there is work, until `stop`."""
        pause_s = self._first_pause_s
        loop = asyncio.get_running_loop()
        while not self._is_stopping:
            self._wanted.clear()
            if not await self._has_work():
                await self._wanted.wait()
                continue
            async with self._room or nullcontext():
                self._began = loop.time()
                code = 0 if self._is_stopping else await self._live()
            if self._is_stopping or code == 0:
                self.deaths, pause_s = 0, self._first_pause_s
                continue
            if loop.time() - self._began > HEALTHY_S:
                self.deaths, pause_s = 0, self._first_pause_s
            self._count(code)
            log.warning("the worker died and is begun again", ended=self.last_end, seconds=pause_s)
            if self.deaths == MANY:
                await self._dies(self.deaths, self.last_end)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _count(self, code: int) -> None:
        self.deaths += 1
        self.deaths_in_all += 1
        self.last_end = _ended(code)

    async def stop(self) -> None:
        """Let the worker end in good order; one that does not is killed."""
        self._is_stopping = True
        self._wanted.set()
        process = self._process
        if process is None:
            return
        if self._line is not None and self._is_begun:
            self._line.say(STOP)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stop_s):
                    await process.wait()
        self._kill(process)
        await process.wait()

    async def _live(self) -> int:
        """Start a worker and return the code with which it ended."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        line = Line(ours, heard=self._heard)
        with theirs:
            fds = (theirs.fileno(), self._lock())
            argv = [*self._command.argv, *map(str, (*fds, os.getpid())), *self._command.options]
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=subprocess.DEVNULL,
                    # Standard output is the console channel's.
                    stdout=sys.stderr.fileno() if sys.stderr is not None else subprocess.DEVNULL,
                    env=None
                    if self._command.environment is None
                    else dict(self._command.environment),
                    pass_fds=fds,
                    # Ctrl-C is the doorman's to hear.
                    start_new_session=True,
                )
            except OSError as error:
                line.close()
                log.warning("no worker can be started", reason=str(error))
                return -1
        line.open()
        self._line, self._process, self._alive_at = line, process, loop.time()
        self._is_begun = False
        try:
            if self._is_stopping:
                self._kill(process)
            return await self._ended(process)
        finally:
            self._line = self._process = None
            line.close()
            self._kill(process)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the end of a worker; one that gives no sign of life is ended."""
        loop = asyncio.get_running_loop()
        ending = asyncio.ensure_future(process.wait())
        try:
            while True:
                await asyncio.wait({ending}, timeout=self._hangs_s / 3)
                if ending.done():
                    return ending.result()
                if loop.time() - self._alive_at > self._hangs_s:
                    log.warning("the worker hangs and is ended", pid=process.pid)
                    self._kill(process)
        finally:
            ending.cancel()

    def _heard(self, sign: bytes) -> None:
        if sign:
            self._alive_at = asyncio.get_running_loop().time()
            self._is_begun = True

    @staticmethod
    def _kill(process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)


def _ended(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return "it did not start"
