"""Answer the calls of a confined process that neither Landlock nor a filter can judge.

Changing a file's mode or times: a filter cannot see paths. It stops the call and asks; here the
path is read, the file opened, and only if the opened file lies in a writable folder the call is
made, on that very file.

Starting a process or a thread: the kernel's own limit counts per user, over all containers, and
exempts root. Here the command's processes alone are counted, before there is one more.

Runs in the launcher: standard library alone, and nothing that takes long to import.
Source: seccomp_unotify(2); the layouts are those of linux/seccomp.h on all 64-bit machines.
"""

import errno
import fcntl
import os
import struct
import time
from contextlib import suppress
from typing import NamedTuple

_CONTINUE = 1
"""Let the kernel make the call itself: for calls whose arguments are not in memory."""
_FORKS = frozenset({"fork", "vfork", "clone"})
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_REQUEST = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_AT_CURRENT = -100
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_PATH_MAX = 4096
_NOW, _OMIT = (1 << 30) - 1, (1 << 30) - 2
_MODES = 0o1777
"""Without set-user-id and set-group-id: outside, such a file would hand over our rights."""


class _Target(NamedTuple):
    """What a call names: a path seen from a descriptor, or the descriptor itself."""

    number: int
    path: str | None
    is_followed: bool = True


class Supervisor:
    """Answer the supervised calls of one sandbox."""

    def __init__(
        self, listener: int, numbers: dict[int, str], *, folders: list[str], processes: int
    ) -> None:
        """Take over the listener.

        Args:
            listener: Descriptor on which the kernel hands over calls.
            numbers: Names of the supervised calls by their number on this machine.
            folders: Real paths of what the command may write.
            processes: How many processes and threads may live below this one.
        """
        self.listener = listener
        self._most = processes
        self._credit = 0
        self._folders = tuple(folder.rstrip("/") + "/" for folder in folders)
        self._numbers = numbers

    def answer(self) -> None:
        """Take one call, make it or refuse it, and say how it went."""
        request = bytearray(_REQUEST.size)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, request)
        except OSError:
            # The caller was killed while it waited.
            return
        token, process, _, call, _, _, *words = _REQUEST.unpack(request)
        name = self._numbers.get(call, "")
        code = 0
        try:
            self._do(name, process, words)
        except OSError as error:
            code = -(error.errno or errno.EPERM)
        except (ValueError, OverflowError):
            code = -errno.EINVAL
        with suppress(OSError):
            flags = _CONTINUE if name in _FORKS and code == 0 else 0
            fcntl.ioctl(self.listener, _SEND, _ANSWER.pack(token, 0, code, flags))

    def _do(self, name: str, process: int, words: list[int]) -> None:
        if name == "chmod":
            self._chmod(process, _Target(_AT_CURRENT, _text(process, words[0])), words[1])
        elif name == "fchmod":
            self._chmod(process, _Target(_signed(words[0]), None), words[1])
        elif name == "fchmodat":
            path = _text(process, words[1])
            self._chmod(process, _Target(_signed(words[0]), path), words[2])
        elif name == "utimensat":
            self._utime(process, words)
        elif name in _FORKS:
            self._admit()
        else:
            raise OSError(errno.ENOSYS, "not supervised")

    def _admit(self) -> None:
        """Allow one more process; count them anew only when as many as fitted have come."""
        if self._credit == 0:
            tasks = sum(map(threads, below(os.getpid())))
            self._credit = max(self._most - tasks, 0)
        if self._credit == 0:
            raise OSError(errno.EAGAIN, "as many processes as allowed")
        self._credit -= 1

    def _chmod(self, process: int, target: _Target, mode: int) -> None:
        number = self._open(process, target)
        try:
            os.chmod(f"/proc/self/fd/{number}", mode & _MODES)  # noqa: PTH101  # a descriptor
        finally:
            os.close(number)

    def _utime(self, process: int, words: list[int]) -> None:
        path = _text(process, words[1]) if words[1] else None
        if path == "" and words[3] & _AT_EMPTY_PATH:
            path = None
        target = _Target(_signed(words[0]), path, not words[3] & _AT_SYMLINK_NOFOLLOW)
        number = self._open(process, target)
        try:
            _set_times(number, _memory(process, words[2], 32) if words[2] else None)
        finally:
            os.close(number)

    def _open(self, process: int, target: _Target) -> int:
        """Open what the process named, for nothing but to name it; refuse what lies outside."""
        base = f"/proc/{process}/fd/{target.number}"
        if target.number == _AT_CURRENT:
            base = f"/proc/{process}/cwd"
        if target.path is None:
            number = os.open(base, os.O_PATH | os.O_CLOEXEC)
        else:
            folder = os.open(base, os.O_PATH | os.O_CLOEXEC)
            try:
                flags = os.O_PATH | os.O_CLOEXEC
                flags |= 0 if target.is_followed else os.O_NOFOLLOW
                number = os.open(target.path or "", flags, dir_fd=folder)
            finally:
                os.close(folder)
        # What is open stays the same file, whatever becomes of the path it was found by.
        if not self._is_inside(os.readlink(f"/proc/self/fd/{number}")):  # noqa: PTH115
            os.close(number)
            raise OSError(errno.EPERM, "outside the writable folders")
        return number

    def _is_inside(self, path: str) -> bool:
        return f"{path}/".startswith(self._folders)


