"""The audit chain under ten thousand random edits, drops, swaps, insertions and truncations."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from tests.store.attacks import campaign
from tests.store.chains import Chain

SHAPES = [(110, 20, 5_000), (62, 12, 3_000), (23, 1, 2_000)]
"""Rows, rows between heads, and how often each is meddled with."""


@pytest.mark.timeout(900)
@pytest.mark.chaos
def test_ten_thousand_random_changes_are_all_found_at_their_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done: Counter[str] = Counter()
    for number, (rows, every, count) in enumerate(SHAPES):
        store = Store(sqlite_url(tmp_path / f"{number}.db"))
        try:
            schema.upgrade(store)
            chain = Chain.written(store, rows=rows, every=every)
        finally:
            store.close()
        done += campaign(chain, count=count, seed=number + 1)
    assert done.total() == 10_000
    with capsys.disabled():
        lines = [f"{name}: {count} of {count} found" for name, count in sorted(done.items())]
        sys.stdout.write("\n".join(["", *lines, f"in all: {done.total()} of 10000", ""]))
