"""A topic for each order, in groups that have topics: opened once, told of when it is lost, closed at the end.

The platform opens a second topic when it is asked twice. So that it was asked is written down before
it is: after a crash in between, the order goes on where it was given.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeGuard

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel, SendRefused, TopicKeeper
from swarm.core.clock import Clock, iso
from swarm.core.errors import Transient
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.core.order import OrderStatus
from swarm.core.text import shorten
from swarm.runtime import outbox as box
from swarm.runtime.phrases import say
from swarm.runtime.quiet_desk import REPLY
from swarm.runtime.records import read_state
from swarm.store.database import Store
from swarm.store.tables import orders, outbox, topics

log = structlog.get_logger("swarm.topics")

OPENING, OPEN, CLOSED, LOST, REFUSED = "opening", "open", "closed", "lost", "refused"
REFUSED_FOR_S = 3600.0
"""How long a group that refused a topic is not asked again, in seconds."""
NAME_SIGNS = 90
_OVER = {OrderStatus.ACCEPTED.value: "✅", OrderStatus.CANCELLED.value: "🗑"}


class _Keeper(Channel, TopicKeeper, Protocol):
    """A channel whose groups can have a topic for each order."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an order's messages go."""

    thread_id: str | None
    """None in `opening` where none was opened yet."""
    origin_thread: str | None
    name: str
    state: str
    is_new: bool = False


class Topics:
    """Keep the topics of one process's channels."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._refused: dict[tuple[str, str], float] = {}
        self._ending = asyncio.Lock()

    async def placed(self, channel: Channel, row: Any, message: OutboundMessage) -> OutboundMessage:
        """Return a message as it goes into its order's topic, which is opened for the first of them.

        Raises:
            Transient: The topic is surely not open yet.
        """
        # Groups have negative ids there.
        if row.order_id is None or not message.chat_id.startswith("-"):
            return message
        is_reply = row.dedupe_key.startswith(REPLY)
        if keeps_topics(channel) and not is_reply and message.edits is None:
            place = await self._store.awrite(lambda c: self._place(c, row))
            if place is not None and place.is_new:
                place = await self._open(channel, row, place)
        elif message.thread_id is not None:
            place = await self._store.aread(lambda c: _known(c, row))
        else:
            return message
        if place is None:
            return message
        if place.state == OPEN and not is_reply:
            return replace(message, thread_id=place.thread_id)
        if place.state == LOST and message.thread_id == place.thread_id:
            # Written by work that began before it was lost.
            return replace(message, thread_id=place.origin_thread)
        return message

    def _place(self, connection: Connection, row: Any) -> _Place | None:
        """Return an order's topic; a new one is written down before the platform is asked for it."""
        known = _known(connection, row)
        if known is not None:
            return known
        order = connection.execute(sa.select(orders).where(orders.c.id == row.order_id)).first()
        if order is None or (order.channel, order.chat_id) != (row.channel, row.chat_id):
            return None
        if order.status in _OVER or self._is_refused(row) or self._is_alone(connection, order):
            return None
        state = read_state(order.state)
        goal = state.frame.goal if state.frame is not None else state.text
        values = {
            "channel": row.channel,
            "chat_id": row.chat_id,
            "origin_thread": order.thread_id,
            "name": f"{order.id} {shorten(goal, NAME_SIGNS)}",
            "state": OPENING,
            "at": iso(self._clock.now()),
        }
        connection.execute(topics.insert().values(order_id=order.id, **values))
        return _Place(None, order.thread_id, str(values["name"]), OPENING, is_new=True)

    def _is_alone(self, connection: Connection, order: Any) -> bool:
        """Return whether a person gave the order in a topic that no other order is in."""
        if order.thread_id is None:
            return False
        other = sa.select(orders.c.id).where(
            orders.c.channel == order.channel,
            orders.c.chat_id == order.chat_id,
            orders.c.thread_id == order.thread_id,
            orders.c.id != order.id,
            orders.c.status.not_in(list(_OVER)),
        )
        return connection.execute(other.limit(1)).first() is None

    def _is_refused(self, row: Any) -> bool:
        until = self._refused.get((row.channel, row.chat_id))
        return until is not None and self._clock.monotonic() < until

    async def _open(self, channel: TopicKeeper, row: Any, place: _Place) -> _Place:
        try:
            thread_id = await channel.open_topic(row.chat_id, place.name)
        except Transient:
            await self._store.awrite(lambda c: _forget(c, row.order_id))
            raise
        except SendRefused as error:
            log.info("a group has no topics for orders", chat=row.chat_id, reason=str(error)[:200])
            self._refused[row.channel, row.chat_id] = self._clock.monotonic() + REFUSED_FOR_S
            await self._store.awrite(lambda c: _set(c, row.order_id, state=REFUSED))
            return replace(place, state=REFUSED)
        except Exception:
            # Asked again, there might be two: the order goes on where it was given.
            log.exception("nobody knows whether a topic was opened", order=row.order_id)
            return place
        await self._store.awrite(lambda c: _opened(c, row, thread_id))
        return replace(place, thread_id=thread_id, state=OPEN)

    def lost(self, connection: Connection, row: Any, thread_id: str | None) -> None:
        """Send what was meant for a thread that is gone where its order was given, with a note before.

        All that waits for the same thread goes the same way.
        """
        query = (
            topics.c.channel == row.channel,
            topics.c.chat_id == row.chat_id,
            topics.c.thread_id == thread_id,
        )
        found = connection.execute(sa.select(topics).where(*query)).first()
        where = found.origin_thread if found is not None else None
        where = where if where != thread_id else None
        if found is not None:
            connection.execute(topics.update().where(*query).values(state=LOST))
        elif row.order_id is not None and not _has_any(connection, row.order_id):
            # One that a person had opened.
            values = {"channel": row.channel, "chat_id": row.chat_id, "thread_id": thread_id}
            values |= {"order_id": row.order_id, "name": "", "state": LOST}
            now = iso(self._clock.now())
            connection.execute(topics.insert().values(origin_thread=None, at=now, **values))
        for table in (orders, outbox):
            is_there = (
                table.c.channel == row.channel,
                table.c.chat_id == row.chat_id,
                table.c.thread_id == thread_id,
            )
            is_open = table.c.state == "pending" if table is outbox else sa.true()
            connection.execute(table.update().where(*is_there, is_open).values(thread_id=where))
        again = {"state": "pending", "thread_id": where, "error": "its topic is gone"}
        connection.execute(outbox.update().where(outbox.c.id == row.id).values(**again))
        self._note(connection, row, where)

    def _note(self, connection: Connection, row: Any, where: str | None) -> None:
        message = OutboundMessage(
            channel=row.channel,
            chat_id=row.chat_id,
            thread_id=where,
            kind=OutboundKind(row.kind),
            text=say("topic_gone", _language(connection, row), order=row.order_id or ""),
            order_id=row.order_id,
            is_silent=True,
        )
        box.put(
            connection,
            dedupe_key=f"{REPLY}topic/{row.id}/{row.tries}",
            message=message,
            now=row.not_before,
            # Read before the message that it is about.
            extra={"place": row.place or row.id, "part": -1},
        )

    async def end(self, channel: Channel) -> None:
        """Rename and close the topics of orders that are over."""
        if not keeps_topics(channel):
            return
        async with self._ending:
            due = await self._store.aread(lambda c: list(_due(c, channel.name)))
            for row in due:
                await self._store.awrite(partial(_set, order_id=row.order_id, state=CLOSED))
                name = f"{_OVER[row.status]} {row.name}"
                await channel.end_topic(row.chat_id, row.thread_id, name)


