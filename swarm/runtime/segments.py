"""One segment of an order: from a person's word to the next wait, or to the end."""

import asyncio
from functools import partial
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from swarm.agents.decide import decide
from swarm.agents.mind import Mind
from swarm.agents.prompt import system_message, user_message
from swarm.channels.bound import is_for_customers
from swarm.core import language
from swarm.core.clock import iso
from swarm.core.errors import Cancelled, SwarmError, Unavailable
from swarm.core.order import (
    Baseline,
    Forecast,
    OrderState,
    OrderStatus,
    Plan,
    Question,
    Reason,
    ReasonKind,
    TaskState,
    TaskStatus,
)
from swarm.core.registry import Registry
from swarm.ledger.book import Caller, release_holds
from swarm.ledger.forecast import forecast
from swarm.ledger.hosting.books import write_usage
from swarm.memory.base import MemoryKind, Viewer
from swarm.org import briefs, decisions
from swarm.runtime import outbox, records
from swarm.runtime.again import until_stored
from swarm.runtime.company import Company
from swarm.runtime.embedding import paid_by
from swarm.runtime.engine import TASK
from swarm.runtime.recalling import of_customer
from swarm.runtime.task_results import write_ask
from swarm.runtime.tasks import ASSUME, reason_of
from swarm.runtime.unknowns import tell_unknown_effects
from swarm.runtime.wording import episode, plan_card

log = structlog.get_logger("swarm.segments")

DESKS = Registry("desk", {"customers": "swarm.runtime.customers_answering:answer_customer"})
"""Loaded on first use: most companies serve no customers from here."""

BUG = "Something inside Swarm broke; the trace is in the log. `swarm resume` tries again."


async def run_segment(company: Company, order_id: str, segment: int) -> None:
    """Work one segment to its end. May be run again at any time, by any worker."""
    await until_stored(partial(_run, company, order_id, segment))


async def _run(company: Company, order_id: str, segment: int) -> None:
    token = company.ids.new("r")
    order = await company.store.awrite(lambda c: records.claim(c, order_id, segment, token))
    if order is None:
        return
    if is_for_customers(order.channel):
        await DESKS.load("customers")(company, order)
        return
    desk = OrderDesk(company, order)
    with company.meter.working(order_id, None, segment):
        await _work(company, desk, order, segment)


async def _work(company: Company, desk: "OrderDesk", order: records.Claimed, segment: int) -> None:
    """Walk the order's graph and end the segment; what stops it is the order's reason."""
    order_id = order.id
    try:
        status, reason = standing(await company.order_walk.run(order.state, desk))
    except Cancelled:
        return
    except Unavailable:
        raise
    except SwarmError as error:
        reason = reason_of(error)
        is_failed = reason.kind is ReasonKind.WORK
        status = OrderStatus.FAILED if is_failed else OrderStatus.PARKED
    except Exception:
        log.exception("segment broke", order=order_id, segment=segment)
        status, reason = OrderStatus.FAILED, Reason(kind=ReasonKind.WORK, text=BUG)
    finally:
        company.book.forget(order_id)
    try:
        await desk.close(status, reason)
    except Cancelled:
        return


def standing(state: OrderState) -> tuple[OrderStatus, Reason | None]:
    """Return where an order stands after its graph came to a halt."""
    if state.answer is not None:
        return OrderStatus.DELIVERED, None
    reasons = [t.reason for t in state.tasks.values() if t.reason is not None]
    for reason in reasons:
        if reason.kind is not ReasonKind.WORK:
            return OrderStatus.PARKED, reason
    if any(t.status is TaskStatus.WAITING for t in state.tasks.values()):
        return OrderStatus.WAITING, None
    if reasons:
        return OrderStatus.FAILED, reasons[0]
    return OrderStatus.WAITING, None


