"""Measure the product and print a table; the numbers also go to `bench.json`."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swarm.core.clock import parse_iso
from tests.bench import audit, memory, policy, reports, sandbox, telegram

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


def main() -> None:
    """Measure all, print the table, write bench.json."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        single = drive(folder / "single", delay_s=0.0, warm=5, count=40, in_flight=1)
        crowd = drive(folder / "crowd", delay_s=0.05, warm=5, count=300, in_flight=100)
        numbers = {
            "cpu_ms_per_call": single["cpu_ms_per_call"],
            "cpu_ms_per_call_bare_litellm": bare_litellm(),
            "calls_per_order": round(single["calls"] / single["orders"], 1),
            "db_kib_per_call": single["db_kib_per_call_besides_texts"],
            "orders_per_s_100_in_flight": crowd["orders_per_s"],
            "cpu_ms_per_call_100_in_flight": crowd["cpu_ms_per_call"],
            "rss_mib_after_300_orders": crowd["rss_mib"],
            "help_s": help_seconds(),
            **idle(folder / "idle"),
            "first_call_s_litellm": first_call_seconds(folder / "first"),
            **policy.measure(),
            **sandbox.measure(),
            **audit.measure(),
            **memory.measure(),
            **reports.measure(),
            **telegram.measure(),
        }
    document = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", **numbers}
    (ROOT / "bench.json").write_text(json.dumps(document, indent=2) + "\n")
    for name, value in document.items():
        sys.stdout.write(f"{name:34} {value}\n")


if __name__ == "__main__":
    main()
