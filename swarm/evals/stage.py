"""What stands in for the world while a recorded order is played again."""

import asyncio
import base64
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from swarm.core.clock import parse_iso
from swarm.core.errors import Refused
from swarm.core.ids import ALPHABET
from swarm.core.lane import LANE
from swarm.core.mark import Mark
from swarm.core.order import Baseline, OrderStatus, Plan
from swarm.core.origin import Origin
from swarm.core.role import MCP_PREFIX
from swarm.evals.cassette import Cassette, Entry
from swarm.evals.spoken import line_of
from swarm.ledger.baseline.frozen import BaselineBook
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.rates import HourlyRate
from swarm.llm.cassette import MISS, Miss, RecordedCall, shown
from swarm.memory.base import Viewer
from swarm.runtime.recalling import Remembered
from swarm.tools.base import Arguments, Effect, Tool, ToolContext, ToolResult

_LIVE_READS = ("recall",)
"""Tools that only read, and yet answer by what the company knew on the day."""


class ReplayClock:
    """The recording's clock: time goes on where an answer comes or the founder speaks.

    Each task of the company has its own time, that of its last answer, so that roles side by side
    read the same moments in every replay, whoever is first.
    """

    def __init__(self, start: datetime) -> None:
        self._base = start
        self._time: ContextVar[datetime | None] = ContextVar("swarm_replay_time", default=None)
        self._ticks = 0

    def now(self) -> datetime:
        """Return the moment of the last thing that this task saw happen."""
        return self._time.get() or self._base

    def monotonic(self) -> float:
        """Return seconds since the recording began."""
        return asyncio.get_running_loop().time()

    def pass_time(self, moment: datetime) -> None:
        """Let an answer have come, for the task that asked."""
        self._time.set(moment)

    def pass_for(self, seconds: float) -> None:
        """Let time go on for the task that asked."""
        self._time.set(self.now() + timedelta(seconds=seconds))

    def set_base(self, moment: datetime) -> None:
        """Let the founder speak, while nobody works."""
        self._base = max(self._base, moment)


class ReplayIds:
    """Identifiers in one order in every replay; the order's own is the recorded one."""

    def __init__(
        self, order_id: str, asks: Mapping[str, str] | None = None, *, handover: str = ""
    ) -> None:
        """Take the order's id, and those of what it asked people, by `<node> <seq>`.

        `handover` is that of the hand-over of a customer, which an order has once.
        """
        self._handover = handover
        self._order_id = order_id
        self._asks = asks or {}
        self._counts: dict[str, int] = defaultdict(int)

    def new(self, prefix: str) -> str:
        """Return the recorded identifier of an ask, else the next one of its kind."""
        place = LANE.get().removeprefix(f"{self._order_id} ")
        if prefix == "q" and place in self._asks:
            return self._asks[place]
        if prefix == "h" and self._handover:
            return self._handover
        number = self._counts[prefix]
        self._counts[prefix] += 1
        if prefix == "o" and number == 0:
            return self._order_id
        signs = ""
        for _ in range(7):
            number, sign = divmod(number, len(ALPHABET))
            signs = ALPHABET[sign] + signs
        return prefix + signs

    def nonce(self) -> str:
        """Return the next nonce: nobody can answer a replayed request from outside."""
        self._counts["nonce"] += 1
        return f"{self._counts['nonce']:032x}"


def recorded_calls(cassette: Cassette) -> list[RecordedCall]:
    """Return the model lane."""
    calls = []
    for entry in cassette.lane("model"):
        error = entry.get("error") or {}
        calls.append(
            RecordedCall(
                lane=line_of(entry),
                key=entry["key"],
                request=entry["request"],
                model=entry["model"],
                ended_at=parse_iso(entry["ended_at"]),
                latency_s=float(entry["latency_s"]),
                body=entry.get("answer"),
                usage=entry.get("usage"),
                raw_usage=entry.get("raw_usage") or {},
                error_kind=str(error.get("kind") or ""),
                error_text=str(error.get("text") or ""),
                is_billed_unknown=bool(error.get("is_owed")),
            )
        )
    return calls


class RecordedMemory:
    """Bring into prompts what was brought into them when the order was recorded."""

    def __init__(self, cassette: Cassette) -> None:
        self._by_node: dict[str, Entry] = {e["node"]: e for e in cassette.lane("recall")}

    async def recall(
        self, query: str, viewer: Viewer, *, language: str | None, but_of: str, node: str
    ) -> Remembered:
        """Return what was recalled for a node; nothing where nothing was."""
        entry = self._by_node.get(node)
        if entry is None:
            return Remembered()
        mark = Mark(
            origins=tuple(Origin(o) for o in entry["origins"]), is_private=bool(entry["ids"])
        )
        return Remembered(tuple(entry["lines"]), tuple(entry["ids"]), mark)


