"""Whether anybody may have written to the database since one last looked there.

Much of what a process does follows from what other processes wrote: there is a message to send, an
order to show. Whoever looks for that again and again is busy all day for nothing. So looks are tied
to news: of a SQLite file the system tells of each commit (`doorman_watch`), of a Postgres the bell
does (`shared_bell`). While there is news, one looks as often as ever; while there is none, not at
all, save once in a while in case a word of it was lost.
"""

import asyncio
from contextlib import suppress

LONGEST_S = 60.0
"""After how long one looks where no news came, in seconds."""


class News:
    """Count what was told. For one event loop."""

    def __init__(self) -> None:
        self.number = 0
        """How often there was news. Note it before a look: what comes meanwhile is news after it."""
        self.is_told = False
        """Whether somebody tells; where nobody does, a look is due whenever its time has come."""
        self._changed = asyncio.Event()

    def tell(self) -> None:
        """Say that somebody may have written something."""
        self.number += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until_due(
        self,
        *,
        seen: int | None,
        poll_s: float,
        wake: asyncio.Event | None = None,
        longest_s: float = LONGEST_S,
    ) -> None:
        """Wait until it is worth looking again.

        Args:
            seen: How often there was news before the last look, where that look left nothing to
                come back for; with None the next one is due after `poll_s`, news or none.
            poll_s: Between two looks, at least.
            wake: Ends the wait at once.
            longest_s: The wait where no news comes, at most.
        """
        due = asyncio.create_task(self._due(seen, poll_s, longest_s))
        waits = {due} if wake is None else {due, asyncio.create_task(_set(wake))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _due(self, seen: int | None, poll_s: float, longest_s: float) -> None:
        await asyncio.sleep(poll_s)
        if seen is None or not self.is_told:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(longest_s - poll_s, 0.0)):
                while self.number == seen:
                    await self._changed.wait()


async def _set(event: asyncio.Event) -> None:
    await event.wait()
