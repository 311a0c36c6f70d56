"""A role at work on one task: think, act, look at the result, until there is a deliverable."""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from swarm.agents.hands import Hands
from swarm.agents.mind import Mind, Question, assistant_message
from swarm.agents.protocol import ToolProtocol, protocol_for
from swarm.agents.turns import Turn
from swarm.core.chat import Completion, Message, StopReason
from swarm.core.clock import Clock
from swarm.core.errors import BadAnswer, LimitExceeded
from swarm.core.text import slug
from swarm.ledger.approvals import SignatureRequest
from swarm.tools.base import AskPerson
from swarm.tools.workspace import write_text

MAX_FAULTS = 2
"""Unusable answers in a row that end a task: told once, then the step fails."""
MAX_REPEATS = 3
"""The same call with the same result this often is a loop."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far one attempt at a task may go."""

    steps: int
    """Model calls."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """The task has a result; `files` are paths in the workspace."""

    summary: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Blocked:
    """The task waits for a person: for an answer to `ask`, or for signatures.

    `node` and `seq` say where the answer belongs.
    """

    ask: AskPerson | None
    node: str
    seq: int
    asked_by: str
    requests: tuple[SignatureRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt came to nothing, for a reason a person can read."""

    reason: str


Outcome: TypeAlias = Done | Blocked | Failure


@dataclass
class _Progress:
    """What one attempt has seen so far."""

    messages: tuple[Message, ...]
    files: dict[str, None] = field(default_factory=dict)
    summary: str = ""
    faults: int = 0
    seen: Counter[str] = field(default_factory=Counter)


class Agent:
    """The step loop. It holds nothing between runs; a second run takes all from the books."""

    def __init__(
        self, *, mind: Mind, hands: Hands, limits: Limits, clock: Clock, is_in_words: bool = False
    ) -> None:
        """Take a mind and hands. With `is_in_words`, words are the result and no file is made."""
        self._mind = mind
        self._hands = hands
        self._limits = limits
        self._clock = clock
        self._is_in_words = is_in_words
        self._protocol: ToolProtocol = protocol_for(mind.capabilities, has_tools=bool(hands.specs))

    async def run(self, messages: tuple[Message, ...], *, title: str) -> Outcome:
        """Work from the first message to a result.

        Args:
            messages: The role's prompt and the assignment.
            title: Names the file where the model answers in words alone.

        Raises:
            LimitExceeded: Steps, time or a budget ran out.
            Transient, Refused, Cancelled: As `Metered.call`.
        """
        started = self._clock.monotonic()
        progress = _Progress(self._protocol.prepare(messages, self._hands.specs))
        for seq in range(self._limits.steps):
            if self._clock.monotonic() - started > self._limits.seconds:
                raise self._limit("time", self._limits.seconds, "s")
            outcome = await self._step(seq, progress, title)
            if outcome is not None:
                return outcome
        raise self._limit("steps", self._limits.steps, "steps")

    async def _step(self, seq: int, progress: _Progress, title: str) -> Outcome | None:
        try:
            question = self._protocol.question(progress.messages, self._hands.specs)
            completion = self._protocol.read(await self._think(seq, question))
        except BadAnswer as error:
            if error.kind not in ("malformed", "schema"):
                return Failure(str(error))
            return self._fault(progress, str(error), None)
        if completion.stop in (StopReason.REFUSAL, StopReason.CONTENT_FILTER):
            return Failure(f"the model refused the task: {completion.text[:200] or 'no reason'}")
        if completion.stop is StopReason.LENGTH and (self._hands.specs or not completion.text):
            # The calls of a cut answer may be half calls: none of them runs.
            told = "Your answer was cut off at the token limit; nothing of it was carried out. Work in smaller parts."
            return self._fault(progress, told, replace(completion, tool_calls=()))
        if completion.tool_calls:
            return await self._act(seq, progress, completion)
        if completion.text.strip():
            return await self._finish(progress, completion.text.strip(), title)
        return self._fault(
            progress, "Your answer was empty: call a tool or write the result.", None
        )

    async def _think(self, seq: int, question: Question) -> Completion:
        return await self._mind.think(seq, question)

    async def _act(self, seq: int, progress: _Progress, completion: Completion) -> Outcome | None:
        turn = await self._hands.act(seq, completion.tool_calls)
        if turn.blocked is not None or turn.requests:
            name = self._mind.role.name
            return Blocked(turn.blocked, turn.ask_node, seq, name, turn.requests)
        if turn.stopped:
            return Failure(f"stopped: {turn.stopped}")
        if turn.outcome_of_colleague is not None:
            waiting: Outcome = turn.outcome_of_colleague
            return waiting
        progress.messages = (
            *progress.messages,
            *self._protocol.write(assistant_message(completion), turn.results),
        )
        progress.files |= dict.fromkeys(turn.delivered)
        progress.summary = turn.summary or progress.summary
        if turn.has_fault:
            progress.faults += 1
            if progress.faults >= MAX_FAULTS:
                return Failure(
                    f"unusable tool calls twice in a row: {turn.results[-1].content[:300]}"
                )
        else:
            progress.faults = 0
        return self._loop(progress, turn)

    def _loop(self, progress: _Progress, turn: Turn) -> Failure | None:
        for result in turn.results:
            key = json.dumps([result.call.name, result.call.arguments, result.content])
            progress.seen[key] += 1
            if progress.seen[key] >= MAX_REPEATS:
                return Failure(
                    f"stopped in a loop: {result.call.name} gave the same result "
                    f"{MAX_REPEATS} times"
                )
        return None

    async def _finish(self, progress: _Progress, text: str, title: str) -> Done:
        """Take the model's words as the end; without a declared file they are the deliverable."""
        if not progress.files and not self._is_in_words:
            path = f"{self._mind.caller.task_id or 'result'}-{slug(title)}.md"
            await self._hands.label(path)
            write_text(self._hands.context.workspace, path, text + "\n")
            progress.files[path] = None
        return Done(summary=text, files=tuple(progress.files))

    def _fault(
        self, progress: _Progress, told: str, completion: Completion | None
    ) -> Failure | None:
        progress.faults += 1
        if progress.faults >= MAX_FAULTS:
            return Failure(f"no usable answer twice in a row: {told[:300]}")
        said = completion.text if completion and completion.text else "(no usable answer)"
        progress.messages = (
            *progress.messages,
            {"role": "assistant", "content": said},
            {"role": "user", "content": told},
        )
        return None

    def _limit(self, limit: str, value: float, unit: str) -> LimitExceeded:
        return LimitExceeded(
            f"{self._mind.role.name} did not finish within {value:g} {unit}. "
            f"`swarm resume {self._mind.order_id}` lets it try again.",
            limit=limit,
            value=value,
            unit=unit,
        )
