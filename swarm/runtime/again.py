"""Begin work again that the database went away under: nobody else is to blame, and nothing is lost."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from swarm.core.errors import Unavailable

log = structlog.get_logger("swarm.work")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


async def until_stored(run: Callable[[], Awaitable[None]]) -> None:
    """Run work that bears repetition until the database stayed to its end.

    Most of what work stores waits for the database by itself. What cannot, such as a look into the
    memory amid a step, must not end an order: all that was asked and done is on the books.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await run()
        except Unavailable as error:
            log.warning("work begins again once the database is back", reason=str(error)[:200])
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
