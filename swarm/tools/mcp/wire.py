"""A server's process and its three pipes.

The library's own transport keeps a line of any length in memory, hands the server part of our
environment, and leaves the server's children alone; so it is given this one. Whatever the server
prints is counted as it arrives, and a server that says too much is ended.
"""

import asyncio
import math
import os
import re
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from swarm.core.errors import ConfigError
from swarm.tools.mcp.config import McpServerConfig

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""The most that a server may say for one request, whatever it is."""
MAX_LINES = 10_000
GRACE_S = 1.0
"""How long a server may take to end by itself once its input is closed."""
REAP_S = 0.25
"""How long the machine may take to clear away what was killed; then nobody waits any more."""
_LAST_WORDS = 4_096


class Wire(asyncio.SubprocessProtocol):
    """One running server: lines in, lines out, and an end that leaves nothing of it."""

    def __init__(self, *, on_line: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Say who takes each line, and who hears of the end of the output; both must not wait."""
        self._on_line = on_line
        self._on_end = on_end
        self._transport: asyncio.SubprocessTransport | None = None
        self._buffer = bytearray()
        self._last_words = bytearray()
        self._bytes = self._lines = 0
        self._exited = asyncio.Event()
        self._is_ended = self._is_killed = False
        self._exit_code: int | None = None
        self.fault = ""
        """Why it was ended by us, or nothing."""

    async def start(self, config: McpServerConfig, *, search_path: str) -> None:
        """Start the server in a session of its own, with nothing of our environment.

        Raises:
            ConfigError: The program does not exist or cannot be started.
        """
        argv = _argv(config, search_path)
        environment = {"PATH": search_path} | {
            name: value.get_secret_value() for name, value in config.env.items()
        }
        try:
            transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: self, *argv,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, env=environment, cwd=config.cwd or "/",
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(
                f"{config.command[0]!r} cannot be started: {error.strerror}"
            ) from error
        self._transport = transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport as soon as there is a process, so that it can always be ended."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what the server printed."""
        if fd == 2:
            self._last_words += data
            del self._last_words[:-_LAST_WORDS]
        elif not self._is_ended:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        if self._bytes > MAX_ANSWER_BYTES or self._lines > MAX_LINES:
            self.kill(
                f"it said more than {MAX_ANSWER_BYTES:,} bytes or {MAX_LINES:,} lines at once"
            )
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._buffer += line
            whole = bytes(self._buffer)
            self._buffer.clear()
            if whole.strip():
                self._on_line(whole)
        self._buffer += rest

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Hear that the server closed a stream; without its output nothing more can come."""
        if fd == 1:
            self._end_of_output()

    def process_exited(self) -> None:
        """Hear that the server's first process is gone."""
        if not self._is_killed and self._transport is not None:
            self._exit_code = self._transport.get_returncode()
        self._exited.set()
        self._end_of_output()

    def _end_of_output(self) -> None:
        if not self._is_ended:
            self._is_ended = True
            self._buffer.clear()
            self._on_end()

    @property
    def is_ended(self) -> bool:
        """True once nothing more can come from it."""
        return self._is_ended

    @property
    def exit_code(self) -> int | None:
        """Return the code the server exited with by itself, negative for a signal, or None."""
        return self._exit_code

    @property
    def last_words(self) -> str:
        """Return the end of what it wrote to standard error: for the operator, never for a model."""
        return self._last_words.decode(errors="replace")

    def renew_allowance(self) -> None:
        """Let the server say as much again: a new request begins."""
        self._bytes = self._lines = 0

    def send(self, line: bytes) -> None:
        """Write one line to the server; what nobody reads is dropped with it."""
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
            pipe.write(line)

    def kill(self, fault: str = "") -> None:
        """End the server and all of its process group at once."""
        self.fault = self.fault or fault
        self._is_killed = True
        self._signal(signal.SIGKILL)
        self._end_of_output()

    def _signal(self, number: int) -> bool:
        """Send a signal to the whole group; return whether there is anybody left in it."""
        if self._transport is None:
            return False
        try:
            # Its pid names the group even after the first process is gone.
            os.killpg(self._transport.get_pid(), number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # A program with rights of its own, such as sudo: not ours to end.
            return False
        return True

    async def close(self) -> None:
        """End the server: close its input, wait a moment, then kill what is left of its group."""
        if self._transport is None:
            return
        try:
            pipe = self._transport.get_pipe_transport(0)
            if pipe is not None:
                pipe.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), 0 if self._is_killed else GRACE_S)
        finally:
            self.kill()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), GRACE_S)
                async with asyncio.timeout(REAP_S):
                    await self._gone()
            # A child that left the group may still hold a pipe: let go of our ends.
            self._transport.close()

    async def _gone(self) -> None:
        """Wait until the group is empty: its orphans are reaped by the machine's first process."""
        while self._signal(0):  # noqa: ASYNC110  # the kernel tells nobody but the parent
            await asyncio.sleep(0.005)


def _argv(config: McpServerConfig, search_path: str) -> list[str]:
    program = shutil.which(config.command[0], path=search_path)
    if program is None:
        raise ConfigError(
            f"there is no program {config.command[0]!r} (PATH is {search_path}): install it, or "
            "write its absolute path"
        )
    argv = [program, *config.command[1:]]
    # Where the worker is killed, the server would otherwise live on if it does not watch its input.
    leash = shutil.which("setpriv", path="/usr/bin:/bin")
    return [leash, "--pdeathsig", "KILL", "--", *argv] if leash else argv


def resolved(config: McpServerConfig) -> None:
    """Refuse values that still hold a reference nobody resolved.

    Raises:
        ConfigError: `${NAME}` is left in a value.
    """
    for name, value in config.env.items():
        if re.search(r"\$\{\w+\}", value.get_secret_value()):
            raise ConfigError(f"env.{name} refers to a variable that is not set")


class Outlet:
    """The library's way to write: each message is one line."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, item: Any, /) -> None:
        """Write one message."""
        text: str = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        self._wire.send(text.encode() + b"\n")

    async def aclose(self) -> None:
        """Do nothing: the wire is closed by its owner."""

    async def __aenter__(self) -> "Outlet":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


UNBOUNDED = math.inf
"""The size of the inbox: what is in it was counted when it arrived."""
