"""Measure recall on a Postgres of two companies, by the role that works: `python -m tests.bench.recall`.

Row-level security binds that role, so this tells whether the index of words is used under it.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from swarm.core.clock import SystemClock
from swarm.core.ids import RandomIds
from swarm.memory.base import Viewer
from swarm.memory.sql import SqlMemory
from swarm.store import companies, roles, schema
from swarm.store.database import Store
from tests.bench.memory import Corpus, fill, measured
from tests.servers.postgres import Addresses, Server

VIEWERS = {
    "company": None,
    "customer": Viewer("support", customer="c7"),
    "owner": Viewer("owner", is_owner=True),
}


@contextmanager
def company(at: Addresses, name: str) -> Iterator[Store]:
    """Make a company in the shared database and open it as whoever works in it."""
    owner = Store(at.owner, company=name)

    def before() -> None:
        owner.write(lambda c: roles.make(c, at.app))
        words = f"CREATE SCHEMA {companies.engine_schema(name)}"
        owner.write(lambda c: c.exec_driver_sql(words))

    schema.upgrade(owner, before=before, after=lambda c: roles.grant(c, at.app))
    owner.close()
    store = Store(at.app, company=name)
    try:
        yield store
    finally:
        store.close()


def measure(count: int = 50_000, rounds: int = 100) -> dict[str, float]:
    """Fill the memories of two companies, recall in one of them, return p50 and p95 in ms."""
    numbers: dict[str, float] = {"memories": count, "companies": 2}
    with Server() as server:
        at = server.share("recall")
        with company(at, "alder") as other, company(at, "beryl") as store:
            fill(other, Corpus(), count)
            corpus = Corpus()
            fill(store, corpus, count)
            owner = Store(at.superuser)
            with owner.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as plain:
                plain.exec_driver_sql("VACUUM ANALYZE")
            owner.close()
            memory = SqlMemory(store=store, clock=SystemClock(), ids=RandomIds())
            for name, viewer in VIEWERS.items():
                found = measured(memory, corpus, viewer, rounds)
                numbers |= {f"recall_{name}_{key}": value for key, value in found.items()}
    return numbers


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    numbers = measure(options.count, options.rounds)
    sys.stdout.write(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
