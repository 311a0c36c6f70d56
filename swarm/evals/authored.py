"""A model whose answers a person wrote down, in the order in which each place uses them.

A place is what a role does for an order: `frame`, `plan`, `deliver`, and for each task `t1 work`,
`t1 review` and `t1 help` (a colleague who was asked). All attempts at it share one list.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.errors import Refused, Transient
from swarm.core.lane import LANE
from swarm.core.usage import Usage
from swarm.evals.causal import CausalClock
from swarm.llm.base import Capabilities

MISSING = "not_authored"
"""The kind of the error for a question that nobody wrote an answer to."""
TOKENS_PER_S = 60.0
"""How fast an authored answer comes: about what a large model writes, in tokens a second."""
FIRST_TOKEN_S = 0.8

_FAULTS: Mapping[str, str] = {
    "429": "rate_limited",
    "503": "overloaded",
    "500": "server_error",
    "timeout": "timeout",
    "cut": "cut",
    "unreachable": "unreachable",
}


Fault: TypeAlias = Literal["429", "503", "500", "timeout", "cut", "unreachable", "garbage"]


class Call(BaseModel):
    """One tool call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)
    """A text is sent as it is, to show what a broken call does."""


class Turn(BaseModel):
    """One answer of a model; exactly one of the first six."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: dict[str, Any] | None = None
    """A decision: the JSON that the schema asks for."""
    say: str | None = None
    """Words."""
    call: str | None = None
    """One tool, with the arguments in `using`."""
    using: dict[str, Any] = Field(default_factory=dict)
    calls: tuple[Call, ...] | None = None
    """Several tools at once."""
    refuse: str | None = None
    """The words in which the model refuses."""
    fault: Fault | None = None
    """The provider fails instead; `garbage` is an answer that is none."""
    times: int = Field(default=1, ge=1, le=50)
    stop: Literal["stop", "length", "content_filter"] | None = None
    model: str | None = None
    """Who answers, where it is not the model that was asked."""
    usage: dict[str, int] | Literal["none"] | None = None
    """As the provider reports it; by default counted from the texts, four signs to a token."""

    @model_validator(mode="after")
    def _is_one(self) -> "Turn":
        names = ("document", "say", "call", "calls", "refuse", "fault")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of {', '.join(names)} for each answer; here: {given or 'none'}")
        if self.using and self.call is None:
            raise ValueError("`using` goes with `call`")
        return self


def place_of(node: str) -> str:
    """Return the place of a node of an order: `t1/0.0/w1` is `t1 work`."""
    head, *rest = node.split("/")
    if head in ("frame", "plan", "deliver"):
        return head
    if len(rest) < 2:
        return node
    if len(rest) > 2:
        return f"{head} help"
    return f"{head} {'review' if rest[1].startswith('r') else 'work'}"


class AuthoredLLM:
    """Answer by order and place; every answer is used once, and one that is missing is a miss."""

    def __init__(
        self,
        answers: Mapping[str, Mapping[str, Iterable[Turn]]],
        *,
        clock: CausalClock,
        before: Callable[[str, str], Any] | None = None,
    ) -> None:
        """Take the answers.

        Args:
            answers: By order id and place.
            clock: Goes on by what each answer takes.
            before: Awaited with order and place before each answer; it may let the process die.
        """
        self.misses: list[str] = []
        self.served = 0
        self._clock = clock
        self._before = before
        self._left: dict[tuple[str, str], list[Turn]] = defaultdict(list)
        for order_id, places in answers.items():
            for place, turns in places.items():
                self._left[order_id, place] += [
                    turn for given in turns for turn in [given] * given.times
                ]

    @property
    def leftover(self) -> list[str]:
        """Places of answers that nobody asked for, one entry for each."""
        return [f"{order} {place}" for (order, place), left in self._left.items() for _ in left]

    def skip(self, order_id: str, node: str) -> None:
        """Take the next answer of a node as given: it is on the books already."""
        left = self._left[order_id, place_of(node)]
        if left:
            left.pop(0)

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Give the next answer of the place that asks.

        Raises:
            Refused: `MISSING`: nobody wrote one.
            Transient: The turn is a fault.
        """
        order_id, _, rest = LANE.get().partition(" ")
        place = place_of(rest.rpartition(" ")[0])
        if self._before is not None:
            await self._before(order_id, place)
        left = self._left[order_id, place]
        if not left:
            asked = request.schema_name or "a step"
            miss = f"{order_id} {place}: no answer left for {asked}"
            self.misses.append(miss)
            raise Refused(f"not authored: {miss}", kind=MISSING)
        turn = left.pop(0)
        self.served += 1
        return self._answer(turn, request)

    def capabilities(self, model: str) -> Capabilities:
        """Say what a strong model can do."""
        return Capabilities(native_tools=True, native_schema=True, max_output_tokens=4096)

    async def close(self) -> None:
        """Do nothing: there is nothing open."""

    def _answer(self, turn: Turn, request: ModelRequest) -> RawAnswer:
        if turn.fault is not None and turn.fault in _FAULTS:
            self._clock.pass_time(LANE.get(), FIRST_TOKEN_S)
            raise Transient(
                f"the provider failed ({turn.fault})",
                kind=_FAULTS[turn.fault],
                is_billed_unknown=turn.fault == "cut",
            )
        message = _message(turn)
        usage = _usage(turn, request, message)
        written = usage.get("completion_tokens", 0) if usage else 0
        latency_s = round(FIRST_TOKEN_S + written / TOKENS_PER_S, 3)
        self._clock.pass_time(LANE.get(), latency_s)
        if request.schema_name == "plan" and turn.document:
            self._clock.learn_plan(LANE.get(), _needs(turn.document))
        model = turn.model or request.model
        stop = turn.stop or ("tool_calls" if "tool_calls" in message else "stop")
        choice = {"index": 0, "message": message, "finish_reason": stop}
        body: dict[str, Any] = {
            "object": "chat.completion",
            "model": model,
            "choices": [] if turn.fault else [choice],
        }
        if usage:
            body["usage"] = usage
        return RawAnswer(
            body=body,
            model=model,
            usage=_buckets(usage) if usage else None,
            latency_s=latency_s,
            raw_usage=usage,
        )


