"""One at a time sets a home up."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from swarm.core.errors import ConfigError


@dataclass
class FileLock:
    """Let one process at a time set a home up."""

    path: Path
    _fd: int | None = None

    def __enter__(self) -> None:
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{self.path.parent} cannot be written: {error.strerror}.") from error
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