class OrderDesk:
    """The steps of the order graph for one order; each saves what it changed."""

    def __init__(self, company: Company, order: records.Claimed) -> None:
        self._company = company
        self._order = order
        self.state = order.state

    async def frame(self, state: OrderState) -> OrderState:
        """Let the head understand the order."""
        detected = language.detect(state.text)
        viewer = Viewer(self._company.org.head, customer=self._order.customer)
        node = f"frame/{state.retry}"
        mind = self._mind(node)
        with paid_by(self._order.id, node, mind.caller):
            recalled = await self._company.recaller.recall(
                state.text, viewer, language=detected, but_of=self._order.id, node="frame"
            )
        state = state.model_copy(
            update={
                "memories": recalled.lines,
                "recalled": recalled.ids,
                "language": detected,
                "mark": state.mark.joined(recalled.mark),
            }
        )
        frame, code = await decide(
            mind,
            self._messages(mind, state, briefs.frame_brief(state)),
            name="frame",
            schema=decisions.frame_schema(),
            read=lambda document: decisions.read_frame(document, language=detected),
        )
        return await self._save(state.model_copy(update={"frame": frame, "language": code}))

    async def ask(self, state: OrderState) -> OrderState:
        """Put the head's questions to the founder; ordered with `--yes`, nobody is asked."""
        frame = _known(state.frame)
        if state.questions:
            return state
        head = self._company.org.head
        if self._order.is_auto_signed:
            questions = tuple(
                Question(id=f"a{n}", text=text, answer=ASSUME, asked_by=head)
                for n, text in enumerate(frame.questions, start=1)
            )
            return await self._save(state.model_copy(update={"questions": questions}))
        return await self._put_questions(state, frame.questions, head)

    async def _put_questions(
        self, state: OrderState, texts: tuple[str, ...], head: str
    ) -> OrderState:
        asked: list[Question] = []

        def work(connection: Connection) -> OrderState:
            asked.clear()
            for number, text in enumerate(texts):
                ask_id = self._write_ask(
                    connection, node="ask", seq=number, kind="question", text=text
                )
                asked.append(Question(id=ask_id, text=text, asked_by=head))
            changed = state.model_copy(update={"questions": tuple(asked)})
            records.advance(connection, self._order, state=changed.model_dump_json())
            return changed

        self.state = await self._company.store.awrite(work)
        return self.state

    async def plan(self, state: OrderState) -> OrderState:
        """Let the head plan."""
        frame = _known(state.frame)
        roles = [self._company.org.roles[name] for name in sorted(self._company.org.roles)]
        names = [role.name for role in roles]
        mind = self._mind(f"plan/{state.revision}.{state.retry}")
        plan = await decide(
            mind,
            self._messages(mind, state, briefs.plan_brief(state, frame, roles)),
            name="plan",
            schema=decisions.plan_schema(names),
            read=lambda document: decisions.read_plan(document, roles=names),
        )
        tasks = {task.id: TaskState() for task in plan.tasks}
        return await self._save(state.model_copy(update={"plan": plan, "tasks": tasks}))

    async def price(self, state: OrderState) -> OrderState:
        """Forecast the cost and freeze the human baseline, before any work."""
        plan = _known(state.plan)
        baseline = await self._baseline(plan, _known(state.frame).kind)
        expected = self._forecast(plan)
        is_signed = not self._needs_signature(expected)
        state = state.model_copy(
            update={"baseline": baseline, "forecast": expected, "is_signed": is_signed}
        )

        def freeze(connection: Connection) -> None:
            self._company.baselines.freeze(
                connection,
                baseline,
                order_id=self._order.id,
                plan_revision=state.revision,
                initiator=f"{self._order.channel}:{self._order.sender_id}",
            )

        return await self._save(state, also=freeze)

    async def _baseline(self, plan: Plan, kind: str) -> Baseline:
        """Estimate what people would need, off the loop: it is a few hundredths of a second."""
        book, clock = self._company.baselines, self._company.clock
        history = await self._company.store.aread(book.history)
        return await asyncio.to_thread(
            book.estimate,
            plan,
            author=self._company.org.head,
            at=clock.now(),
            kind=kind,
            history=history,
        )

    def _forecast(self, plan: Plan) -> Forecast:
        org = self._company.org
        return forecast(
            plan,
            book=self._company.prices,
            model_of=lambda role: self._company.model_of(org.role(role)),
            reviewer_of=org.reviewer_of,
            head=org.head,
            at=self._company.clock.now(),
            max_steps=self._company.limits.steps,
            spent_calls=2,
        )

    def _needs_signature(self, expected: Forecast) -> bool:
        """Say whether the founder must sign: a price above the threshold, or an unknown one."""
        threshold = self._company.budget.sign_above
        if self._order.is_auto_signed or threshold is None:
            return False
        if expected.high is None:
            return not self._company.metered.access(self._company.default_model()).is_own_hardware
        return self._company.to_company(expected.high, expected.currency) > threshold

    async def sign(self, state: OrderState) -> OrderState:
        """Ask for a signature on the newest revision of the plan."""

        def work(connection: Connection) -> None:
            records.advance(connection, self._order, state=state.model_dump_json())
            self._write_ask(
                connection,
                node=f"sign/{state.revision}",
                seq=0,
                kind="approval",
                text=plan_card(state),
            )

        await self._company.store.awrite(work)
        return state

    async def dispatch(self, state: OrderState) -> OrderState:
        """Let the roles work: every task starts as soon as those it needs are done."""
        plan = _known(state.plan)
        running: dict[str, asyncio.Task[None]] = {}
        started: set[str] = set()
        try:
            while True:
                state = _skip_hopeless(state, plan)
                for task in plan.tasks:
                    if task.id not in started and _is_ready(state, task.depends_on, task.id):
                        started.add(task.id)
                        running[task.id] = asyncio.create_task(self._run_child(task.id))
                if not running:
                    break
                await asyncio.wait(running.values(), return_when=asyncio.FIRST_COMPLETED)
                for task_id in [t for t, job in running.items() if job.done()]:
                    running.pop(task_id).result()
                state = await self._collect(state, started - set(running))
        finally:
            for job in running.values():
                job.cancel()
        return state if state == self.state else await self._save(state)

    async def _run_child(self, task_id: str) -> None:
        name = records.task_workflow_id(self._order.id, self._order.segment, task_id)
        await self._company.engine.run_child(
            TASK, name, self._order.id, self._order.segment, task_id
        )

    async def _collect(self, state: OrderState, finished: set[str]) -> OrderState:
        """Take the finished tasks' results from their rows."""
        rows = await self._company.store.aread(lambda c: records.task_states(c, self._order.id))
        results = {task_id: rows[task_id] for task_id in finished if task_id in rows}
        if any(result.status is TaskStatus.WORKING for result in results.values()):
            raise Cancelled("a task was taken over or stopped")
        return await self._save(state.model_copy(update={"tasks": {**state.tasks, **results}}))

    async def deliver(self, state: OrderState) -> OrderState:
        """Let the head write the final answer, and remember the order."""
        frame, plan = _known(state.frame), _known(state.plan)
        files = [path for task in state.tasks.values() for path in task.files]
        mind = self._mind(f"deliver/{state.revision}.{state.retry}")
        delivery = await decide(
            mind,
            self._messages(mind, state, briefs.delivery_brief(state, frame, plan, files=files)),
            name="delivery",
            schema=decisions.delivery_schema(),
            read=decisions.read_delivery,
        )

        def learn(connection: Connection) -> None:
            for number, lesson in enumerate(delivery.lessons):
                key = f"lesson/{state.revision}/{number}"
                self._remember(connection, lesson, MemoryKind.LESSON, key)

        answer = delivery.answer or "(no words)"
        return await self._save(state.model_copy(update={"answer": answer}), also=learn)

    async def close(self, status: OrderStatus, reason: Reason | None) -> None:
        """End the segment: status, message to the founder and memory, if this run still may."""
        now = iso(self._company.clock.now())
        state = self.state
        is_told = self._order.channel != outbox.TERMINAL
        files = await self._requests() if status is OrderStatus.WAITING and is_told else ()
        used = self._company.meter.rows(self._order.id)

        def work(connection: Connection) -> None:
            records.advance(
                connection,
                self._order,
                status=status.value,
                reason=reason.model_dump_json() if reason else None,
                owner=None,
                delivered_at=now if status is OrderStatus.DELIVERED else None,
            )
            if status.is_final:
                release_holds(connection, self._order.id)
                text, key = episode(state, status, reason), f"episode/{self._order.segment}"
                self._remember(connection, text, MemoryKind.EPISODE, key)
            tell_unknown_effects(connection, self._order, state, now=now)
            outbox.announce(connection, self._order, status, reason, state, now=now, files=files)
            write_usage(connection, used)

        await self._company.store.awrite(work)
        self._company.meter.written(used)

    async def _requests(self) -> tuple[str, ...]:
        """Put requests that are too long for a message into files."""
        store, folder = self._company.store, self._company.home / "requests"
        found = await store.aread(lambda c: outbox.long_requests(c, self._order.id))
        return await asyncio.to_thread(outbox.write_requests, folder, found)

    def _remember(self, connection: Connection, text: str, kind: MemoryKind, key: str) -> None:
        self._company.memory.remember(
            text,
            kind=kind,
            # What the company learns from strangers' words stays strangers' words.
            origin=self.state.mark_of_all.origin,
            order_id=self._order.id,
            detail=of_customer(self._order.customer),
            key=f"{self._order.id}/{key}",
            within=connection,
        )

    async def _save(self, state: OrderState, *, also: Any = None) -> OrderState:
        def work(connection: Connection) -> None:
            records.advance(connection, self._order, state=state.model_dump_json())
            if also is not None:
                also(connection)

        await self._company.store.awrite(work)
        self.state = state
        return state

    def _write_ask(
        self, connection: Connection, *, node: str, seq: int, kind: str, text: str
    ) -> str:
        return write_ask(
            connection,
            self._company,
            order_id=self._order.id,
            segment=self._order.segment,
            task_id=None,
            node=node,
            seq=seq,
            kind=kind,
            asked_by=self._company.org.head,
            text=text,
            options=[],
        )

    def _mind(self, node: str) -> Mind:
        role = self._company.org.role(self._company.org.head)
        return Mind(
            metered=self._company.metered,
            role=role,
            model=self._company.model_of(role),
            order_id=self._order.id,
            node=node,
            caller=Caller(role=role.name, task_id=None, token=self._order.token),
        )

    def _messages(self, mind: Mind, state: OrderState, brief: str) -> tuple[dict[str, Any], ...]:
        is_compact = mind.capabilities.compact_prompts
        return (
            system_message(mind.role, language=state.language, is_compact=is_compact),
            user_message(brief, is_compact=is_compact),
        )


def _known(value: Any) -> Any:
    assert value is not None, "the graph sends an order here only once this is known"
    return value


def _is_ready(state: OrderState, depends_on: tuple[str, ...], task_id: str) -> bool:
    is_open = state.tasks[task_id].status in (TaskStatus.PLANNED, TaskStatus.WAITING)
    return is_open and all(state.tasks[needed].status.is_done for needed in depends_on)


def _skip_hopeless(state: OrderState, plan: Plan) -> OrderState:
    """Mark as skipped what can never start, because a task it needs failed."""
    tasks = dict(state.tasks)
    for task in plan.tasks:
        lost = (TaskStatus.FAILED, TaskStatus.SKIPPED)
        if tasks[task.id].status is TaskStatus.PLANNED and any(
            tasks[needed].status in lost for needed in task.depends_on
        ):
            tasks[task.id] = tasks[task.id].model_copy(update={"status": TaskStatus.SKIPPED})
    return state.model_copy(update={"tasks": tasks})
