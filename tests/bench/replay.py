"""How fast recorded orders are played: `python -m tests.bench.replay`.

Prints a table of processor time (user and system, all threads of the process), which is what the
bars speak of: a core without neighbours. The wall's clock stands beside it. The path is that of
production: intake, graph, policy, ledger, outbox. In a house the engine is the plain one, unless
`--engine dbos` asks for production's.

- `own home`: each order has a home and an engine of its own, as before there were houses.
- `house, first`: one order, with the opening of the house.
- `house, many`: further orders in the same house: the mix that ships.
- `house, short`: those of them with one to three model calls, which are stopped early.
- `house, long`: an order whose two tasks take sixteen steps each, written down here: 36 calls. Calls
  a second say most of such orders, orders a second of short ones.

`best` is the mean over the orders of the least that each took: what is left where other programs use
the caches and the memory of the machine too.

`--copies N` plays one cassette so many times, and prints the memory that the process holds.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm.evals.cassette import Cassette, read
from swarm.evals.house import House
from swarm.evals.performing import prepare_home
from swarm.evals.replaying import no_sockets, replay
from swarm.evals.runner import author
from swarm.evals.scenario import Scenario, find, load

PACKS = Path(__file__).parents[1] / "scenarios"
ORDERS = 100
ALONE = 10
"""Orders that are played in a home of their own: they take long."""
CALLS_BAR, ORDERS_BAR = 300, 25
"""Recorded calls and orders a second on one core that are wanted."""
SHORT = range(1, 4)
"""Model calls of a short order."""
TASKS, STEPS = 2, 16
"""Of the long order; a step is a model call and a tool's."""
LOOKS = 10
"""How often a long run tells its memory."""


@dataclass
class Spent:
    """What some replays took."""

    name: str
    orders: int = 0
    calls: int = 0
    processor_s: float = 0.0
    wall_s: float = 0.0
    least: dict[str, float] = field(default_factory=dict)
    """What the quickest of each scenario's orders took, in seconds of the processor."""

    def line(self) -> str:
        """Return it as a row of the table."""
        per_order, per_call = self.processor_s / self.orders, self.processor_s / self.calls
        return (
            f"{self.name:14}{self.orders:8}{self.calls:8}{per_order * 1e3:13.1f}{self.best_ms:8.1f}"
            f"{per_call * 1e3:10.2f}{1 / per_order:10.1f}{1 / per_call:9.0f}"
            f"{self.orders / self.wall_s:14.1f}"
        )

    @property
    def best_ms(self) -> float:
        """Return what an order took where little was in its way."""
        return sum(self.least.values()) / len(self.least) * 1e3

    def note(self, name: str, seconds: float) -> None:
        """Note what one order took."""
        self.least[name] = min(seconds, self.least.get(name, seconds))


HEAD = (
    f"{'':14}{'orders':>8}{'calls':>8}{'CPU ms/order':>13}{'best':>8}{'ms/call':>10}"
    f"{'orders/s':>10}{'calls/s':>9}{'wall orders/s':>14}"
)
Shelf = Sequence[tuple[Scenario, Cassette]]


def shelf() -> Shelf:
    """Return the scenarios that ship with one cassette, read once."""
    paths = [path for path in find([PACKS]) if path.with_suffix(".jsonl").is_file()]
    return [(load(path), read(path.with_suffix(".jsonl"))) for path in paths]


def long_order(folder: Path) -> Shelf:
    """Author an order of many steps, and return it with its cassette. Not on an event loop."""
    task = {
        "role": "marketcom", "brief": "Write the notes, one file after another.", "depends_on": [],
        "deliverable": "notes", "human_hours": 4, "kind": "writing",
    }  # fmt: skip
    frame = {
        "goal": "Thirty notes.", "success_criteria": ["The notes are there."], "language": "en",
        "kind": "writing", "questions": [],
    }  # fmt: skip
    plan = {
        "approach": "Two of us write half of them each.",
        "tasks": [task | {"title": f"Half {number}"} for number in range(1, TASKS + 1)],
    }
    answers: dict[str, list[dict[str, Any]]] = {
        "frame": [{"document": frame}],
        "plan": [{"document": plan}],
        "deliver": [{"document": {"answer": "All notes are written.", "lessons": []}}],
    }
    for number in range(1, TASKS + 1):
        answers[f"t{number} work"] = [
            *(_step(f"note-{number}-{step}.md") for step in range(1, STEPS)),
            {"say": "They are written."},
        ]
        answers[f"t{number} review"] = [{"document": {"verdict": "accept", "reasons": []}}]
    order = {
        "text": "Write thirty notes on bread.",
        "auto_signed": True,
        "cassette": "long.jsonl",
        "answers": answers,
    }
    path = folder / "long.yaml"
    document = {"name": "A long order", "orders": [order], "checks": [{"status": "delivered"}]}
    path.write_text(json.dumps(document), encoding="utf-8")
    (cassette,) = author(path)
    return [(load(path), read(cassette))]


