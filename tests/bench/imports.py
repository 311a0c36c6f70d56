"""Measure what a start imports, in fresh processes: `python -m tests.bench.imports`.

Each is timed by the clock and by the processor time it took; on a busy machine the second tells more.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_S = 2.5
"""Longest import of all that a worker works with, in seconds."""
STARTS = {
    "command": ("swarm.cli.entry",),
    "doorman": ("swarm.cli.entry", "swarm.cli.service", "swarm.app", "swarm.runtime.doorman"),
    "worker": (
        "swarm.cli.works",
        "swarm.app",
        "swarm.runtime.worker",
        "swarm.runtime.dbos_engine",
        "swarm.org.graph",
        "swarm.runtime.cluster_seat",
    ),
}
"""What each kind of process imports to begin; what it needs later, it loads then."""
_PROGRAM = """
import importlib, json, sys, time
wall, cpu = time.perf_counter(), time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


def measure(rounds: int = 3) -> dict[str, float]:
    """Import for each kind of process so many times; return the shortest times in seconds."""
    numbers: dict[str, float] = {}
    for name, modules in STARTS.items():
        times = [_import(modules) for _ in range(rounds)]
        numbers[f"import_{name}_wall_s"] = round(min(wall for wall, _ in times), 3)
        numbers[f"import_{name}_cpu_s"] = round(min(cpu for _, cpu in times), 3)
    return numbers


def _import(modules: tuple[str, ...]) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    wall, cpu = json.loads(done.stdout)
    return wall, cpu


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
