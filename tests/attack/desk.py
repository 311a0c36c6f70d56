"""A desk where a case is worked without a graph, a queue or a wire: the agent loop and its hands.

What is real: the loop, the hands, the policy, the books, the labels, the tools of the company. What
is not: the puppet is asked directly, and signatures are written straight into the books. It is the
bulk way; `orders` works the same cases as whole orders.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy.engine import Connection

from swarm.agents.agent import Agent, Blocked, Done, Limits
from swarm.agents.hands import Hands, Rules
from swarm.agents.mind import Mind, Question
from swarm.agents.turns import Handed
from swarm.core.chat import Completion, StopReason, ToolCall
from swarm.core.clock import Clock, SystemClock
from swarm.core.errors import LimitExceeded
from swarm.core.ids import RandomIds
from swarm.core.mark import CLEAN, Mark
from swarm.core.role import Role
from swarm.ledger import approvals
from swarm.ledger.approvals import SignatureRequest, Signer
from swarm.ledger.book import Caller
from swarm.ledger.effects import Actor, EffectBook
from swarm.ledger.labels import LabelBook
from swarm.llm.base import Capabilities
from swarm.memory.base import Memory
from swarm.memory.sql import SqlMemory
from swarm.sandbox.base import Sandbox
from swarm.store.database import Store
from swarm.store.tables import orders, tasks
from swarm.tools.base import Handoff, Tool, ToolContext
from swarm.tools.policy import PolicyConfig
from swarm.tools.registry import TOOLS
from tests.attack.founder import REASON, Founder
from tests.attack.puppet import Puppet, Site, clerk_of, mate_of
from tests.attack.strategies import STRATEGIES, SWITCH, Act, service
from tests.attack.tools import tools_of
from tests.attack.worlds import Case

OWN_TOOLS = ("read_file", "write_file", "remember", "recall", "delegate", "ask_founder", "shell")
"""Tools of the company itself that strategies use, where this version has them."""
LIMITS = Limits(steps=25, seconds=600)
SIGNER = Signer("desk:1000", "ada")
MAX_ROUNDS = 60


def own_tools() -> list[str]:
    """Return which of the company's own tools there are."""
    known = TOOLS.names()
    return [name for name in OWN_TOOLS if name in known]


@dataclass
class _StandIn:
    """Stands where a `Mind` stands, and asks the puppet; what it said once it says again."""

    puppet: Puppet
    case: Case
    role: Role
    order_id: str
    caller: Caller
    said: dict[tuple[str, int], Completion]
    node: str

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(native_tools=True, native_schema=True, max_output_tokens=4096)

    async def think(self, seq: int, question: Question) -> Completion:
        key = (self.node, seq)
        if key not in self.said:
            tools = [{"function": {"name": tool.name}} for tool in question.tools]
            request = {"messages": list(question.messages), "tools": tools}
            self.said[key] = _completion(self.puppet.turn(request, self.case), seq)
        return self.said[key]


def _completion(turn: Act | str, seq: int) -> Completion:
    if isinstance(turn, str):
        return Completion(text=turn, tool_calls=(), stop=StopReason.STOP)
    arguments = json.dumps(turn.arguments, ensure_ascii=False)
    call = ToolCall(id=f"c{seq}", name=turn.tool, arguments=arguments)
    return Completion(text=turn.words, tool_calls=(call,), stop=StopReason.TOOL_CALLS)


@dataclass
class _Work:
    """One case at the desk: what was said, answered and read so far."""

    case: Case
    founder: Founder
    said: dict[tuple[str, int], Completion] = field(default_factory=dict)
    answers: dict[tuple[str, int], str] = field(default_factory=dict)
    delegations: int = 0

    @property
    def order_id(self) -> str:
        return f"o-{self.case.ref}"

    @property
    def caller(self) -> Caller:
        return Caller(role=clerk_of(self.case.pair.suite), task_id="t1", token="r1")


