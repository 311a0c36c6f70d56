"""One role's way to its tools: policy first, then the effect, then the books."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swarm.core.chat import ToolCall, ToolSpec
from swarm.core.errors import ToolError
from swarm.core.registry import nearest
from swarm.core.role import Role
from swarm.ledger.book import Caller, CallKey
from swarm.ledger.effects import EffectBook, EffectRecord
from swarm.tools.base import (
    AskPerson,
    Handoff,
    Tool,
    ToolContext,
    check_arguments,
    spec,
)
from swarm.tools.policy import Decision, decide

Delegation = Callable[[Handoff, str], Awaitable[Any]]
"""Give a sub-task to a colleague under a node name; returns an agent outcome."""

ANSWER = "The founder answered: {answer}"


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one call came to, as the model reads it."""

    call: ToolCall
    content: str
    is_fault: bool
    delivered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What the calls of one step came to; with `blocked` set, the later calls were not made."""

    results: tuple[CallResult, ...] = ()
    blocked: AskPerson | None = None
    ask_node: str = ""
    """Names the question among those of the order; its answer comes back under it."""
    outcome_of_colleague: Any = None
    """An outcome that ends this task too: the colleague waits for a person."""

    @property
    def delivered(self) -> tuple[str, ...]:
        """Paths declared deliverables."""
        return tuple(path for result in self.results for path in result.delivered)

    @property
    def has_fault(self) -> bool:
        """True where the model must mend a call."""
        return any(result.is_fault for result in self.results)

    @property
    def summary(self) -> str:
        """Words of the last delivery, or nothing."""
        return next((r.content for r in reversed(self.results) if r.delivered), "")


class Hands:
    """Carry out the tool calls of one role at one node, each at most once."""

    def __init__(
        self,
        *,
        role: Role,
        tools: Mapping[str, Tool],
        context: ToolContext,
        order_id: str,
        node: str,
        caller: Caller,
        effects: EffectBook,
        answers: Mapping[tuple[str, int], str],
        delegate: Delegation,
        default_answer: str | None = None,
    ) -> None:
        """Take what a role may use and know.

        `default_answer` stands in for the founder where nobody may be asked.
        """
        self.context = context
        self._role = role
        self._tools = tools
        self._order_id = order_id
        self._node = node
        self._caller = caller
        self._effects = effects
        self._answers = answers
        self._delegate = delegate
        self._default_answer = default_answer
        self.specs: tuple[ToolSpec, ...] = tuple(spec(tool) for tool in tools.values())
        self._recorded: dict[tuple[int, int], EffectRecord] | None = None

    async def act(self, seq: int, calls: tuple[ToolCall, ...]) -> Turn:
        """Carry out the calls of step `seq` in their order.

        Raises:
            Cancelled: Another worker took the task over.
        """
        if self._recorded is None:
            self._recorded = await self._effects.of_node(self._order_id, self._node)
        results: list[CallResult] = []
        fresh: list[EffectRecord] = []
        turn: Turn | None = None
        for position, call in enumerate(calls):
            known = self._recorded.get((seq, position))
            if known is not None:
                results.append(_replayed(call, known))
                continue
            done = await self._one(seq, position, call)
            if isinstance(done, Turn):
                turn = done
                break
            results.append(done[0])
            fresh.append(done[1])
        if fresh:
            await self._effects.write(CallKey(self._order_id, self._node, seq), fresh, self._caller)
        if turn is not None:
            return turn
        return Turn(results=tuple(results))

    async def _one(
        self, seq: int, position: int, call: ToolCall
    ) -> "tuple[CallResult, EffectRecord] | Turn":
        tool = self._tools.get(call.name)
        if tool is None:
            told = f"there is no tool {call.name!r}{nearest(call.name, self._tools)}"
            return self._booked(position, call, told, "deny", "unknown tool", is_fault=True)
        verdict = decide(tool.name, tool.effect, role=self._role)
        if verdict.decision is not Decision.ALLOW:
            told = f"not allowed: {verdict.rule}"
            return self._booked(
                position, call, told, verdict.decision.value, verdict.rule, is_fault=True
            )
        try:
            raw = await tool.run(check_arguments(tool, call.arguments), self.context)
        except ToolError as error:
            return self._booked(position, call, str(error), "allow", verdict.rule, is_fault=True)
        if isinstance(raw, AskPerson):
            ask_node = f"{self._node}#{position}"
            answer = self._answers.get((ask_node, seq))
            if answer is None and self._default_answer is None:
                return Turn(blocked=raw, ask_node=ask_node)
            told = str(self._default_answer) if answer is None else ANSWER.format(answer=answer)
            return self._booked(position, call, told, "allow", verdict.rule)
        if isinstance(raw, Handoff):
            outcome = await self._delegate(raw, f"{self._node}/d{seq}.{position}")
            if not isinstance(outcome, str):
                return Turn(outcome_of_colleague=outcome)
            return self._booked(position, call, outcome, "allow", verdict.rule)
        return self._booked(
            position,
            call,
            raw.content,
            "allow",
            verdict.rule,
            is_fault=raw.is_error,
            delivered=raw.delivered,
        )

    def _booked(
        self,
        position: int,
        call: ToolCall,
        content: str,
        decision: str,
        rule: str,
        *,
        is_fault: bool = False,
        delivered: tuple[str, ...] = (),
    ) -> tuple[CallResult, EffectRecord]:
        result = CallResult(call, content, is_fault, delivered)
        stored = json.dumps(
            {"content": content, "is_fault": is_fault, "delivered": list(delivered)},
            ensure_ascii=False,
        )
        return result, EffectRecord(position, call.name, call.arguments, decision, rule, stored)


def _replayed(call: ToolCall, record: EffectRecord) -> CallResult:
    stored = json.loads(record.result)
    return CallResult(call, stored["content"], stored["is_fault"], tuple(stored["delivered"]))
