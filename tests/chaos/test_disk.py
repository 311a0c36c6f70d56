"""A disk that is full for a while: what was acknowledged is worked once there is room again."""

import random
import resource
import signal
from pathlib import Path

import pytest

from tests.chaos.audit import check_rows
from tests.chaos.nursery import Nursery
from tests.chaos.script import KeyedCompany, jitter
from tests.chaos.site import Site, until
from tests.servers.provider import ScriptedProvider

ROOM = 600_000
"""Bytes that the log of the database may grow to: enough for the start, not for three orders."""


@pytest.mark.parametrize("is_killed", [False, True], ids=["it goes on", "it is killed"])
async def test_orders_that_met_a_full_disk_are_delivered_once_there_is_room(
    nursery: Nursery, template: Path, tmp_path: Path, is_killed: bool
) -> None:
    script = KeyedCompany(jitter(random.Random(11), 0.0, 0.03))
    async with (
        ScriptedProvider(script) as provider,
        Site(tmp_path, nursery, template=template, api_base=provider.url) as site,
    ):
        for number in range(3):
            await site.place(number)
        worker = site.worker(largest_file=ROOM)
        assert await until(lambda: "disk" in site.stderr.read_text()), site.shown()
        if is_killed:
            await site.end(worker, signal.SIGKILL)
            worker = site.worker()
        else:
            no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, no_limit)
        await site.halted(worker)
        assert await site.end(worker) == 0
        check_rows(site, script)
