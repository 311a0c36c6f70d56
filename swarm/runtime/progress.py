"""How work goes, in one message that is edited, and the sign that somebody is typing."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel
from swarm.core.clock import Clock, iso
from swarm.core.message import OutboundKind, OutboundMessage, Signal, SignalKind
from swarm.core.order import OrderStatus, TaskStatus
from swarm.core.text import shorten
from swarm.runtime import records
from swarm.runtime.outbox import coalesce
from swarm.runtime.phrases import say
from swarm.store.database import Store
from swarm.store.tables import orders

log = structlog.get_logger("swarm.progress")

LOOK_S = 1.0
"""How often orders at work are looked at: a message is edited once a second at most."""
TYPING_S = 4.5
"""How often the sign is renewed; Telegram shows it for five seconds."""
TASKS_SHOWN = 30
SIGNS = {
    TaskStatus.PLANNED: "▫️",
    TaskStatus.WORKING: "⏳",
    TaskStatus.WAITING: "✋",
    TaskStatus.ACCEPTED: "✅",
    TaskStatus.REJECTED: "⚠️",
    TaskStatus.FAILED: "❌",
    TaskStatus.SKIPPED: "⏭",
}


class Progress:
    """Show the orders at work to the chats that they came from."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        channels: Mapping[str, Channel],
        queued: asyncio.Event,
    ) -> None:
        """Take the channels; those that cannot edit are left alone."""
        self._store = store
        self._clock = clock
        self._channels = {n: c for n, c in channels.items() if c.capabilities.has_edits}
        self._queued = queued
        self._shown: dict[tuple[str, int], str] = {}
        self._typed: dict[tuple[str, str, str | None], float] = {}

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while self._channels:
            try:
                await self._look()
            except Exception:
                log.exception("progress could not be shown")
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        rows = await self._store.aread(self._at_work)
        alive = {(row.id, row.segment) for row, _ in rows}
        for gone in self._shown.keys() - alive:
            await self._store.awrite(partial(self._close, order_id=gone[0], segment=gone[1]))
            del self._shown[gone]
        for row, text in rows:
            key = (row.id, row.segment)
            if self._shown.get(key) != text:
                await self._store.awrite(partial(self._put, row=row, text=text))
                self._shown[key] = text
                self._queued.set()
            await self._type(row)

    def _at_work(self, connection: Connection) -> list[tuple[Any, str]]:
        rows = connection.execute(
            sa.select(orders).where(
                orders.c.status == OrderStatus.WORKING.value,
                orders.c.channel.in_(list(self._channels)),
            )
        ).all()
        return [(row, text_of(connection, row)) for row in rows]

    def _put(self, connection: Connection, row: Any, text: str) -> None:
        message = OutboundMessage(
            channel=row.channel,
            chat_id=row.chat_id,
            thread_id=row.thread_id,
            kind=OutboundKind.PROGRESS,
            text=text,
            order_id=row.id,
            slot=slot_of(row.id, row.segment),
            is_silent=True,
        )
        coalesce(connection, message=message, now=iso(self._clock.now()))

    def _close(self, connection: Connection, order_id: str, segment: int) -> None:
        """Show the last state of a segment that ended."""
        row = connection.execute(sa.select(orders).where(orders.c.id == order_id)).first()
        if row is None:
            return
        text = text_of(connection, row)
        if text != self._shown.get((order_id, segment)):
            ended = row._asdict() | {"segment": segment}
            self._put(connection, _Row(ended), text)
            self._queued.set()

    async def _type(self, row: Any) -> None:
        channel = self._channels[row.channel]
        if not channel.capabilities.has_typing:
            return
        key = (row.channel, row.chat_id, row.thread_id)
        now = self._clock.monotonic()
        if now - self._typed.get(key, -TYPING_S) < TYPING_S:
            return
        self._typed[key] = now
        await channel.signal(Signal(SignalKind.TYPING, row.chat_id, thread_id=row.thread_id))


class _Row:
    """A row with one column changed."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


def slot_of(order_id: str, segment: int) -> str:
    """Name the one message that shows how a segment goes."""
    return f"progress/{order_id}/{segment}"


def text_of(connection: Connection, row: Any) -> str:
    """Return how an order stands, as one short text: it is edited, and must fit one message."""
    state = json.loads(row.state)
    language = state.get("language")
    plan = state.get("plan")
    if not plan:
        return say("thinking", language, order=row.id)
    goal = (state.get("frame") or {}).get("goal") or ""
    live = records.task_states(connection, row.id)
    stored = state.get("tasks") or {}
    lines = [say("working_on", language, order=row.id, goal=shorten(goal, 200))]
    for task in plan["tasks"][:TASKS_SHOWN]:
        known = live.get(task["id"])
        value = (stored.get(task["id"]) or {}).get("status", "planned")
        status = known.status if known is not None else TaskStatus(value)
        lines.append(f"{SIGNS[status]} {task['id']} {task['role']}: {shorten(task['title'], 60)}")
    left = len(plan["tasks"]) - TASKS_SHOWN
    return "\n".join([*lines, f"… +{left}"] if left > 0 else lines)
