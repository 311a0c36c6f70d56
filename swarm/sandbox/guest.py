"""Follow one running sandbox to its end, or make the end at a limit; shared by the sandboxes."""

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from swarm.core.errors import ConfigError
from swarm.sandbox.base import KILLED, TIMED_OUT, CommandResult, Limits, Used
from swarm.sandbox.output import CHUNK_BYTES, Kept
from swarm.sandbox.watch import Watch

_END = "exit-code"
"""Under this name a sandbox tells how the command ended, in its last line."""
_CPU = "cpu-us"
"""Under this name a sandbox that knows it tells the processor time of all that ran in it."""
_TO_BEGIN_S = 5
"""How long a sandbox that is to be ended may take to say that it has begun."""
_TO_END_S = 10
"""How long one may take to be gone, before it is ended without asking."""


class Hold(Protocol):
    """What a sandbox's own way of starting knows of its processes."""

    def told(self, facts: dict[str, Any]) -> None:
        """Take the first line that the sandbox said of itself; empty where it failed."""

    def processes(self) -> Iterable[Path]:
        """Give the folders in `/proc` of what runs for the command."""

    def root(self) -> Path | None:
        """Give the folder of what takes in the times of those that ended; None before it runs."""

    def kill(self) -> None:
        """End everything; may be asked more than once."""

    def kill_hard(self) -> None:
        """End everything that is left, where asking did not help."""


class Guest:
    """One running sandbox, until nothing of it is left."""

    def __init__(
        self, process: Process, status: asyncio.StreamReader, hold: Hold, limits: Limits
    ) -> None:
        self.stdout = Kept(limits.output_bytes)
        self.stderr = Kept(limits.output_bytes)
        self.facts: dict[str, Any] = {}
        """All that the sandbox said of itself, line by line."""
        self.broken_limit: str | None = None
        self._process = process
        self._status = status
        self._hold = hold
        self._limits = limits
        self._is_told = asyncio.Event()
        self._observed: Watch | None = None

    async def finish(self, folders: tuple[Path, ...]) -> bool:
        """Wait for the end, or make it at a limit or when cancelled; return whether time was up.

        `folders` are those that the command can fill.
        """
        work = asyncio.ensure_future(self._work(folders))
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                await asyncio.shield(work)
        except TimeoutError:
            return True
        finally:
            # Shielded: a second cancellation must not leave the command behind.
            await asyncio.shield(asyncio.ensure_future(self._end(work)))
        return False

    def result(self, *, is_timed_out: bool) -> CommandResult:
        """Tell a command's own end from one that a limit made."""
        stdout, stderr, used = self.stdout.text(), self.stderr.text(), self.used()
        if is_timed_out:
            return CommandResult(TIMED_OUT, stdout, stderr, is_timed_out=True, used=used)
        if self.broken_limit is not None:
            stderr = f"{stderr}\n[ended: {self.broken_limit}]".lstrip()
            return CommandResult(KILLED, stdout, stderr, used=used)
        return CommandResult(self.facts.get(_END, KILLED), stdout, stderr, used=used)

    def used(self) -> Used | None:
        """Return what the command used; None where it ended before anybody looked."""
        if self._observed is None:
            return None
        used = self._observed.used()
        if _CPU in self.facts:
            used = replace(used, cpu_s=self.facts[_CPU] / 10**6)
        return used

    async def _work(self, folders: tuple[Path, ...]) -> None:
        watching = asyncio.ensure_future(self._watch(folders))
        try:
            assert self._process.stdout is not None
            assert self._process.stderr is not None
            await asyncio.gather(
                self.stdout.drain(self._process.stdout),
                self.stderr.drain(self._process.stderr),
                self._listen(),
                self._process.wait(),
            )
        finally:
            if not watching.done():
                watching.cancel()
            elif not watching.cancelled():
                watching.result()

    async def _listen(self) -> None:
        try:
            async for line in self._status:
                self.facts |= json.loads(line)
                if _END in self.facts and self._observed is not None:
                    self._observed.look_at_root()
                if not self._is_told.is_set():
                    self._hold.told(self.facts)
                    self._is_told.set()
        finally:
            self._is_told.set()
        if _END not in self.facts:
            # Ended by somebody else, a sandbox may leave what holds our pipes open.
            self._hold.kill_hard()

    async def _watch(self, folders: tuple[Path, ...]) -> None:
        try:
            hold = self._hold
            watch = await asyncio.to_thread(Watch, hold.processes, hold.root, self._limits, folders)
            self._observed = watch
            self.broken_limit = await watch.broken_limit()
        except asyncio.CancelledError:
            return
        finally:
            # What cannot be watched may not run either; to end what has ended changes nothing.
            self._hold.kill()

    async def _end(self, work: "asyncio.Future[None]") -> None:
        if not work.done():
            # Ended too early, a sandbox could leave behind what is not yet bound to end with it;
            # so wait until it has told what it started, or has failed.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_told.wait(), timeout=_TO_BEGIN_S)
            self._hold.kill()
            await asyncio.wait({work}, timeout=_TO_END_S)
            self._hold.kill_hard()
            # What nobody finds keeps our pipes open, and must not keep us waiting for ever.
            await asyncio.wait({work}, timeout=_TO_END_S)
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
                return
        await work


async def start(
    words: Callable[[int], list[str]], *, pass_fds: tuple[int, ...] = ()
) -> tuple[Process, asyncio.StreamReader]:
    """Start a sandbox, without a shell and with nothing inherited but pipes.

    Args:
        words: Give the program and its arguments for the number of the descriptor on which the
            sandbox is to speak of itself, in lines of JSON.
        pass_fds: More descriptors to inherit.
    """
    # First the pipe: once there is a process, nothing may come between it and its owner.
    status, transport, writing = await _status()
    try:
        process = await asyncio.create_subprocess_exec(
            *words(writing),
            stdin=DEVNULL, stdout=PIPE, stderr=PIPE, pass_fds=(writing, *pass_fds),
            # The environment is cleared inside as well; but what the first process was started
            # with could be read in its `/proc/PID/environ`.
            env={}, cwd="/", start_new_session=True, limit=CHUNK_BYTES,
        )  # fmt: skip
    except BaseException:
        transport.close()
        raise
    finally:
        os.close(writing)
    return process, status


async def _status() -> tuple[asyncio.StreamReader, asyncio.ReadTransport, int]:
    """Make a pipe for the sandbox's own words; the caller closes the number, its writing end."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: protocol, os.fdopen(reading, "rb", buffering=0)
        )
    except BaseException:
        os.close(writing)
        raise
    return reader, transport, writing


def make(workspace: Path) -> Path:
    """Create the workspace where it is missing, and return its absolute path.

    Raises:
        ConfigError: It is a link: what it points to may be anything.
    """
    if workspace.is_symlink():
        raise ConfigError(f"the workspace {workspace} is a link; it must be a folder")
    workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
    return workspace.absolute()
