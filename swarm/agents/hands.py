"""One role's way to its tools: policy first, then the effect, then the books."""

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from swarm.agents.turns import CallResult, Delegation, Turn
from swarm.agents.words import Words
from swarm.core.chat import ToolCall, ToolSpec
from swarm.core.errors import ToolError
from swarm.core.mark import CLEAN, Mark
from swarm.core.origin import Origin
from swarm.core.registry import nearest
from swarm.core.role import Role
from swarm.ledger.approvals import Approval, SignatureRequest
from swarm.ledger.book import CallKey
from swarm.ledger.effects import (
    HANDED,
    HANDING,
    STARTED,
    UNKNOWN,
    Actor,
    EffectBook,
    EffectRecord,
    NodeBook,
    NotSigned,
)
from swarm.ledger.labels import LabelBook
from swarm.tools.action import Place, canonical_action, digest, show
from swarm.tools.base import (
    EVERY_FILE,
    Arguments,
    AskPerson,
    Effect,
    Handoff,
    Tool,
    ToolContext,
    ToolResult,
    check_arguments,
    destinations,
    files_read,
    files_written,
    is_repeatable,
    spec,
)
from swarm.tools.changes import keep, look
from swarm.tools.policy import Decision, PolicyConfig, Situation, Verdict, decide
from swarm.tools.workspace import facts

ANSWER = "The founder answered: {answer}"
REFUSED = "The founder refused this: {reason}. Find another way, or say that it was not done."
LOST = (
    "The machine stopped while this ran: nobody knows whether it happened, so it is not done "
    "again. Say so in your summary."
)
NO_MORE = "not possible: this order has had its {limit} hand-overs. Do it yourself."


def _random_nonce() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Rules:
    """What people decided about tools, and where the signs of trust are kept."""

    policy: PolicyConfig
    labels: LabelBook
    max_handoffs: int = 20
    """Sub-tasks of one order."""
    new_nonce: Callable[[], str] = _random_nonce


@dataclass(frozen=True, slots=True)
class _Call:
    """One checked call, ready to be decided and made."""

    at: int
    call: ToolCall
    tool: Tool
    args: Arguments


