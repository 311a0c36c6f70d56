"""What every memory keeps to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.core.clock import SystemClock
from swarm.core.errors import NotFound
from swarm.core.ids import RandomIds
from swarm.core.origin import Origin
from swarm.memory.base import Memory, MemoryKind
from swarm.memory.fake import FakeMemory
from swarm.memory.sql import SqlMemory
from swarm.store import schema
from swarm.store.database import Store, sqlite_url


@pytest.fixture(params=["sql", "fake"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    """Return each memory, empty."""
    if request.param == "fake":
        yield FakeMemory()
        return
    store = Store(sqlite_url(tmp_path / "swarm.db"))
    schema.upgrade(store)
    yield SqlMemory(store=store, clock=SystemClock(), ids=RandomIds())
    store.close()


def remember(memory: Memory, text: str, key: str | None = None) -> str:
    """Remember a fact and return its id."""
    item = memory.remember(text, kind=MemoryKind.FACT, origin=Origin.FOUNDER, key=key)
    return item.id


def test_what_shares_most_words_with_the_question_comes_first(memory: Memory) -> None:
    remember(memory, "the bakery opens monday")
    nearest = remember(memory, "the bakery sells bread and croissants")
    remember(memory, "servers moved to another host")
    found = memory.recall("which bread does the bakery sell")
    assert found[0].id == nearest
    assert all("bakery" in item.text for item in found)


def test_a_question_without_words_recalls_nothing(memory: Memory) -> None:
    remember(memory, "the bakery opens monday")
    assert memory.recall("?! a 1") == []


def test_the_same_key_is_remembered_once(memory: Memory) -> None:
    first = remember(memory, "one text", key="k")
    assert remember(memory, "another text", key="k") == first
    assert [item.text for item in memory.list()] == ["one text"]


def test_the_newest_memory_is_listed_first_with_its_source(memory: Memory) -> None:
    remember(memory, "older memory")
    remember(memory, "newer memory")
    assert [item.text for item in memory.list(limit=1)] == ["newer memory"]
    assert memory.list()[0].origin is Origin.FOUNDER


def test_what_is_forgotten_is_gone_and_cannot_be_forgotten_again(memory: Memory) -> None:
    gone = remember(memory, "the secret recipe")
    memory.forget(gone)
    assert memory.list() == []
    assert memory.recall("secret recipe") == []
    with pytest.raises(NotFound):
        memory.forget(gone)
