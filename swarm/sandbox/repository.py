"""Find what a command may not change of the git repository in its workspace, without being fooled.

A repository's hooks and configuration make git run programs, for whoever uses it later. They are
looked for step by step without following links: a link in their place may point anywhere.
"""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from swarm.core.errors import ConfigError

PROTECTED = ("hooks", "config")
_LOOK_S = 0.05


@asynccontextmanager
async def protected(workspace: Path) -> AsyncIterator[tuple[str, ...]]:
    """Give the names in `.git` to protect while a command runs; none where there is no repository.

    Where there is one, the command has the workspace for itself: otherwise another command could
    put a link into the place of what was found, between the look and the sandbox's use of it.

    Raises:
        ConfigError: The disk below the workspace knows no locks.
    """
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            is_there = bool(_found(folder))
            await _take_turn(folder, fcntl.LOCK_EX if is_there else fcntl.LOCK_SH)
            names = _found(folder)
            if is_there or not names:
                break
        yield names
    finally:
        os.close(folder)


async def _take_turn(folder: int, kind: int) -> None:
    """Wait until the folder can be locked; the lock ends when the folder is closed."""
    while True:
        try:
            fcntl.flock(folder, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            # The kernel tells nobody that a lock is free.
            await asyncio.sleep(_LOOK_S)
        except OSError as error:
            raise ConfigError(f"the workspace cannot be locked: {error.strerror}") from error
        else:
            return


def _found(folder: int) -> tuple[str, ...]:
    try:
        git = os.open(".git", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        return ()
    try:
        return tuple(name for name in PROTECTED if _is_plain(git, name))
    finally:
        os.close(git)


def _is_plain(git: int, name: str) -> bool:
    try:
        mode = os.stat(name, dir_fd=git, follow_symlinks=False).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
