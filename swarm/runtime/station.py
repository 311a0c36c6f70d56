"""What channels ask of the company: leases, so that one listens alone, and how they fare."""

import uuid
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.store.database import Store
from swarm.store.tables import channel_health, leases


class DatabaseStation:
    """Keep leases and states in the company's database."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._owner = uuid.uuid4().hex

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
