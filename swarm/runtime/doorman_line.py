"""The line between a doorman and its worker: two processes, one pair of sockets, single signs.

A sign says that something is to be looked at, never what: that is in the database, which both
share. So a sign that is lost in a full line loses nothing, and two are as good as one.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from swarm.core.errors import ConfigError
from swarm.runtime.libc import die_with_parent

STOP, LOOK = b"s", b"l"
"""From the doorman: end in good order; something changed, look."""
ALIVE = b"a"
"""From the worker: its loop turns."""
BEAT_S = 5.0
"""Between two signs of life of a worker, in seconds."""
_BLOCK = 4096


class Line:
    """One end of the line, on the loop that opens it."""

    def __init__(self, end: socket.socket, *, heard: Callable[[bytes], None]) -> None:
        """Take an end.

        Args:
            end: A connected socket, closed with the line.
            heard: Called with each sign that came; with none where the other side is gone.
        """
        end.setblocking(False)
        self._end = end
        self._heard = heard
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Begin to listen."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._read)

    def say(self, sign: bytes) -> None:
        """Say a sign. A full line holds it already, and nobody needs it where the other is gone."""
        try:
            self._end.send(sign)
        except OSError:
            return

    def close(self) -> None:
        """Let the line go."""
        if self._loop is not None and self._end.fileno() >= 0:
            self._loop.remove_reader(self._end)
        self._end.close()

    def _read(self) -> None:
        try:
            signs = self._end.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError:
            signs = b""
        if not signs:
            assert self._loop is not None
            self._loop.remove_reader(self._end)
            self._heard(b"")
        for sign in sorted(set(signs)):
            self._heard(bytes((sign,)))


class LineLife:
    """A worker's sign of life, given to its doorman where work would hang."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the line to whoever opened it."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._line.say(ALIVE)
            await asyncio.sleep(BEAT_S)


def die_with(parent: int) -> None:
    """Let the system kill this process as soon as its parent is gone, however that ends.

    Where the system cannot do that, the end of the line says so a moment later.

    Raises:
        ConfigError: The parent is gone already.
    """
    die_with_parent()
    # It may have died before the system was asked.
    if os.getppid() != parent:
        raise ConfigError("This worker's doorman is gone; `swarm up` starts both.")
