"""What channels ask of the company: leases, so that one listens alone, and how they fare."""

import uuid
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso, parse_iso
from swarm.runtime import shared_bell
from swarm.store.database import Store
from swarm.store.tables import asks, channel_health, inbox, leases, outbox


class DatabaseStation:
    """Keep leases and states in the company's database."""

    def __init__(self, *, store: Store, clock: Clock, owner: str | None = None) -> None:
        """Take the database.

        Args:
            store: Holds leases and states.
            clock: Tells when a lease runs out.
            owner: In whose name leases are held. Where it outlives a process, a restart after a
                crash need not wait until they run out; None draws one for this process.
        """
        self._store = store
        self._clock = clock
        self._owner = owner or uuid.uuid4().hex

    async def hold(self, name: str, *, seconds: float) -> bool:
        """Hold a lease for so long; False where another process has it."""
        return await self._store.awrite(lambda c: self._hold(c, name, seconds))

    def _hold(self, connection: Connection, name: str, seconds: float) -> bool:
        now = self._clock.now()
        until = iso(now + timedelta(seconds=seconds))
        row = connection.execute(sa.select(leases).where(leases.c.name == name)).first()
        if row is None:
            connection.execute(leases.insert().values(name=name, owner=self._owner, until=until))
            return True
        is_free = sa.or_(leases.c.owner == self._owner, leases.c.until <= iso(now))
        changed = connection.execute(
            leases.update()
            .where(leases.c.name == name, is_free)
            .values(owner=self._owner, until=until)
        )
        return changed.rowcount == 1

    async def release(self, name: str) -> None:
        """Let a lease go, if it is ours."""
        await self._store.awrite(
            lambda c: c.execute(
                leases.delete().where(leases.c.name == name, leases.c.owner == self._owner)
            )
        )

    async def last_heard(self, channel: str, chat_id: str) -> datetime | None:
        """Return when somebody last wrote in a chat; None where nobody ever did."""
        query = sa.select(sa.func.max(inbox.c.received_at)).where(
            inbox.c.channel == channel, inbox.c.chat_id == chat_id
        )
        newest = await self._store.aread(lambda c: c.execute(query).scalar())
        return parse_iso(newest) if newest else None

    async def undelivered(self, channel: str, message_id: str, *, why: str, is_late: bool) -> None:
        """Write down that a message which the platform took did not arrive."""
        await self._store.awrite(lambda c: self._undelivered(c, channel, message_id, why, is_late))

    def _undelivered(
        self, connection: Connection, channel: str, message_id: str, why: str, is_late: bool
    ) -> None:
        row = connection.execute(
            sa.select(outbox).where(
                outbox.c.channel == channel,
                outbox.c.sent_id == message_id,
                outbox.c.state == "sent",
            )
        ).first()
        if row is None:
            return
        again = {"state": "pending", "sent_id": None, "not_before": iso(self._clock.now())}
        values = again if is_late else {"state": "refused"}
        connection.execute(
            outbox.update().where(outbox.c.id == row.id).values(error=why[:500], **values)
        )
        shared_bell.ring(connection, shared_bell.WORDS)
        if row.ask_id is None and row.card != "waiting":
            return
        which = asks.c.id == row.ask_id if row.ask_id else asks.c.order_id == row.order_id
        # What did not arrive was not asked.
        connection.execute(asks.update().where(which, asks.c.state == "open").values(shown_at=None))

    async def note(self, channel: str, account: str, *, is_well: bool, detail: str) -> None:
        """Write down how a channel fares."""
        await self._store.awrite(lambda c: self._note(c, channel, account, is_well, detail))

    def _note(
        self, connection: Connection, channel: str, account: str, is_well: bool, detail: str
    ) -> None:
        now = iso(self._clock.now())
        values = {
            "account": account,
            "state": "well" if is_well else "broken",
            "detail": detail,
            "at": now,
        }
        if is_well:
            values["well_at"] = now
        key = channel_health.c.channel == channel
        if connection.execute(channel_health.update().where(key).values(**values)).rowcount == 0:
            connection.execute(channel_health.insert().values(channel=channel, **values))
