"""Measure the product and print a table; the numbers also go to `bench.json`.

`python -m tests.bench single crowd` measures those two parts alone.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swarm.core.clock import parse_iso
from tests.bench import audit, doorman, memory, policy, reports, sandbox, telegram

ROOT = Path(__file__).resolve().parents[2]
SWARM = Path(sys.executable).parent / "swarm"
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def provider(delay_s: float) -> Iterator[str]:
    """Serve the scripted provider from a process of its own."""
    argv = [sys.executable, "-m", "tests.bench.provider", "--delay", str(delay_s)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            process.wait(10)


def drive(folder: Path, *, delay_s: float, **options: int) -> dict[str, Any]:
    """Work orders in a fresh process against a fresh provider."""
    with provider(delay_s) as url:
        argv = [sys.executable, "-m", "tests.bench.drive", "--home", str(folder)]
        argv += ["--provider", url]
        for name, value in options.items():
            argv += [f"--{name.replace('_', '-')}", str(value)]
        done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def help_seconds() -> float:
    """Return the median wall time of `swarm --help`."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([SWARM, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return round(statistics.median(times[1:]), 3)


def idle(folder: Path) -> dict[str, float]:
    """Start `swarm up`, and read its cost when ready and when idle."""
    environment = {**os.environ, "SWARM_HOME": str(folder)}
    subprocess.run([SWARM, "init"], check=True, capture_output=True, env=environment)
    process = subprocess.Popen(
        [SWARM, "up"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        assert process.stderr is not None
        process.stderr.readline()
        ready_cpu = _cpu(process.pid)
        time.sleep(2)
        before = _cpu(process.pid)
        time.sleep(10)
        share = (_cpu(process.pid) - before) / 10
        return {
            "up_ready_cpu_s": round(ready_cpu, 2),
            "up_idle_rss_mib": _rss_mib(process.pid),
            "up_idle_cpu_percent": round(share * 100, 2),
        }
    finally:
        process.terminate()
        process.wait(20)


def first_call_seconds(folder: Path) -> float:
    """Return the wall time from a second `swarm order --wait` to its first answered model call."""
    with provider(0.0) as url:
        environment = {
            **os.environ,
            "SWARM_HOME": str(folder),
            "SWARM_LLM__MODEL": "openai/gpt-4o-mini",
            "SWARM_LLM__API_BASE": url,
        }
        times = []
        for _ in range(3):
            start = time.time()
            done = subprocess.run(
                [SWARM, "order", "Write a haiku.", "--wait", "--yes", "--json"],
                check=True,
                capture_output=True,
                env=environment,
                text=True,
            )
            order = json.loads(done.stdout)["id"]
            lines = subprocess.run(
                [SWARM, "ledger", order, "--json"],
                check=True,
                capture_output=True,
                env=environment,
                text=True,
            )
            rows = json.loads(lines.stdout)
            rows = rows if isinstance(rows, list) else rows["entries"]
            # The provider answers at once, so its first answer is the first call.
            times.append(_epoch(rows[0]["ended_at"]) - start)
    return round(statistics.median(times[1:]), 2)


BARE = """
import asyncio, json, os, sys, time
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

async def main():
    async def ask():
        await litellm.acompletion(
            model="openai/gpt-4o-mini", api_base=sys.argv[1], api_key="none", num_retries=0,
            messages=[{"role": "user", "content": "Your task " + "x" * 6000}],
        )
    for _ in range(20):
        await ask()
    before = time.process_time()
    for _ in range(200):
        await ask()
    print(json.dumps(round((time.process_time() - before) / 200 * 1e3, 2)))

asyncio.run(main())
"""
"""A loop around `litellm.acompletion` alone: what this machine needs without any ledger."""


def bare_litellm() -> float:
    """Return the CPU per call of litellm alone, in ms, as the measure of this machine."""
    with provider(0.0) as url:
        done = subprocess.run(
            [sys.executable, "-c", BARE, url], check=True, capture_output=True, text=True
        )
    return float(done.stdout.splitlines()[-1])


def _epoch(text: str) -> float:
    return parse_iso(text).timestamp()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def _single(folder: Path) -> dict[str, Any]:
    told = drive(folder / "single", delay_s=0.0, warm=5, count=40, in_flight=1)
    return {
        "cpu_ms_per_call": told["cpu_ms_per_call"],
        "calls_per_order": round(told["calls"] / told["orders"], 1),
        "db_kib_per_call": told["db_kib_per_call_besides_texts"],
    }


def _crowd(folder: Path) -> dict[str, Any]:
    told = drive(folder / "crowd", delay_s=0.05, warm=5, count=300, in_flight=100)
    return {
        "orders_per_s_100_in_flight": told["orders_per_s"],
        "cpu_ms_per_call_100_in_flight": told["cpu_ms_per_call"],
        "rss_mib_after_300_orders": told["rss_mib"],
    }


def _parts(folder: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what is measured, in its order, by the name that the command line knows."""
    return {
        "single": lambda: _single(folder),
        "bare": lambda: {"cpu_ms_per_call_bare_litellm": bare_litellm()},
        "crowd": lambda: _crowd(folder),
        "help": lambda: {"help_s": help_seconds()},
        "idle": lambda: idle(folder / "idle"),
        "first": lambda: {"first_call_s_litellm": first_call_seconds(folder / "first")},
        "policy": policy.measure,
        "sandbox": sandbox.measure,
        "audit": audit.measure,
        "memory": memory.measure,
        "reports": reports.measure,
        "telegram": telegram.measure,
        "doorman": doorman.measure,
    }


def main() -> None:
    """Measure all, or the parts that are named; print each figure as it is known.

    Where all was measured, the figures also go to `bench.json`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        parts = _parts(Path(temporary))
        parser = argparse.ArgumentParser(prog="python -m tests.bench")
        parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
        wanted = parser.parse_args().parts
        if unknown := set(wanted) - set(parts):
            parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
        document: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores"}
        _say(document)
        for name in wanted or parts:
            told = parts[name]()
            _say(told)
            document |= told
    if not wanted:
        (ROOT / "bench.json").write_text(json.dumps(document, indent=2) + "\n")


def _say(figures: Mapping[str, Any]) -> None:
    """Print figures at once: whoever ends a long run keeps those that it came to."""
    for name, value in figures.items():
        sys.stdout.write(f"{name:34} {value}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
