"""Ask an instance what its company spent on models this month, and how busy its seat was.

What is asked is the instance's own report, the document that every version prints; so the farm needs
to know nothing of another version's books. The seat's use comes from the container's own counters.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from swarm.core.clock import iso, parse_iso
from swarm.core.errors import SwarmError
from swarm.core.money import CostStatus, plain
from swarm.core.text import shorten
from swarm.farm.base import Driver, Ran, Runner

BUSY = """\
import json, os
def read(path):
    with open(path) as file:
        return file.read()
def used():
    root = "/sys/fs/cgroup"
    try:
        return int(dict(line.split() for line in read(root + "/cpu.stat").splitlines())["usage_usec"])
    except (OSError, KeyError, ValueError):
        return int(read(root + "/cpuacct/cpuacct.usage")) // 1000
ticks = int(read("/proc/1/stat").rpartition(")")[2].split()[19])
up = float(read("/proc/uptime").split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
print(json.dumps({"cpu_us": used(), "up_us": int(up * 1e6)}))
"""
"""Prints what the container's processes took of processors since it started; cgroups of both versions."""
MONTH = "%Y-%m"
PATIENCE_S = 30.0
"""With an instance that is asked; one that hangs must still be stopped."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What model calls cost in one currency."""

    amount: Decimal
    """A lower bound where the status is `unpriced`."""
    currency: str
    status: CostStatus
    notional: Decimal = Decimal(0)
    """The part for which nothing is owed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an instance said last."""

    month: str
    """`2026-11`, in UTC."""
    at: datetime
    models: tuple[Spent, ...]
    idle: Decimal | None = None
    """The part of the processors kept for it that it did not use since it was started, 0 to 1; None
    where the container does not tell."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking."""

    reading: Reading | None
    problem: str = ""
    """Why there is none, or why it is old."""


async def ask(place: Driver, name: str, *, cpus: Decimal, now: datetime) -> Asked:
    """Ask a running instance; what fails is said, not raised."""
    if not isinstance(place, Runner):
        return Asked(None, f"the driver {place.name} cannot reach inside instances")
    first = f"{now:{MONTH}}-01"
    words = ["swarm", "report", "--from", first, "--to", f"{now:%Y-%m-%d}", "--json"]
    try:
        async with asyncio.timeout(PATIENCE_S):
            ran = await place.run(name, words)
            if ran.code != 0:
                why = shorten(" ".join(ran.stderr.split()), 200) or f"code {ran.code}"
                return Asked(None, f"it does not tell what it spent: {why}")
            models = _models(json.loads(ran.stdout))
            idle = _idle(await place.run(name, ["python3", "-I", "-S", "-c", BUSY]), cpus)
    except TimeoutError:
        return Asked(None, f"it does not tell what it spent: no answer within {PATIENCE_S:.0f} s")
    except SwarmError as error:
        return Asked(None, str(error))
    except (ValueError, KeyError, TypeError, InvalidOperation):
        return Asked(None, "what it says it spent cannot be read: another version?")
    return Asked(Reading(f"{now:{MONTH}}", now, models, idle))


def _models(document: Mapping[str, Any]) -> tuple[Spent, ...]:
    return tuple(
        Spent(
            _amount(line["amount"]), str(line["currency"]), CostStatus(line["status"]),
            _amount(line.get("notional", "0")),
        )
        for line in document["models"]
    )  # fmt: skip


def _amount(text: Any) -> Decimal:
    found = Decimal(str(text))
    if not found.is_finite() or found < 0:
        raise ValueError("no amount")
    return found


def _idle(ran: Ran, cpus: Decimal) -> Decimal | None:
    """Return the unused part of what was kept; None where the counters cannot be read."""
    try:
        told = json.loads(ran.stdout)
        used, up = Decimal(int(told["cpu_us"])), Decimal(int(told["up_us"]))
    except (ValueError, KeyError, TypeError):
        return None
    if ran.code != 0 or up <= 0 or cpus <= 0:
        return None
    return round(max(Decimal(0), 1 - used / (up * cpus)), 4)


def written(reading: Reading | None) -> dict[str, Any] | None:
    """Return a reading as it is stored."""
    if reading is None:
        return None
    return {
        "month": reading.month,
        "at": iso(reading.at),
        "idle": None if reading.idle is None else plain(reading.idle),
        "models": [
            [plain(s.amount), s.currency, s.status.value, plain(s.notional)] for s in reading.models
        ],
    }


def read_again(stored: Mapping[str, Any] | None) -> Reading | None:
    """Return what was stored."""
    if stored is None:
        return None
    return Reading(
        stored["month"], parse_iso(stored["at"]),
        tuple(
            Spent(Decimal(amount), currency, CostStatus(status), Decimal(notional))
            for amount, currency, status, notional in stored["models"]
        ),
        None if stored["idle"] is None else Decimal(stored["idle"]),
    )  # fmt: skip
