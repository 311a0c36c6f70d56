"""Say what a replay came to, and let a person walk through one."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from swarm.cli.terminal import say
from swarm.cli.wording import cost
from swarm.core.document import CostDocument
from swarm.core.errors import InvalidInput
from swarm.core.registry import nearest
from swarm.evals.cassette import Cassette, Provenance
from swarm.evals.replaying import Replay
from swarm.evals.repricing import Repriced
from swarm.llm.cassette import Miss, RecordedCall, Watch

MOST_SHOWN = 20
"""Differences that are said in words; `--json` has all."""
WORDS_SHOWN = 2_000
"""Characters of one message that a walk shows."""


def say_played(path: Path, played: Replay, provenance: Provenance) -> None:
    """Say in a line how a replay came out, and below it what differs."""
    paper = played.document.receipt
    total = CostDocument.model_validate(paper.model_cost)
    verdicts = {"same": "the same", "differs": "NOT THE SAME", "stopped": "stopped"}
    with_faults = f", {played.faults} faults put in" if played.faults else ""
    # Where it was stopped, its state is that of an order whose model fell silent.
    state = f"is {played.status}" if played.stopped_before is None else "was going on"
    where = f" before {played.stopped_before}" if played.stopped_before else ""
    say(
        f"{path.name}: {verdicts[played.verdict]}{where}; order {played.order} {state}, "
        f"{played.calls} model calls{with_faults}, {cost(total, calls=paper.calls)}; "
        f"answers {provenance.kind}{f' by {provenance.by}' if provenance.by else ''}"
    )
    if not played.is_same:
        say_differences(played)


def say_differences(played: Replay) -> None:
    """Say where a replay went another way than its recording."""
    if played.status != played.recorded_status and not played.is_stopped:
        say(f"  it ended {played.status}, recorded {played.recorded_status}")
    for miss in played.misses[:MOST_SHOWN]:
        for line in miss_lines(miss):
            say(f"  {line}")
    if len(played.misses) > MOST_SHOWN:
        say(f"  and {len(played.misses) - MOST_SHOWN} differences more; --json has all")
    if played.unused_faults:
        say(f"  faults of --faults that met no call: {played.unused_faults}")
    if played.is_stopped:
        return
    for lane in played.leftover[:MOST_SHOWN]:
        say(f"  recorded and never asked for: {lane}")
    if len(played.leftover) > MOST_SHOWN:
        say(f"  and {len(played.leftover) - MOST_SHOWN} recordings more were never asked for")


def miss_lines(miss: Miss) -> list[str]:
    """Write one difference with both of its sides."""
    lines = [f"not as recorded: {miss.lane}" + (f", at {miss.path}" if miss.path else "")]
    if miss.nearest and miss.nearest != miss.lane:
        lines.append(f"  nearest recording: {miss.nearest}")
    return [*lines, f"  recorded: {miss.expected}", f"  now:      {miss.got}"]


def say_repriced(path: Path, found: Repriced) -> None:
    """Say both totals, and those of each model."""
    say(f"{path.name}: {_costs(found.recorded)} as recorded, {_costs(found.repriced)} then")
    for model, sides in found.by_model.items():
        if len(found.by_model) > 1:
            say(f"  {model}: {_costs(sides['recorded'])}, then {_costs(sides['repriced'])}")
    for model in found.unpriced:
        say(f"  {model} has no price there for all that was used: the total is a lower bound")


def _costs(costs: list[CostDocument]) -> str:
    return " and ".join(cost(one) for one in costs) or "nothing"


class Walk:
    """Show the calls of an order one by one, or stop before one of them."""

    def __init__(self, cassette: Cassette, *, until: str | None, is_stepped: bool) -> None:
        """Take where to stop.

        Args:
            cassette: What is walked.
            until: So many calls, or the place of the first one that is not made: `t1/0.0/w0`.
            is_stepped: Show each call and wait for Enter.

        Raises:
            InvalidInput: No call of the recording stands there.
        """
        lanes = [entry["lane_of"].partition(" ")[2] for entry in cassette.lane("model")]
        self._most: int | None = None
        self._place = ""
        self._is_stepped = is_stepped
        if until is None:
            return
        if until.isascii() and until.isdigit() and len(until) < 7:
            self._most = int(until)
        elif any(lane.startswith(until) for lane in lanes) and until:
            self._place = until
        else:
            raise InvalidInput(
                f"--until {until[:80]!r}: no call stands there; write a number of calls or a place"
                f"{nearest(until, lanes)}"
            )

    async def __call__(self, call: RecordedCall, number: int) -> bool:
        """See a call before it is served; False stops there."""
        place = call.lane.partition(" ")[2]
        if self._most is not None and number > self._most:
            return False
        if self._place and place.startswith(self._place):
            return False
        if not self._is_stepped:
            return True
        say(f"\n[{number}] {place}, asked {call.request.get('model')}")
        for line in _request_lines(call.request):
            say(line)
        for line in _answer_lines(call):
            say(line)
        say("Enter: the next call; q: stop here.")
        word = await asyncio.to_thread(_line)
        return word is not None and word.strip().lower() not in ("q", "quit")


def watch_of(cassette: Cassette, *, until: str | None, is_stepped: bool) -> Watch | None:
    """Return what watches a replay; None where nobody does."""
    if until is None and not is_stepped:
        return None
    return Walk(cassette, until=until, is_stepped=is_stepped)


def _line() -> str | None:
    """Read a line; None at the end of what there is to read."""
    return (sys.stdin.readline() or None) if sys.stdin is not None else None


def _request_lines(request: dict[str, Any]) -> list[str]:
    lines = []
    for message in request.get("messages") or ():
        content = message.get("content")
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        lines += _said(f"  {message.get('role')}", "" if content is None else text)
        lines += _tool_lines(message.get("tool_calls"))
    if tools := [tool.get("name") for tool in request.get("tools") or ()]:
        lines.append(f"  may use: {', '.join(map(str, tools))}")
    if request.get("schema_name"):
        lines.append(f"  must answer as: {request['schema_name']}")
    return lines


def _answer_lines(call: RecordedCall) -> list[str]:
    if call.body is None:
        return [f"  -> failed: {call.error_kind}: {call.error_text}"]
    lines = [f"  -> {call.model}, {call.latency_s:.2f} s"]
    for choice in call.body.get("choices") or ():
        message = choice.get("message") or {}
        lines += _said("  ->", str(message.get("content") or ""))
        lines += _tool_lines(message.get("tool_calls"))
    return lines


def _tool_lines(calls: Any) -> list[str]:
    functions = [call.get("function") or {} for call in calls or ()]
    return [
        line
        for function in functions
        for line in _said(f"  calls {function.get('name')}", str(function.get("arguments")))
    ]


def _said(who: str, text: str) -> list[str]:
    cut = text if len(text) <= WORDS_SHOWN else f"{text[:WORDS_SHOWN]}… ({len(text)} characters)"
    first, *others = cut.splitlines() or [""]
    return [f"{who}: {first}", *(f"      {line}" for line in others)] if text else []
