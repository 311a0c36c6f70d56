"""Follow a replay whose words come in the middle of the work, or over a channel."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.core.clock import parse_iso
from swarm.core.errors import SwarmError
from swarm.evals.cassette import Cassette, Entry
from swarm.evals.cues import CuedPause, Cues
from swarm.evals.phone import Phone
from swarm.evals.serving import Counter
from swarm.evals.stage import ReplayClock
from swarm.evals.words import MIDWAY, answer_with
from swarm.ledger.book import FAILED, USED
from swarm.llm.cassette import NOTHING, Miss, RecordedCall
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import asks, ledger

LOOK_S = 0.004
STUCK_S = 120.0
"""How long an order may stay without a halt; nothing in a replay waits for anybody."""
LATE_S = 5.0
"""How long what a cancelled order had begun may take to its end."""


class Follower:
    """Say each recorded word when it is due, in the order in which they were said."""

    def __init__(self, cassette: Cassette, clock: ReplayClock) -> None:
        self._cassette = cassette
        self._clock = clock
        self._order_id: str = cassette.manifest.order["id"]
        self._heard = cassette.lane("inbound")
        words = cassette.lane("founder")
        has_sent = any(entry.get("sent_id") for entry in cassette.lane("message"))
        self._is_served = cassette.manifest.customer is not None
        is_midway = any(word["act"] in MIDWAY for word in words)
        self.is_needed = bool(self._heard or has_sent or is_midway or self._is_served)
        """Whether there is anything that a replay with words at halts alone would get wrong."""
        timed = [w for w in words if w["at"] is not None] if self.is_needed else []
        calls = cassette.lane("model") if self.is_needed else []
        self._cues = Cues([*timed, *self._heard], calls)
        self._untimed = [w["act"] for w in words if w["at"] is None] if self.is_needed else []
        self._phone: Phone | None = None
        self._wanted = len(calls)
        self.misses: list[Miss] = []

    @property
    def leftover(self) -> list[str]:
        """Return the words that were never said."""
        named = [
            f"{word['lane']}: {word.get('act') or word.get('outcome')}" for word in self._cues.left
        ]
        return [*named, *(f"founder: {act}" for act in self._untimed)]

    def make_pause(self, store: Store) -> CuedPause:
        """Return the company's stop button."""
        return CuedPause(store, self._cues)

    async def gate(self, call: RecordedCall) -> None:
        """Hold an answer back until the words were said that came before it."""
        await self._cues.before_answer(call.lane)

    async def hold(self, place: str) -> None:
        """Hold a tool call back that came to nothing, until every word was said."""
        await self._cues.before_effect(place)

    def place(self, app: App, place: Callable[[], None]) -> None:
        """Let the order come in: as it was heard, or as `place` has it where it was not."""
        has_sent = any(entry.get("sent_id") for entry in self._cassette.lane("message"))
        if self._heard or has_sent or self._is_served:
            self._phone = Phone(app, self._cassette, self._clock)
            self._phone.introduce()
        if not self._is_served:
            self._take_in(place)
            return
        counter = Counter(app, self._cassette)
        counter.open()
        self._take_in(place, waited=counter.place)
        counter.give()

    def _take_in(
        self, place: Callable[[], None], *, waited: Callable[[], Miss | None] | None = None
    ) -> None:
        """Let the order come in; `waited` takes what had waited for another answer."""
        order = self._cassette.manifest.order
        is_heard = bool(self._heard) and self._heard[0]["update_id"] == order["update_id"]
        if not is_heard and waited is None:
            place()
            return
        if not is_heard:
            assert waited is not None
            self._note(waited())
        else:
            assert self._phone is not None
            self._note(self._phone.hear(self._heard[0]))
            self._cues.said()
        if self.misses:
            # Not taken as it was heard: what differs is told of an order that is there.
            place()

    async def follow(self, app: App, is_lost: Callable[[], bool]) -> None:
        """See the order through.

        Args:
            app: At work.
            is_lost: Says that the replay went another way, and the rest means nothing.
        """
        async with asyncio.timeout(STUCK_S):
            while not (is_lost() or self.misses):
                status = app.documents.status(self._order_id)
                answered = await app.store.aread(self._answered)
                word = self._cues.due(answered, is_halted=not status.is_moving)
                if word is not None:
                    await asyncio.to_thread(self._act, app, word)
                    self._cues.said()
                    await app.pause.refresh()
                elif not status.is_moving:
                    break
                else:
                    await asyncio.sleep(LOOK_S)
        self._cues.give_up()
        await self._settled(app, is_lost)

    def _act(self, app: App, word: Entry) -> None:
        """Say one word; what was sent before it arrived before it."""
        if self._phone is not None:
            self._phone.deliver()
        if word["lane"] == "inbound":
            assert self._phone is not None
            self._note(self._phone.hear(word))
            return
        self._clock.set_base(parse_iso(word["at"]))
        try:
            self._note(self._say(app, word))
        except SwarmError as error:
            lane = f"founder {word['act']}"
            self._note(Miss(lane, 0, lane, "act", word["act"], f"refused: {error}"))

    def _note(self, miss: Miss | None) -> None:
        if miss is not None:
            self.misses.append(miss)

    def _say(self, app: App, word: Entry) -> Miss | None:
        office, act, by = app.office, word["act"], word.get("by") or "founder"
        if act == "rework":
            office.reject(self._order_id, word["reason"], by=by)
        elif act == "accept":
            office.accept(self._order_id, by=by, sign=word["sign"] or "")
        elif act == "resume":
            office.resume(self._order_id)
        elif act == "cancel":
            office.cancel(self._order_id, by=by)
        elif act == "budget":
            limit = word.get("limit")
            office.set_budget(self._order_id, Decimal(limit) if limit else None)
        elif act == "pause":
            app.store.write(lambda c: app.pause.press(c, by=by))
        elif act == "unpause":
            app.store.write(app.pause.release)
        else:
            return self._answer(app, word)
        return None

    def _answer(self, app: App, word: Entry) -> Miss | None:
        """Answer the ask that a word was said on; it was shown before."""
        is_it = (asks.c.kind == word["act"], asks.c.node == word["node"], asks.c.seq == word["seq"])
        query = sa.select(asks).where(asks.c.order_id == self._order_id, asks.c.state == "open")
        row = app.store.read(lambda c: c.execute(query.where(*is_it)).first())
        if row is None:
            lane = f"{self._order_id} {word['node']} {word['seq']}"
            return Miss(lane, 0, "", word["act"], str(word["answer"]), NOTHING)
        app.office.inbox(self._order_id)
        answer_with(app.office, row, word)
        return None

    def _answered(self, connection: Connection) -> int:
        return int(_ANSWERED.scalar(connection, {"of_order": self._order_id}) or 0)

    async def _settled(self, app: App, is_lost: Callable[[], bool]) -> None:
        """Let what was under way when the order was cancelled come to its end."""
        deadline = asyncio.get_running_loop().time() + LATE_S
        while not (is_lost() or self.misses):
            is_booked = await app.store.aread(self._answered) >= self._wanted
            if is_booked and not app.company.meter.is_working:
                break
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(LOOK_S)
        if self._phone is not None:
            await asyncio.to_thread(self._phone.deliver)


def open_asks(connection: Connection, order_id: str) -> list[Any]:
    """Return what an order waits for, in the order in which it was asked."""
    return list(_OPEN.all(connection, {"of_order": order_id}))


# Written once: building a statement costs more than running it.
_ORDER: sa.BindParameter[str] = sa.bindparam("of_order")
_ANSWERED = Prepared(
    sa.select(sa.func.count(ledger.c.id)).where(
        ledger.c.order_id == _ORDER, ledger.c.state.in_((USED, FAILED))
    )
)
_OPEN = Prepared(
    sa.select(asks)
    .where(asks.c.order_id == _ORDER, asks.c.state == "open")
    .order_by(asks.c.created_at, asks.c.node, asks.c.seq)
)
