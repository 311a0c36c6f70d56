"""Whose turn it is to write to a SQLite file, where two processes write to it without pause.

SQLite lets one process write at a time, and who finds the file taken sleeps and tries again, up to a
tenth of a second later; meanwhile the other may have taken it many times. Here whoever comes is
put in line by the system, and wakes when it is their turn. Who has something urgent says so, and
whoever writes then ends soon. Who takes no turn (a command beside the worker) is kept out by
SQLite's own lock, as ever.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Turns:
    """Take turns by locks on two files beside the database.

    One thread of this process takes them; any may say that it is urgent. Where the files cannot be
    made, all goes on as without them.
    """

    def __init__(self, database: Path) -> None:
        self._paths = [database.with_name(f"{database.name}-{what}") for what in ("turn", "urgent")]
        self._fds: list[int] = []
        self._lock = threading.Lock()

    @contextmanager
    def mine(self) -> Iterator[None]:
        """Wait for the turn, and hold it; what this process had that was urgent is then done."""
        if not self._opened():
            yield
            return
        fcntl.flock(self._fds[0], fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fds[1], fcntl.LOCK_UN)
            fcntl.flock(self._fds[0], fcntl.LOCK_UN)

    def press(self) -> None:
        """Say that something urgent waits in this process. Never blocks."""
        if self._opened():
            # Taken only while another process looks: then it is not told this once.
            with suppress(OSError):
                fcntl.flock(self._fds[1], fcntl.LOCK_SH | fcntl.LOCK_NB)

    @property
    def is_pressed(self) -> bool:
        """Return whether something urgent waits in another process."""
        if not self._opened():
            return False
        try:
            fcntl.flock(self._fds[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(self._fds[1], fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Let the files go."""
        with self._lock:
            fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)

    def _opened(self) -> bool:
        with self._lock:
            self._fds = self._fds or self._open()
            return bool(self._fds)

    def _open(self) -> list[int]:
        fds: list[int] = []
        try:
            for path in self._paths:
                fds.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            for fd in fds:
                os.close(fd)
            return []
        return fds
