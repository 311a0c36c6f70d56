"""Go over the books of a home after all is done: nothing lost, mixed, or counted twice."""

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from swarm.cli.checks import Level, checks_of_books
from tests.chaos.script import KEY, KeyedCompany
from tests.chaos.site import Site

CALLS = (
    ("frame/0", 1),
    ("plan/0.0", 1),
    *((f"t1/0.0/{node}", seqs) for node, seqs in (("w0", 2), ("r0", 1))),
    *((f"t2/0.0/{node}", seqs) for node, seqs in (("w0", 2), ("r0", 1), ("w1", 2), ("r1", 1))),
    *((f"t3/0.0/{node}", seqs) for node, seqs in (("w0", 2), ("r0", 1))),
    ("deliver/0.0", 1),
)
"""The model calls of one order, by node."""


class Books:
    """The database of a home, read without the code that wrote it."""

    def __init__(self, site: Site) -> None:
        self._path = site.home / "swarm.db"
        self._shared = None if site.app.store.is_sqlite else site.app.store

    def rows(self, query: str, arguments: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of a query, whose parameters are question marks."""
        if self._shared is not None:
            query, values = query.replace("?", "%s"), tuple(arguments)
            return self._shared.read(
                lambda c: [dict(row) for row in c.exec_driver_sql(query, values).mappings()]
            )
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, arguments)]


def check_all(site: Site, script: KeyedCompany) -> None:
    """Assert all that must hold once every order is delivered."""
    assert site.faults() == ""
    check_rows(site, script)


def check_rows(site: Site, script: KeyedCompany) -> None:
    """Assert it of the books alone, for a run whose standard error tells of a broken disk."""
    books = Books(site)
    assert script.mixed == []
    check_orders(site, books)
    check_calls(site, books, provider_calls=script.count)
    check_budgets(books)
    check_messages(site, books)
    check_files(site, books)
    check_engine(books)
    found = [finding for check in checks_of_books().values() for finding in check(site.app)]
    assert [finding for finding in found if finding.level is Level.PROBLEM] == []
    if site.app.store.is_sqlite:
        assert books.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        assert books.rows("PRAGMA foreign_key_check") == []


def check_orders(site: Site, books: Books) -> None:
    """Each order was delivered, and all it came to is its own."""
    rows = books.rows("SELECT id, status, owner, state FROM orders")
    assert {row["id"]: row["status"] for row in rows} == dict.fromkeys(site.keys, "delivered")
    for row in rows:
        assert row["owner"] is None, row["id"]
        assert _keys(json.dumps(_own(json.loads(row["state"])))) == {site.keys[row["id"]]}
    for task in books.rows("SELECT order_id, task_id, state FROM tasks"):
        state = json.loads(task["state"])
        assert state["status"] == "accepted", task
        assert state["attempts"] == (2 if task["task_id"] == "t2" else 1), task
        whole = f"{site.keys[task['order_id']]}/{task['task_id']}"
        assert whole in state["summary"], task
        assert _keys(task["state"]) == {site.keys[task["order_id"]]}
    baselines = books.rows("SELECT order_id, frozen_at FROM baselines")
    assert Counter(row["order_id"] for row in baselines) == Counter(list(site.keys))
    first_work = (
        "SELECT order_id, min(started_at) AS at FROM ledger WHERE task_id IS NOT NULL GROUP BY 1"
    )
    began = {row["order_id"]: row["at"] for row in books.rows(first_work)}
    assert all(row["frozen_at"] <= began[row["order_id"]] for row in baselines)


def check_calls(site: Site, books: Books, *, provider_calls: int) -> None:
    """Each call has one answer in use, with its own key, and no call is off the books."""
    rows = books.rows("SELECT * FROM ledger")
    used = Counter(
        (row["order_id"], row["node"], row["seq"]) for row in rows if row["state"] == "used"
    )
    wanted = Counter(
        (order_id, node, seq)
        for order_id in site.keys
        for node, seqs in CALLS
        for seq in range(seqs)
    )
    assert used == wanted
    assert provider_calls <= len(rows)
    answered = {
        (row["order_id"], row["node"], row["seq"]): row["ended_at"]
        for row in rows
        if row["state"] == "used"
    }
    repeated = [
        row
        for row in rows
        if row["started_at"] > answered[row["order_id"], row["node"], row["seq"]]
    ]
    assert repeated == []
    for row in rows:
        if row["state"] in ("used", "superseded"):
            key = site.keys[row["order_id"]]
            assert _keys(row["answer"]) == {key}, row
            task = re.match(r"t\d+", row["node"])
            assert task is None or f"{key}/{task[0]}" in row["answer"], row
            assert row["cost_pico"] > 0, row
        else:
            assert row["state"] in ("intent", "failed"), row
            assert row["cost_pico"] == 0, row


def check_budgets(books: Books) -> None:
    """What each budget says was spent is the sum of its lines; nothing is held any more."""
    spent = books.rows("SELECT order_id, sum(cost_pico) AS spent FROM ledger GROUP BY 1")
    by_scope = {f"order:{row['order_id']}": row["spent"] for row in spent}
    days = books.rows(
        "SELECT substr(started_at, 1, 10) AS day, sum(cost_pico) AS spent FROM ledger GROUP BY 1"
    )
    by_scope |= {f"day:{row['day']}": row["spent"] for row in days}
    months = books.rows(
        "SELECT substr(started_at, 1, 7) AS month, sum(cost_pico) AS spent FROM ledger GROUP BY 1"
    )
    by_scope |= {f"month:{row['month']}": row["spent"] for row in months}
    by_scope["company"] = sum(row["spent"] for row in days)
    rows = books.rows("SELECT * FROM budgets")
    assert {row["scope"]: row["spent_pico"] for row in rows} == by_scope
    assert [row["scope"] for row in rows if row["reserved_pico"] != 0] == []
    limited = [row for row in rows if row["limit_pico"] is not None]
    assert [row["scope"] for row in limited if row["spent_pico"] > row["limit_pico"]] == []
    assert books.rows("SELECT id FROM ledger WHERE reserved_pico != 0") == []


def check_messages(site: Site, books: Books) -> None:
    """Each order was answered once; only a message whose fate is unknown may be missing."""
    rows = books.rows("SELECT order_id, state FROM outbox")
    assert Counter(row["order_id"] for row in rows) == Counter(list(site.keys))
    lines = [json.loads(line) for line in site.sent.read_text().splitlines()]
    sent = Counter(line["order_id"] for line in lines)
    for line in lines:
        assert _keys(line["text"]) == {site.keys[line["order_id"]]}
    for row in rows:
        assert row["state"] in ("sent", "unknown"), row
        least = 1 if row["state"] == "sent" else 0
        assert least <= sent[row["order_id"]] <= 1, row


def check_files(site: Site, books: Books) -> None:
    """What is on disk is what was reviewed and booked."""
    rows = books.rows("SELECT * FROM artifacts")
    assert Counter(row["order_id"] for row in rows) == Counter(list(site.keys) * 3)
    for row in rows:
        data = (site.home / "workspace" / row["order_id"] / row["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"], row
        assert len(data) == row["bytes"], row
        assert f"{site.keys[row['order_id']]}/{row['task_id']}" in data.decode(), row


def check_engine(books: Books) -> None:
    """The engine has nothing left to do, and nothing of it failed."""
    rows = books.rows("SELECT workflow_uuid, status FROM workflow_status WHERE status != 'SUCCESS'")
    assert rows == []


def _own(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was remembered of other orders."""
    return {name: value for name, value in state.items() if name != "memories"}


def _keys(text: str) -> set[str]:
    return set(KEY.findall(text))
