"""When each word of a person is due in a replay, where it may come in the middle of the work.

A recorded word came at a moment: some calls had been answered by then, some were under way, some
had not begun. A replay repeats just that. Calls that began later are held back before they are on
the books; calls that were under way are asked and wait for their answers; and the word is said once
everything earlier is done.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from swarm.core.clock import parse_iso
from swarm.core.lane import LANE
from swarm.evals.lanes import Entry
from swarm.runtime.pausing import Pause
from swarm.store.database import Store


@dataclass(frozen=True, slots=True)
class _Span:
    """One recorded attempt at a model call."""

    started_at: datetime
    ended_at: datetime


class Cues:
    """The words of a recording in their order, and the calls that wait for them."""

    def __init__(self, words: Iterable[Entry], calls: Sequence[Entry]) -> None:
        """Take the words, each with its moment in `at`, and the lane of model calls."""
        self._words = deque(sorted(words, key=lambda word: parse_iso(word["at"])))
        self._spans: dict[str, deque[_Span]] = defaultdict(deque)
        for call in calls:
            span = _Span(parse_iso(call["started_at"]), parse_iso(call["ended_at"]))
            self._spans[call["lane_of"]].append(span)
        self._all = [span for lane in self._spans.values() for span in lane]
        self._unborn: set[str] = set()
        """Lanes that are held back before their call is on the books."""
        self._asked: set[str] = set()
        """Lanes that were asked, and wait for their answer."""
        self._moved = asyncio.Event()
        self._is_over = False

    @property
    def left(self) -> list[Entry]:
        """Return the words that were not said yet."""
        return list(self._words)

    def due(self, answered: int, *, is_halted: bool) -> Entry | None:
        """Return the word that is to be said now; None where something earlier is still to come.

        Args:
            answered: How many calls are on the books with their ends.
            is_halted: Whether the order stands still.
        """
        if not self._words:
            return None
        at = parse_iso(self._words[0]["at"])
        if answered < sum(span.ended_at <= at for span in self._all):
            return None
        if is_halted:
            return self._words[0]
        under_way = {
            lane
            for lane, spans in self._spans.items()
            if any(span.started_at <= at < span.ended_at for span in spans)
        }
        is_waited_for = bool(self._asked or self._unborn)
        held = self._asked | self._unborn
        return self._words[0] if is_waited_for and under_way <= held else None

    def said(self) -> None:
        """Let what waited for the first word go on."""
        self._words.popleft()
        self._move()

    def give_up(self) -> None:
        """Hold nothing any more: the replay went another way."""
        self._is_over = True
        self._move()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def before_call(self) -> None:
        """Wait as long as a word is due that came before the next call of this lane began."""
        lane = LANE.get()
        spans = self._spans[lane]
        await self._wait(lane, self._unborn, lambda at: not spans or spans[0].started_at > at)

    async def before_answer(self, lane: str) -> None:
        """Wait as long as a word is due that came before the next answer of a lane."""
        spans = self._spans[lane]
        await self._wait(lane, self._asked, lambda at: bool(spans) and spans[0].ended_at > at)
        if spans:
            spans.popleft()

    async def before_effect(self, place: str) -> None:
        """Wait until all words were said: what a tool came to here was never on the books."""
        await self._wait(place, self._unborn, lambda at: True)

    async def _wait(self, lane: str, held: set[str], is_later: Callable[[datetime], bool]) -> None:
        try:
            while self._words and not self._is_over and is_later(parse_iso(self._words[0]["at"])):
                held.add(lane)
                await self._moved.wait()
        finally:
            held.discard(lane)


class CuedPause(Pause):
    """The stop button, which a replay also presses to hold calls back until a word was said."""

    def __init__(self, store: Store, cues: Cues) -> None:
        """Take the company's button, and what is due."""
        super().__init__(store)
        self._cues = cues

    async def until_open(self) -> None:
        """Wait as long as the company is paused, or a word comes before this call."""
        if LANE.get():
            await self._cues.before_call()
        await super().until_open()
