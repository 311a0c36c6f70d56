"""Hear the bell of a shared database on a connection, in the thread that owns the connection."""

import os
import select
import time
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from swarm.runtime import shared_bell

log = structlog.get_logger("swarm.seat")

_LOST = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Ear:
    """Wait for rings and for time, without asking the server anything."""

    def __init__(self, told: Callable[[str], None]) -> None:
        """Take what is called with each ring, in whichever thread it is heard."""
        self._told = told
        self._ends: tuple[int, int] | None = None
        self._raw: Any = None

    def open(self, connection: Connection, company: str) -> None:
        """Begin to listen on a connection that commits each statement by itself.

        What was rung before is not heard: whoever opens looks by itself.
        """
        self._ends = self._ends or os.pipe()
        # Detached from its pool, it is known by this name alone.
        self._raw = connection.connection.dbapi_connection
        # A ring may come along with the answer to a statement.
        self._raw.add_notify_handler(lambda notice: self._told(notice.payload))
        shared_bell.listen(connection, company)

    def wait(self, seconds: float) -> None:
        """Tell of rings for so long; end earlier where the connection is lost or `wake` is called."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not self._hear(left):
                return

    def wake(self) -> None:
        """End the wait. From any thread."""
        ends = self._ends
        if ends is not None:
            os.write(ends[1], b"w")

    def close(self) -> None:
        """Let go of what wakes it; the connection is somebody else's to close."""
        # A number that is closed may soon be another file's.
        ends, self._ends = self._ends, None
        for end in ends or ():
            os.close(end)

    def _hear(self, seconds: float) -> bool:
        """Wait for one event; False where it ends the wait."""
        assert self._ends is not None
        woken = self._ends[0]
        try:
            fd = self._raw.fileno()
            ready = select.poll()
            for each in (fd, woken):
                ready.register(each, select.POLLIN)
            events = dict(ready.poll(seconds * 1000))
            if woken in events or events.get(fd, 0) & _LOST:
                return False
            if fd in events:
                self._raw.pgconn.consume_input()
                while (notice := self._raw.pgconn.notifies()) is not None:
                    self._told(notice.extra.decode())
        except Exception as error:  # noqa: BLE001  # the driver's; the next statement says what it means
            log.info("the bell cannot be heard", reason=str(error)[:200])
            return False
        return True