def _needs(plan: Mapping[str, Any]) -> list[list[int]]:
    """Return which earlier tasks each task of a plan builds on; nothing where it says nonsense."""
    tasks = plan.get("tasks")
    found = []
    for task in tasks if isinstance(tasks, list) else []:
        earlier = task.get("depends_on") if isinstance(task, dict) else None
        numbers = earlier if isinstance(earlier, list) else []
        found.append([number for number in numbers if isinstance(number, int)])
    return found


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.say}
    if turn.document is not None:
        message["content"] = json.dumps(turn.document, ensure_ascii=False)
    if turn.refuse is not None:
        message["refusal"] = turn.refuse
    calls = turn.calls or ((Call(tool=turn.call, arguments=turn.using),) if turn.call else ())
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": call.tool, "arguments": _arguments(call)},
            }
            for number, call in enumerate(calls)
        ]
    return message


def _arguments(call: Call) -> str:
    given = call.arguments
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _usage(turn: Turn, request: ModelRequest, message: dict[str, Any]) -> dict[str, int]:
    if turn.usage == "none":
        return {}
    if isinstance(turn.usage, dict):
        return dict(turn.usage)
    asked = json.dumps(
        [request.messages, request.schema, [spec.parameters for spec in request.tools]],
        ensure_ascii=False,
    )
    read, written = len(asked) // 4 + 1, len(json.dumps(message, ensure_ascii=False)) // 4 + 1
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def _buckets(usage: Mapping[str, int]) -> Usage:
    return Usage(
        input_tokens=int(usage.get("prompt_tokens", 0)),
        output_tokens=int(usage.get("completion_tokens", 0)),
    )
