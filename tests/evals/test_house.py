"""Many replays in one house: each as if it were the only one."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.app import App
from swarm.core.errors import InvalidInput
from swarm.core.order import OrderStatus
from swarm.evals.cassette import Cassette, read
from swarm.evals.house import DURABLE, PLAIN, House
from swarm.evals.performing import prepare_home
from swarm.evals.replaying import Replay, no_sockets, replay
from swarm.evals.scenario import find, load
from swarm.store.tables import (
    approvals,
    asks,
    buttons,
    effects,
    founder_actions,
    ledger,
    memories,
    orders,
    outbox,
    tasks,
)

PACKS = Path(__file__).parents[1] / "scenarios"
ALL = [path for path in find([PACKS]) if (path.with_suffix(".jsonl")).is_file()]
CHAT = [
    PACKS / "safety" / str(o.cassette)
    for o in load(PACKS / "safety" / "a-customers-chat.yaml").orders
]
PHONE = PACKS.parent / "cassettes" / "a-day-on-the-phone.jsonl"
EVERY = [*ALL, *CHAT, PHONE]
SOME = (
    "small-app-with-tests", "question-first", "storm-of-429", "a-model-that-obeys",
    "a-loaf-with-glass", "a-day-on-the-phone",
)  # fmt: skip
"""Commands and files; a person's words; faults; signatures; a customer; a chat."""
TABLES = {
    "orders": orders,
    "tasks": tasks,
    "ledger": ledger,
    "effects": effects,
    "asks": asks,
    "outbox": outbox,
    "memories": memories,
    "approvals": approvals,
    "buttons": buttons,
    "founder_actions": founder_actions,
}
MEASURED = {"owner", "latency_ms", "started_at", "cpu_us"}
"""Columns that tell of the machine or of the process, not of the order."""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Return a house that is gone afterwards."""
    async with House(tmp_path / "house") as house:
        yield house


class _Book:
    """What an order left in its company's database."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, app: App) -> None:
        """Copy all rows that tell of the order.

        Two things in them are other ones in any two replays, in a house or not: a button's token is
        drawn from the machine's own chance, as whoever knows it may press; and files that are sent
        have the path of the home. Each token is replaced by what it stands for, each path by the
        one within the home.
        """
        self.rows = app.store.read(_rows)
        actions = {row["token"]: row["action"] for row in self.rows["buttons"]}
        for row in self.rows["buttons"]:
            row["token"] = row["action"]
        for row in self.rows["outbox"]:
            for token, action in actions.items():
                row["buttons"] = row["buttons"].replace(json.dumps(token), action)
            row["files"] = row["files"].replace(f"{app.home.absolute()}/", "")
        self.rows = {name: sorted(rows, key=repr) for name, rows in self.rows.items()}


def _rows(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name, table in TABLES.items():
        rows = connection.execute(sa.select(table)).mappings()
        found[name] = [{k: v for k, v in row.items() if _is_of_order(k, v)} for row in rows]
    return found


def _is_of_order(column: str, value: object) -> bool:
    # Of tasks side by side, either may be the first to take the next number.
    is_counted = column == "id" and isinstance(value, int)
    return column not in MEASURED and not is_counted


async def _play(path: Path, home: Path, house: House | None) -> tuple[Replay, _Book]:
    cassette = read(path.with_suffix(".jsonl"))
    if path.suffix == ".yaml":
        prepare_home(load(path), home, [cassette.manifest.order["id"]])
    book = _Book()
    with no_sockets():
        return await replay(cassette, home, house=house, look=book), book


async def _assert_same_both_ways(path: Path, house: House, folder: Path) -> None:
    inside, book = await _play(path, await house.fresh_home(), house)
    await house.close()  # A process has one engine.
    alone, own = await _play(path, folder / path.stem, None)
    documents = (inside.as_document(), alone.as_document())
    one, other = (json.dumps(found, ensure_ascii=False).encode() for found in documents)
    assert one == other
    assert book.rows == own.rows


@pytest.mark.parametrize("name", SOME)
async def test_an_order_comes_to_the_same_in_a_house_as_in_a_home_of_its_own(
    name: str, house: House, tmp_path: Path
) -> None:
    path = next(path for path in EVERY if path.stem == name)
    await _assert_same_both_ways(path, house, tmp_path)


@pytest.mark.chaos
@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
async def test_every_shipped_order_comes_to_the_same_in_a_house(
    path: Path, house: House, tmp_path: Path
) -> None:
    await _assert_same_both_ways(path, house, tmp_path)


async def test_all_shipped_cassettes_come_out_as_recorded_in_one_house_with_either_engine(
    tmp_path: Path,
) -> None:
    told: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for engine in (PLAIN, DURABLE):
        async with House(tmp_path, engine=engine) as house:
            for path in ALL:
                played, book = await _play(path, await house.fresh_home(), house)
                assert played.is_same, (engine, path.stem, played.misses, played.leftover)
                told.setdefault(path.stem, []).append((played.as_document(), book.rows))
    for name, (plain, durable) in told.items():
        assert plain == durable, name


def test_a_house_with_an_unknown_engine_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="`dbos` production's"):
        House(tmp_path, engine="steam")


def _dump(house: House) -> list[str]:
    """Return all that the database holds, as SQL."""
    with house.store.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        # What DBOS keeps of itself tells the time of its launch alone.
        return [line for line in driver.iterdump() if "application_versions" not in line]


async def test_nothing_of_one_order_is_left_for_the_next_one(house: House) -> None:
    await house.fresh_home()
    before = _dump(house)
    path = next(path for path in ALL if path.stem == "small-app-with-tests")
    home = await house.fresh_home()
    played, book = await _play(path, home, house)
    assert played.status == OrderStatus.DELIVERED.value
    assert book.rows["memories"], "what is remembered would tell the next one"

    fresh = await house.fresh_home()

    assert _dump(house) == before
    assert list(fresh.iterdir()) == []
    assert not home.exists()


async def test_one_order_twice_in_a_house_is_the_same_twice(house: House) -> None:
    path = next(path for path in ALL if path.stem == "rework-by-founder")
    first, book = await _play(path, await house.fresh_home(), house)
    second, again = await _play(path, await house.fresh_home(), house)
    assert first.as_document() == second.as_document()
    assert book.rows == again.rows


async def test_work_that_was_cut_off_is_not_taken_up_in_the_next_order(house: House) -> None:
    path = next(path for path in ALL if path.stem == "question-first")
    cassette: Cassette = read(path.with_suffix(".jsonl"))
    reached = asyncio.Event()

    async def hold(call: object, number: int) -> bool:
        reached.set()
        await asyncio.Event().wait()
        return True

    home = await house.fresh_home()
    cut = asyncio.create_task(replay(cassette, home, house=house, watch=hold))
    await reached.wait()
    engine = house.engine
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut

    played, _ = await _play(path, await house.fresh_home(), house)

    assert house.engine is not engine, "what it still held could begin in the next order's place"
    assert played.is_same, (played.misses, played.leftover)


async def test_a_changed_cassette_is_refused_in_a_house_and_the_next_one_is_not(
    house: House,
) -> None:
    path = next(path for path in ALL if path.stem == "question-first")
    cassette = read(path.with_suffix(".jsonl"))
    (entry,) = cassette.lane("model")[1:2]
    entry["request"]["messages"][0]["content"] += " and more"
    with no_sockets():
        refused = await replay(cassette, await house.fresh_home(), house=house)
    assert [miss.path for miss in refused.misses] == ["messages[0].content"]
    played, _ = await _play(path, await house.fresh_home(), house)
    assert played.is_same
