"""Count what a running sandbox uses, from outside.

The kernel's own limits leave gaps: memory is limited for each process, not for all of them; the
number of processes is not limited for what root starts; and a disk has no limit at all.
"""

import asyncio
import errno
import os
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from swarm.sandbox.base import Limits, Used

PERIOD_S = 0.05
"""Short enough that a fork bomb makes hundreds, not hundreds of thousands."""
MEASURE_PERIOD_S = 0.25
"""How often folders are measured, if that is quick; one tenth of the time goes into it at most."""
LEAST_FREE_BYTES = 64 * 1024 * 1024
"""Below this, what fills the disk is ended, whatever its own limit still allows."""
_SOON_BYTES = 64 * 1024 * 1024
"""Folders are measured at once when the whole disk lost so much since the last time."""
_BLOCK = 512
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Processes = Callable[[], Iterable[Path]]
"""Find the processes of a sandbox, as folders of `/proc`; its own helpers left out."""
Root = Callable[[], Path | None]
"""Find the process that takes in the times of those of a sandbox that have ended."""


class Watch:
    """One sandbox's use of the machine, held against its limits."""

    def __init__(
        self, processes: Processes, root: Root, limits: Limits, folders: tuple[Path, ...]
    ) -> None:
        """`folders` are those that the sandbox can fill; they are measured now."""
        self._processes = processes
        self._root = root
        self._limits = limits
        self._use = _Use(time.monotonic())
        self._disk = _Disk(folders)
        # What was there before is not this command's doing, and a command must be able to delete.
        self._bytes = max(limits.disk_bytes, self._disk.usage.size)
        self._files = max(limits.files, self._disk.usage.entries)

    async def broken_limit(self) -> str:
        """Wait until the sandbox uses too much and say what; waits for ever if it never does."""
        while True:
            broken = await asyncio.to_thread(self._broken)
            if broken is not None:
                return broken
            await asyncio.sleep(PERIOD_S)

    def used(self) -> Used:
        """Return what was used up to the last look, and the time up to now."""
        return self._use.until(time.monotonic())

    def look_at_root(self) -> None:
        """Take in what ended since the last look, at the very end."""
        if (root := self._root()) is not None:
            self._use.saw_ticks(_ticks(root))

    def _broken(self) -> str | None:
        tally = _Tally()
        try:
            return self._broken_by(tally)
        finally:
            root = self._root()
            ended = 0 if root is None else _ticks(root)
            self._use.saw(tally.ticks + ended, tally.memory_kib, time.monotonic())

    def _broken_by(self, tally: "_Tally") -> str | None:
        for process in self._processes():
            # A process may end at any moment, and others may not be looked at.
            with suppress(OSError):
                tally.add(process)
            if tally.tasks > self._limits.processes:
                return f"more than {self._limits.processes} processes at once"
            if tally.memory_kib > self._limits.memory_mib * 1024:
                return f"more than {self._limits.memory_mib} MiB of memory in all"
        self._disk.measure_if_due(self._bytes, self._files)
        return self._too_full(sum(tally.unlinked.values()))

    def _too_full(self, unlinked: int) -> str | None:
        usage = self._disk.usage
        if usage.size + unlinked > self._bytes:
            return f"more than {self._bytes // 1024**2:,} MiB of files"
        if usage.entries > self._files:
            return f"more than {self._files:,} files"
        if usage.is_too_deep:
            return "folders nested too deeply"
        if self._disk.free() < LEAST_FREE_BYTES and self._disk.has_grown():
            return f"less than {LEAST_FREE_BYTES // 1024**2} MiB left on the disk"
        return None


@dataclass(slots=True)
class _Use:
    """What a sandbox used since it began."""

    began_s: float
    looked_s: float = 0.0
    ticks: int = 0
    held_kib: int = 0
    peak_kib: int = 0
    kib_s: float = 0.0

    def saw(self, ticks: int, held_kib: int, now_s: float) -> None:
        # What a process held between two looks is taken to lie between what the looks showed.
        since_s = self.looked_s or self.began_s
        self.kib_s += (self.held_kib + held_kib) / 2 * (now_s - since_s)
        self.looked_s, self.held_kib = now_s, held_kib
        self.peak_kib = max(self.peak_kib, held_kib)
        self.saw_ticks(ticks)

    def saw_ticks(self, ticks: int) -> None:
        # A process that ends during a look may be missed by it; time used does not go back.
        self.ticks = max(self.ticks, ticks)

    def until(self, now_s: float) -> Used:
        last = self.held_kib * (now_s - (self.looked_s or now_s))
        return Used(
            now_s - self.began_s, self.ticks / _TICKS_PER_S, (self.kib_s + last) / 1024, self.peak_kib / 1024
        )  # fmt: skip


