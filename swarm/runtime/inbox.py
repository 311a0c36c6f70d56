"""What was heard, on disk before the platform is told so; each update is acted on once.

An update is known by (channel, account, update id). It is stored by whoever hears it, and handled
later by whoever works: the acting and the mark `done` are one commit, so a crash between them
cannot make an order twice or lose it.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.message import InboundFile, InboundKind, InboundMessage
from swarm.core.origin import Origin
from swarm.store.database import Store
from swarm.store.tables import inbox

NEW, DONE, IGNORED, FAILED = "new", "done", "ignored", "failed"
MAX_TRIES = 5
"""How often an update that breaks its handler is tried before a person is told."""
RENUMBERED = timedelta(days=7)
"""After a week of silence Telegram may number its updates anew, and so come back to old numbers.
What it has not delivered it keeps for a day: a number that old with other content is another update."""
KEPT = timedelta(days=30)
"""How long handled updates are kept, in days."""
_NOT_KEPT = ("raw", "received_at")


class Inbox:
    """Store updates and hand them out, oldest first."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turn = asyncio.Lock()

    async def take(self, message: InboundMessage) -> bool:
        """Store an update; False where it is known already. On disk when it returns.

        What is taken at the same time is stored in the order in which it was brought.
        """
        if self._store.is_sqlite:
            # One writer keeps the order, and many updates share a commit. All else that is to be
            # written waits for it: a platform brings again what is not confirmed in time.
            return await self._store.awrite(lambda c: self.put(c, message), is_urgent=True)
        async with self._turn:
            return await self._store.awrite(lambda c: self.put(c, message))

    def put(self, connection: Connection, message: InboundMessage) -> bool:
        """Store an update as part of a transaction; False where it is known already."""
        known = _find(connection, message, message.update_id)
        if known is not None:
            is_old = parse_iso(known.received_at) + RENUMBERED < message.received_at
            if not is_old or known.raw == message.raw:
                return False
            digest = hashlib.sha256(message.raw).hexdigest()[:12]
            message = replace(message, update_id=f"{message.update_id}~{digest}")
            if _find(connection, message, message.update_id) is not None:
                return False
        state = IGNORED if message.kind is InboundKind.OTHER else NEW
        row = {
            "channel": message.channel,
            "account": message.account,
            "update_id": message.update_id,
            "kind": message.kind.value,
            "chat_id": message.chat_id,
            "thread_id": message.thread_id,
            "sender_id": message.sender_id,
            "message_id": message.message_id,
            "raw": message.raw,
            "body": write(message),
            "received_at": iso(message.received_at),
            "state": state,
            "tries": 0,
        }
        connection.execute(_ADD, row)
        return True

    def waiting(
        self, connection: Connection, *, after: int = 0, limit: int = 2_000
    ) -> Sequence[Any]:
        """Return where the rows that nobody handled yet belong, in their order.

        That is `id`, `channel`, `chat_id` and `kind`, without what was said: it is read whenever
        something is heard. `after` is the newest row that is known already.
        """
        return connection.execute(_WAITING, {"after": after, "most": limit}).all()

    def row(self, connection: Connection, row_id: int) -> Any:
        """Return one row whole."""
        return connection.execute(_ROW, {"of_id": row_id}).one()

    def begin(self, connection: Connection, row_id: int) -> bool:
        """Say that a row is about to be handled; False where that was done already."""
        return connection.execute(_BEGIN, {"of_id": row_id}).rowcount == 1

    def finish(
        self,
        connection: Connection,
        row_id: int,
        *,
        outcome: str,
        order_id: str | None = None,
        state: str = DONE,
    ) -> None:
        """Mark a row as handled, as part of the transaction that acted on it."""
        values = {
            "of_id": row_id,
            "state": state,
            "outcome": outcome[:2_000],
            "order_id": order_id,
            "handled_at": iso(self._clock.now()),
        }
        connection.execute(_FINISH, values)

    def prune(self, connection: Connection) -> int:
        """Delete what was handled long ago; return how many rows that were."""
        before = iso(self._clock.now() - KEPT)
        query = inbox.delete().where(inbox.c.state != NEW, inbox.c.received_at < before)
        return connection.execute(query).rowcount


def order_of_message(
    connection: Connection, *, channel: str, chat_id: str, message_id: str
) -> str | None:
    """Return the order that a person's own message became or spoke of."""
    return connection.execute(
        sa.select(inbox.c.order_id)
        .where(
            inbox.c.channel == channel,
            inbox.c.chat_id == chat_id,
            inbox.c.message_id == message_id,
            inbox.c.order_id.is_not(None),
        )
        .order_by(inbox.c.id)
        .limit(1)
    ).scalar()


def write(message: InboundMessage) -> str:
    """Write a message as JSON; what stands in columns of its own is left out."""
    values = {key: value for key, value in asdict(message).items() if key not in _NOT_KEPT}
    return json.dumps(values, ensure_ascii=True)


def read(row: Any) -> InboundMessage:
    """Read what `write` wrote, from its row."""
    values = json.loads(row.body)
    values["kind"] = InboundKind(values["kind"])
    values["origin"] = Origin(values["origin"])
    values["files"] = tuple(InboundFile(**file) for file in values["files"])
    # The number may have been changed to tell it from an older update.
    values["update_id"] = row.update_id
    return InboundMessage(**values, received_at=parse_iso(row.received_at), raw=bytes(row.raw))


def _find(connection: Connection, message: InboundMessage, update_id: str) -> Any:
    key = {"of_channel": message.channel, "of_account": message.account, "of_update": update_id}
    return connection.execute(_KNOWN, key).first()


# Written once: building a statement costs more than running it.
_KNOWN = sa.select(inbox.c.raw, inbox.c.received_at).where(
    inbox.c.channel == sa.bindparam("of_channel"),
    inbox.c.account == sa.bindparam("of_account"),
    inbox.c.update_id == sa.bindparam("of_update"),
)
_ADD = sa.insert(inbox)
_WAITING = (
    sa.select(inbox.c.id, inbox.c.channel, inbox.c.chat_id, inbox.c.kind)
    .where(inbox.c.state == NEW, inbox.c.id > sa.bindparam("after"))
    .order_by(inbox.c.id)
    .limit(sa.bindparam("most"))
)
_ROW = sa.select(inbox).where(inbox.c.id == sa.bindparam("of_id"))
_BEGIN = (
    inbox.update()
    .where(inbox.c.id == sa.bindparam("of_id"), inbox.c.state == NEW)
    .values(tries=inbox.c.tries + 1)
)
_FINISH = (
    inbox.update()
    .where(inbox.c.id == sa.bindparam("of_id"))
    .values({name: sa.bindparam(name) for name in ("state", "outcome", "order_id", "handled_at")})
)