class Hands:
    """Carry out the tool calls of one role at one node, each at most once."""

    def __init__(
        self,
        *,
        role: Role,
        tools: Mapping[str, Tool],
        context: ToolContext,
        node: str,
        actor: Actor,
        effects: EffectBook,
        rules: Rules,
        answers: Mapping[tuple[str, int], str],
        delegate: Delegation,
        founder_words: str = "",
        mark: Mark = CLEAN,
        default_answer: str | None = None,
    ) -> None:
        """Take what a role may use and know.

        Args:
            role: Whose hands these are.
            tools: What may be offered to the model, by name.
            context: What tools are given; it names the order and the task.
            node: The lane of these calls in the books.
            actor: On whose behalf the calls are made.
            effects: The books.
            rules: What people decided.
            answers: The founder's answers, by the node and step of their question.
            delegate: Gives a sub-task away.
            founder_words: All that the founder wrote for this order.
            mark: What the task has read before it began.
            default_answer: Stands in for the founder's answer where nobody may be asked. It
                never stands in for a signature.
        """
        self.context = context
        self.mark = mark
        self.specs: tuple[ToolSpec, ...] = tuple(spec(tool) for tool in tools.values())
        self._role = role
        self._tools = tools
        self._node = node
        self._actor = actor
        self._effects = effects
        self._rules = rules
        self._answers = answers
        self._delegate = delegate
        self._words = Words(founder_words)
        self._default_answer = default_answer
        self._book: NodeBook | None = None
        self._refusals = 0

    async def act(self, seq: int, calls: tuple[ToolCall, ...]) -> Turn:
        """Carry out the calls of step `seq` in their order.

        Raises:
            Cancelled: Another worker took the task over.
        """
        if self._book is None:
            self._book = await self._effects.of_node(self.context.order_id, self._node)
        results: list[CallResult] = []
        fresh: list[EffectRecord] = []
        turn: Turn | None = None
        for position, call in enumerate(calls):
            done = await self._replayed(seq, position, call) or await self._one(seq, position, call)
            if isinstance(done, Turn):
                turn = done
                break
            result, record = done
            self._learn(result)
            results.append(result)
            if record is not None:
                fresh.append(record)
        if fresh:
            await self._effects.write(self._key(seq), fresh, self._actor)
        if turn is not None and turn.requests:
            more = await self._more_requests(seq, turn.requests[-1].position + 1, calls)
            return replace(turn, requests=(*turn.requests, *more))
        if turn is None and self._refusals >= self._rules.policy.refusals:
            turn = Turn(stopped=f"the founder refused {self._refusals} of its requests")
        return turn if turn is not None else Turn(results=tuple(results))

    async def label(self, path: str) -> None:
        """Label a file that the task is about to write without a tool."""
        await self._rules.labels.write(
            self.context.order_id, (path,), self.mark, source=self._source("words")
        )

    # What is on the books already.

    async def _replayed(
        self, seq: int, position: int, call: ToolCall
    ) -> "tuple[CallResult, None] | None":
        assert self._book is not None
        record = self._book.effects.get((seq, position))
        if record is None:
            return None
        if record.state == HANDING:
            return None  # The colleague's calls are on the books: going through them is free.
        if record.state == STARTED:
            lost, told = self._booked(position, call, LOST, Verdict(Decision.ALLOW, record.rule))
            await self._effects.finish(
                self._key(seq), replace(told, state=UNKNOWN, rule=record.rule), self._actor
            )
            return lost, None
        stored = json.loads(record.result)
        self._refusals += bool(stored.get("is_refused"))
        return (
            CallResult(
                call,
                stored["content"],
                stored["is_fault"],
                tuple(stored["delivered"]),
                Origin(stored.get("origin", Origin.TEAM)),
                stored.get("is_private", False),
            ),
            None,
        )

    def _learn(self, result: CallResult) -> None:
        """Let what was read mark the task, and remember strangers' words as such."""
        self.mark = self.mark.after(result.origin, is_private=result.is_private)
        if not result.origin.is_trusted:
            self._words.heard(result.content)

    # Deciding.

    async def _one(
        self, seq: int, position: int, call: ToolCall
    ) -> "tuple[CallResult, EffectRecord | None] | Turn":
        tool = self._tools.get(call.name)
        if tool is None:
            told = f"there is no tool {call.name!r}{nearest(call.name, self._tools)}"
            verdict = Verdict(Decision.DENY, "unknown tool")
            return self._booked(position, call, told, verdict, is_fault=True)
        try:
            wanted = _Call(position, call, tool, check_arguments(tool, call.arguments))
            verdict = await self._decide(wanted)
        except ToolError as error:
            verdict = Verdict(Decision.DENY, "the arguments do not fit")
            return self._booked(position, call, str(error), verdict, is_fault=True)
        if verdict.decision is Decision.DENY:
            told = f"not allowed: {verdict.rule}"
            return self._booked(position, call, told, verdict, is_fault=True)
        if verdict.decision is Decision.ASK:
            return await self._signed(seq, wanted, verdict)
        if is_repeatable(tool):
            return await self._make(seq, wanted, verdict)
        return await self._make_once(seq, wanted, verdict, None)

    async def _decide(self, wanted: _Call) -> Verdict:
        tool, args = wanted.tool, wanted.args
        if tool.effect is Effect.RUN:
            self.mark = self.mark.joined(await self._labels(files_read(tool, args)))
        is_outward = tool.effect in (Effect.NETWORK, Effect.MESSAGE, Effect.SPEND)
        situation = Situation(
            mark=self.mark,
            destinations=destinations(tool, args),
            standing=await self._effects.standing(self._role.name) if is_outward else (),
            is_look=is_repeatable(tool),
            is_founders_word=self._words.are_founders(args),
            carries_nothing_new=self._words.are_known(args),
        )
        return decide(
            tool.name,
            tool.effect,
            role=self._role,
            company=self._rules.policy,
            situation=situation,
        )

    # Signatures.

    async def _signed(
        self, seq: int, wanted: _Call, verdict: Verdict
    ) -> "tuple[CallResult, EffectRecord | None] | Turn":
        assert self._book is not None
        approval = self._book.approvals.get((seq, wanted.at))
        if approval is not None and approval.state == "refused":
            self._refusals += 1
            told = REFUSED.format(reason=approval.reason or "no reason given")
            return self._booked(wanted.at, wanted.call, told, verdict, is_refused=True)
        try:
            action = self._action(seq, wanted)
        except ToolError as error:
            return self._booked(wanted.at, wanted.call, str(error), verdict, is_fault=True)
        is_good = (
            approval is not None
            and approval.state == "signed"
            and digest(action, approval.nonce) == approval.digest
        )
        if approval is not None and is_good:
            try:
                return await self._make_once(seq, wanted, verdict, approval)
            except NotSigned:
                pass  # It ran out, or was taken back, since it was read.
        return Turn(requests=(self._request(seq, wanted, verdict, action),))

    async def _more_requests(
        self, seq: int, first: int, calls: tuple[ToolCall, ...]
    ) -> tuple[SignatureRequest, ...]:
        """Ask for the later signatures of a step along with the first: one look for the founder."""
        assert self._book is not None
        found: list[SignatureRequest] = []
        for position, call in list(enumerate(calls))[first:]:
            tool = self._tools.get(call.name)
            if tool is None or (seq, position) in self._book.approvals:
                continue
            try:
                wanted = _Call(position, call, tool, check_arguments(tool, call.arguments))
                verdict = await self._decide(wanted)
                if verdict.decision is Decision.ASK:
                    action = self._action(seq, wanted)
                    found.append(self._request(seq, wanted, verdict, action))
            except ToolError:
                continue  # It is told when its turn comes.
        return tuple(found)

    def _action(self, seq: int, wanted: _Call) -> str:
        """Return what would be signed: the call with the files it reads as they are now."""
        place = Place(
            order_id=self.context.order_id,
            task_id=self.context.task_id,
            role=self._role.name,
            node=self._node,
            seq=seq,
            position=wanted.at,
        )
        paths = [p for p in files_read(wanted.tool, wanted.args) if p != EVERY_FILE]
        inputs = {path: facts(self.context.workspace, path).sha256 for path in paths}
        return canonical_action(wanted.tool, wanted.args, place, inputs=inputs)

    def _request(self, seq: int, wanted: _Call, verdict: Verdict, action: str) -> SignatureRequest:
        nonce = self._rules.new_nonce()
        bound = digest(action, nonce)
        text = show(action, rule=verdict.rule, signed=bound)
        return SignatureRequest(self._node, seq, wanted.at, action, nonce, bound, text)

    # Doing.

    async def _make_once(
        self, seq: int, wanted: _Call, verdict: Verdict, approval: Approval | None
    ) -> "tuple[CallResult, None] | Turn":
        """Make a call that must not happen twice: on the books first, then in the world."""
        _, record = self._booked(wanted.at, wanted.call, "", verdict)
        await self._effects.begin(self._key(seq), record, self._actor, approval=approval)
        made = await self._make(seq, wanted, verdict)
        if isinstance(made, Turn):
            return made
        result, finished = made
        if finished is not None:
            finished = replace(finished, approval_id=approval.id if approval else None)
            await self._effects.finish(self._key(seq), finished, self._actor)
        return result, None

    async def _make(
        self, seq: int, wanted: _Call, verdict: Verdict
    ) -> "tuple[CallResult, EffectRecord | None] | Turn":
        at, call, tool, args = wanted.at, wanted.call, wanted.tool, wanted.args
        read = CLEAN
        try:
            read = await self._labels(files_read(tool, args))
            await self._rules.labels.write(
                self.context.order_id,
                files_written(tool, args),
                self.mark,
                source=self._source(tool.name),
            )
            place = f"{self._node} {seq} {at}"
            context = replace(self.context, origin=self.mark.origin, place=place)
            raw, changed = await _run(tool, args, context)
        except ToolError as error:
            # A refusal may quote the file that it is about.
            return self._booked(at, call, str(error), verdict, is_fault=True, mark=read)
        if isinstance(raw, AskPerson):
            return self._answered(seq, wanted, verdict, raw)
        if isinstance(raw, Handoff):
            return await self._handed(seq, wanted, verdict, raw)
        return self._booked(
            at,
            call,
            raw.content,
            verdict,
            is_fault=raw.is_error,
            delivered=raw.delivered,
            mark=read.after(raw.origin, is_private=raw.is_private),
            changed=changed,
        )

    def _answered(
        self, seq: int, wanted: _Call, verdict: Verdict, asked: AskPerson
    ) -> "tuple[CallResult, EffectRecord] | Turn":
        ask_node = f"{self._node}#{wanted.at}"
        answer = self._answers.get((ask_node, seq))
        if answer is None and self._default_answer is None:
            return Turn(blocked=asked, ask_node=ask_node)
        told = str(self._default_answer) if answer is None else ANSWER.format(answer=answer)
        return self._booked(wanted.at, wanted.call, told, verdict)

    async def _handed(
        self, seq: int, wanted: _Call, verdict: Verdict, handoff: Handoff
    ) -> "tuple[CallResult, EffectRecord | None] | Turn":
        _, record = self._booked(wanted.at, wanted.call, "", verdict)
        limit = self._rules.max_handoffs
        key = self._key(seq)
        if not await self._effects.begin_handoff(key, record, self._actor, limit=limit):
            denied = Verdict(Decision.DENY, f"at most {limit} hand-overs an order")
            return self._booked(wanted.at, wanted.call, NO_MORE.format(limit=limit), denied)
        handed = await self._delegate(handoff, f"{self._node}/d{seq}.{wanted.at}", self.mark)
        self.mark = self.mark.joined(handed.mark)
        if handed.outcome is not None:
            return Turn(outcome_of_colleague=handed.outcome)
        result, record = self._booked(
            wanted.at, wanted.call, handed.told, verdict, mark=handed.mark
        )
        await self._effects.finish(key, replace(record, state=HANDED), self._actor)
        return result, None

    # Small things.

    async def _labels(self, paths: tuple[str, ...]) -> Mark:
        return await self._rules.labels.of(self.context.order_id, paths)

    def _key(self, seq: int) -> CallKey:
        return CallKey(self.context.order_id, self._node, seq)

    def _source(self, tool: str) -> str:
        return f"{self.context.task_id}:{tool}"

    def _booked(
        self,
        position: int,
        call: ToolCall,
        content: str,
        verdict: Verdict,
        *,
        is_fault: bool = False,
        is_refused: bool = False,
        delivered: tuple[str, ...] = (),
        mark: Mark = CLEAN,
        changed: Mapping[str, str | None] | None = None,
    ) -> tuple[CallResult, EffectRecord]:
        result = CallResult(call, content, is_fault, delivered, mark.origin, mark.is_private)
        stored = json.dumps(
            {
                "content": content,
                "is_fault": is_fault,
                "is_refused": is_refused,
                "delivered": list(delivered),
                "origin": mark.origin.value,
                "is_private": mark.is_private,
                **({"changed": changed} if changed else {}),
            },
            ensure_ascii=False,
        )
        decision = verdict.decision.value
        return result, EffectRecord(
            position, call.name, call.arguments, decision, verdict.rule, stored
        )


async def _run(
    tool: Tool, args: Arguments, context: ToolContext
) -> "tuple[ToolResult | Handoff | AskPerson, dict[str, str | None]]":
    """Run a tool; of a command, also say which files it changed, and keep them."""
    if tool.effect is not Effect.RUN or context.kept is None:
        return await tool.run(args, context), {}
    before = await asyncio.to_thread(look, context.workspace)
    raw = await tool.run(args, context)
    return raw, await asyncio.to_thread(keep, context.workspace, before, context.kept)
