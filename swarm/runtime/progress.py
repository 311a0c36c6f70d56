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
from swarm.channels.bound import is_for_customers
from swarm.core.clock import Clock, iso
from swarm.core.message import OutboundKind, OutboundMessage, Signal, SignalKind
from swarm.core.order import OrderStatus, TaskState, TaskStatus
from swarm.core.text import shorten
from swarm.runtime.news import News
from swarm.runtime.outbox import coalesce, put
from swarm.runtime.phrases import say
from swarm.store.database import Store
from swarm.store.tables import orders, tasks

log = structlog.get_logger("swarm.progress")

LOOK_S = 1.0
"""How often orders at work are looked at: a message is edited once a second at most. While there are
none, only news are a reason to look."""
TYPING_S = 4.5
"""How often the sign is renewed; Telegram shows it for five seconds."""
TASKS_SHOWN = 30
MILESTONES = 4
"""In how many steps work is told of where nothing can be edited: a quarter each."""
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
        news: News | None = None,
    ) -> None:
        """Take the channels; where nothing can be edited, only milestones are told.

        `news` says when there may be orders at work again.
        """
        self._store = store
        self._clock = clock
        self._channels = {
            n: c
            for n, c in channels.items()
            if c.capabilities.has_edits or not c.capabilities.is_local
        }
        self._queued = queued
        self._news = news or News()
        # A Postgres tells that an order was enqueued, but not when its turn came.
        self._moving = [OrderStatus.WORKING.value]
        if not store.is_sqlite:
            self._moving.append(OrderStatus.QUEUED.value)
        self._shown: dict[tuple[str, int], str] = {}
        self._told: set[str] = set()
        self._typed: dict[tuple[str, str, str | None], float] = {}

    async def run(self) -> None:
        """Look once a second while orders are at work, until cancelled."""
        while self._channels:
            seen: int | None = self._news.number
            try:
                if await self._look():
                    seen = None
            except Exception:
                log.exception("progress could not be shown")
                seen = None
            await self._news.until_due(seen=seen, poll_s=LOOK_S)

    async def _look(self) -> bool:
        """Show how orders go; False where none does, and there is no need to come back."""
        moving = await self._store.aread(self._at_work)
        found = [(row, text) for row, text in moving if row.status == OrderStatus.WORKING.value]
        for row, _ in found:
            if is_for_customers(row.channel):
                # Somebody is at it: that is all a customer is shown of it.
                await self._type(row)
        found = [(row, text) for row, text in found if not is_for_customers(row.channel)]
        rows = [(r, text) for r, text in found if self._channels[r.channel].capabilities.has_edits]
        for row, text in found:
            if not self._channels[row.channel].capabilities.has_edits:
                await self._tell(row, text)
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
        return bool(moving)

    def _at_work(self, connection: Connection) -> list[tuple[Any, str]]:
        rows = connection.execute(
            sa.select(orders).where(
                orders.c.status.in_(self._moving),
                orders.c.channel.in_(list(self._channels)),
            )
        ).all()
        return [(row, text_of(connection, row)) for row in rows]

    async def _tell(self, row: Any, text: str) -> None:
        """Tell how far work is, once for each step, and that somebody is at it."""
        step = await self._store.aread(partial(step_of, row=row))
        key = f"milestone/{row.id}/{row.segment}/{step}"
        if step is not None and key not in self._told:
            self._told.add(key)
            message = OutboundMessage(
                channel=row.channel,
                chat_id=row.chat_id,
                thread_id=row.thread_id,
                kind=OutboundKind.PROGRESS,
                text=text,
                order_id=row.id,
                is_silent=True,
            )
            now = iso(self._clock.now())
            await self._store.awrite(lambda c: put(c, dedupe_key=key, message=message, now=now))
            self._queued.set()
        await self._type(row)

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
        """Show the last state of a segment that ended; what follows it has a message of its own."""
        row = connection.execute(
            sa.select(orders).where(orders.c.id == order_id, orders.c.segment == segment)
        ).first()
        if row is None:
            return
        text = text_of(connection, row)
        if text != self._shown.get((order_id, segment)):
            self._put(connection, row, text)
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


def slot_of(order_id: str, segment: int) -> str:
    """Name the one message that shows how a segment goes."""
    return f"progress/{order_id}/{segment}"


def step_of(connection: Connection, row: Any) -> int | None:
    """Return how many steps of `MILESTONES` an order's tasks are through; None without a plan.

    The last step is not told: the delivery tells it.
    """
    plan = json.loads(row.state).get("plan")
    if not plan:
        return None
    over = (TaskStatus.ACCEPTED, TaskStatus.REJECTED, TaskStatus.FAILED, TaskStatus.SKIPPED)
    done = sum(status in over for status in _at_work(connection, row).values())
    step = MILESTONES * done // max(len(plan["tasks"]), 1)
    return step if step < MILESTONES else None


def text_of(connection: Connection, row: Any) -> str:
    """Return how an order stands, as one short text: it is edited, and must fit one message."""
    state = json.loads(row.state)
    language = state.get("language")
    plan = state.get("plan")
    if not plan:
        return say("thinking", language, order=row.id)
    goal = (state.get("frame") or {}).get("goal") or ""
    live = _at_work(connection, row)
    stored = state.get("tasks") or {}
    lines = [say("working_on", language, order=row.id, goal=shorten(goal, 200))]
    for task in plan["tasks"][:TASKS_SHOWN]:
        known = live.get(task["id"])
        value = (stored.get(task["id"]) or {}).get("status", "planned")
        status = known if known is not None else TaskStatus(value)
        lines.append(f"{SIGNS[status]} {task['id']} {task['role']}: {shorten(task['title'], 60)}")
    left = len(plan["tasks"]) - TASKS_SHOWN
    return "\n".join([*lines, f"… +{left}"] if left > 0 else lines)


def _at_work(connection: Connection, row: Any) -> dict[str, TaskStatus]:
    """Return how the tasks of this segment stand; what an older plan's came to says nothing here."""
    query = sa.select(tasks.c.task_id, tasks.c.state).where(
        tasks.c.order_id == row.id, tasks.c.segment == row.segment
    )
    found = connection.execute(query)
    return {task.task_id: TaskState.model_validate_json(task.state).status for task in found}
