"""Providers' limits, kept by all workers together: no stretch of time sees more calls begin."""

import asyncio
import json
import time
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.runtime.worker_config import Rate
from swarm.store import postgres
from swarm.store.database import Store
from swarm.store.tables import rate_gates

MARGIN = 1.05
"""A stretch is taken a twentieth longer: calls arrive not quite as they were sent."""


class RateGate:
    """Give each call the moment at which it may begin, first come first served."""

    def __init__(self, store: Store, rates: Mapping[str, Rate]) -> None:
        self._store = store
        self._rates = dict(rates)

    async def turn(self, model: str) -> None:
        """Wait for the turn of a call of `provider/model`."""
        provider = model.partition("/")[0]
        rate = self._rates.get(provider)
        if rate is None:
            return
        wait_ms = await self._store.awrite(lambda c: self._reserve(c, provider, rate))
        await asyncio.sleep(wait_ms / 1000)

    def _reserve(self, connection: Connection, provider: str, rate: Rate) -> int:
        """Note when the call begins and return how long that is from now, in milliseconds."""
        row = connection.execute(_HELD, {"gate": provider}).first()
        begins: list[int] = json.loads(row.begins) if row else []
        now = self._now_ms(connection)
        begin = now
        if len(begins) >= rate.calls:
            earliest = begins[-rate.calls] + round(rate.period_s * 1000 * MARGIN)
            begin = max(now, earliest, begins[-1])
        text = json.dumps([*begins, begin][-rate.calls :])
        if row is None:
            connection.execute(rate_gates.insert().values(name=provider, begins=text))
        else:
            connection.execute(_PUT, {"gate": provider, "text": text})
        return begin - now

    def _now_ms(self, connection: Connection) -> int:
        # On SQLite one process works, and its own clock does.
        return round(time.time() * 1000) if self._store.is_sqlite else postgres.now_ms(connection)


_HELD = (
    sa.select(rate_gates.c.begins)
    .where(rate_gates.c.name == sa.bindparam("gate"))
    .with_for_update()
)
_PUT = (
    rate_gates.update()
    .where(rate_gates.c.name == sa.bindparam("gate"))
    .values(begins=sa.bindparam("text"))
)
