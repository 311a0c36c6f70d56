"""Measure reports over a large ledger: how fast rows are written, and how long a report takes."""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.core.order import Frame, OrderState
from swarm.org.decisions import KINDS
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import asks, ledger, orders

ROOT = Path(__file__).resolve().parents[2]
SWARM = Path(sys.executable).parent / "swarm"
ROWS, BATCH = 1_000_000, 20_000
CALLS_PER_ORDER = 20
DAYS = 28
# One row in so many carries texts as long as a real call's; all of them would fill a disk.
LONG_TEXTS = 10
WORDS = [
    "page",
    "bakery",
    "bread",
    "open",
    "daily",
    "price",
    "list",
    "order",
    "review",
    "plan",
    "work",
    "done",
    "well",
    "text",
]
# Model, price of a prompt token and of an answer token in 1e-12 parts, status, share of calls.
MODELS = (
    ("anthropic/claude-sonnet-4-5", 3_000_000, 15_000_000, "paid", 5),
    ("openai/gpt-5-mini", 250_000, 2_000_000, "paid", 9),
    ("mistral/mistral-large-latest", 2_000_000, 6_000_000, "paid", 3),
    ("ollama/qwen3", 0, 0, "notional", 2),
    ("openrouter/some-new-model", 0, 0, "unpriced", 1),
)
NODES = (
    ("ceo", None, "frame/0"),
    ("ceo", None, "plan/0.0"),
    ("cto", "t1", "t1/0.0/w0"),
    ("marketcom", "t2", "t2/0.0/w0"),
    ("ceo", "t1", "t1/0.0/r0"),
    ("cto", "t1", "t1/0.0/w1"),
    ("ceo", "t1", "t1/0.0/r1"),
    ("ceo", None, "deliver/0.0"),
)


