"""A whole company on Postgres, through the public door: orders, papers, memory, audit, doctor."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.app import App
from swarm.cli import exits
from swarm.cli.entry import run
from swarm.core.order import OrderStatus
from swarm.settings import load
from tests.acceptance.at_work import at_work, provider_of, running, settings_of
from tests.servers.postgres import Server, missing


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        yield server


psycopg = pytest.importorskip("psycopg")


async def test_a_worker_waits_for_a_server_that_has_no_connection_to_spare(
    server: Server, tmp_path: Path
) -> None:
    home, url = tmp_path / "home", server.create("busy")
    app = App(load(settings_of(home, "http://127.0.0.1:9/v1", database_url=url)))
    app.initialise()
    refused = 0

    def refuse(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal refused
        # In the middle of the engine's launch, when its threads have all that there were.
        if "application_versions" in statement and refused < 3:
            refused += 1
            said = psycopg.OperationalError("FATAL:  sorry, too many clients already")
            raise sa.exc.OperationalError(None, None, said)

    sa.event.listen(app.store.engine, "before_cursor_execute", refuse)
    async with running(app):
        assert refused == 3
        assert app.works_for.startswith("the worker ")
    app.close()


async def test_limits_over_all_workers_hold_where_one_worker_could_do_more(
    server: Server, tmp_path: Path
) -> None:
    limits: dict[str, Any] = {
        "worker__per_person": "2",
        "worker__in_all": "3",
        "worker__concurrency": "8",
    }
    url, seen = server.create("limited"), [0]
    async with at_work(tmp_path / "home", provider_of(), database_url=url, **limits) as company:
        placed = [await company.place(is_auto_signed=True) for _ in range(4)]

        def are_done() -> bool:
            found = [company.app.documents.status(order_id) for order_id in placed]
            seen.append(found.count(OrderStatus.WORKING))
            return not any(status.is_moving for status in found)

        await company.until(are_done)
        for order_id in placed:
            assert company.app.documents.status(order_id) is OrderStatus.DELIVERED
    assert max(seen) == 2


async def test_an_order_is_signed_and_delivered_and_every_paper_of_it_can_be_read(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home, url = tmp_path / "home", server.create("whole")
    async with at_work(home, provider_of(), database_url=url, budget__sign_above="0") as company:
        waiting = await company.work()
        assert waiting.status is OrderStatus.WAITING
        assert company.app.works_for.startswith("the worker ")
        company.app.office.approve(waiting.id, by="Ada")
        assert (await company.halt(waiting.id)).status is OrderStatus.DELIVERED
        second = await company.work(is_auto_signed=True)
        assert second.status is OrderStatus.DELIVERED
    assert not (home / "swarm.db").exists()
    for name, value in settings_of(home, "http://127.0.0.1:9/v1", database_url=url).items():
        monkeypatch.setenv(name, value)

    def told(*words: str) -> Any:
        capsys.readouterr()
        assert run([*words, "--json"]) == exits.DONE, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    assert {order["id"] for order in told("orders")} == {waiting.id, second.id}
    assert told("show", waiting.id)["status"] == "delivered"
    for words in (
        ("receipt", waiting.id),
        ("ledger",),
        ("report",),
        ("budget",),
        ("time", "week"),
        ("inbox",),
        ("memory", "list"),
        ("memory", "search", "bakery launch page"),
        ("audit", "verify"),
        ("baseline", "show", waiting.id),
    ):
        assert told(*words) is not None, words
    found = told("doctor")
    assert [item for item in found["findings"] if item["level"] == "problem"] == []
