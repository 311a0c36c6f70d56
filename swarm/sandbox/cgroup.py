"""Limit processes by a control group, where the kernel's limit per user does not count: for root.

Nothing but the number of processes is limited by it, since that alone cannot wait for a look from
outside: what forks for ever takes the processor from whoever would end it.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_NAME = "swarm-"
_TO_EMPTY_S = 2.0
"""The kernel lets go of a dead process a moment after everybody has seen it die."""
# `$0` is the group's file; who writes 0 there moves itself.
_ENTER = 'echo 0 > "$0" && exec "$@"'


@asynccontextmanager
async def process_group(processes: int) -> AsyncIterator[list[str]]:
    """Give the words that run a command in a group of its own, of at most so many processes.

    No words where no group can be made: then only a look from outside counts.
    """
    group = _make(processes)
    if group is None:
        yield []
        return
    try:
        yield ["/bin/sh", "-c", _ENTER, str(group / "cgroup.procs")]
    finally:
        await _remove(group)


def _make(processes: int) -> Path | None:
    for parent in _parents():
        _sweep(parent)
        group = parent / f"{_NAME}{os.getpid()}-{secrets.token_hex(6)}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "pids.max").write_text(str(processes))
        except OSError:
            # No such controller here.
            group.rmdir()
            continue
        return group
    return None


def _sweep(parent: Path) -> None:
    """Remove what somebody who was killed left; one in use cannot be removed."""
    for group in parent.glob(f"{_NAME}*"):
        owner = group.name.removeprefix(_NAME).partition("-")[0]
        if not Path("/proc", owner).exists():
            _removed(group)


def _parents() -> Iterator[Path]:
    """Give the groups in which one can be made: our own first, then the topmost."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "pids" or not controllers:
                mount = _ROOT / controllers
                if (mount / "cgroup.procs").exists():
                    yield mount / path.lstrip("/")
                    yield mount


async def _remove(group: Path) -> None:
    """Remove an empty group; one that does not get empty is left, and does no harm."""
    until = time.monotonic() + _TO_EMPTY_S
    while time.monotonic() < until:
        if _removed(group):
            return
        await asyncio.sleep(0.002)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True
