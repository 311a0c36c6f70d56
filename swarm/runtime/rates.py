"""Providers' limits, kept by all workers together: no stretch of time sees more calls begin.

A call passes twice. First it is given the moment at which it may begin, so that all wait in the order
in which they came. From there to the wire it takes a while, on a busy machine a long one, and a call
that went out late with the next ones in time would make the stretch between them too short. So it is
stamped where its first byte goes out, and the stamps alone keep the limit.
"""

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

MARGIN = 1.08
"""A stretch is taken so much longer: between the stamp and the provider lie a commit, a turn of the
event loop and the network, and of two calls the first may take longer there than the second."""
SENT = "sent to "
"""How the names of the gates begin at the wire; the provider's follows."""


class RateGate:
    """Give each call the moment at which it may begin, first come first served."""

    def __init__(self, store: Store, rates: Mapping[str, Rate]) -> None:
        self._store = store
        self._rates = dict(rates)

    def binds(self, model: str) -> bool:
        """Say whether calls of `provider/model` have a limit."""
        return _provider(model) in self._rates

    async def turn(self, model: str) -> None:
        """Wait for the turn of a call of `provider/model`, which has a limit."""
        provider = _provider(model)
        rate = self._rates[provider]
        wait_ms = await self._store.awrite(lambda c: self._reserve(c, provider, rate))
        await asyncio.sleep(wait_ms / 1000)

    async def pass_through(self, model: str) -> None:
        """Stamp a call that goes out now; where it may not yet, wait."""
        provider = _provider(model)
        rate = self._rates[provider]
        while True:
            # Whatever waits in line before the database would lie between stamp and wire.
            wait_ms = await self._store.awrite(
                lambda c: self._stamp(c, provider, rate), is_urgent=True
            )
            if wait_ms <= 0:
                return
            await asyncio.sleep(wait_ms / 1000)

    def _reserve(self, connection: Connection, provider: str, rate: Rate) -> int:
        """Note when the call begins and return how long that is from now, in milliseconds."""
        begins = _noted(connection, provider)
        now = self._now_ms(connection)
        begin = max(now, _earliest(begins, rate), begins[-1] if begins else 0)
        _note(connection, provider, begins, begin, rate)
        return begin - now

    def _stamp(self, connection: Connection, provider: str, rate: Rate) -> int:
        """Note that the call goes out, or return in how many milliseconds it may."""
        gate = SENT + provider
        stamps = _noted(connection, gate)
        now = self._now_ms(connection)
        # A clock that was set back holds nobody up for longer than one stretch.
        earliest = min(_earliest(stamps, rate), now + _stretch_ms(rate))
        if now < earliest:
            return earliest - now
        _note(connection, gate, stamps, now, rate)
        return 0

    def _now_ms(self, connection: Connection) -> int:
        # On SQLite one process works, and its own clock does.
        return round(time.time() * 1000) if self._store.is_sqlite else postgres.now_ms(connection)


def _provider(model: str) -> str:
    return model.partition("/")[0]


def _noted(connection: Connection, gate: str) -> list[int]:
    """Return the last moments of a gate, in milliseconds, and hold it until the commit."""
    row = connection.execute(_HELD, {"gate": gate}).first()
    found: list[int] = json.loads(row.begins) if row else []
    return found


def _earliest(moments: list[int], rate: Rate) -> int:
    """Return when the next call may follow these; 0 where any time will do."""
    if len(moments) < rate.calls:
        return 0
    return moments[-rate.calls] + _stretch_ms(rate)


def _stretch_ms(rate: Rate) -> int:
    return round(rate.period_s * 1000 * MARGIN)


def _note(connection: Connection, gate: str, moments: list[int], moment: int, rate: Rate) -> None:
    text = json.dumps([*moments, moment][-rate.calls :])
    if moments:
        connection.execute(_PUT, {"gate": gate, "text": text})
    else:
        connection.execute(rate_gates.insert().values(name=gate, begins=text))


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
