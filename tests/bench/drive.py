"""Work a number of orders in this process and print what it cost, as one JSON document."""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.app import App, build
from swarm.core.message import InboundMessage
from swarm.core.order import OrderStatus
from swarm.runtime.intake import Wish
from swarm.settings import load
from swarm.store.tables import ledger, orders

TEXT = "Launch the bakery's new page: the page, the post that announces it, answers for customers."
TEXTS = {
    "ledger": ("prompt", "answer", "raw_usage"),
    "orders": ("state",),
    "tasks": ("state",),
    "effects": ("arguments", "result"),
    "baselines": ("body",),
    "memories": ("text", "words"),
}


def place(app: App) -> str:
    """Place one order as the terminal does."""
    message = InboundMessage(
        channel="terminal",
        account="bench",
        update_id=uuid.uuid4().hex,
        chat_id="bench",
        thread_id=None,
        sender_id="0",
        text=TEXT,
        received_at=app.clock.now(),
    )
    return app.intake.place(message, Wish(is_auto_signed=True))


async def until_done(app: App, count: int) -> None:
    """Wait until `count` orders are delivered."""
    done = sa.select(sa.func.count()).where(orders.c.status == OrderStatus.DELIVERED.value)
    while app.store.read(lambda c: c.execute(done).scalar_one()) < count:
        await asyncio.sleep(0.1)


async def measure(app: App, *, warm: int, count: int, in_flight: int) -> dict[str, Any]:
    """Work `count` orders, at most `in_flight` at a time, after `warm` that are not counted."""
    stop = asyncio.Event()
    worker = asyncio.create_task(app.worker().run(stop))
    total = 0
    for _ in range(warm):
        place(app)
        total += 1
        await until_done(app, total)
    calls_before, size_before = _calls(app), _sizes(app)
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, count, in_flight):
        batch = min(in_flight, count - start)
        for _ in range(batch):
            place(app)
        total += batch
        await until_done(app, total)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    calls, size = _calls(app) - calls_before, _sizes(app)
    stop.set()
    await worker
    return {
        "orders": count,
        "calls": calls,
        "cpu_ms_per_call": round(cpu / calls * 1e3, 2),
        "cpu_ms_per_order": round(cpu / count * 1e3, 1),
        "orders_per_s": round(count / wall, 1),
        "db_kib_per_call_besides_texts": round((size[0] - size_before[0]) / calls / 1024, 2),
        "text_kib_per_call": round((size[1] - size_before[1]) / calls / 1024, 2),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _calls(app: App) -> int:
    return int(
        app.store.read(lambda c: c.execute(sa.select(sa.func.count(ledger.c.id))).scalar_one())
    )


def _sizes(app: App) -> tuple[int, int]:
    """Return the database's pages in use besides texts, and the texts, in bytes."""

    def work(connection: sa.Connection) -> tuple[int, int]:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        texts = sum(
            connection.exec_driver_sql(
                f"SELECT COALESCE(SUM(LENGTH(CAST({name} AS BLOB))), 0) FROM {table}"
            ).scalar_one()
            for table, names in TEXTS.items()
            for name in names
        )
        return (pages - free) * size - texts, texts

    return app.store.read(work)


def main() -> None:
    """Run as a process, so that each measurement starts cold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--provider", required=True)
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--in-flight", type=int, default=1)
    options = parser.parse_args()
    app = build(
        load(
            {
                "SWARM_HOME": str(options.home),
                "SWARM_LLM__MODEL": "openai/gpt-4o-mini",
                "SWARM_LLM__API_BASE": options.provider,
                "SWARM_BUDGET__DAY": "100000",
                "SWARM_LIMITS__PARALLEL_ORDERS": str(max(options.in_flight, 1)),
            }
        )
    )
    app.initialise()
    result = asyncio.run(
        measure(app, warm=options.warm, count=options.count, in_flight=options.in_flight)
    )
    app.close()
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
