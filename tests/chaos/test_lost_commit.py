"""The line to the server is lost at a commit: what was to be changed is changed once."""

import random
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from swarm.core.errors import Unavailable
from swarm.store.database import Store
from tests.chaos.audit import Books, check_all
from tests.chaos.cluster import Cluster
from tests.chaos.line import AFTER, BEFORE, Line
from tests.chaos.nursery import Nursery
from tests.chaos.script import CALLS, KeyedCompany, jitter
from tests.chaos.site import Site
from tests.servers.provider import ScriptedProvider


def count_one(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE counted SET number = number + 1")


@pytest.mark.parametrize("how", [BEFORE, AFTER])
async def test_a_change_whose_commit_was_not_answered_is_made_once(
    shared: Cluster, how: str
) -> None:
    url = shared.server.create(f"lost_{how}")
    with Line(url) as line:
        store = Store(line.url)
        try:
            store.write(lambda c: c.exec_driver_sql("CREATE TABLE counted AS SELECT 0 AS number"))
            line.cut_at = {line.commits + 1: how}
            # The server knows what became of it; where nothing did, the caller may try again.
            if how == AFTER:
                store.write(count_one)
            else:
                with pytest.raises(Unavailable, match="nothing was changed"):
                    store.write(count_one)
            line.cut_at = {line.commits + 1: how}
            await store.awrite(count_one)
            number = store.read(
                lambda c: c.exec_driver_sql("SELECT number FROM counted").scalar_one()
            )
        finally:
            store.close()
    assert line.cut_at == {}
    assert number == (2 if how == AFTER else 1)


@pytest.mark.chaos
async def test_a_company_whose_commits_are_cut_again_and_again_delivers_once(
    nursery: Nursery, shared: Cluster, tmp_path: Path
) -> None:
    script = KeyedCompany(jitter(random.Random(5), 0.0, 0.02))
    async with (
        ScriptedProvider(script) as provider,
        shared.site(tmp_path, nursery, api_base=provider.url) as site,
    ):
        with Line(site.environment["SWARM_DATABASE_URL"]) as line:
            # The worker alone is on the line that is cut; the test looks past it.
            site.environment["SWARM_DATABASE_URL"] = line.url
            worker = site.worker()
            await site.ready(worker)
            first = line.commits
            line.cut_at = {first + 7 * n: (BEFORE, AFTER)[n % 2] for n in range(1, 40)}
            for number in range(2):
                await site.place(number)
            await site.halted(worker)
            assert await site.end(worker) == 0
            assert line.commits > first + 70
        _check(site, script)


def _check(site: Site, script: KeyedCompany) -> None:
    check_all(site, script)
    assert script.count == CALLS * 2
    assert Books(site).rows("SELECT id FROM ledger WHERE state != 'used'") == []
