"""Count what a running sandbox uses, from outside.

The kernel's own limits leave two gaps: memory is limited for each process, not for all of them,
and the number of processes is not limited at all for what root starts.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

from swarm.sandbox.base import Limits

PERIOD_S = 0.05
"""Short enough that a fork bomb makes hundreds, not hundreds of thousands."""
_PROC = Path("/proc")


async def broken_limit(namespace: int, limits: Limits) -> str:
    """Wait until a process namespace holds too much and say what; waits for ever if it never does.

    Args:
        namespace: Inode of the process namespace, as `/proc/PID/ns/pid` shows it.
        limits: Threads count as processes, as they do for the kernel. Memory that several
            processes share is counted once.
    """
    while True:
        broken = _broken(namespace, limits)
        if broken is not None:
            return broken
        await asyncio.sleep(PERIOD_S)


def _broken(namespace: int, limits: Limits) -> str | None:
    tasks, memory = 0, 0
    # The namespace's own first process is bubblewrap's.
    allowed = limits.processes + 1
    for process in _PROC.iterdir():
        # A process may end at any moment, and others may not be looked at.
        with suppress(OSError):
            if not process.name.isdigit():
                continue
            if str((process / "ns/pid").readlink()) == f"pid:[{namespace}]":
                # A folder has a link for each folder in it, and two of its own.
                tasks += (process / "task").stat().st_nlink - 2
                if tasks > allowed:
                    return f"more than {limits.processes} processes at once"
                memory += _held_kib(process)
                if memory > limits.memory_mib * 1024:
                    return f"more than {limits.memory_mib} MiB of memory in all"
    return None


def _held_kib(process: Path) -> int:
    """Return the process's share of the memory it uses, without its program files' pages."""
    counted = 0
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
            counted += int(line.split()[1])
    return counted
