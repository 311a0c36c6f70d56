"""One process that listens for many companies, each as apart from the others as if it were alone.

Each subfolder that holds a company gets a doorman. What is wrong with one is said in a sentence, and
the others go on; a folder that comes or goes while the process runs is noticed.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from swarm.core.errors import SwarmError

log = structlog.get_logger("swarm.house")

RESCAN_S = 60.0
"""How often folders are looked for, in seconds."""
MARKS = ("company.yaml", "swarm.db")
"""What a company's folder holds, at least one of them."""


class Tenant(Protocol):
    """One company that is listened for."""

    async def run(self, until: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Listen until `until` is set."""


Open = Callable[[Path], AbstractAsyncContextManager[Tenant]]


@dataclass
class _Room:
    """A company that is listened for, or of which is known why it is not."""

    until: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    is_ready: bool = False


class House:
    """Listen for every company of a folder."""

    def __init__(self, folder: Path, *, open_home: Open, tell: Callable[[str], None]) -> None:
        """Take where the companies are.

        Args:
            folder: Holds a folder for each.
            open_home: Opens the company of a home, and closes it.
            tell: Says a sentence to the operator.
        """
        self._folder = folder
        self._open_home = open_home
        self._tell = tell
        self._rooms: dict[Path, _Room] = {}
        self._told: dict[Path, str] = {}
        self.rescan = asyncio.Event()
        """Set to look for folders now."""

    @property
    def ready(self) -> list[str]:
        """Return the names of the companies that are listened for."""
        return sorted(home.name for home, room in self._rooms.items() if room.is_ready)

    async def run(self, until: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        """Listen until `until` is set; `ready` is called once every company was tried."""
        try:
            await self._look()
            if ready is not None:
                ready()
            ending = asyncio.create_task(until.wait())
            while not ending.done():
                looking = asyncio.create_task(self.rescan.wait())
                await asyncio.wait(
                    {ending, looking}, timeout=RESCAN_S, return_when=asyncio.FIRST_COMPLETED
                )
                looking.cancel()
                self.rescan.clear()
                if not ending.done():
                    await self._look()
        finally:
            await self._leave(list(self._rooms))

    async def _look(self) -> None:
        """Begin with the folders that came, end with those that are gone."""
        homes = homes_in(self._folder)
        await self._leave([home for home in self._rooms if home not in homes])
        for home in self._told.keys() - set(homes):
            del self._told[home]
        for home in homes:
            room = self._rooms.get(home)
            if room is not None and room.task is not None and not room.task.done():
                continue
            self._rooms[home] = room = _Room()
            tried = asyncio.Event()
            room.task = asyncio.create_task(self._host(home, room, tried), name=home.name)
            # One after the other: a start reads and connects, and others are listened for already.
            await tried.wait()

    async def _host(self, home: Path, room: _Room, tried: asyncio.Event) -> None:
        structlog.contextvars.bind_contextvars(company=home.name)

        def ready() -> None:
            room.is_ready = True
            self._told.pop(home, None)
            tried.set()

        try:
            async with self._open_home(home) as tenant:
                await tenant.run(room.until, ready=ready)
        except SwarmError as error:
            self._say(home, str(error))
        except Exception as error:
            log.exception("a company broke")
            self._say(home, f"something inside broke ({type(error).__name__}); see the log.")
        finally:
            room.is_ready = False
            tried.set()

    def _say(self, home: Path, sentence: str) -> None:
        """Say what is wrong with a company, once as long as it is the same."""
        if self._told.get(home) != sentence:
            self._told[home] = sentence
            self._tell(f"{home.name}: {sentence}")

    async def _leave(self, homes: list[Path]) -> None:
        rooms = [self._rooms.pop(home) for home in homes]
        tasks = []
        for room in rooms:
            room.until.set()
            if room.task is not None:
                tasks.append(room.task)
        if tasks:
            await asyncio.wait(tasks)


def homes_in(folder: Path) -> list[Path]:
    """Return the companies' folders below one, by name."""
    found = []
    with suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            with suppress(OSError):
                if path.is_dir() and any((path / mark).exists() for mark in MARKS):
                    found.append(path)
    return found
