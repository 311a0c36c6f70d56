"""One task of an order, worked as a child workflow: attempts, reviews, and what came of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from swarm.agents.agent import Agent, Blocked, Done, Failure, Outcome
from swarm.agents.decide import decide
from swarm.agents.hands import Hands
from swarm.agents.mind import Mind
from swarm.agents.prompt import system_message, user_message
from swarm.agents.turns import Handed
from swarm.core.clock import iso
from swarm.core.errors import (
    Cancelled,
    ConfigError,
    LimitExceeded,
    Refused,
    SwarmError,
    Transient,
    Unavailable,
)
from swarm.core.mark import Mark
from swarm.core.order import (
    Frame,
    OrderState,
    PlannedTask,
    Reason,
    ReasonKind,
    TaskState,
    TaskStatus,
    Verdict,
)
from swarm.core.role import Role
from swarm.core.text import shorten
from swarm.ledger import approvals
from swarm.ledger.book import Caller, CallKey
from swarm.ledger.effects import Actor
from swarm.ledger.prices import UnknownPrice
from swarm.memory.base import Viewer
from swarm.org import briefs, decisions
from swarm.org.briefs import MAX_REWORKS
from swarm.runtime import records
from swarm.runtime.again import until_stored
from swarm.runtime.company import Company
from swarm.runtime.embedding import paid_by
from swarm.runtime.noted import is_note, noted
from swarm.runtime.recalling import BEFORE, Remembered, recall_once
from swarm.runtime.task_results import facts_of, shown, write_artifacts, write_ask
from swarm.sandbox.base import Sandbox
from swarm.tools.base import Effect, Handoff, Tool, ToolContext

QUESTION_STEPS = 2
"""Model calls that a short question to a colleague may take: one, and one to mend it."""
ASSUME = "No answer: decide yourself, and say what you assumed."


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a child workflow knows of its order."""

    order: OrderState
    frame: Frame
    task: PlannedTask
    inputs: tuple[str, ...]
    answers: Mapping[tuple[str, int], str]
    initiator: str
    """Whose order it is, as `channel:id`."""
    customer: str | None
    mark: Mark
    """What the order and the tasks before this one have read."""
    default_answer: str | None
    """What a role is told instead of an answer, where nobody may be asked."""
    files: tuple[str, ...] = ()


async def run_task(company: Company, order_id: str, segment: int, task_id: str) -> None:
    """Work one task to a result, a wait or a failure, and store it. May be run again at any time."""
    await until_stored(partial(_run, company, order_id, segment, task_id))


async def _run(company: Company, order_id: str, segment: int, task_id: str) -> None:
    token = company.ids.new("r")
    store = company.store
    if not await store.awrite(lambda c: records.claim_task(c, order_id, segment, task_id, token)):
        return
    setting = await store.aread(lambda c: _read_setting(c, order_id, task_id))
    desk = TaskDesk(company, order_id, segment, token, setting)
    start = setting.order.tasks[task_id]
    try:
        with company.meter.working(order_id, task_id, segment):
            state = await _walk(company, desk, desk.begin(start))
            await desk.finish(state)
    except Cancelled:
        return


async def _walk(company: Company, desk: "TaskDesk", start: TaskState) -> TaskState:
    """Walk the task's graph; what stops the order is written as the task's reason."""
    try:
        return await company.task_walk.run(start, desk)
    except SwarmError as error:
        if isinstance(error, Cancelled | Unavailable):
            raise
        return desk.last.model_copy(update=_stopped(error))


def _stopped(error: SwarmError) -> dict[str, Any]:
    """Return how a task stands after an error: planned again where waiting helps, else failed."""
    reason = reason_of(error)
    may_go_on = reason.kind is not ReasonKind.WORK
    if isinstance(error, LimitExceeded) and error.limit in ("steps", "time"):
        # The attempt itself is used up; another one starts from scratch.
        may_go_on = False
    status = TaskStatus.PLANNED if may_go_on else TaskStatus.FAILED
    return {"status": status, "reason": reason}


