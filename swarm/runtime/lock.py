"""One worker per home: a lock that the operating system drops when its holder dies."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from swarm.core.errors import ConfigError

LOOKS, LOOK_S = 10, 0.02
DYING_S = 5.0
"""How long to wait for the last of a killed worker's processes, in seconds: each holds the lock until
the system has taken it apart."""


class WorkerLock:
    """Hold `worker.lock` of a home; its text is the holder's process id."""

    def __init__(self, home: Path) -> None:
        self._path = home / "worker.lock"
        self._fd: int | None = None

    def __enter__(self) -> "WorkerLock":
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(fd)
        except BlockingIOError as error:
            os.close(fd)
            raise ConfigError(
                f"A worker with process id {holder(self._path.parent) or 'unknown'} already works "
                f"in {self._path.parent}. Ordering and approving work beside it; a second worker "
                "needs its own home, or Postgres."
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        return self

    @property
    def fd(self) -> int:
        """Return the open file that holds the lock; a process that inherits it holds it too."""
        assert self._fd is not None
        return self._fd

    def _take(self, fd: int) -> None:
        """Lock, or raise BlockingIOError. Whoever looks for the holder locks for an instant too."""
        looks = 0
        until = time.monotonic() + DYING_S
        while looks < LOOKS:
            with suppress(BlockingIOError):
                return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pid = holder(self._path.parent)
            if pid and (_is_there(pid) or time.monotonic() > until):
                break
            looks += not pid
            time.sleep(LOOK_S)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def holder(home: Path) -> int | None:
    """Return the process id of the worker of a home, or None where none works."""
    path = home / "worker.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(fd)


def _is_there(pid: int) -> bool:
    """Say whether a process lives; one that nobody waited for yet does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except ProcessLookupError:
        return False
    except OSError:
        # Somebody else's, or a system that does not tell.
        return True
    return state.rpartition(")")[2].split()[0] not in ("Z", "X")