class Desk:
    """Works cases one after the other, all on one set of books."""

    def __init__(
        self,
        store: Store,
        site: Site,
        folder: Path,
        *,
        policy: PolicyConfig | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.store = store
        self.site = site
        self._folder = folder
        self._ids = RandomIds()
        self._clock: Clock = SystemClock()
        self._effects = EffectBook(store=store, clock=self._clock)
        self._puppet = Puppet(site)
        labels = LabelBook(store=store, clock=self._clock)
        self._rules = Rules(policy=policy or PolicyConfig(), labels=labels)
        self._memory: Memory = SqlMemory(store=store, clock=self._clock, ids=self._ids)
        self._sandbox = sandbox

    async def work(self, case: Case) -> Founder:
        """Work a case to its end, with its founder at hand; return the founder."""
        work = _Work(case, Founder(case))
        self.site.worlds.bind(case, work.order_id)
        (self._folder / work.order_id).mkdir()
        await self.store.awrite(lambda c: self._place(c, work))
        for number, title in enumerate(STRATEGIES[case.strategy].titles):
            await self._task(work, title, f"t{number + 1}")
        return work.founder

    async def _task(self, work: _Work, title: str, task: str) -> None:
        """Work one task to its end.

        Each begins unmarked, as one that no other task leads to: what a later one knows of the
        first it knows from a file or from memory.
        """
        brief = f"Your task: {title}\n\n{work.case.text}"
        for _ in range(MAX_ROUNDS):
            hands = self._hands(work, clerk_of(work.case.pair.suite), f"{task}/0.0/w0", CLEAN)
            try:
                outcome = await self._run(work, hands, f"{task}/0.0/w0", brief)
            except LimitExceeded:
                return
            if not isinstance(outcome, Blocked):
                return
            await self._decide(work, outcome)
        raise AssertionError(f"{work.case.pair.name} never came to an end")

    async def _run(self, work: _Work, hands: Hands, node: str, brief: str) -> Any:
        mind = _StandIn(
            self._puppet, work.case, _role(hands.context.role, self._names(work)),
            work.order_id, work.caller, work.said, node,
        )  # fmt: skip
        agent = Agent(mind=cast(Mind, mind), hands=hands, limits=LIMITS, clock=self._clock)
        messages = ({"role": "system", "content": "."}, {"role": "user", "content": brief})
        return await agent.run(messages, title="Result")

    def _hands(self, work: _Work, role: str, node: str, mark: Mark) -> Hands:
        async def delegate(handoff: Handoff, child: str, inherited: Mark) -> Handed:
            return await self.errand(work, handoff, child, inherited)

        return Hands(
            role=_role(role, self._names(work)),
            tools=self._tools(work),
            context=ToolContext(
                workspace=self._folder / work.order_id,
                role=role,
                task_id="t1",
                order_id=work.order_id,
                colleagues=(clerk_of(work.case.pair.suite), mate_of(work.case.pair.suite)),
                memory=self._memory,
                sandbox=self._sandbox,
            ),
            node=node,
            actor=Actor(work.caller, initiator=SIGNER.identity, prompt_digest=""),
            effects=self._effects,
            rules=self._rules,
            answers=work.answers,
            delegate=delegate,
            founder_words=work.case.text,
            mark=mark,
        )

    async def errand(self, work: _Work, handoff: Handoff, node: str, mark: Mark) -> Handed:
        hands = self._hands(work, handoff.role, node, mark)
        brief = f"A sub-task from your colleague: {handoff.title}\n\n{handoff.brief}"
        # A limit that a colleague runs into ends the task that asked, too.
        outcome = await self._run(work, hands, node, brief)
        if isinstance(outcome, Blocked):
            return Handed(outcome=outcome)
        told = outcome.summary if isinstance(outcome, Done) else outcome.reason
        return Handed(told=told, mark=hands.mark)

    async def _decide(self, work: _Work, blocked: Blocked) -> None:
        """Let the founder see what waits."""
        if blocked.ask is not None:
            said = work.founder.answers(blocked.ask.options)
            work.answers[(blocked.node, blocked.seq)] = said
        for wanted in blocked.requests:
            is_signed = work.founder.signs(wanted.action, wanted.text)
            if is_signed and work.case.strategy == SWITCH and work.case.hostile:
                work.case.has_obeyed = True
                act = service(work.case.hostile[-1])
                work.said[(wanted.node, wanted.seq)] = _completion(act, wanted.seq)
            await self.store.awrite(partial(self._sign, work, wanted, is_signed))

    def _sign(
        self, work: _Work, wanted: SignatureRequest, is_signed: bool, connection: Connection
    ) -> None:
        now = self._clock.now()
        ask_id = self._ids.new("q")
        approvals.request(
            connection,
            wanted,
            approval_id=self._ids.new("s"),
            ask_id=ask_id,
            order_id=work.order_id,
            task_id="t1",
            now=now,
            hours=1,
        )
        approval = approvals.open_of_ask(connection, ask_id)
        assert approval is not None
        reason = None if is_signed else REASON
        approvals.settle(
            connection, approval, is_signed=is_signed, signer=SIGNER, now=now, reason=reason
        )

    def _tools(self, work: _Work) -> Mapping[str, Tool]:
        own = {name: TOOLS.load(name)() for name in own_tools()}
        return {**own, **tools_of(work.case.pair.suite, self.site.worlds)}

    def _names(self, work: _Work) -> tuple[str, ...]:
        return tuple(self._tools(work))

    def _place(self, connection: Connection, work: _Work) -> None:
        order = {
            "id": work.order_id, "created_at": "", "channel": "desk", "account": "",
            "update_id": work.order_id, "chat_id": "", "sender_id": "1000", "status": "working",
            "segment": 0, "owner": "r1", "is_auto_signed": False, "state": "{}",
        }  # fmt: skip
        connection.execute(orders.insert(), order)
        task = {"order_id": work.order_id, "task_id": "t1", "segment": 0, "owner": "r1"}
        connection.execute(tasks.insert(), task | {"state": "{}"})


def _role(name: str, tools: tuple[str, ...]) -> Role:
    return Role(name=name, title="Clerk", reports_to="ceo", tools=tools, prompt="Work.")
