"""Measure recall over 100,000 memories on SQLite and print a table: `python -m tests.bench.memory`."""

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy.engine import Connection

from swarm.core.clock import SystemClock
from swarm.core.ids import RandomIds
from swarm.core.origin import Origin
from swarm.memory.base import MemoryItem, MemoryKind, Scope, Viewer
from swarm.memory.rows import values_of
from swarm.memory.sql import SqlMemory
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import memories

CUSTOMERS = 1_000
VOCABULARY = 20_000
WORDS = 25
"""Words of one memory: a sentence or two."""
ASKED = 8
"""Words of one question."""
WARM = 20
"""Recalls that are not counted."""
KINDS = tuple(MemoryKind)


class Corpus:
    """Texts whose words are as unevenly common as those of a language (Zipf)."""

    def __init__(self) -> None:
        self.chance = random.Random(7)
        syllables = [a + b for a in "bcdfglmnprstv" for b in ("a", "e", "i", "o", "ou", "an", "er")]
        words: set[str] = set()
        while len(words) < VOCABULARY:
            words.add("".join(self.chance.choices(syllables, k=self.chance.randint(2, 4))))
        self.words = sorted(words)
        self.chance.shuffle(self.words)
        self.sums = list(itertools.accumulate(1 / (n + 10) for n in range(VOCABULARY)))

    def text(self, count: int) -> str:
        """Return so many words."""
        return " ".join(self.chance.choices(self.words, cum_weights=self.sums, k=count))

    def item(self, number: int, now: datetime) -> MemoryItem:
        """Return one memory: half of them belong to customers, a tenth came from strangers."""
        customer = f"c{self.chance.randrange(CUSTOMERS)}" if number % 2 else None
        is_foreign = number % 10 == 0
        return MemoryItem(
            id=f"m{number}",
            kind=KINDS[number % 4],
            text=self.text(WORDS),
            origin=Origin.WEB if is_foreign else Origin.TEAM,
            order_id=None,
            observed_at=now - timedelta(minutes=number),
            scope=Scope.CUSTOMER if customer else Scope.COMPANY,
            scope_id=customer,
            is_quarantined=is_foreign,
        )


def fill(store: Store, corpus: Corpus, count: int) -> None:
    """Store the memories in bulk, as one by one would take minutes."""
    now = datetime.now(UTC)
    for start in range(0, count, 5_000):
        numbers = range(start, min(start + 5_000, count))
        rows = [{**values_of(corpus.item(n, now)), "number": n + 1} for n in numbers]
        store.write(partial(_insert, rows))


def _insert(rows: list[dict[str, object]], connection: Connection) -> None:
    connection.execute(memories.insert(), rows)


def measured(
    memory: SqlMemory, corpus: Corpus, viewer: Viewer | None, rounds: int
) -> dict[str, float]:
    """Return p50 and p95 of recalls in ms: by the clock, and of this process's own CPU time."""
    walls, cpus = [], []
    for number in range(WARM + rounds):
        query = corpus.text(ASKED)
        wall, cpu = time.perf_counter(), time.process_time()
        memory.recall(query, limit=5, viewer=viewer, max_tokens=2_000)
        if number >= WARM:
            walls.append((time.perf_counter() - wall) * 1e3)
            cpus.append((time.process_time() - cpu) * 1e3)
    return {
        f"{name}_{quantile}_ms": round(sorted(times)[int(len(times) * share)], 1)
        for name, times in (("wall", walls), ("cpu", cpus))
        for quantile, share in (("p50", 0.5), ("p95", 0.95))
    }


def measure(count: int = 100_000, rounds: int = 200) -> dict[str, float]:
    """Fill a company's memory, recall for each kind of viewer, return p50 and p95 in ms."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(sqlite_url(Path(folder) / "swarm.db"))
        schema.upgrade(store)
        memory = SqlMemory(store=store, clock=SystemClock(), ids=RandomIds())
        corpus = Corpus()
        fill(store, corpus, count)
        viewers = {
            "company": None,
            "role": Viewer("ceo", person="ada"),
            "customer": Viewer("support", customer="c7"),
            "owner": Viewer("owner", is_owner=True),
        }
        numbers: dict[str, float] = {"memories": count}
        for name, viewer in viewers.items():
            found = measured(memory, corpus, viewer, rounds)
            numbers |= {f"recall_{name}_{key}": value for key, value in found.items()}
        start = time.perf_counter()
        memory.forget("m1")
        numbers["forget_ms"] = round((time.perf_counter() - start) * 1e3, 1)
        store.close()
    return numbers


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    numbers = measure(options.count, options.rounds)
    sys.stdout.write(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
