"""Messages to people: written with what they tell of, sent once, or shown as unknown."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel
from swarm.core.clock import Clock, iso
from swarm.core.errors import Transient
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.core.order import OrderState, OrderStatus, Reason
from swarm.runtime.records import Claimed
from swarm.store.database import Store
from swarm.store.tables import asks, outbox

log = structlog.get_logger("swarm.outbox")

TERMINAL = "terminal"
"""The channel of orders from the command line: their answer is read with `swarm show`."""
LONG = 3_000
"""A request for a signature of more characters is sent as a file, whole: no platform shows more
in one message, and nobody signs what was cut."""
_HEAD = 1_000
_PRIORITY = {OutboundKind.DECISION: 0, OutboundKind.ANSWER: 1, OutboundKind.PROGRESS: 2}


def announce(
    connection: Connection,
    order: Claimed,
    status: OrderStatus,
    reason: Reason | None,
    state: OrderState,
    *,
    now: str,
    files: tuple[str, ...] = (),
) -> None:
    """Write the message that tells how a segment ended, in the same transaction as the end.

    `files` are the absolute paths of what `write_requests` wrote.
    """
    if order.channel == TERMINAL:
        return
    kind = OutboundKind.DECISION if status is OrderStatus.WAITING else OutboundKind.ANSWER
    put(
        connection,
        dedupe_key=f"{order.id}/{order.segment}/{status.value}",
        message=OutboundMessage(
            channel=order.channel,
            chat_id=order.chat_id,
            thread_id=order.thread_id,
            kind=kind,
            text=_text(connection, order.id, status, reason, state),
            order_id=order.id,
            files=files,
        ),
        now=now,
    )


def long_requests(connection: Connection, order_id: str) -> dict[str, str]:
    """Return the open requests for signatures that are too long for a message, by their ids."""
    rows = connection.execute(
        sa.select(asks.c.id, asks.c.text).where(
            asks.c.order_id == order_id, asks.c.state == "open", asks.c.kind == "signature"
        )
    )
    return {row.id: row.text for row in rows if len(row.text) > LONG}


def write_requests(folder: Path, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Write each request into a file of its own and return their absolute paths."""
    paths = []
    for ask_id, text in sorted(texts.items()):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{ask_id}.txt"
        path.write_text(text + "\n", encoding="utf-8")
        paths.append(str(path.absolute()))
    return tuple(paths)


def put(connection: Connection, *, dedupe_key: str, message: OutboundMessage, now: str) -> None:
    """Queue a message; the same key twice is one message."""
    known = connection.execute(
        sa.select(outbox.c.id).where(outbox.c.dedupe_key == dedupe_key)
    ).first()
    if known is None:
        connection.execute(
            outbox.insert().values(
                dedupe_key=dedupe_key,
                order_id=message.order_id,
                channel=message.channel,
                chat_id=message.chat_id,
                thread_id=message.thread_id,
                kind=message.kind.value,
                body=message.text,
                files=json.dumps(list(message.files)),
                state="pending",
                tries=0,
                not_before=now,
                created_at=now,
            )
        )


def _text(
    connection: Connection,
    order_id: str,
    status: OrderStatus,
    reason: Reason | None,
    state: OrderState,
) -> str:
    if status is OrderStatus.WAITING:
        rows = connection.execute(
            sa.select(asks).where(asks.c.order_id == order_id, asks.c.state == "open")
        ).all()
        return "\n\n".join(_ask_text(row) for row in rows)
    if status is OrderStatus.DELIVERED:
        files = [path for task in state.tasks.values() for path in task.files]
        return "\n".join([state.answer or "", *(f"- {path}" for path in files)])
    return f"The order is {status.value}. {reason.text if reason else ''}".strip()


def _ask_text(row: Any) -> str:
    options = [f"{n}. {text}" for n, text in enumerate(json.loads(row.options), start=1)]
    ways = {
        "approval": f"Sign with `swarm approve {row.order_id}`, or `swarm reject {row.order_id} REASON`.",
        "signature": f"Sign with `swarm approve {row.id}`, or `swarm reject {row.id} REASON`.",
        "choice": f"Choose with `swarm choose {row.id} NUMBER`.",
    }
    way = ways.get(row.kind, f"Answer with `swarm answer {row.id} TEXT`.")
    text = row.text
    if row.kind == "signature" and len(text) > LONG:
        text = f"{text[:_HEAD]}\n[{len(text):,} characters: read all of it in {row.id}.txt]"
    return "\n".join([f"{row.asked_by} asks ({row.id}): {text}", *options, way])


class Sender:
    """Send what the outbox holds for the channels of this process, one message at a time."""

    def __init__(
        self, *, store: Store, clock: Clock, channels: Mapping[str, Channel], poll_s: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._channels = channels
        self._poll_s = poll_s

    async def run(self) -> None:
        """Send until cancelled. A message caught in the act by a crash is `unknown`, not resent."""
        await self._store.awrite(_doubt)
        while True:
            if not await self.send_next():
                await asyncio.sleep(self._poll_s)

    async def send_next(self) -> bool:
        """Send the most urgent message that is due; False where there is none."""
        row = await self._store.awrite(self._take)
        if row is None:
            return False
        message = OutboundMessage(
            channel=row.channel,
            chat_id=row.chat_id,
            thread_id=row.thread_id,
            kind=OutboundKind(row.kind),
            text=row.body,
            order_id=row.order_id,
            files=tuple(json.loads(row.files)),
        )
        try:
            sent_id = await self._channels[row.channel].send(message)
        except Transient as error:
            pause = error.retry_after_s or min(2.0**row.tries, 300.0)
            await self._mark(row.id, state="pending", not_before=self._in(pause))
        except Exception:
            log.exception("nobody knows whether this was sent", outbox=row.id)
            await self._mark(row.id, state="unknown")
        else:
            await self._mark(row.id, state="sent", sent_id=sent_id, sent_at=self._in(0))
            await self._shown(row.order_id)
        return True

    def _take(self, connection: Connection) -> Any:
        rows = connection.execute(
            sa.select(outbox)
            .where(
                outbox.c.state == "pending",
                outbox.c.channel.in_(list(self._channels)),
                outbox.c.not_before <= self._in(0),
            )
            .order_by(outbox.c.id)
        ).all()
        if not rows:
            return None
        row = min(rows, key=lambda r: (_PRIORITY[OutboundKind(r.kind)], r.id))
        connection.execute(
            outbox.update()
            .where(outbox.c.id == row.id)
            .values(state="sending", tries=outbox.c.tries + 1)
        )
        return row

    def _in(self, seconds: float) -> str:

        return iso(self._clock.now() + timedelta(seconds=seconds))

    async def _mark(self, row_id: int, **values: Any) -> None:
        await self._store.awrite(
            lambda c: c.execute(outbox.update().where(outbox.c.id == row_id).values(**values))
        )

    async def _shown(self, order_id: str | None) -> None:
        """Note when a question reached its person: their minutes count from there."""
        now = self._in(0)
        await self._store.awrite(
            lambda c: c.execute(
                asks.update()
                .where(
                    asks.c.order_id == order_id,
                    asks.c.state == "open",
                    asks.c.shown_at.is_(None),
                )
                .values(shown_at=now)
            )
        )


def _doubt(connection: Connection) -> None:
    connection.execute(outbox.update().where(outbox.c.state == "sending").values(state="unknown"))