def fill(store: Store, rows: int, *, seed: int = 1, until: datetime | None = None) -> float:
    """Write a ledger with its orders and questions; return rows of the ledger written a second."""
    dice = random.Random(seed)
    start = (until or datetime.now(UTC)) - timedelta(days=DAYS)
    ids = [f"o{number:07d}" for number in range(-(-rows // CALLS_PER_ORDER))]
    begun = [start + timedelta(days=DAYS) * (n / len(ids)) for n in range(len(ids))]
    store.write(lambda c: _write_orders(c, ids, begun, dice))
    lines = islice(_lines(ids, begun, dice), rows)
    seconds = 0.0
    while batch := list(islice(lines, BATCH)):
        at = time.perf_counter()
        store.write(partial(_write_lines, batch=batch))
        seconds += time.perf_counter() - at
    return rows / seconds


def _write_orders(
    connection: Connection, ids: list[str], begun: list[datetime], dice: random.Random
) -> None:
    for first in range(0, len(ids), BATCH):
        part = list(zip(ids[first : first + BATCH], begun[first : first + BATCH], strict=True))
        connection.execute(orders.insert(), [_order(id, at, dice) for id, at in part])
        connection.execute(asks.insert(), [_ask(id, at, dice) for id, at in part])


def _write_lines(connection: Connection, batch: list[dict[str, Any]]) -> None:
    connection.execute(ledger.insert(), batch)


def _order(id: str, at: datetime, dice: random.Random) -> dict[str, Any]:
    kind = dice.choices(KINDS, weights=range(len(KINDS), 0, -1))[0]
    frame = Frame(goal="A page for a bakery", success_criteria=("It opens",), kind=kind)
    status = dice.choices(("accepted", "delivered", "failed"), weights=(8, 1, 1))[0]
    ended = iso(at + timedelta(minutes=9))
    return {
        "id": id,
        "created_at": iso(at),
        "channel": "console",
        "account": "local",
        "update_id": id,
        "chat_id": "terminal",
        "sender_id": "1000",
        "status": status,
        "state": OrderState(text=_text(dice, 4_000), frame=frame).model_dump_json(),
        "delivered_at": None if status == "failed" else ended,
        "accepted_at": ended if status == "accepted" else None,
        "accepted_by": "ada" if status == "accepted" else None,
    }


def _ask(id: str, at: datetime, dice: random.Random) -> dict[str, Any]:
    return {
        "id": f"a{id}",
        "order_id": id,
        "segment": 0,
        "node": "sign/0",
        "seq": 0,
        "kind": "approval",
        "asked_by": "ceo",
        "text": _text(dice, 600),
        "state": "answered",
        "created_at": iso(at),
        "shown_at": iso(at + timedelta(seconds=5)),
        "answered_at": iso(at + timedelta(seconds=5 + dice.randrange(400))),
        "answered_by": "ada",
        "answer": "approve",
    }


def _lines(ids: list[str], begun: list[datetime], dice: random.Random) -> Iterator[dict[str, Any]]:
    weights = [model[4] for model in MODELS]
    texts = [(_text(dice, 4_500), _text(dice, 1_500)) for _ in range(50)]
    number = 0
    for id, at in zip(ids, begun, strict=True):
        # An organisation gives each role its model.
        of_role = {role: dice.choices(MODELS, weights)[0] for role, _, _ in NODES}
        for seq in range(CALLS_PER_ORDER):
            number += 1
            role, task, node = NODES[seq % len(NODES)]
            prompt, answer = dice.choice(texts) if number % LONG_TEXTS == 0 else ("{}", "{}")
            started = at + timedelta(seconds=20 * seq)
            yield _line(id, (role, task, node), seq, of_role[role], started, dice) | {
                "prompt": prompt,
                "answer": answer,
            }


def _line(
    id: str,
    place: tuple[str, str | None, str],
    seq: int,
    model: tuple[str, int, int, str, int],
    at: datetime,
    dice: random.Random,
) -> dict[str, Any]:
    role, task, node = place
    name, in_price, out_price, status, _ = model
    prompt, cached, written = dice.randrange(200, 6_000), dice.randrange(4_000), dice.randrange(900)
    state = "failed" if dice.random() < 0.02 else "used"
    usage = {"prompt_tokens": prompt + cached, "completion_tokens": written}
    is_failed = state == "failed"
    return {
        "order_id": id,
        "task_id": task,
        "node": node,
        "seq": seq,
        "attempt": 1,
        "state": state,
        "role": role,
        "model": name,
        "answered_model": None if is_failed else name,
        "digest": f"{seq:064x}",
        "prompt_base": 0,
        "raw_usage": None if is_failed else json.dumps(usage),
        "input_tokens": None if is_failed else prompt,
        "cache_read_tokens": None if is_failed else cached,
        "cache_write_tokens": None if is_failed else 0,
        "output_tokens": None if is_failed else written,
        "reasoning_tokens": None if is_failed else written // 3,
        "reserved_pico": 0,
        "cost_pico": 0 if is_failed else (prompt + cached // 10) * in_price + written * out_price,
        "currency": "USD",
        "cost_status": "paid" if is_failed else status,
        "price_id": f"book:{name}@2026-11-22",
        "started_at": iso(at),
        "ended_at": iso(at + timedelta(seconds=3)),
        "latency_s": round(1 + 4 * dice.random(), 3),
        "error_kind": "timeout" if is_failed else None,
    }


def _text(dice: random.Random, signs: int) -> str:
    return json.dumps({"text": " ".join(dice.choices(WORDS, k=signs // 6))})


def report_seconds(home: Path, *arguments: str) -> float:
    """Return the median wall time of a whole `swarm report`, in a process of its own."""
    times = []
    for _ in range(5):
        at = time.perf_counter()
        subprocess.run(
            [SWARM, "report", *arguments],
            check=True,
            capture_output=True,
            env={**os.environ, "SWARM_HOME": str(home)},
        )
        times.append(time.perf_counter() - at)
    return round(statistics.median(times[1:]), 3)


def prepared(home: Path, rows: int) -> float:
    """Make a company with a ledger of so many rows; return rows written a second."""
    home.mkdir(parents=True, exist_ok=True)
    store = Store(sqlite_url(home / "swarm.db"))
    try:
        schema.upgrade(store)
        return fill(store, rows)
    finally:
        store.close()


def measure(rows: int = ROWS) -> dict[str, float]:
    """Return rows written a second, and seconds of a week's and of a month's report."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        rate = prepared(home, rows)
        return {
            "ledger_rows_written_per_s": round(rate),
            "report_month_1m_rows_s": report_seconds(home, "--month"),
            "report_month_json_1m_rows_s": report_seconds(home, "--month", "--json"),
        }


def main() -> None:
    """Measure, or with `--home` make a large company to look at."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--home", type=Path)
    arguments = parser.parse_args()
    if arguments.home is None:
        result: Any = measure(arguments.rows)
    else:
        result = {"ledger_rows_written_per_s": round(prepared(arguments.home, arguments.rows))}
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