def reason_of(error: SwarmError) -> Reason:
    """Say why work stopped, sorted by what helps."""
    if isinstance(error, LimitExceeded):
        return Reason(kind=ReasonKind.LIMIT, text=str(error))
    if isinstance(error, Transient):
        text = f"The model's provider does not answer ({error}). `swarm resume` tries again."
        return Reason(kind=ReasonKind.PROVIDER, text=text)
    is_order_fault = isinstance(error, Refused) and error.kind in (
        "context_overflow",
        "bad_request",
    )
    if isinstance(error, Refused | ConfigError | UnknownPrice) and not is_order_fault:
        text = f"{str(error).rstrip('.')}. Mend it, then `swarm resume` goes on."
        return Reason(kind=ReasonKind.CONFIG, text=text)
    return Reason(kind=ReasonKind.WORK, text=str(error))


class TaskDesk:
    """The steps of the task graph for one task."""

    def __init__(
        self, company: Company, order_id: str, segment: int, token: str, setting: _Setting
    ) -> None:
        self._company = company
        self._order_id = order_id
        self._segment = segment
        self._token = token
        self._setting = setting
        self._blocked: Blocked | None = None
        self._said: tuple[str, ...] = ()
        self.last = TaskState(status=TaskStatus.WORKING)
        """The state after the last finished step."""

    def begin(self, planned: TaskState) -> TaskState:
        """Return the state in which a run begins: all it learns comes from the books again."""
        return TaskState(status=TaskStatus.WORKING, round=planned.round, mark=self._setting.mark)

    async def work(self, state: TaskState) -> TaskState:
        """Let the role make one attempt."""
        task = self._setting.task
        role = self._company.org.role(task.role)
        self.last = state
        node = f"{self._lane(state)}/w{state.attempts}"
        recalled = await self._recalled(role, node)
        self._said = tuple(line for line in recalled.lines if is_note(line))
        brief = briefs.work_brief(
            self._setting.order,
            self._setting.frame,
            task,
            inputs=self._setting.inputs,
            review=state.review,
            memories=[line for line in recalled.lines if not is_note(line)],
            said=self._said,
            skills=await self._skills(role),
        )
        with paid_by(self._order_id, node, self._mind(role, node).caller):
            outcome, mark = await self._agent_run(
                role, node, brief, title=task.title, depth=0, mark=state.mark.joined(recalled.mark)
            )
        state = state.model_copy(update={"attempts": state.attempts + 1, "mark": mark})
        if isinstance(outcome, Done):
            files = tuple(dict.fromkeys((*state.files, *outcome.files)))
            state = state.model_copy(update={"summary": outcome.summary, "files": files})
        elif isinstance(outcome, Blocked):
            self._blocked = outcome
            state = state.model_copy(update={"status": TaskStatus.WAITING})
        else:
            reason = Reason(kind=ReasonKind.WORK, text=f"{task.id} {task.title}: {outcome.reason}")
            state = state.model_copy(update={"status": TaskStatus.FAILED, "reason": reason})
        self.last = state
        return state

    async def _recalled(self, role: Role, node: str) -> Remembered:
        """Return what the company remembers of such a task."""
        task = self._setting.task
        caller = self._mind(role, node).caller
        said = await self._company.store.aread(lambda c: noted(c, self._order_id, node))
        with paid_by(self._order_id, node, caller):
            return await recall_once(
                self._company.recaller,
                f"{task.title}\n{task.brief}",
                Viewer(role.name, customer=self._setting.customer),
                language=self._setting.order.language,
                books=self._company.effects,
                key=CallKey(self._order_id, node, BEFORE),
                actor=self._actor(role, caller),
                said=said,
            )

    async def _skills(self, role: Role) -> str:
        """Return the skills that the role may load, a line each."""
        if not any(fnmatchcase("use_skill", tool) for tool in role.tools):
            return ""
        return await self._company.kit.skill_lines()

    def _actor(self, role: Role, caller: Caller) -> Actor:
        return Actor(caller, self._setting.initiator, _sha256(role.prompt))

    async def review(self, state: TaskState) -> TaskState:
        """Let somebody else judge the attempt; alone, nobody does."""
        task = self._setting.task
        reviewer = self._company.org.reviewer_of(task.role)
        if reviewer is None:
            return state.model_copy(update={"status": TaskStatus.ACCEPTED})
        role = self._company.org.role(reviewer)
        node = f"{self._lane(state)}/r{state.attempts - 1}"
        mind = self._mind(role, node)
        brief = briefs.review_brief(
            self._setting.frame,
            task,
            state,
            deliverables=shown(self._workspace, state.files),
            said=self._said,
        )
        review = await decide(
            mind,
            self._messages(mind, brief),
            name="review",
            schema=decisions.review_schema(),
            read=lambda document: decisions.read_review(document, reviewer=reviewer),
        )
        state = state.model_copy(update={"review": review})
        if review.verdict is Verdict.ACCEPT:
            state = state.model_copy(update={"status": TaskStatus.ACCEPTED})
        elif state.attempts > MAX_REWORKS:
            state = state.model_copy(update={"status": TaskStatus.REJECTED})
        self.last = state
        return state

    async def finish(self, state: TaskState) -> None:
        """Store what the task came to, with its deliverables and its question."""
        found = facts_of(self._workspace, state.files)
        blocked = self._blocked

        def work(connection: Connection) -> None:
            records.save_task(connection, self._order_id, self._setting.task.id, self._token, state)
            at = iso(self._company.clock.now())
            write_artifacts(connection, self._order_id, self._setting.task, found, at=at)
            if state.status is TaskStatus.WAITING and blocked is not None:
                self._write_asks(connection, blocked)

        await self._company.store.awrite(work)

    async def _agent_run(
        self,
        role: Role,
        node: str,
        brief: str,
        *,
        title: str,
        depth: int,
        mark: Mark,
        is_question: bool = False,
    ) -> tuple[Outcome, Mark]:
        """Let a role work at a node; return what came of it and what it has read by then."""
        mind = self._mind(role, node)
        # A model too small for tools answers in words; its words are the deliverable.
        is_bare = mind.capabilities.compact_prompts or is_question
        tools = {} if is_bare else await self._company.load_tools(role)
        limits = self._company.agent_limits

        async def delegate(handoff: Handoff, child_node: str, mark: Mark) -> Handed:
            return await self._delegate(handoff, child_node, mark, depth=depth)

        hands = Hands(
            role=role,
            tools=tools,
            context=await self._context(role, tools),
            node=node,
            actor=self._actor(role, mind.caller),
            effects=self._company.effects,
            rules=self._company.rules,
            answers=self._setting.answers,
            default_answer=self._setting.default_answer,
            founder_words=self._setting.order.founder_words,
            mark=mark,
            delegate=delegate,
        )
        agent = Agent(
            mind=mind,
            hands=hands,
            limits=replace(limits, steps=QUESTION_STEPS) if is_question else limits,
            clock=self._company.clock,
            is_in_words=is_question,
        )
        outcome = await agent.run(self._messages(mind, brief), title=title)
        return outcome, hands.mark

    async def _context(self, role: Role, tools: Mapping[str, Tool]) -> ToolContext:
        kit = self._company.kit
        runs = any(tool.effect is Effect.RUN for tool in tools.values())
        return ToolContext(
            workspace=self._workspace,
            role=role.name,
            task_id=self._setting.task.id,
            colleagues=self._company.org.colleagues(role.name),
            order_id=self._order_id,
            customer=self._setting.customer,
            sandbox=self._watched(await kit.sandbox()) if runs else None,
            memory=self._company.memory,
            web=kit.web,
            skills=kit.skills,
            kept=self._company.home / "kept" / self._order_id,
        )

    def _watched(self, sandbox: Sandbox | None) -> Sandbox | None:
        """Return the sandbox such that what commands use is counted for this task."""
        return self._company.meter.watched(sandbox, self._order_id, self._setting.task.id)

    async def _delegate(self, handoff: Handoff, node: str, mark: Mark, *, depth: int) -> Handed:
        """Let a colleague do a sub-task here and now; a wait of theirs is a wait of ours."""
        limit = self._company.limits.depth
        if depth >= limit:
            return Handed(f"not possible: hand-overs nest at most {limit} deep. Do it yourself.")
        role = self._company.org.role(handoff.role)
        outcome, mark = await self._agent_run(
            role,
            node,
            briefs.handoff_brief(handoff.title, handoff.brief, is_question=handoff.is_question),
            title=handoff.title,
            depth=depth + 1,
            mark=mark,
            is_question=handoff.is_question,
        )
        if isinstance(outcome, Blocked):
            return Handed(outcome=outcome, mark=mark)
        if isinstance(outcome, Failure):
            return Handed(f"{role.name} could not do it: {outcome.reason}", mark)
        if handoff.is_question:
            return Handed(f"{role.name} answers: {outcome.summary}", mark)
        files = ", ".join(outcome.files) or "none"
        return Handed(f"{role.name} is done. {outcome.summary}\nFiles: {files}", mark)

    @property
    def _workspace(self) -> Path:
        return self._company.workspace(self._order_id)

    def _lane(self, state: TaskState) -> str:
        """Name this revision's and round's share of the task in the ledger."""
        return f"{self._setting.task.id}/{self._setting.order.revision}.{state.round}"

    def _mind(self, role: Role, node: str) -> Mind:
        return Mind(
            metered=self._company.metered,
            role=role,
            model=self._company.model_of(role),
            order_id=self._order_id,
            node=node,
            caller=Caller(
                role=role.name,
                task_id=self._setting.task.id,
                token=self._token,
                task_limit=role.budget,
            ),
        )

    def _messages(self, mind: Mind, brief: str) -> tuple[dict[str, Any], ...]:
        is_compact = mind.capabilities.compact_prompts
        language = self._setting.order.language
        return (
            system_message(mind.role, language=language, is_compact=is_compact),
            user_message(brief, is_compact=is_compact),
        )

    def _write_asks(self, connection: Connection, blocked: Blocked) -> None:
        """Store the question, or the requests for signatures, that the task waits for."""
        if blocked.ask is not None:
            kind = "choice" if blocked.ask.options else "question"
            self._write_ask(
                connection,
                blocked,
                node=blocked.node,
                seq=blocked.seq,
                kind=kind,
                text=blocked.ask.question,
                options=list(blocked.ask.options),
            )
        for wanted in blocked.requests:
            ask_id = self._write_ask(
                connection,
                blocked,
                node=wanted.ask_node,
                seq=wanted.seq,
                kind="signature",
                text=wanted.text,
                options=[],
            )
            approvals.request(
                connection,
                wanted,
                approval_id=self._company.ids.new("s"),
                ask_id=ask_id,
                order_id=self._order_id,
                task_id=self._setting.task.id,
                now=self._company.clock.now(),
                hours=self._company.rules.policy.approval_hours,
            )

    def _write_ask(self, connection: Connection, blocked: Blocked, **values: Any) -> str:
        return write_ask(
            connection,
            self._company,
            order_id=self._order_id,
            segment=self._segment,
            task_id=self._setting.task.id,
            asked_by=blocked.asked_by,
            **values,
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_setting(connection: Connection, order_id: str, task_id: str) -> _Setting:
    row = records.find(connection, order_id)
    order = records.read_state(row.state)
    assert order.frame is not None
    assert order.plan is not None
    task = next(t for t in order.plan.tasks if t.id == task_id)
    done = records.task_states(connection, order_id)
    inputs = []
    mark = order.mark
    for needed in task.depends_on:
        result = done[needed]
        mark = mark.joined(result.mark)
        files = ", ".join(result.files) or "none"
        inputs.append(f"### {needed}\n{shorten(result.summary, 4000)}\nFiles: {files}")
    return _Setting(
        order=order,
        frame=order.frame,
        task=task,
        inputs=tuple(inputs),
        answers=records.answers(connection, order_id),
        initiator=f"{row.channel}:{row.sender_id}",
        customer=row.customer,
        mark=mark,
        default_answer=ASSUME if row.is_auto_signed else None,
    )
