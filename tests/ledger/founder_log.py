"""A founder's log for tests: rows as the product writes them, at minutes of one day."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from swarm.core.clock import iso
from swarm.ledger.attention import Action, ActionKind
from swarm.ledger.attention.actions import note
from swarm.store.database import Store
from swarm.store.tables import asks, orders

MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WHO = "console:1000"


def at(minutes: float) -> datetime:
    """Return the moment that many minutes after nine on a Monday."""
    return MONDAY + timedelta(minutes=minutes)


def did(
    kind: ActionKind,
    minutes: float,
    order_id: str | None = "o1",
    *,
    since: float | None = None,
    **more: Any,
) -> Action:
    """Return an own action."""
    start = None if since is None else at(since)
    return Action(kind, at(minutes), order_id=order_id, who=WHO, since=start, **more)


def placed(store: Store, order_id: str, minutes: float, **columns: Any) -> None:
    """Store an order as it stands after it was placed."""
    row = {
        "id": order_id,
        "created_at": iso(at(minutes)),
        "channel": "terminal",
        "account": "test",
        "update_id": order_id,
        "chat_id": "c",
        "thread_id": None,
        "sender_id": "1000",
        "status": "delivered",
        "segment": 0,
        "is_auto_signed": False,
        "state": json.dumps({"text": "x"}),
        "origin": "founder",
        **columns,
    }
    store.write(lambda c: c.execute(orders.insert().values(**row)))


def noted(store: Store, *actions: Action) -> None:
    """Write actions into the log, in the order given."""

    def work(connection: Any) -> None:
        for action in actions:
            note(connection, action)

    store.write(work)


def asked(store: Store, ask_id: str, order_id: str, minutes: float) -> None:
    """Store an ask of an order."""
    row = {
        "id": ask_id,
        "order_id": order_id,
        "segment": 0,
        "task_id": None,
        "node": f"frame/{ask_id}",
        "seq": 0,
        "kind": "question",
        "asked_by": "ceo",
        "text": "Which?",
        "options": "[]",
        "state": "answered",
        "created_at": iso(at(minutes)),
    }
    store.write(lambda c: c.execute(asks.insert().values(**row)))


def ledger_row(**columns: Any) -> Any:
    """Return a row of the ledger as a receipt reads it."""
    row: dict[str, Any] = {
        "task_id": "t1",
        "node": "t1/0.0/w0",
        "state": "used",
        "role": "cto",
        "model": "openai/gpt-4o-mini",
        "input_tokens": 1000,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "audio_tokens": 0,
        "tool_tokens": 0,
        "output_tokens": 100,
        "reasoning_tokens": 0,
        "cost_pico": 0,
        "currency": "USD",
        "cost_status": "paid",
        "started_at": iso(at(1)),
        "ended_at": iso(at(2)),
        "latency_s": 60.0,
    }
    return SimpleNamespace(**(row | columns))