def _set_times(number: int, times: bytes | None) -> None:
    path = f"/proc/self/fd/{number}"
    if times is None:
        os.utime(path)
        return
    seconds_1, nanos_1, seconds_2, nanos_2 = struct.unpack("=4q", times)
    facts = os.stat(path)  # noqa: PTH116  # a descriptor
    now = time.time_ns()
    accessed = _time(seconds_1, nanos_1, facts.st_atime_ns, now)
    os.utime(path, ns=(accessed, _time(seconds_2, nanos_2, facts.st_mtime_ns, now)))


def _time(seconds: int, nanos: int, before: int, now: int) -> int:
    if nanos == _OMIT:
        return before
    return now if nanos == _NOW else seconds * 10**9 + nanos


def _signed(word: int) -> int:
    """Return a register's lower half as the C `int` that it is."""
    return (word & 0xFFFFFFFF) - ((word & 0x80000000) << 1)


def _memory(process: int, address: int, size: int) -> bytes:
    """Read the memory of a process that waits; less where its memory ends."""
    if not 0 < address < 1 << 63:
        raise OSError(errno.EFAULT, "no such memory")
    number = os.open(f"/proc/{process}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(number, size, address)
    except OSError:
        raise OSError(errno.EFAULT, "no such memory") from None
    finally:
        os.close(number)


def _text(process: int, address: int) -> str:
    """Read a path: bytes up to a zero, as the file system takes them."""
    found, zero, _ = _memory(process, address, _PATH_MAX).partition(b"\0")
    if not zero:
        raise OSError(errno.ENAMETOOLONG, "no end of the path")
    return os.fsdecode(found)


def below(ancestor: int) -> list[int]:
    """Return the processes below one, as far as the moment of the look shows.

    Quicker than `every_below`, but may miss one while others end.
    """
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):  # noqa: PTH110  # quick
        return every_below(ancestor)
    found, waiting = [], [ancestor]
    while waiting:
        with suppress(OSError):
            folder = f"/proc/{waiting.pop()}/task"
            for thread in os.listdir(folder):  # noqa: PTH208  # quick
                children = [int(word) for word in _read(f"{folder}/{thread}/children").split()]
                found += children
                waiting += children
    return found


def carrying(sign: bytes) -> set[int]:
    """Return the processes that were started with an environment that holds a sign."""
    found = set()
    for name in os.listdir("/proc"):  # noqa: PTH208  # quick
        if name.isdigit():
            with suppress(OSError):
                if sign in _read(f"/proc/{name}/environ"):
                    found.add(int(name))
    return found


def every_below(ancestor: int) -> list[int]:
    """Return all processes below one that are there before the look begins."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # quick
        if name.isdigit():
            with suppress(OSError):
                # The program's name stands in parentheses and may hold anything.
                words = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
                children.setdefault(int(words[1]), []).append(int(name))
    found, waiting = [], [ancestor]
    while waiting:
        next_ones = children.get(waiting.pop(), [])
        found += next_ones
        waiting += next_ones
    return found


def threads(process: int) -> int:
    """Return how many threads a process has; none if it is gone."""
    with suppress(OSError):
        # A folder has a link for each folder in it, and two of its own.
        return os.stat(f"/proc/{process}/task").st_nlink - 2  # noqa: PTH116  # quick
    return 0


def birth(process: int) -> str:
    """Return when a process started, in the kernel's ticks: with its number, it names it for good.

    Empty if it is gone.
    """
    with suppress(OSError):
        return _read(f"/proc/{process}/stat").rpartition(b")")[2].split()[19].decode()
    return ""


def _read(path: str) -> bytes:
    number = os.open(path, os.O_RDONLY)
    try:
        return os.read(number, 64 * 1024)
    finally:
        os.close(number)
