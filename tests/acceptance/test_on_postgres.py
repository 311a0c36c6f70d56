"""A whole company on Postgres, through the public door: orders, papers, memory, audit, doctor."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.cli import exits
from swarm.cli.entry import run
from swarm.core.order import OrderStatus
from tests.acceptance.at_work import at_work, provider_of, settings_of
from tests.servers.postgres import Server, missing


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        yield server


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