class RecordedBaselines:
    """Freeze for each plan the baseline that was frozen for it when the order was recorded.

    What the company had learnt from its other orders by then is in no cassette.
    """

    def __init__(self, book: BaselineBook, cassette: Cassette) -> None:
        self._book = book
        self._bodies = deque(entry["body"] for entry in cassette.lane("baseline"))

    @property
    def rate(self) -> HourlyRate:
        """Return what an hour of the compared people costs."""
        return self._book.rate

    def history(self, connection: Connection) -> History:
        """Return that nothing was learnt: the recorded baselines hold it already."""
        return History()

    def estimate(self, plan: Plan, **told: Any) -> Baseline:
        """Return the recorded baseline of the next plan; a new one where none is left."""
        if self._bodies:
            return Baseline.model_validate(self._bodies.popleft())
        return self._book.estimate(plan, **told)

    def freeze(self, connection: Connection, baseline: Baseline, **told: Any) -> int:
        """Write a baseline as the book does."""
        return self._book.freeze(connection, baseline, **told)


class RecordedTools:
    """Answer calls of tools that reach outside, and of commands, from the recording."""

    def __init__(self, cassette: Cassette) -> None:
        self.misses: list[Miss] = []
        self.hold: Callable[[str], Awaitable[None]] | None = None
        """Returns once every word was said; what is never answered waits for that."""
        self._is_cancelled = cassette.manifest.status == OrderStatus.CANCELLED.value
        self._order_id = cassette.manifest.order["id"]
        self._calls: dict[str, deque[Entry]] = defaultdict(deque)
        for entry in cassette.lane("tool"):
            self._calls[_place(entry)].append(entry)
        self._changes: dict[str, list[Entry]] = defaultdict(list)
        for entry in cassette.lane("change"):
            self._changes[_place(entry)].append(entry)

    def wrap(self, tool: Tool) -> Tool:
        """Return the tool itself where it is the company's own doing, else its stand-in."""
        is_own = tool.effect in (Effect.READ, Effect.WRITE_WORKSPACE)
        if is_own and tool.name not in _LIVE_READS and not tool.name.startswith(MCP_PREFIX):
            return tool
        stand_in: Any = _StandIn(tool, self)
        checked: Tool = stand_in
        return checked

    async def is_lost(self, place: str) -> bool:
        """Say whether a call was under way when its order was cancelled, by waiting for that."""
        if self._calls.get(place) or self.hold is None or not self._is_cancelled:
            return False
        await self.hold(place)
        return True

    def wrap_foreign(self, tool: Tool) -> Tool:
        """Return the tool itself, unless it lives on a server that a replay does not start."""
        return self.wrap(tool) if tool.name.startswith(MCP_PREFIX) else tool

    def answer(self, tool: str, args: Arguments, context: ToolContext) -> ToolResult:
        """Return what a call came to when it was recorded, with the files it changed.

        Raises:
            Refused: `MISS`: no such call was recorded in this place.
        """
        queue = self._calls.get(context.place)
        entry = queue[0] if queue else None
        if entry is None or entry["tool"] != tool:
            self.misses.append(self._miss(tool, args, context, entry))
            raise Refused(f"not recorded: a call of {tool} at {context.place}", kind=MISS)
        for change in self._changes.get(context.place, ()):
            _apply(context.workspace, change)
        result = entry["result"]
        return ToolResult(
            result["content"],
            origin=Origin(result.get("origin", Origin.TEAM)),
            is_private=bool(result.get("is_private")),
            is_error=bool(result["is_fault"]),
            delivered=tuple(result.get("delivered", ())),
        )

    def _miss(self, tool: str, args: Arguments, context: ToolContext, entry: Entry | None) -> Miss:
        got = shown({"tool": tool, "arguments": args.model_dump(mode="json")})
        lane = f"{self._order_id} {context.place}"
        if entry is None:
            return Miss(lane, 0, "", "tool", "(nothing)", got)
        return Miss(lane, 0, lane, "tool", shown(str(entry["tool"])), got)


class _StandIn:
    """A tool that says of itself what the real one says, and is answered from a recording."""

    def __init__(self, tool: Tool, recorded: RecordedTools) -> None:
        self._tool = tool
        self._recorded = recorded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)

    async def run(self, args: Arguments, context: ToolContext) -> ToolResult:
        """Return what was recorded; what a cancelled order was at, and lost, comes to nothing."""
        if await self._recorded.is_lost(context.place):
            return ToolResult("", is_error=True)
        return self._recorded.answer(self._tool.name, args, context)


def _place(entry: Entry) -> str:
    return f"{entry['node']} {entry['seq']} {entry['position']}"


def content_of(entry: Mapping[str, Any]) -> bytes | None:
    """Return the content of a recorded file; None where it is only named."""
    if "text" in entry:
        return str(entry["text"]).encode()
    return base64.b64decode(entry["base64"]) if "base64" in entry else None


def _apply(workspace: Path, change: Entry) -> None:
    """Leave a file as a command left it. The path was checked when the cassette was read."""
    target = workspace / change["path"]
    if any(parent.is_symlink() for parent in (target, *target.parents) if parent != workspace):
        raise Refused(f"{change['path']}: goes through a link", kind=MISS)
    data = content_of(change)
    if change.get("sha256") is None:
        target.unlink(missing_ok=True)
    elif data is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def readable_effect(entry: Mapping[str, Any]) -> Entry:
    """Return a tool call as two of them are compared, from a row or a cassette's line."""
    result = entry["result"]
    return {
        **{name: entry[name] for name in ("tool", "decision", "rule", "state", "arguments")},
        "result": json.loads(result) if isinstance(result, str) else result,
    }
