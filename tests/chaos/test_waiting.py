"""Orders that wait for a person cost next to nothing: no run, no memory, no time, little room."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.order import OrderStatus
from swarm.store.tables import metadata
from tests.acceptance.at_work import script
from tests.chaos.audit import Books
from tests.chaos.site import PATIENCE_S, UNFINISHED, Ground, Site
from tests.servers.provider import ScriptedProvider

LOOK_S = 2.0
PACE_S = 0.7
"""What an order may take, its questions sent, on a machine that has much else to do."""
MOST_MIB = 8.0
"""How much more a worker may hold; an allocator's own steps are a few of them."""
MOST_CORE = 0.01
"""How much more of a core it may take."""
MOST_KIB = 10.0
"""How much room an order may take besides its texts."""
A_TEXT = 100
"""A value of so many signs is a text; below it stand ids, times and states."""
QUESTIONS = ["Which bakery?"]


@dataclass(frozen=True)
class Idle:
    """What a worker without anything to do takes."""

    mib: float
    core: float


async def test_some_orders_that_wait_hold_no_run(ground: Ground, tmp_path: Path) -> None:
    await wait_all(ground, tmp_path, count=12, is_measured=False)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_a_thousand_orders_that_wait_cost_what_none_do(
    ground: Ground, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = request.config.getoption("--waiting-orders", 1_000)
    await wait_all(ground, tmp_path, count=count, is_measured=True)


async def wait_all(ground: Ground, folder: Path, *, count: int, is_measured: bool) -> None:
    async with (
        ScriptedProvider(script(questions=QUESTIONS)) as provider,
        ground(folder, api_base=provider.url) as site,
    ):
        none = await idle(site) if is_measured else None
        least = room(site)
        for number in range(count):
            await site.place(number)
        worker = site.worker()
        await site.halted(worker, PATIENCE_S + count * PACE_S)
        assert await site.end(worker) == 0
        assert set(site.statuses().values()) == {OrderStatus.WAITING}
        assert len(provider.bodies) == count
        assert Books(site).rows(UNFINISHED) == []
        if none is None:
            return
        many, most = await idle(site), room(site)
        texts = most[1] - least[1]
        each = (most[0] - least[0] - texts) / count / 1024
        sys.stdout.write(
            f"{count} orders wait: {many.mib - none.mib:+.1f} MiB and {many.core - none.core:+.2%} "
            f"of a core beside {none.mib:.1f} MiB and {none.core:.2%}; {each:.1f} KiB an order "
            f"besides {texts / count / 1024:.1f} KiB of texts\n"
        )
        assert Books(site).rows(UNFINISHED) == []
        assert len(provider.bodies) == count
        assert many.mib - none.mib <= MOST_MIB
        assert many.core - none.core <= MOST_CORE
        assert each <= MOST_KIB


async def idle(site: Site) -> Idle:
    """Measure a worker that has just begun, and has nothing to do."""
    worker = site.worker()
    await site.ready(worker)
    time.sleep(LOOK_S)  # noqa: ASYNC251  # nothing of this process is to run meanwhile
    before, at = spent_s(worker.pid), time.monotonic()
    time.sleep(LOOK_S)  # noqa: ASYNC251
    took = time.monotonic() - at
    core = (spent_s(worker.pid) - before) / took
    mib = own_mib(worker.pid)
    assert await site.end(worker) == 0
    return Idle(mib, core)


def spent_s(pid: int) -> float:
    """Return the processor time of a process so far, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def own_mib(pid: int) -> float:
    """Return the memory that a process does not share, in MiB: its parent is the nursery."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def room(site: Site) -> tuple[int, int]:
    """Return the bytes of the whole database, and of the texts in our tables."""
    store = site.app.store
    if store.is_sqlite:
        size = store.read(_sqlite_size)
    else:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL")
        size = store.read(
            lambda c: int(
                c.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
            )
        )
    return size, store.read(_texts)


def _sqlite_size(connection: Connection) -> int:
    names = ("page_count", "freelist_count", "page_size")
    all_pages, free, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in names
    )
    return (all_pages - free) * size


def _texts(connection: Connection) -> int:
    total = 0
    for table in metadata.sorted_tables:
        for column in table.c:
            if isinstance(column.type, sa.String):
                length = sa.func.length(column)
                query = sa.select(sa.func.coalesce(sa.func.sum(length), 0)).where(length >= A_TEXT)
                total += int(connection.execute(query).scalar_one())
    return total
