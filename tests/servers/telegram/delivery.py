"""Updates on their way to a bot: what waits, long polling, and disorder on demand."""

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.servers.telegram.refusals import HAS_WEBHOOK, SECOND_POLLER, SET_WEBHOOK, Refusal
from tests.servers.telegram.world import Document, Pulse

FIRST_UPDATE_ID = 510_000_001
MAX_BATCH = 100
NOT_BY_DEFAULT = ("chat_member", "message_reaction", "message_reaction_count")


@dataclass(slots=True)
class Waiting:
    """One update that the bot has not confirmed."""

    id: int
    document: Document
    copies: int = 1
    """How often it is handed out before a confirmation ends it."""
    deliveries: int = 0


@dataclass(slots=True)
class Disorder:
    """Delivers each update several times and in any order, but never loses one."""

    rng: random.Random
    copies: int


class Deliveries:
    """The updates of one bot."""

    def __init__(self) -> None:
        self.waiting: dict[int, Waiting] = {}
        self.created: dict[int, Document] = {}
        """Every update there ever was."""
        self.confirmed: set[int] = set()
        self.allowed: list[str] = []
        self.webhook: Any = None
        self.disorder: Disorder | None = None
        self.order: Callable[[list[Waiting]], list[Waiting]] | None = None
        """Chooses what of the waiting updates comes next, and in which order; what it leaves out
        waits on, whatever the bot confirms."""
        self.pulse = Pulse()
        self.polls = 0
        self.handed_out: list[int] = []
        """Ids in the order of their deliveries, repetitions too."""
        self._last: list[Waiting] = []
        """What the last poll got."""
        self._ids: Iterator[int] = itertools.count(FIRST_UPDATE_ID)
        self._poll: asyncio.Future[Refusal] | None = None
        self._poll_pulse = Pulse()

    @property
    def is_polled(self) -> bool:
        """Whether a long poll hangs now."""
        return self._poll is not None

    def is_wanted(self, kind: str) -> bool:
        """Tell whether the bot asked for updates of a kind."""
        return kind in self.allowed if self.allowed else kind not in NOT_BY_DEFAULT

    def add(self, kind: str, content: Document) -> int | None:
        """Queue an update and return its id; None where the bot didn't ask for the kind.

        Its content is kept as it is now: later edits don't change what was reported.
        """
        number = next(self._ids)
        if not self.is_wanted(kind):
            return None
        document = json.loads(json.dumps({"update_id": number, kind: content}))
        self.created[number] = document
        disorder = self.disorder
        copies = disorder.rng.randint(1, disorder.copies) if disorder else 1
        self.waiting[number] = Waiting(number, document, copies)
        self.pulse.beat()
        return number

    def again(self, number: int, copies: int = 1) -> None:
        """Hand out an update once more, confirmed or not."""
        kept = self.waiting.get(number)
        if kept is not None:
            kept.copies += copies
        else:
            self.waiting[number] = Waiting(number, self.created[number], copies)
        self.pulse.beat()

    def confirm(self, offset: int) -> None:
        """Forget the updates below `offset`; a negative one keeps that many of the newest."""
        if offset < 0:
            newest = sorted(self.waiting)[offset:]
            offset = newest[0] if newest else 0
        for number in [n for n in self.waiting if n < offset]:
            self._finish(self.waiting[number])

    def _finish(self, update: Waiting) -> None:
        # Out of order, a confirmation covers ids that were never handed out; those must still come.
        is_odd = self.disorder is not None or self.order is not None
        if is_odd or update.copies > 1:
            if update.deliveries < update.copies:
                return
        elif update.id in self.confirmed and update.deliveries == 0:
            return
        del self.waiting[update.id]
        self.confirmed.add(update.id)
        self.pulse.beat()

    def delivered(self, update: Waiting) -> None:
        """Record that an update reached the bot and was taken, as a webhook takes it."""
        update.deliveries += 1
        self.handed_out.append(update.id)
        self.confirmed.add(update.id)
        if update.deliveries >= update.copies:
            self.waiting.pop(update.id, None)
        self.pulse.beat()

    def ready(self) -> list[Waiting]:
        """Return what waits, in the order in which it is to come."""
        ready = sorted(self.waiting.values(), key=lambda u: u.id)
        if self.order is not None:
            return self.order(ready)
        if self.disorder is not None:
            self.disorder.rng.shuffle(ready)
        return ready

    def batch(self, limit: int) -> list[Document]:
        """Return what a poll gets now."""
        ready = self.ready()
        if self.disorder is not None and ready:
            ready = ready[: self.disorder.rng.randint(1, len(ready))]
        ready = ready[:limit]
        for update in ready:
            update.deliveries += 1
            self.handed_out.append(update.id)
        self._last = ready
        return [update.document for update in ready]

    async def poll(
        self, *, offset: int, limit: int, timeout_s: float, gone: asyncio.Event
    ) -> list[Document]:
        """Answer one `getUpdates`.

        Raises:
            Refusal: A webhook is set, or another poll took over while this one waited.
        """
        if self.webhook is not None:
            raise HAS_WEBHOOK
        self.end_poll(SECOND_POLLER)
        self.polls += 1
        self._take_back(offset)
        if offset:
            self.confirm(offset)
        if self.ready() or timeout_s <= 0:
            return self.batch(limit)
        return await self._hang(limit, timeout_s, gone)

    async def _hang(self, limit: int, timeout_s: float, gone: asyncio.Event) -> list[Document]:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Refusal] = loop.create_future()
        self._poll = ended
        self._poll_pulse.beat()
        left = loop.create_task(gone.wait())
        deadline = loop.time() + timeout_s
        try:
            while not self.ready() and not left.done():
                woken = self.pulse.next()
                waits: set[asyncio.Future[Any]] = {woken, left, ended}
                rest = max(deadline - loop.time(), 0)
                await asyncio.wait(waits, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                if ended.done():
                    raise ended.result()
                if loop.time() >= deadline:
                    break
            # Nobody is there to take them: they stay for the next poll.
            return [] if left.done() else self.batch(limit)
        finally:
            left.cancel()
            if self._poll is ended:
                self._poll = None
            self._poll_pulse.beat()

    def _take_back(self, offset: int) -> None:
        """Count the last answer as never given where the bot begins from the start.

        Whoever got it was killed. In order that makes no difference: what was not confirmed comes
        again. Out of order, the next one's confirmation of later ids would cover it.
        """
        if self.disorder is not None and not offset:
            for update in self._last:
                update.deliveries -= 1
        self._last = []

    def end_poll(self, reason: Refusal = SET_WEBHOOK) -> None:
        """End the poll that hangs, if one does."""
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(reason)
            self._poll = None

    async def listened(self, polls: int = 1) -> None:
        """Wait until a poll hangs, the given one in number or a later one."""
        while self._poll is None or self.polls < polls:
            await self._poll_pulse.wait()

    async def deserted(self) -> None:
        """Wait until no poll hangs."""
        while self._poll is not None:
            await self._poll_pulse.wait()

    async def drained(self) -> None:
        """Wait until every update was confirmed."""
        while self.waiting:
            await self.pulse.wait()
