"""Measure what a command costs before it begins, for each sandbox that holds here."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from swarm.core.errors import ConfigError
from swarm.sandbox.base import Sandbox
from swarm.sandbox.choose import PREFERRED
from swarm.sandbox.registry import SANDBOXES

ROUNDS = 30


def measure() -> dict[str, Any]:
    """Return the median wall time of `true` in each sandbox, in ms; None where it cannot be made.

    Keys are `sandbox_NAME_ms`; `process_ms` is the same for a bare process, as this machine's
    measure.
    """
    return asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    found: dict[str, Any] = {"process_ms": await _median_ms(None)}
    for name in PREFERRED:
        try:
            found[f"sandbox_{name}_ms"] = await _median_ms(SANDBOXES.load(name)())
        except ConfigError:
            found[f"sandbox_{name}_ms"] = None
    return found


async def _median_ms(sandbox: Sandbox | None) -> float:
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            if sandbox is None:
                process = await asyncio.create_subprocess_exec("true")
                await process.wait()
            else:
                await sandbox.run(["true"], workspace=Path(folder))
            times.append((time.perf_counter() - start) * 1e3)
    # The first one pays for caches.
    return round(statistics.median(times[1:]), 1)


if __name__ == "__main__":
    print(measure())  # noqa: T201
