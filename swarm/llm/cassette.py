"""Answers from a recording: the same question in the same place, or a loud refusal."""

import asyncio
import difflib
import json
import operator
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.errors import BadAnswer, ModelError, Refused, Transient
from swarm.core.lane import LANE
from swarm.core.usage import Usage
from swarm.llm.answers import reported_cost
from swarm.llm.base import LLM, Capabilities

MISS = "cassette_miss"
"""The kind of the error for a question that was not recorded."""
STOPPED = "replay_stopped"
"""The kind of the error that ends a replay where a person stopped it."""
NOTHING = "(nothing)"
SHOWN = 160
"""Characters of each side that a miss shows."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One attempt at a model call, as it went."""

    lane: str
    """`<order> <node> <seq>`; the attempts of one call share it, in their order."""
    key: str
    """Names the whole request; see `digest` of `CassetteLLM`."""
    request: dict[str, Any]
    """The request as it can be read."""
    model: str
    """Who answered."""
    ended_at: datetime
    latency_s: float
    body: dict[str, Any] | None = None
    """None where the attempt failed."""
    usage: Mapping[str, int] | None = None
    raw_usage: dict[str, Any] = field(default_factory=dict)
    error_kind: str = ""
    error_text: str = ""
    is_billed_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """A question, or a call, that the recording does not hold as it was put."""

    lane: str
    index: int
    """Which attempt of its lane, from 0."""
    nearest: str
    """Lane of the recording that is most like it; empty where there is none."""
    path: str
    """Where the two first differ, as `messages[1].content`."""
    expected: str
    got: str


Watch: TypeAlias = Callable[[RecordedCall, int], Awaitable[bool]]
"""See a call and its number before it is served; False stops the replay."""


Gate: TypeAlias = Callable[[RecordedCall], Awaitable[None]]
"""Return once a recorded answer may come."""


