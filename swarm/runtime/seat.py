"""The right to work: one worker a home on SQLite; on Postgres many, see `cluster_seat`."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

from swarm.runtime.lock import WorkerLock
from swarm.store.moved import refuse_moved

Runs: TypeAlias = Callable[[Callable[[], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]


class Seat(Protocol):
    """The right to work, from entering to leaving; entering raises ConfigError where it is taken."""

    async def __aenter__(self) -> Self:
        """Take it."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""

    async def watch(self, run: Runs) -> None:
        """Keep it until cancelled; raise ConfigError where it is lost for good."""

    def tell(self, heard: Callable[[str], None]) -> bool:
        """Call with each ring of a shared database's bell; False where there is none to hear."""
        ...


class HomeSeat:
    """The only worker of a home, by a lock on a file."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = WorkerLock(home)

    async def __aenter__(self) -> Self:
        """Lock the home, unless its company is elsewhere by now."""
        refuse_moved(self._home)
        self._lock.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Unlock the home."""
        self._lock.__exit__(None, None, None)

    @property
    def fd(self) -> int:
        """Return the open file whose heirs hold the home too."""
        return self._lock.fd

    async def watch(self, run: Runs) -> None:
        """Do nothing: the operating system keeps the lock."""
        await asyncio.Event().wait()

    def tell(self, heard: Callable[[str], None]) -> bool:
        """Return False: a SQLite home has no such bell."""
        return False


class LentSeat:
    """The right to work a home, lent by the doorman who holds it: both hold one lock."""

    def __init__(self, fd: int) -> None:
        """Take the open file of the lock; it is kept from this process's own children."""
        os.set_inheritable(fd, False)

    async def __aenter__(self) -> Self:
        """Do nothing: the lock came with the process."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Keep the lock until the process is gone: an heir must not work beside it."""

    async def watch(self, run: Runs) -> None:
        """Do nothing: the operating system keeps the lock."""
        await asyncio.Event().wait()

    def tell(self, heard: Callable[[str], None]) -> bool:
        """Return False: a SQLite home has no such bell."""
        return False