@dataclass(slots=True)
class _Tally:
    """What the processes of a sandbox hold together."""

    tasks: int = 0
    ticks: int = 0
    """Processor time of the living, with that of their children who ended."""
    memory_kib: int = 0
    unlinked: dict[tuple[int, int], int] = field(default_factory=dict)
    """Bytes of files without a name, by device and inode: no walk through folders finds them."""

    def add(self, process: Path) -> None:
        # A folder has a link for each folder in it, and two of its own.
        self.tasks += (process / "task").stat().st_nlink - 2
        self.memory_kib += _held_kib(process)
        self.ticks += _ticks(process)
        for name in os.listdir(process / "fd"):  # noqa: PTH208  # many, and often
            with suppress(OSError):
                self._add_file(process / "fd" / name)

    def _add_file(self, descriptor: Path) -> None:
        facts = descriptor.stat()
        if facts.st_nlink or not stat.S_ISREG(facts.st_mode):
            return
        key = (facts.st_dev, facts.st_ino)
        if key in self.unlinked:
            return
        self.unlinked[key] = facts.st_blocks * _BLOCK
        # Such a file has no disk below it: its pages are memory, and belong to no process.
        if str(descriptor.readlink()).startswith("/memfd:"):
            self.memory_kib += facts.st_blocks * _BLOCK // 1024


def _ticks(process: Path) -> int:
    """Return the processor time of a process and of its children who ended, in the kernel's ticks."""
    with suppress(OSError, ValueError, IndexError):
        # The program's name stands in parentheses and may hold anything.
        words = (process / "stat").read_bytes().rpartition(b")")[2].split()
        return sum(map(int, words[11:15]))
    return 0


def _held_kib(process: Path) -> int:
    """Return the process's share of the memory it uses, without its program files' pages."""
    try:
        text = (process / "smaps_rollup").read_text()
        return _sum_kib(text, ("Pss_Anon:", "Pss_Shmem:"))
    except PermissionError:
        # A program file that cannot be read hides its process; these counts are open to all, but
        # do not say what is shared.
        return _sum_kib((process / "status").read_text(), ("RssAnon:", "RssShmem:"))


def _sum_kib(text: str, names: tuple[str, ...]) -> int:
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(names))


@dataclass(slots=True)
class _Usage:
    """What some folders hold."""

    size: int = 0
    entries: int = 0
    is_hidden: bool = False
    """True where a folder could not be looked into."""
    is_too_deep: bool = False


class _Disk:
    """The folders of a sandbox, and the disks below them."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._free_before = self.free()
        self._free_last = self._free_before
        self._due_at = 0.0
        self.usage = _Usage()
        self.measure(_UNBOUNDED, _UNBOUNDED)

    def free(self) -> int:
        """Return what is left for users on the fullest of the disks."""
        found = [_UNBOUNDED]
        for folder in self._folders:
            with suppress(OSError):
                facts = os.statvfs(folder)
                found.append(facts.f_bavail * facts.f_frsize)
        return min(found)

    def has_grown(self) -> bool:
        return self.free() < self._free_before

    def measure_if_due(self, size: int, entries: int) -> None:
        is_shrinking = self._free_last - self.free() > _SOON_BYTES
        if is_shrinking or time.monotonic() >= self._due_at:
            self.measure(size, entries)

    def measure(self, size: int, entries: int) -> None:
        """Walk the folders, and stop once there is more than `size` or `entries`."""
        began = time.monotonic()
        self._free_last = self.free()
        usage = _Usage()
        for folder in self._folders:
            _walk(folder, usage, size, entries)
        if usage.is_hidden:
            usage.size = max(usage.size, self._free_before - self._free_last)
        self.usage = usage
        now = time.monotonic()
        self._due_at = now + max(MEASURE_PERIOD_S, 9 * (now - began))


_UNBOUNDED = 1 << 62


def _walk(folder: Path, usage: _Usage, size: int, entries: int) -> None:
    """Add what a folder holds. Links are counted, not followed."""
    waiting, seen = [str(folder)], set()
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listed:
                for entry in listed:
                    facts = _facts(entry)
                    if facts is None or facts.st_ino in seen:
                        continue
                    is_folder = stat.S_ISDIR(facts.st_mode)
                    if facts.st_nlink > 1 and not is_folder:
                        seen.add(facts.st_ino)
                    usage.entries += 1
                    usage.size += facts.st_blocks * _BLOCK
                    if usage.size > size or usage.entries > entries:
                        return
                    if is_folder:
                        waiting.append(entry.path)
        except PermissionError:
            usage.is_hidden = True
        except OSError as error:
            usage.is_too_deep |= error.errno == errno.ENAMETOOLONG


def _facts(entry: "os.DirEntry[str]") -> os.stat_result | None:
    """Return what is known of an entry, or None if it is gone by now."""
    with suppress(FileNotFoundError):
        return entry.stat(follow_symlinks=False)
    return None
