"""A company moves from its SQLite file to a Postgres, whole, and its orders go on there."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.app import App
from swarm.core.errors import ConfigError
from swarm.core.order import OrderStatus
from swarm.runtime import moving
from swarm.settings import load
from swarm.store.audit_key import FILE as KEY_FILE
from swarm.store.audit_key import AuditKey
from swarm.store.tables import meta, outbox
from tests.acceptance.at_work import AtWork, at_work, provider_of, running, settings_of
from tests.servers.postgres import Server, missing

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an order delivered, one that waits for a signature, and one that is queued."""
    home = tmp_path_factory.mktemp("full") / "home"

    async def fill() -> None:
        async with at_work(home, provider_of(), budget__sign_above="0") as company:
            done = await company.work("Write a page about bread.", is_auto_signed=True)
            waiting = await company.work("Write a page about cake.")
        assert (done.status, waiting.status) == (OrderStatus.DELIVERED, OrderStatus.WAITING)
        app = App(load(settings_of(home, NOWHERE)))
        await AtWork(app, company.provider, 7).place("Write a page about rolls.")
        app.close()

    asyncio.run(fill())
    return home


def moved(home: Path, url: str) -> moving.Moved:
    """Move as `swarm db move` does."""
    source = App(load(settings_of(home, NOWHERE)))
    target = App(load(settings_of(home, NOWHERE, database_url=url)))
    try:
        target.upgrade()
        return moving.move(
            source.store,
            target.store,
            target.engine,
            keys=[AuditKey.load(home / KEY_FILE).public_key],
            steps=moving.Steps(tell=lambda *_: None),
        )
    finally:
        source.close()
        target.close()


def rows_of(home: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(home / "swarm.db")) as connection:
        names = [table.name for table in moving.moved_tables()]
        return {n: connection.execute(f"SELECT * FROM {n}").fetchall() for n in names}


async def test_what_waits_and_what_is_queued_is_finished_after_the_move(
    full: Path, server: Server, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(full, tmp_path / "home"))
    before = rows_of(home)
    url = server.create("finished")
    report = moved(home, url)
    assert report.enqueued == 1
    assert report.rows == {name: len(rows) for name, rows in before.items()}
    assert report.audit_rows == len(before["audit"]) > 0
    assert rows_of(home) == before
    async with at_work(home, provider_of(), database_url=url, budget__sign_above="0") as company:
        ids = {o.text: o.id for o in company.app.documents.orders(limit=9)}
        queued = await company.halt(ids["Write a page about rolls."])
        assert queued.status is OrderStatus.WAITING
        for text in ("Write a page about cake.", "Write a page about rolls."):
            company.app.office.approve(ids[text], by="Ada")
            assert (await company.halt(ids[text])).status is OrderStatus.DELIVERED
        done = company.app.documents.order(ids["Write a page about bread."])
        assert done.status is OrderStatus.DELIVERED
        # A row that is numbered by the database follows those that came along.
        assert len({row["id"] for row in company.ledger()}) == len(company.ledger())


def test_a_target_with_rows_is_refused_and_left_alone(full: Path, server: Server) -> None:
    url = server.create("taken")
    app = App(load(settings_of(full, NOWHERE, database_url=url)))
    app.upgrade()
    app.store.write(lambda c: c.execute(meta.insert().values(key="mine", value="v")))
    with pytest.raises(ConfigError, match=r"not empty \(meta has rows\)"):
        moved(full, url)
    assert app.store.read(lambda c: c.execute(sa.select(meta.c.key)).scalars().all()) == ["mine"]
    app.close()


def test_a_move_that_is_cut_off_leaves_an_empty_target_and_can_be_made_again(
    full: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.create("cut")
    told: list[str] = []

    def cut(table: str, count: int) -> None:
        told.append(table)
        if table == "ledger":
            raise KeyboardInterrupt

    source = App(load(settings_of(full, NOWHERE)))
    target = App(load(settings_of(full, NOWHERE, database_url=url)))
    target.upgrade()
    with pytest.raises(KeyboardInterrupt):
        moving.move(
            source.store, target.store, target.engine, keys=None, steps=moving.Steps(tell=cut)
        )
    source.close()
    target.close()
    assert told[-1] == "ledger"
    assert moved(full, url).rows["ledger"] > 0


def test_a_chain_that_was_meddled_with_is_not_moved(
    full: Path, server: Server, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(full, tmp_path / "home"))
    with closing(sqlite3.connect(home / "swarm.db")) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE audit SET body = '{}' WHERE seq = 2")
        connection.commit()
    url = server.create("meddled")
    with pytest.raises(ConfigError, match="broken at row 2"):
        moved(home, url)
    app = App(load(settings_of(home, NOWHERE, database_url=url)))
    assert app.store.read(lambda c: c.execute(sa.select(outbox.c.id)).all()) == []
    app.close()


async def test_the_old_file_is_not_worked_once_its_company_is_elsewhere(
    full: Path, server: Server, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(full, tmp_path / "home"))
    (home / "moved.json").write_text(json.dumps({"to": "acme at db", "at": "2026-11-22T10:00"}))
    app = App(load(settings_of(home, NOWHERE)))
    try:
        with pytest.raises(ConfigError, match="moved to acme at db on 2026-11-22"):
            async with running(app):
                pass
    finally:
        app.close()
