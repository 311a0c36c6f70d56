"""What memory in a database does besides the contract: it erases, indexes, embeds, migrates."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection

from swarm.core.errors import Refused
from swarm.core.ids import RandomIds
from swarm.core.origin import Origin
from swarm.memory.base import Detail, MemoryKind, Scope, Viewer
from swarm.memory.records import digest
from swarm.memory.sql import SqlMemory
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from tests.memory.clock import HandClock
from tests.store import empty

SECRET = "zebrafish"
"""A word whose stem is itself, so that it can be searched for in files."""
OWNER = Viewer("owner", is_owner=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = empty.store(tmp_path)
    yield store
    store.close()


def opened(store: Store, **options: Any) -> SqlMemory:
    return SqlMemory(store=store, clock=HandClock(), ids=RandomIds(), **options)


def remember(memory: SqlMemory, text: str, **options: Any) -> str:
    values = {"kind": MemoryKind.FACT, "origin": Origin.FOUNDER, **options}
    return memory.remember(text, **values).id


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("swarm.db*"))


def test_forgotten_text_is_in_no_file_of_the_database(store: Store, tmp_path: Path) -> None:
    memory = opened(store)
    for number in range(300):
        remember(memory, f"number {number} of many words that fill pages of the index")
    gone = remember(memory, f"the {SECRET} recipe", subject=f"{SECRET} subject")
    newer = memory.revise(gone, f"the {SECRET} recipe again", by="ada")
    for number in range(300):
        remember(memory, f"later {number} words that fill further pages of the index")
    assert SECRET.encode() in bytes_of(tmp_path)
    memory.forget(newer.id)
    assert SECRET.encode() not in bytes_of(tmp_path)
    assert len(memory.recall("index pages", limit=50)) == 50


def test_a_tombstone_is_told_inside_the_transaction_and_can_stop_it(store: Store) -> None:
    told: list[tuple[str, str, str]] = []

    def tombstone(connection: Connection, memory_id: str, mark: str, by: str) -> None:
        assert connection.in_transaction()
        told.append((memory_id, mark, by))
        if by == "nobody":
            raise RuntimeError("the chain is closed")

    memory = opened(store, tombstone=tombstone)
    gone = memory.get(remember(memory, "the recipe"))
    with pytest.raises(RuntimeError):
        memory.forget(gone.id, by="nobody")
    assert memory.get(gone.id) == gone
    memory.forget(gone.id, by="ada")
    assert told[-1] == (gone.id, digest(gone), "ada")


def test_a_memory_of_a_transaction_that_fails_is_neither_stored_nor_found(store: Store) -> None:
    memory = opened(store)

    def work(connection: Connection) -> None:
        remember(memory, "the bakery opens", within=connection)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write(work)
    assert memory.list() == memory.recall("bakery") == []


def test_the_index_survives_a_vacuum_that_renumbers_rows(store: Store, tmp_path: Path) -> None:
    memory = opened(store)
    ids = [remember(memory, f"bakery {name}") for name in ("one", "two", "three", "four")]
    memory.forget(ids[0])
    memory.forget(ids[1])
    with closing(sqlite3.connect(tmp_path / "swarm.db")) as database:
        database.execute("VACUUM")
        database.execute(
            "INSERT INTO memory_index(memory_index, rank) VALUES ('integrity-check', 1)"
        )
    assert {item.id for item in memory.recall("bakery")} == set(ids[2:])
    assert [item.text for item in memory.recall("three")] == ["bakery three"]


def test_the_index_holds_what_counts_and_nothing_else(store: Store, tmp_path: Path) -> None:
    memory = opened(store)
    old = remember(memory, "opens at six", subject="hours")
    memory.revise(old, "opens at seven", by="ada")
    foreign = remember(memory, "closes never", origin=Origin.WEB)
    memory.confirm(foreign, by="ada")
    with closing(sqlite3.connect(tmp_path / "swarm.db")) as database:
        for word, count in (("six", 0), ("seven", 1), ("never", 1)):
            rows = database.execute("SELECT 1 FROM memory_index WHERE memory_index MATCH ?", [word])
            assert len(rows.fetchall()) == count


def test_memories_of_an_older_schema_are_found_and_strangers_words_are_quarantined(
    tmp_path: Path,
) -> None:
    store = Store(sqlite_url(tmp_path / "swarm.db"))
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for memory_id, origin in (("m1", "team"), ("m2", "customer")):
            connection.exec_driver_sql(
                "INSERT INTO memories (id, kind, text, words, origin, observed_at) VALUES "
                "(?, 'fact', 'Les boulangeries ouvrent.', ' boulangeries ouvrent ', ?, "
                "'2026-01-02T03:04:05.000000Z')",
                (memory_id, origin),
            )
    schema.upgrade(store)
    found = opened(store).recall("la boulangerie")
    assert [(item.id, item.is_quarantined) for item in found] == [("m1", False), ("m2", True)]
    assert found[0].scope is Scope.COMPANY
    store.close()


def test_a_common_word_does_not_hide_an_old_memory_that_answers_better(store: Store) -> None:
    memory = opened(store)
    answer = remember(memory, "delivery in Pantin costs nothing")
    for number in range(200):
        remember(memory, f"delivery number {number} arrived in time")
        remember(memory, f"Pantin walk number {number}")
    assert memory.recall("delivery in Pantin", limit=1)[0].id == answer


class Senses:
    """An embedder of two senses: what is about drinks, and all else."""

    model = "senses-1"

    def __init__(self) -> None:
        self.is_paid = True
        self.is_down = False
        self.heard: list[str] = []

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if self.is_down:
            raise Refused("no vectors today", kind="auth")
        self.heard += texts
        drinks = ("tea", "coffee", "beverage")
        return [[2.0, 0.1] if any(d in t for d in drinks) else [0.1, 2.0] for t in texts]


def test_with_an_embedder_a_memory_is_found_by_its_sense(store: Store) -> None:
    senses = Senses()
    memory = opened(store, embedder=senses)
    tea = remember(memory, "guests get tea")
    remember(memory, "the door is blue")
    foreign = remember(memory, "coffee", detail=Detail(Scope.CUSTOMER, "c1"))
    senses.is_paid = False
    assert memory.recall("hot beverage") == []
    senses.is_paid = True
    assert [item.id for item in memory.recall("hot beverage")] == [tea]
    served = memory.recall("hot beverage", viewer=Viewer("support", customer="c1"))
    assert {item.id for item in served} == {tea, foreign}
    assert memory.embed_missing() == 0
    senses.is_down = True
    assert [item.id for item in memory.recall("tea")] == [tea]


def test_a_recall_sends_only_what_its_viewer_may_see_to_the_embedder(store: Store) -> None:
    senses = Senses()
    memory = opened(store, embedder=senses)
    remember(memory, "guests get tea")
    remember(memory, "coffee", detail=Detail(Scope.CUSTOMER, "c1"))
    memory.recall("hot beverage", viewer=Viewer("support", customer="c2"))
    assert senses.heard == ["guests get tea", "hot beverage"]
    assert memory.embed_missing() == 1


def test_forgetting_takes_the_vector_too(store: Store) -> None:
    memory = opened(store, embedder=Senses())
    gone = remember(memory, "guests get tea")
    memory.embed_missing()
    memory.forget(gone)
    rows = store.read(lambda c: c.exec_driver_sql("SELECT * FROM memory_vectors").all())
    assert rows == []


def test_a_digest_tells_two_memories_of_one_text_apart(store: Store) -> None:
    memory = opened(store)
    one, two = (memory.get(remember(memory, "06 12 34 56 78")) for _ in range(2))
    assert digest(one) != digest(two)
    assert len(digest(one)) == 64
