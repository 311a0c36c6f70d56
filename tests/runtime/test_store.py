"""The database: its schema, its commits, and what happens where it cannot be written."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.core.clock import iso
from swarm.core.errors import ConfigError, SwarmError
from swarm.core.message import InboundMessage
from swarm.settings import load
from swarm.store import migrations, schema
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import meta, metadata
from tests.store import empty

VERSIONS = Path(migrations.__path__[0]) / "versions"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = empty.store(tmp_path)
    yield store
    store.close()


def put(key: str, value: str = "v") -> Any:
    return lambda connection: connection.execute(meta.insert().values(key=key, value=value))


def keys(store: Store) -> list[str]:
    return store.read(lambda c: sorted(c.execute(sa.select(meta.c.key)).scalars()))


def test_the_migrated_schema_is_the_models(store: Store) -> None:
    ours = set(metadata.tables)

    def is_ours(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        table = name if kind == "table" else getattr(thing, "table", None)
        return str(getattr(table, "name", table)) in ours

    with store.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_ours}
        )
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_the_one_this_version_knows() -> None:
    revisions = sorted(path.name[1:5] for path in VERSIONS.glob("r[0-9]*.py"))
    assert revisions[-1] == schema.HEAD
    assert revisions == [f"{n:04d}" for n in range(1, len(revisions) + 1)]


def test_upgrading_twice_changes_nothing(store: Store) -> None:
    store.write(put("a"))
    schema.upgrade(store)
    assert keys(store) == ["a"]
    schema.check(store)


def test_a_database_of_a_newer_version_is_refused_and_left_alone(store: Store) -> None:
    store.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer Swarm"):
        schema.check(store)
    with pytest.raises(ConfigError, match="newer Swarm"):
        schema.upgrade(store)
    assert schema.revision(store) == "9999"


def test_an_empty_database_is_no_company(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "swarm.db"))
    with pytest.raises(ConfigError, match="swarm init"):
        schema.check(store)
    store.close()


def test_every_connection_writes_ahead_and_waits_for_the_disk(store: Store) -> None:
    def pragmas(connection: Connection) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert store.read(pragmas) == ["wal", 2, 1]
    assert store.write(pragmas) == ["wal", 2, 1]


async def test_a_group_of_writes_keeps_all_but_the_one_that_fails(store: Store) -> None:
    def broken(connection: Connection) -> None:
        put("half")(connection)
        raise ValueError("no")

    units = [put("a"), broken, put("b"), put("a"), put("c")]
    results = await asyncio.gather(*(store.awrite(u) for u in units), return_exceptions=True)
    assert [type(r).__name__ for r in results] == [
        "CursorResult",
        "ValueError",
        "CursorResult",
        "IntegrityError",
        "CursorResult",
    ]
    assert keys(store) == ["a", "b", "c"]


async def test_hundreds_of_writes_at_once_are_all_kept(store: Store) -> None:
    await asyncio.gather(*(store.awrite(put(f"{n:03d}")) for n in range(300)))
    assert len(keys(store)) == 300


def test_what_was_queued_is_written_before_the_store_closes(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "swarm.db"))
    schema.upgrade(store)

    async def write_and_leave() -> None:
        jobs = [asyncio.ensure_future(store.awrite(put(str(n)))) for n in range(20)]
        await asyncio.sleep(0)
        store.close()
        await asyncio.gather(*jobs)

    asyncio.run(write_and_leave())
    again = Store(sqlite_url(tmp_path / "swarm.db"))
    assert len(keys(again)) == 20
    again.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of two megabytes; needs the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(store: Store) -> None:
    """Write rows until the disk takes no more, and say so."""
    for size in (100_000, 1_000):
        with pytest.raises(SwarmError, match="disk is full"):
            fill_by(store, size)


def fill_by(store: Store, size: int) -> None:
    for number in range(10_000):
        store.write(put(f"{size} {number}", "x" * size))


def test_a_full_disk_refuses_in_words_and_loses_nothing(tiny_disk: Path) -> None:
    store = Store(sqlite_url(tiny_disk / "swarm.db"))
    schema.upgrade(store)
    store.write(put("kept"))
    fill(store)
    before = keys(store)
    assert "kept" in before
    store.close()
    again = Store(sqlite_url(tiny_disk / "swarm.db"))
    check = again.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar())
    assert check == "ok"
    assert sorted(keys(again)) == sorted(before)
    again.close()


async def test_a_worker_s_write_waits_until_the_disk_has_room(tiny_disk: Path) -> None:
    store = Store(sqlite_url(tiny_disk / "swarm.db"))
    schema.upgrade(store)
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(500_000))
    fill(store)
    with structlog.testing.capture_logs() as logged:
        job = asyncio.ensure_future(store.awrite(put("paid for", "x" * 100_000)))
        while not logged:  # noqa: ASYNC110  # the log sets no event
            await asyncio.sleep(0.01)
        assert not job.done()
        ballast.unlink()
        await job
    assert "disk is full" in logged[0]["reason"]
    assert "paid for" in keys(store)
    store.close()


def test_a_file_that_is_no_database_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "swarm.db").write_bytes(b"not a database" * 100)
    store = Store(sqlite_url(tmp_path / "swarm.db"))
    with pytest.raises(ConfigError, match="damaged"):
        store.read(lambda c: c.exec_driver_sql("SELECT 1 FROM orders").all())
    store.close()


def test_a_home_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    home = tmp_path / "file" / "home"
    with pytest.raises(ConfigError, match=re.escape(str(home))):
        App(load({"SWARM_HOME": str(home)})).initialise()


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a company's home on a disk mounted for reading only."""
    home = tmp_path / "home"
    app = App(load({"SWARM_HOME": str(home)}))
    app.initialise()
    app.close()
    bind = ["mount", "--bind", str(home), str(home)]
    again = ["mount", "-o", "remount,bind,ro", str(home)]
    for command in (bind, again):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


def test_an_order_for_a_home_that_cannot_be_written_is_refused_in_words(
    read_only_disk: Path,
) -> None:
    app = App(load({"SWARM_HOME": str(read_only_disk)}))
    with pytest.raises(SwarmError, match=r"cannot be written|read-only|readonly"):
        app.intake.place(message("u1", datetime.now(UTC)))
    app.close()


def message(update_id: str, at: datetime) -> InboundMessage:
    return InboundMessage(
        channel="terminal", account="t", update_id=update_id, chat_id="c", thread_id=None,
        sender_id="1", text="Write a page.", received_at=at,
    )  # fmt: skip


class HeldClock:
    """A clock that stands where it was put."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0


def test_a_clock_set_back_a_day_counts_on_the_day_it_shows(tmp_path: Path) -> None:
    clock = HeldClock(datetime(2026, 3, 2, 0, 30, tzinfo=UTC))
    app = App(load({"SWARM_HOME": str(tmp_path / "home")}), clock=clock)
    app.initialise()
    one = app.intake.place(message("u1", clock.now()))
    app.office.set_budget("day", Decimal(7))
    clock.at -= timedelta(days=1)
    two = app.intake.place(message("u2", clock.now()))
    app.office.set_budget("day", Decimal(9))
    scopes = {b.scope: b.limit for b in app.office.budgets()}
    assert scopes["day:2026-03-01"] == 9
    assert {d.id for d in app.documents.orders()} == {one, two}
    assert app.documents.order(one).receipt.wall_s == 0
    clock.at += timedelta(days=1)
    assert {b.scope: b.limit for b in app.office.budgets()}["day:2026-03-02"] == 7
    assert iso(clock.at) == "2026-03-02T00:30:00.000000Z"
    app.close()
