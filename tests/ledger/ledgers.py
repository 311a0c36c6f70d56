"""Companies with rows of a test's choice: what reports and exports read."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.core.money import to_pico
from swarm.ledger.reports.period import Period
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import ledger, orders

DAY = datetime(2026, 11, 10, 9, tzinfo=UTC)
WEEK = Period(date(2026, 11, 9), date(2026, 11, 15))


@cache
def empty_database() -> bytes:
    """An empty database; to copy one is far faster than to create it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "swarm.db"
        store = Store(sqlite_url(path))
        schema.upgrade(store)
        store.close()
        return path.read_bytes()


@contextmanager
def company(folder: Path) -> Iterator[Store]:
    """An empty company in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "swarm.db").write_bytes(empty_database())
    store = Store(sqlite_url(folder / "swarm.db"))
    try:
        yield store
    finally:
        store.close()


def order(
    connection: Connection,
    id: str,
    *,
    kind: str | None = "writing",
    at: datetime = DAY,
    accepted: bool = True,
    status: str | None = None,
) -> None:
    """Store an order; without a kind, one that was never framed."""
    frame = None if kind is None else {"goal": "g", "success_criteria": [], "kind": kind}
    ended = iso(at + timedelta(minutes=5))
    connection.execute(
        orders.insert().values(
            id=id,
            created_at=iso(at),
            channel="console",
            account="local",
            update_id=id,
            chat_id="terminal",
            sender_id="1000",
            segment=0,
            is_auto_signed=False,
            status=status or ("accepted" if accepted else "delivered"),
            state=json.dumps({"text": "do it", "frame": frame}),
            delivered_at=ended,
            accepted_at=ended if accepted else None,
            accepted_by="ada" if accepted else None,
        )
    )


def call(connection: Connection, order_id: str, seq: int = 0, **changed: Any) -> int:
    """Store one model call of an order: a paid, answered one unless something else is said."""
    cost = changed.pop("cost", Decimal("0.5"))
    at = changed.pop("at", DAY)
    values = {
        "order_id": order_id,
        "task_id": "t1",
        "node": "t1/0.0/w0",
        "seq": seq,
        "attempt": 1,
        "state": "used",
        "role": "cto",
        "model": "openai/gpt-5-mini",
        "answered_model": "gpt-5-mini",
        "digest": "0" * 64,
        "prompt": "{}",
        "answer": "{}",
        "raw_usage": json.dumps({"prompt_tokens": 900}),
        "input_tokens": 100,
        "cache_read_tokens": 700,
        "cache_write_tokens": 60,
        "cache_write_1h_tokens": 40,
        "output_tokens": 50,
        "reasoning_tokens": 20,
        "reserved_pico": 0,
        "cost_pico": to_pico(cost),
        "currency": "USD",
        "cost_status": "paid",
        "price_id": "book:openai/gpt-5-mini@2026-11-22",
        "started_at": iso(at),
        "ended_at": iso(at + timedelta(seconds=3)),
        "latency_s": 2.5,
    }
    result = connection.execute(ledger.insert().values({**values, **changed}))
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


def unanswered(connection: Connection, order_id: str, seq: int, **changed: Any) -> int:
    """Store a call whose answer never came."""
    unknown = dict.fromkeys(
        (
            "answered_model",
            "answer",
            "raw_usage",
            "input_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "cache_write_1h_tokens",
            "output_tokens",
            "reasoning_tokens",
            "ended_at",
            "latency_s",
        )
    )
    nothing = {"state": "intent", "cost": Decimal(0), "cost_status": "unpriced"}
    return call(connection, order_id, seq, **{**unknown, **nothing, **changed})
