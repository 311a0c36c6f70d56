"""The few calls of the system's C library that Python's own library does not offer.

Where a system has no such call, nothing is done: each is a help, and none a condition.
"""

import ctypes
import os
import signal
from contextlib import suppress
from functools import cache
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_IN_MODIFY, _IN_CREATE = 0x2, 0x100


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def give_memory_back() -> None:
    """Return what was freed to the system; only glibc keeps it until it is told."""
    with suppress(AttributeError):
        _library().malloc_trim(0)


def die_with_parent() -> None:
    """Have the system kill this process when the thread that started it ends (Linux)."""
    with suppress(AttributeError):
        _library().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def watch_files() -> int:
    """Return a descriptor from which changes of files are read (Linux's inotify).

    Raises:
        OSError: The system offers none, or no more of them.
    """
    try:
        fd = int(_library().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    except AttributeError as error:
        raise OSError("this system tells of no changes") from error
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def watch_folder(fd: int, folder: Path) -> int:
    """Tell of what is written in a folder; return the watch's number, below 0 where it cannot."""
    return int(_library().inotify_add_watch(fd, os.fsencode(folder), _IN_MODIFY | _IN_CREATE))


def unwatch(fd: int, number: int) -> None:
    """Tell of a folder no more."""
    _library().inotify_rm_watch(fd, number)
