"""What was known of people's actions before there was a log is in it after the upgrade."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DatabaseError

from swarm.ledger.attention import founder_time
from swarm.store import migrations, schema
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import founder_actions
from tests.servers import postgres

BEFORE = "0006"


def upgrade(store: Store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@pytest.fixture(params=["sqlite", "postgres"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A company's database of the version before."""
    if request.param == "sqlite":
        store = Store(sqlite_url(tmp_path / "swarm.db"))
        upgrade(store, BEFORE)
        yield store
        store.close()
        return
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as url:
        store = Store(url)
        upgrade(store, BEFORE)
        yield store
        store.close()


def moment(minute: int) -> str:
    return f"2026-03-02T09:{minute:02d}:00.000000Z"


def insert(store: Store, table: str, **values: Any) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    text = sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})")  # the test's own words
    store.write(lambda c: c.execute(text, values))


def order(store: Store, **more: Any) -> None:
    values: dict[str, Any] = {
        "id": "o1", "created_at": moment(0), "channel": "telegram", "account": "a",
        "update_id": "u", "chat_id": "c", "sender_id": "7", "status": "accepted", "segment": 3,
        "is_auto_signed": False, "state": "{}", "origin": "founder", "delivered_at": moment(40),
        "accepted_at": moment(43), "accepted_by": "ada",
    }  # fmt: skip
    insert(store, "orders", **(values | more))


def ask(store: Store, name: str, kind: str, answer: str | None, **more: Any) -> None:
    values: dict[str, Any] = {
        "id": name, "order_id": "o1", "segment": 0, "node": f"n/{name}", "seq": 0, "kind": kind,
        "asked_by": "ceo", "text": "?", "options": "[]", "state": "answered",
        "created_at": moment(1), "shown_at": moment(2), "answered_at": moment(4),
        "answered_by": "ada", "answer": answer,
    }  # fmt: skip
    insert(store, "asks", **(values | more))


def test_an_upgrade_takes_over_what_people_did_before_and_closes_the_log(old: Store) -> None:
    order(old)
    ask(old, "q1", "question", "Yes.")
    ask(old, "q2", "question", "No.")
    ask(old, "q3", "choice", "Red", options=json.dumps(["Red", "Blue", "Green"]),
        answered_at=moment(6))  # fmt: skip
    ask(old, "q4", "approval", "rejected: dearer", shown_at=None, answered_at=moment(8))
    ask(old, "q5", "question", None, shown_at=moment(30), answered_at=None, state="open")
    upgrade(old, "head")
    schema.check(old)
    rows = old.read(
        lambda c: c.execute(sa.select(founder_actions).order_by(founder_actions.c.id)).all()
    )
    own = [(r.kind, r.at[14:16], json.loads(r.asks), r.refused) for r in rows if r.kind != "shown"]
    assert own == [
        ("answered", "04", ["q1", "q2"], 0),
        ("chosen", "06", ["q3"], 2),
        ("rejected", "08", ["q4"], 1),
        ("accepted", "43", [], 0),
    ]
    assert sum(r.kind == "shown" for r in rows) == 4
    spent = old.read(lambda c: founder_time(c, "o1"))
    # From shown at :02 to :04, then :06, then :08, and from the delivery at :40 to :43.
    assert spent.seconds == (2 + 2 + 2 + 3) * 60
    assert (spent.touches, spent.decisions, spent.options_shown) == (5, 5, 3)
    for statement in ("UPDATE founder_actions SET who = 'x'", "DELETE FROM founder_actions"):
        with pytest.raises(DatabaseError, match="append-only"), old.engine.begin() as connection:
            connection.exec_driver_sql(statement)