class CassetteLLM:
    """Serve recorded answers by lane, each once, to exactly the request they were given to."""

    def __init__(
        self,
        calls: Iterable[RecordedCall],
        *,
        capabilities: Mapping[str, Capabilities],
        digest: Callable[[ModelRequest], str],
        readable: Callable[[ModelRequest], dict[str, Any]],
        pass_time: Callable[[datetime], None],
        pass_for: Callable[[float], None] = lambda seconds: None,
        is_plainly: Callable[[dict[str, Any], ModelRequest], bool] = lambda recorded, request: (
            False
        ),
        matches: Callable[[dict[str, Any], dict[str, Any]], bool] = operator.eq,
        faults: Mapping[int, Sequence[ModelError]] = MappingProxyType({}),
        watch: Watch | None = None,
        live: LLM | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Take a recording.

        Args:
            calls: In the order in which they ended.
            capabilities: What each recorded model could do.
            digest: Names a request; equal only for equal requests.
            readable: Writes a request as it is recorded, to say where two differ.
            pass_time: Told when an answer came, in the task that asked.
            pass_for: Told how many seconds a live answer took.
            is_plainly: Says of most recorded requests that they are the one that is put, without
                writing it down; of the others `matches` says it.
            matches: Says whether a recorded request, as it can be read, is the one that is put.
            faults: Raised before the recorded calls of these numbers, counted from 1.
            watch: Sees each call before it is served, and may stop the replay there.
            live: Answers what the recording does not hold; without it that is a miss.
            gate: Holds each recorded answer back until it may come.
        """
        self.misses: list[Miss] = []
        self.served = 0
        self.asked_live = 0
        self.replaced: list[Miss] = []
        """What was asked live, since the recording had it otherwise."""
        self.is_stopped = False
        self._all = list(calls)
        self._lanes: dict[str, deque[RecordedCall]] = defaultdict(deque)
        self._faults: dict[int, deque[ModelError]] = {}
        for number, call in enumerate(self._all, start=1):
            self._lanes[call.lane].append(call)
            if number in faults:
                self._faults[id(call)] = deque(faults[number])
        self._taken: dict[str, int] = defaultdict(int)
        self._pass_for = pass_for
        self._is_plainly = is_plainly
        self._matches = matches
        self._watch = watch
        self._live = live
        self._gate = gate
        self._turn = asyncio.Lock()
        self._capabilities = capabilities
        self._digest = digest
        self._readable = readable
        self._pass_time = pass_time

    @property
    def leftover(self) -> list[str]:
        """Lanes of recordings that nobody asked for, one entry for each."""
        return [call.lane for lane in self._lanes.values() for call in lane]

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Return, or raise, what was recorded for this request in this lane.

        Raises:
            Refused: `MISS`: the request is not the recorded one; the miss is in `misses`.
            ModelError: The recorded attempt failed so.
        """
        await asyncio.sleep(0)  # A model call lets others run, a recorded one too.
        lane = LANE.get()
        queue = self._lanes[lane]
        index = self._taken[lane]
        miss = self._difference(lane, index, request, queue)
        if miss is not None:
            if self._live is not None:
                return await self._ask_live(miss, queue, request, timeout_s, idle_timeout_s)
            self.misses.append(miss)
            raise Refused(f"not recorded: {miss.lane}: {miss.path} differs", kind=MISS)
        call = queue[0]
        if faults := self._faults.get(id(call)):
            raise faults.popleft()
        await self._show(call)
        if self._gate is not None:
            await self._gate(call)
        queue.popleft()
        self._taken[lane] += 1
        self.served += 1
        self._pass_time(call.ended_at)
        if call.body is None:
            raise error_of(call)
        return RawAnswer(
            body=call.body,
            model=call.model,
            usage=None if call.usage is None else Usage(**call.usage),
            latency_s=call.latency_s,
            reported_cost=reported_cost(call.raw_usage),
            raw_usage=call.raw_usage,
        )

    @property
    def unused_faults(self) -> int:
        """Count the faults that no call met."""
        return sum(len(faults) for faults in self._faults.values())

    async def _show(self, call: RecordedCall) -> None:
        """Let whoever watches look at a call, one at a time, and stop there."""
        if self._watch is None:
            return
        async with self._turn:
            if self.is_stopped or not await self._watch(call, self.served + 1):
                self.is_stopped = True
                raise Refused("stopped here, as asked", kind=STOPPED)

    async def _ask_live(
        self,
        miss: Miss,
        queue: deque[RecordedCall],
        request: ModelRequest,
        timeout_s: float,
        idle_timeout_s: float,
    ) -> RawAnswer:
        """Ask the live model, in the place of what was recorded there."""
        assert self._live is not None
        self.replaced.append(miss)
        if queue:
            queue.popleft()
        self._taken[miss.lane] += 1
        self.asked_live += 1
        answer = await self._live.complete(
            request, timeout_s=timeout_s, idle_timeout_s=idle_timeout_s
        )
        self._pass_for(answer.latency_s)
        return answer

    def capabilities(self, model: str) -> Capabilities:
        """Say what the recorded model could do."""
        known = self._capabilities.get(model)
        if known is None and self._live is not None:
            return self._live.capabilities(model)
        if known is None:
            self.misses.append(Miss("", 0, "", "model", ", ".join(self._capabilities), model))
            raise Refused(f"not recorded: no call to the model {model!r}", kind=MISS)
        return known

    async def close(self) -> None:
        """Do nothing: what is live belongs to whoever gave it."""

    def _difference(
        self, lane: str, index: int, request: ModelRequest, queue: deque[RecordedCall]
    ) -> Miss | None:
        """Return how a request differs from the next recorded one of its lane; None if it is it."""
        if queue and queue[0].key == self._digest(request):
            # What can be read of a recording must say the same as its key, or it says nothing.
            if self._is_plainly(queue[0].request, request):
                return None
            got = self._readable(request)
            if self._matches(queue[0].request, got):
                return None
            return difference(lane, index, queue[0].request, got, nearest=queue[0].lane)
        got = self._readable(request)
        rest = list(queue)[:1] or self._same_place(lane)
        nearest = min(rest, key=lambda call: _distance(call.request, got), default=None)
        if nearest is None:
            return Miss(lane, index, "", "", NOTHING, shown(got))
        found = difference(lane, index, nearest.request, got, nearest=nearest.lane)
        return found or Miss(lane, index, nearest.lane, "key", "(another request)", "(this one)")

    def _same_place(self, lane: str) -> list[RecordedCall]:
        """Return what was recorded for the node, else for the order, else everything."""
        order, _, rest = lane.partition(" ")
        node = rest.rpartition(" ")[0]
        for prefix in (f"{order} {node} ", f"{order} "):
            if found := [call for call in self._all if call.lane.startswith(prefix)]:
                return found
        return self._all


_TRANSIENT = ("rate_limited", "overloaded", "server_error", "timeout", "unreachable", "cut")
_BAD = ("malformed", "content_filter", "adapter")


def error_of(call: RecordedCall) -> ModelError:
    """Return the error that a failed attempt ended with."""
    if call.error_kind in _TRANSIENT:
        return Transient(
            call.error_text, kind=call.error_kind, is_billed_unknown=call.is_billed_unknown
        )
    if call.error_kind in _BAD:
        return BadAnswer(call.error_text, kind=call.error_kind)
    return Refused(call.error_text, kind=call.error_kind or "unknown")


_NOTHING = object()


def first_difference(expected: Any, got: Any, path: str = "") -> tuple[str, Any, Any]:
    """Return where two documents first differ, and what stands there on each side.

    Two long texts are cut to the surroundings of their first differing character.
    """
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted({*expected, *got}):
            one, other = expected.get(key, _NOTHING), got.get(key, _NOTHING)
            if one != other:
                return first_difference(one, other, f"{path}.{key}" if path else key)
    if isinstance(expected, list) and isinstance(got, list):
        for place in range(max(len(expected), len(got))):
            one = expected[place] if place < len(expected) else _NOTHING
            other = got[place] if place < len(got) else _NOTHING
            if one != other:
                return first_difference(one, other, f"{path}[{place}]")
    if isinstance(expected, str) and isinstance(got, str):
        pairs = enumerate(zip(expected, got, strict=False))
        at = next((n for n, (a, b) in pairs if a != b), min(len(expected), len(got)))
        start = max(at - SHOWN // 4, 0)
        lead = "…" if start else ""
        return path, lead + expected[start:], lead + got[start:]
    return path, expected, got


def difference(
    lane: str, index: int, expected: Any, got: Any, *, nearest: str | None = None
) -> Miss | None:
    """Return where two documents of one place first differ, or None where they do not."""
    if expected == got:
        return None
    path, one, other = first_difference(expected, got)
    return Miss(lane, index, lane if nearest is None else nearest, path, shown(one), shown(other))


def shown(value: Any) -> str:
    """Return a value as a short text."""
    if value is _NOTHING:
        return NOTHING
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _distance(one: Any, other: Any) -> float:
    """Return how unlike two requests are, from 0 to 1."""
    a, b = (json.dumps(item, sort_keys=True, ensure_ascii=False)[-4000:] for item in (one, other))
    return 1 - difflib.SequenceMatcher(None, a, b, autojunk=True).quick_ratio()
