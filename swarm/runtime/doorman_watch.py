"""Know when somebody wrote to a SQLite database, without asking it over and over.

Each commit goes through the write-ahead log beside the file, whichever process makes it. The system
tells of changes to that file at once, and nothing is done while there are none. Where it tells of
none (a folder on another machine, say) the file's time is looked at once in a while.
"""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from swarm.runtime import libc

log = structlog.get_logger("swarm.doorman")

LOOK_S = 2.0
"""How often the files' times are looked at, in seconds, whatever the system tells."""
AGAIN_S = (0.1, 0.5, 2.0)
"""After how long somebody is woken again, in seconds. The log is written first and flushed then, and
only after that is the commit there to be read: on a slow disk, long after the first word of it."""
_EVENT = struct.Struct("iIII")
_BLOCK = 65536

Woken = Callable[[], None]


class Watch:
    """Watch the logs of any number of databases, on the loop that runs it."""

    def __init__(self) -> None:
        self._fd = -1
        self._paths: dict[Path, tuple[Woken, tuple[int, int]]] = {}
        """By the log's path: whom to wake, and the log as it was last seen."""
        self._folders: dict[int, Path] = {}
        self._again: dict[Path, asyncio.TimerHandle] = {}

    def add(self, database: Path, woken: Woken) -> None:
        """Call `woken` after each commit to a database, once or more often."""
        path = database.with_name(f"{database.name}-wal")
        self._paths[path] = (woken, _seen(path))
        if self._fd >= 0:
            self._follow(path.parent)

    def remove(self, database: Path) -> None:
        """Watch a database no more."""
        path = database.with_name(f"{database.name}-wal")
        self._paths.pop(path, None)
        if path in self._again:
            self._again.pop(path).cancel()
        if any(other.parent == path.parent for other in self._paths):
            return
        for number in [n for n, folder in self._folders.items() if folder == path.parent]:
            del self._folders[number]
            libc.unwatch(self._fd, number)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch from entering to leaving."""
        watching = asyncio.create_task(self._run())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._open()
        try:
            if self._fd >= 0:
                loop.add_reader(self._fd, self._read)
            while True:
                await asyncio.sleep(LOOK_S)
                for path in list(self._paths):
                    self._look(path)
        finally:
            if self._fd >= 0:
                loop.remove_reader(self._fd)
                os.close(self._fd)
            self._fd = -1
            self._folders.clear()
            for timer in self._again.values():
                timer.cancel()
            self._again.clear()

    def _open(self) -> None:
        try:
            self._fd = libc.watch_files()
        except OSError as error:
            log.info("the system tells of no changes to files", reason=str(error))
            return
        for folder in {path.parent for path in self._paths}:
            self._follow(folder)

    def _follow(self, folder: Path) -> None:
        number = libc.watch_folder(self._fd, folder)
        if number >= 0:
            self._folders[number] = folder

    def _read(self) -> None:
        try:
            block = os.read(self._fd, _BLOCK)
        except BlockingIOError:
            return
        changed: set[Path] = set()
        place = 0
        while place < len(block):
            number, _, _, length = _EVENT.unpack_from(block, place)
            name = block[place + _EVENT.size : place + _EVENT.size + length].rstrip(b"\0")
            place += _EVENT.size + length
            if number in self._folders:
                changed.add(self._folders[number] / os.fsdecode(name))
            elif number < 0:
                # More happened than the system keeps in mind.
                changed |= self._paths.keys()
        for path in changed & self._paths.keys():
            self._look(path, is_told=True)

    def _look(self, path: Path, *, is_told: bool = False) -> None:
        woken, before = self._paths[path]
        now = _seen(path)
        if is_told or now != before:
            self._paths[path] = (woken, now)
            self._wake(path, 0)

    def _wake(self, path: Path, times: int) -> None:
        """Wake somebody now, and again until what was begun is surely there to be read."""
        if path in self._again:
            self._again.pop(path).cancel()
        if path not in self._paths:
            return
        self._paths[path][0]()
        if times < len(AGAIN_S):
            loop = asyncio.get_running_loop()
            self._again[path] = loop.call_later(AGAIN_S[times], self._wake, path, times + 1)


def _seen(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError:
        return (0, 0)
    return (facts.st_mtime_ns, facts.st_size)