def _step(path: str) -> dict[str, Any]:
    """Return an answer with one tool call that no other step has."""
    content = f"{path}\n" + "Flour, water, salt and time. " * 20
    return {"call": "write_file", "using": {"path": path, "content": content}}


async def _play(scenario: Scenario, cassette: Cassette, home: Path, house: House | None) -> int:
    prepare_home(scenario, home, [cassette.manifest.order["id"]])
    played = await replay(cassette, home, house=house)
    if not played.is_same:
        sys.stderr.write(f"{scenario.name}: differs: {played.misses[:1]}\n")
    return played.calls


async def _spend(name: str, work: Shelf, count: int, folder: Path, house: House | None) -> Spent:
    spent = Spent(name)
    wall, processor = time.perf_counter(), time.process_time()
    for number in range(count):
        scenario, cassette = work[number % len(work)]
        began = time.process_time()
        home = await house.fresh_home() if house else folder / str(number)
        spent.calls += await _play(scenario, cassette, home, house)
        spent.orders += 1
        spent.note(scenario.name, time.process_time() - began)
    spent.processor_s = time.process_time() - processor
    spent.wall_s = time.perf_counter() - wall
    return spent


async def measure(
    folder: Path,
    long: Shelf,
    *,
    orders: int = ORDERS,
    alone: int = ALONE,
    engine: str | None = None,
) -> None:
    """Play what ships in homes of their own, and in one house, and print the table."""
    say(HEAD)
    work = shelf()
    with no_sockets():
        await _spend("warm", work, 1, folder / "warm", None)
        say((await _spend("own home", work, alone, folder / "own", None)).line())
        async with House(folder / "house", engine=engine) as house:
            say((await _spend("house, first", work, 1, folder, house)).line())
            await _spend("warm", work, len(work), folder, house)
            say((await _spend("house, many", work, orders, folder, house)).line())
            short = [item for item in work if len(item[1].lane("model")) in SHORT]
            for name, some in (("house, short", short), ("house, long", long)):
                await _spend("warm", some, len(some), folder, house)
                say((await _spend(name, some, max(orders // 4, 1), folder, house)).line())
    load_now = " ".join(f"{one:.1f}" for one in os.getloadavg())
    say(f"wanted: {CALLS_BAR} calls/s and {ORDERS_BAR} orders/s a core; load {load_now}")


async def measure_memory(folder: Path, copies: int) -> None:
    """Play one cassette many times, and print what memory the process holds on the way."""
    work = [next(item for item in shelf() if item[1].lane("founder"))]
    with no_sockets():
        async with House(folder / "house") as house:
            for part in range(LOOKS):
                count = copies * (part + 1) // LOOKS - copies * part // LOOKS
                spent = await _spend("copies", work, max(count, 1), folder, house)
                done = copies * (part + 1) // LOOKS
                say(f"{done:8} copies: {_rss_mib():.1f} MiB; {spent.line()}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure in a folder that is gone afterwards."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--alone", type=int, default=ALONE)
    parser.add_argument("--copies", type=int, default=0)
    parser.add_argument("--engine", default=None, help="dbos: the house has production's engine")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarm-bench-") as folder:
        if wanted.copies:
            asyncio.run(measure_memory(Path(folder), wanted.copies))
        else:
            long = long_order(Path(folder))
            asyncio.run(
                measure(
                    Path(folder),
                    long,
                    orders=wanted.orders,
                    alone=wanted.alone,
                    engine=wanted.engine,
                )
            )


if __name__ == "__main__":
    main()
