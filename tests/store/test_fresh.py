"""A company that begins with a database made ahead of time."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from swarm.app import App
from swarm.core.message import InboundMessage
from swarm.runtime.intake import Wish
from swarm.settings import load
from swarm.store import fresh, schema

BRIEF = InboundMessage(
    channel="terminal",
    account="test",
    update_id="1",
    chat_id="c",
    thread_id=None,
    sender_id="1000",
    text="Write a poem.",
    received_at=datetime(2026, 11, 22, tzinfo=UTC),
)


def company(home: Path) -> App:
    return App(load({"SWARM_HOME": str(home), "USER": "ada"}))


@pytest.fixture
def ready_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the empty database as a build of the image does."""
    monkeypatch.setattr(fresh.place, "__kwdefaults__", {"ready_made": tmp_path / "none"})
    app = company(tmp_path / "build")
    app.initialise()
    app.close()
    path = tmp_path / "build" / "swarm.db"
    monkeypatch.setattr(fresh.place, "__kwdefaults__", {"ready_made": path})
    return path


def test_a_new_company_takes_orders_into_the_ready_made_tables(
    tmp_path: Path, ready_made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(schema, "upgrade")
    app = company(tmp_path / "home")

    assert app.initialise() is True
    order_id = app.intake.place(BRIEF, Wish())

    assert app.documents.order(order_id).text == "Write a poem."
    assert app.initialise() is False
    app.close()
    assert not list((tmp_path / "home").glob(".swarm.db*"))


def test_a_database_that_is_there_is_never_replaced(tmp_path: Path, ready_made: Path) -> None:
    path = tmp_path / "swarm.db"
    path.write_bytes(b"all there is")

    assert fresh.place(path) is False
    assert path.read_bytes() == b"all there is"
    assert not list(tmp_path.glob(".swarm.db*"))


def test_an_installation_without_one_makes_the_tables_itself(tmp_path: Path) -> None:
    assert fresh.place(tmp_path / "swarm.db", ready_made=tmp_path / "none") is False
    assert not list(tmp_path.iterdir())
