"""How many orders are begun at once: as many as there is time to compute for.

An order waits for its models nearly all the time, so many go on side by side. Where models answer
at once, or many hundred orders come in a minute, what is short is the time to compute: each order
more makes all of them slower and the company larger, and none is done sooner. Then an order that
was taken waits for its turn, first come, first served.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

TICK_S = 0.1
"""How often an order may be let in, in seconds."""
LEAST = 4
"""Orders that are worked however busy the loop is: one that hangs on a person's answer, or on a
slow model, must not keep all others waiting."""
AT_ONCE = 2
"""Orders let in at each tick beyond those: what they make of the loop is seen before more come."""
BUSY = 0.8
"""A loop that has something to do for this part of the time has no room for another order."""
SMOOTH = 0.3
"""How much the last tick counts in the average."""


class Admission:
    """Let orders in, by how busy their loop is."""

    def __init__(self, rested_s: Callable[[], float | None]) -> None:
        """Take what tells for how long the loop rested so far; where it tells None, all come in."""
        self._rested_s = rested_s
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._at_work = 0
        self._busy = 0.0
        self._is_needed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Return how many orders wait for their turn."""
        return len(self._waiting)

    def held(self, work: Callable[[str, int], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return work on a segment that begins when there is room.

        An order that goes on after a person's word is not kept waiting: it was let in before.
        """

        async def when_admitted(order_id: str, segment: int) -> None:
            self._is_needed.set()
            if segment == 0 and self._rested_s() is not None:
                await self._admitted()
            self._at_work += 1
            try:
                await work(order_id, segment)
            finally:
                self._at_work -= 1

        return when_admitted

    async def _admitted(self) -> None:
        if not self._waiting and self._at_work < LEAST:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    async def run(self) -> None:
        """Let in who waits, until cancelled."""
        loop = asyncio.get_running_loop()
        at, rested = loop.time(), self._rested_s()
        while rested is not None:
            if not self._at_work and not self._waiting:
                self._is_needed.clear()
                await self._is_needed.wait()
                at, rested, self._busy = loop.time(), self._rested_s() or 0.0, 0.0
            await asyncio.sleep(TICK_S)
            now, so_far = loop.time(), self._rested_s() or 0.0
            busy = 1 - (so_far - rested) / max(now - at, TICK_S)
            self._busy += SMOOTH * (busy - self._busy)
            at, rested = now, so_far
            room = LEAST - self._at_work
            if self._busy < BUSY:
                room = max(room, AT_ONCE)
            self._let_in(room)

    def _let_in(self, most: int) -> None:
        while most > 0 and self._waiting:
            turn = self._waiting.popleft()
            # One that was given up meanwhile takes no place.
            if not turn.done():
                turn.set_result(None)
                most -= 1
