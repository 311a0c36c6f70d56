"""Send what the outbox holds: in order, within each platform's rates, once or marked `unknown`."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from math import inf
from typing import Any, Protocol, TypeAlias

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel, SendRefused, ThreadGone
from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.errors import Transient
from swarm.core.message import Button, OutboundKind, OutboundMessage
from swarm.ledger.attention import note_result, note_shown
from swarm.runtime import customers_late, customers_time
from swarm.runtime import outbox as box
from swarm.runtime.news import LONGEST_S, News
from swarm.runtime.pace import Pace
from swarm.runtime.quiet_desk import FOR_GOOD
from swarm.runtime.topics import Topics
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import asks, outbox, sent_messages

log = structlog.get_logger("swarm.outbox")

PRIORITY = {OutboundKind.DECISION: 0, OutboundKind.ANSWER: 1, OutboundKind.PROGRESS: 2}
LOOK = 500
"""Most chats of one account that are looked at for the next message."""
CALM_LOOKS, CALM_POLL_S = 20, 2.0
"""After how many looks in vain one looks less often, and how often then, in seconds: whoever queues
something wakes who sends. Where nothing is queued at all, only news are a reason to look."""
GRACE_S = 2.0
"""How long a stop waits for messages on their way, in seconds."""

Dress: TypeAlias = Callable[[Connection, OutboundMessage], Sequence[OutboundMessage]]
"""Turn the plain word on how a segment ended into cards; none where it says nothing any more."""
Doubt: TypeAlias = Callable[[Connection, Any], None]
"""Ask a person about a message of which nobody knows whether it arrived."""


class Quiet(Protocol):
    """Say what waits while its reader sleeps."""

    def hold(self, connection: Connection, row: Any, *, is_edit: bool) -> str | None:
        """Return until when a message waits; `FOR_GOOD` where it is then worth nothing."""

    def release(self, connection: Connection, *channels: str) -> None:
        """Let what is held be looked at anew."""


class Sender:
    """Send for the channels of this process; each account has one sender."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        channels: Mapping[str, Channel],
        poll_s: float,
        dress: Dress | None = None,
        doubt: Doubt | None = None,
        wake: asyncio.Event | None = None,
        quiet: Quiet | None = None,
        topics: Topics | None = None,
        news: News | None = None,
    ) -> None:
        """Take what to send with.

        Args:
            store: Holds the outbox.
            clock: Tells what is due.
            channels: By name.
            poll_s: How often to look for what other processes queued, in seconds.
            dress: Writes cards for channels with buttons.
            doubt: Asks about what is `unknown`, on channels with buttons.
            wake: Set by whoever queued something in this process.
            quiet: Holds back what is not urgent while its reader sleeps.
            topics: Gives orders topics of their own, on channels that can.
            news: Says when other processes may have queued something.
        """
        self.news = news or News()
        self.topics = topics or Topics(store=store, clock=clock)
        self._quiet = quiet
        self._store = store
        self._clock = clock
        self._channels = channels
        self._poll_s = poll_s
        self._dress = dress
        self._doubt = doubt
        self._wake = wake or asyncio.Event()

    async def run(self) -> None:
        """Send until cancelled. A message caught in the act by a crash is `unknown`, not resent."""
        await self._store.awrite(self._begin)
        lines = [_Line(self, self._channels[name]) for name in sorted(self._channels)]
        async with asyncio.TaskGroup() as group:
            for line in lines:
                group.create_task(line.run())
            group.create_task(self._spread(lines))

    async def _spread(self, lines: Sequence["_Line"]) -> None:
        """Pass the wake-up on to every line."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for line in lines:
                line.wake.set()

    def _begin(self, connection: Connection) -> None:
        if self._quiet is not None:
            # Settings may have changed since it was held.
            self._quiet.release(connection, *self._channels)
        rows = connection.execute(
            sa.select(outbox).where(
                outbox.c.state == "sending", outbox.c.channel.in_(list(self._channels))
            )
        ).all()
        for row in rows:
            self.doubt(connection, row)

    def doubt(self, connection: Connection, row: Any) -> None:
        """Mark a message as `unknown` and ask about it; an edit is simply made again."""
        is_edit = row.slot is not None and _slot_id(connection, row) is not None
        state = "pending" if is_edit else "unknown"
        connection.execute(outbox.update().where(outbox.c.id == row.id).values(state=state))
        can_ask = self._channels[row.channel].capabilities.has_buttons
        is_worth_it = row.kind != OutboundKind.PROGRESS.value
        if state == "unknown" and self._doubt is not None and can_ask and is_worth_it:
            self._doubt(connection, row)

    def take(
        self, connection: Connection, channel: Channel, is_free: Callable[[str], bool]
    ) -> tuple[Any, OutboundMessage] | None:
        """Mark the most urgent message that is due as `sending` and return it, ready to be sent.

        Within a chat what was queued first goes first, apart from progress, which waits for all
        else.
        """
        while True:
            row = self._most_urgent(connection, channel.name, is_free)
            if row is None:
                return None
            if self._holds(connection, channel, row):
                continue
            row = self._prepare(connection, channel, row)
            if row is None:
                continue
            connection.execute(
                outbox.update()
                .where(outbox.c.id == row.id)
                .values(state="sending", tries=outbox.c.tries + 1)
            )
            edits = _slot_id(connection, row) if channel.capabilities.has_edits else None
            return row, _message(row, edits=edits)

    def _holds(self, connection: Connection, channel: Channel, row: Any) -> bool:
        """Keep a message back whose reader sleeps; what is urgent passes it by."""
        if self._quiet is None:
            return False
        is_edit = channel.capabilities.has_edits and _slot_id(connection, row) is not None
        until = self._quiet.hold(connection, row, is_edit=is_edit)
        if until is None:
            return False
        values = {"state": "void"} if until == FOR_GOOD else {"held_until": until}
        connection.execute(outbox.update().where(outbox.c.id == row.id).values(**values))
        return True

    def _most_urgent(
        self, connection: Connection, channel: str, is_free: Callable[[str], bool]
    ) -> Any:
        now = iso(self._clock.now())
        heads = _HEADS.all(connection, {"on_channel": channel, "now": now, "later": now})
        free = [row for row in heads if is_free(row.chat_id)]
        found = min(free, key=lambda r: (PRIORITY[OutboundKind(r.kind)], r.id), default=None)
        if found is None:
            return None
        return connection.execute(sa.select(outbox).where(outbox.c.id == found.id)).one()

    def _prepare(self, connection: Connection, channel: Channel, row: Any) -> Any:
        """Write a message as its platform takes it, as several rows where it must be cut.

        Returns None where it has nothing to say any more. Done once: `place` says that it was.
        """
        if row.place is not None:
            return row
        message = _message(row)
        whole = [message]
        if row.card is not None and channel.capabilities.has_buttons and self._dress is not None:
            whole = list(self._dress(connection, message))
        parts = [part for one in whole for part in channel.parts(one)]
        if not parts:
            connection.execute(outbox.update().where(outbox.c.id == row.id).values(state="void"))
            return None
        for number, part in enumerate(parts):
            values = _columns(part) | {"place": row.id, "part": number}
            if number == 0:
                connection.execute(outbox.update().where(outbox.c.id == row.id).values(**values))
            else:
                box.put(
                    connection,
                    dedupe_key=f"{row.dedupe_key}#{number}",
                    message=part,
                    now=row.not_before,
                    extra=values,
                )
        return connection.execute(sa.select(outbox).where(outbox.c.id == row.id)).one()

    def due_in_s(self, connection: Connection, channel: str) -> float:
        """Return in how many seconds something is due, which may have been long ago; else infinity."""
        first = connection.execute(_NEXT, {"on_channel": channel}).scalar()
        if first is None:
            return inf
        return (parse_iso(first) - self._clock.now()).total_seconds()

    def settle(self, connection: Connection, row: Any, sent_id: str) -> None:
        """Write down that a message arrived, and when what it asks was shown."""
        now = self._clock.now()
        connection.execute(
            outbox.update()
            .where(outbox.c.id == row.id)
            .values(state="sent", sent_id=sent_id, sent_at=iso(now), error=None)
        )
        values = {
            "outbox_id": row.id,
            "order_id": row.order_id,
            "ask_id": row.ask_id,
            "slot": row.slot,
            "sent_at": iso(now),
        }
        key = (
            sent_messages.c.channel == row.channel,
            sent_messages.c.chat_id == row.chat_id,
            sent_messages.c.message_id == sent_id,
        )
        if connection.execute(sent_messages.update().where(*key).values(**values)).rowcount == 0:
            where = {"channel": row.channel, "chat_id": row.chat_id, "message_id": sent_id}
            connection.execute(sent_messages.insert().values(**where, **values))
        self._show(connection, row)

    def _show(self, connection: Connection, row: Any) -> None:
        """Note when a question or a result reached its person: their minutes count from there."""
        now = self._clock.now()
        if row.ask_id is not None:
            customers_time.shown(connection, row.ask_id, at=now, channel=row.channel)
        if row.card == "delivered" and row.part == 0 and row.order_id is not None:
            note_result(connection, row.order_id, at=now, channel=row.channel)
        if row.card != "waiting" and row.ask_id is None:
            return
        is_fresh = [
            asks.c.order_id == row.order_id,
            asks.c.state == "open",
            asks.c.shown_at.is_(None),
        ]
        if row.ask_id is not None:
            is_fresh.append(asks.c.id == row.ask_id)
        fresh = connection.execute(sa.select(asks).where(*is_fresh)).all()
        connection.execute(asks.update().where(*is_fresh).values(shown_at=iso(now)))
        note_shown(connection, fresh, at=now, channel=row.channel)

    def put_back(self, connection: Connection, row: Any, error: Transient) -> None:
        """Queue a message again; where the platform named a time, the whole chat waits for it."""
        connection.execute(
            outbox.update()
            .where(outbox.c.id == row.id)
            .values(state="pending", error=str(error)[:500])
        )
        customers_late.tell_writer(connection, row, error, now=iso(self._clock.now()))
        if error.retry_after_s is None:
            return
        until = iso(self._clock.now() + timedelta(seconds=error.retry_after_s))
        connection.execute(
            outbox.update()
            .where(
                outbox.c.channel == row.channel,
                outbox.c.chat_id == row.chat_id,
                outbox.c.state == "pending",
                outbox.c.not_before < until,
            )
            .values(not_before=until)
        )

    def refuse(self, connection: Connection, row: Any, error: Exception) -> None:
        """Write down that the platform will not have a message: what it asks was not asked."""
        connection.execute(
            outbox.update()
            .where(outbox.c.id == row.id)
            .values(state="refused", error=str(error)[:500])
        )

    @property
    def store(self) -> Store:
        """Return where the outbox is."""
        return self._store

    @property
    def clock(self) -> Clock:
        """Return what tells the time."""
        return self._clock

    @property
    def poll_s(self) -> float:
        """Return how often to look, in seconds."""
        return self._poll_s


class _Line:
    """One account: several chats at once, one message at a time in each."""

    def __init__(self, sender: Sender, channel: Channel) -> None:
        self._sender = sender
        self._channel = channel
        self._pace = Pace(sender.clock, channel.capabilities)
        self._jobs: set[asyncio.Task[None]] = set()
        self._vain = 0
        """Looks in a row that found nothing."""
        self.wake = asyncio.Event()

    async def run(self) -> None:
        await self._sender.topics.end(self._channel)
        try:
            while True:
                self.wake.clear()
                seen = self._sender.news.number
                while self._pace.is_open():
                    taken = await self._sender.store.awrite(
                        lambda c: self._sender.take(c, self._channel, self._pace.is_free)
                    )
                    if taken is None:
                        self._vain += 1
                        break
                    self._vain = 0
                    row, message = taken
                    self._pace.begin(row.chat_id)
                    job = asyncio.create_task(self._send(row, message))
                    self._jobs.add(job)
                    job.add_done_callback(self._jobs.discard)
                await self._rest(seen)
        finally:
            # What is on its way may still arrive; cut off, it could only be called unknown.
            if self._jobs:
                await asyncio.wait(self._jobs, timeout=GRACE_S)
            for job in list(self._jobs):
                job.cancel()

    async def _rest(self, seen: int) -> None:
        """Wait until it is worth looking again."""
        is_told = self._sender.news.is_told
        is_calm = self._vain > CALM_LOOKS
        poll_s, due_s = self._sender.poll_s, 0.0
        if is_calm and (is_told or self._sender.store.is_sqlite):
            poll_s = max(poll_s, CALM_POLL_S)
        if is_calm and is_told:
            due_s = await self._sender.store.aread(
                lambda c: self._sender.due_in_s(c, self._channel.name)
            )
        await self._sender.news.until_due(
            seen=seen if due_s > poll_s and not self._jobs else None,
            poll_s=max(self._pace.wait_s(poll_s), 0.001),
            wake=self.wake,
            longest_s=min(due_s, LONGEST_S),
        )
        if self.wake.is_set():
            self._vain = 0

    async def _send(self, row: Any, message: OutboundMessage) -> None:
        sender, store = self._sender, self._sender.store
        try:
            message = await sender.topics.placed(self._channel, row, message)
            sent_id = await self._channel.send(message)
        except ThreadGone:
            await store.awrite(lambda c: sender.topics.lost(c, row, message.thread_id))
        except Transient as error:
            if error.retry_after_s is None:
                self._pace.close()
            failure = error
            await store.awrite(lambda c: sender.put_back(c, row, failure))
        except SendRefused as error:
            log.warning("a message was refused", outbox=row.id, reason=str(error)[:200])
            refusal = error
            await store.awrite(lambda c: sender.refuse(c, row, refusal))
        except Exception:
            log.exception("nobody knows whether this was sent", outbox=row.id)
            await store.awrite(lambda c: sender.doubt(c, row))
        else:
            self._pace.failures = 0
            await store.awrite(lambda c: sender.settle(c, row, sent_id))
            if row.order_id is not None:
                await sender.topics.end(self._channel)
        finally:
            self._pace.end(row.chat_id)
            self.wake.set()


_is_meant = (outbox.c.state == "pending", outbox.c.channel == sa.bindparam("on_channel"))
# One message that must wait holds its whole chat: what came later would overtake it.
_HELD = sa.select(outbox.c.chat_id).where(*_is_meant, outbox.c.not_before > sa.bindparam("later"))
_TURNS = (
    sa.select(
        outbox.c.id,
        outbox.c.chat_id,
        outbox.c.kind,
        sa.func.row_number()
        .over(
            partition_by=outbox.c.chat_id,
            order_by=(
                sa.case((outbox.c.kind == OutboundKind.PROGRESS.value, 1), else_=0),
                sa.func.coalesce(outbox.c.place, outbox.c.id),
                outbox.c.part,
            ),
        )
        .label("turn"),
    )
    .where(
        *_is_meant,
        outbox.c.chat_id.not_in(_HELD),
        sa.or_(outbox.c.held_until.is_(None), outbox.c.held_until <= sa.bindparam("now")),
    )
    .subquery()
)
_DUE = sa.case(
    (outbox.c.held_until > outbox.c.not_before, outbox.c.held_until), else_=outbox.c.not_before
)
_NEXT = sa.select(sa.func.min(_DUE)).where(*_is_meant)
# A chat with a long queue hides no other: of each, the database gives the next message alone.
_HEADS = Prepared(
    sa.select(_TURNS.c.id, _TURNS.c.chat_id, _TURNS.c.kind)
    .where(_TURNS.c.turn == 1)
    .order_by(_TURNS.c.id)
    .limit(LOOK)
)


def _slot_id(connection: Connection, row: Any) -> str | None:
    """Return the platform's id of the newest message of a row's slot."""
    if row.slot is None:
        return None
    query = (
        sa.select(sent_messages.c.message_id)
        .where(
            sent_messages.c.channel == row.channel,
            sent_messages.c.chat_id == row.chat_id,
            sent_messages.c.slot == row.slot,
        )
        .order_by(sent_messages.c.sent_at.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()


def _message(row: Any, *, edits: str | None = None) -> OutboundMessage:
    rows = json.loads(row.buttons)
    return OutboundMessage(
        channel=row.channel,
        chat_id=row.chat_id,
        thread_id=row.thread_id,
        kind=OutboundKind(row.kind),
        text=row.body,
        order_id=row.order_id,
        files=tuple(json.loads(row.files)),
        buttons=tuple(tuple(Button(**button) for button in line) for line in rows),
        markup=row.markup,
        card=row.card,
        slot=row.slot,
        edits=edits,
        reply_to=row.reply_to,
        is_silent=bool(row.is_silent),
        ask_id=row.ask_id,
    )


def _columns(message: OutboundMessage) -> dict[str, Any]:
    return {
        "body": message.text,
        "files": json.dumps(list(message.files)),
        "buttons": box.written_buttons(message),
        "markup": message.markup,
        "reply_to": message.reply_to,
        "is_silent": message.is_silent,
        "ask_id": message.ask_id,
        "kind": message.kind.value,
    }
