"""A company's database, on SQLite and on Postgres."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from tests.servers import postgres


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database; to copy one is far faster than to create it."""
    path = tmp_path_factory.mktemp("template") / "swarm.db"
    store = Store(sqlite_url(path))
    schema.upgrade(store)
    store.close()
    return path


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Iterator[Store]:
    shutil.copy(template, tmp_path)
    store = Store(sqlite_url(tmp_path / template.name))
    yield store
    store.close()


@pytest.fixture(scope="module")
def on_postgres() -> Iterator[Store]:
    """One database for a module's tests: they count on from what they find."""
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as url:
        store = Store(url)
        try:
            schema.upgrade(store)
            yield store
        finally:
            store.close()