def keeps_topics(channel: Channel) -> TypeGuard[_Keeper]:
    """Return whether orders get topics on a channel."""
    return channel.capabilities.has_topics


def _has_any(connection: Connection, order_id: str) -> bool:
    query = sa.select(topics.c.order_id).where(topics.c.order_id == order_id)
    return connection.execute(query).first() is not None


def _known(connection: Connection, row: Any) -> _Place | None:
    """Return the topic of a message's order, where it is in the message's chat."""
    found = connection.execute(
        sa.select(topics).where(
            topics.c.order_id == row.order_id,
            topics.c.channel == row.channel,
            topics.c.chat_id == row.chat_id,
        )
    ).first()
    if found is None:
        return None
    return _Place(found.thread_id, found.origin_thread, found.name, found.state)


def _opened(connection: Connection, row: Any, thread_id: str) -> None:
    """Write down where an order's topic is; what people say there is about the order."""
    _set(connection, row.order_id, state=OPEN, thread_id=thread_id)
    connection.execute(
        orders.update().where(orders.c.id == row.order_id).values(thread_id=thread_id)
    )


def _set(connection: Connection, order_id: str, **values: str) -> None:
    connection.execute(topics.update().where(topics.c.order_id == order_id).values(**values))


def _forget(connection: Connection, order_id: str) -> None:
    connection.execute(topics.delete().where(topics.c.order_id == order_id))


def _due(connection: Connection, channel: str) -> Iterator[Any]:
    query = (
        sa.select(topics, orders.c.status)
        .join(orders, orders.c.id == topics.c.order_id)
        .where(
            topics.c.channel == channel, topics.c.state == OPEN, orders.c.status.in_(list(_OVER))
        )
    )
    yield from connection.execute(query)


def _language(connection: Connection, row: Any) -> str | None:
    if row.order_id is None:
        return None
    state = connection.execute(
        sa.select(orders.c.state).where(orders.c.id == row.order_id)
    ).scalar()
    return read_state(state).language if state else None
