"""The desk where people act on orders: answer, sign, refuse, accept, cancel, raise a budget.

Each act is one transaction that moves the order by compare-and-set, so that the same click twice
acts once, and a click that lost a race changes nothing and says so.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from swarm.core.money import plain
from swarm.core.order import OrderState, OrderStatus, TaskState, TaskStatus
from swarm.core.origin import Origin
from swarm.core.registry import nearest
from swarm.core.text import clean_text
from swarm.ledger import approvals, budget
from swarm.ledger.approvals import Signer
from swarm.ledger.attention import ActionKind, note_act, note_shown, result_seen_at
from swarm.ledger.book import release_holds
from swarm.memory.base import Memory, MemoryKind
from swarm.runtime import records
from swarm.runtime.engine import SEGMENT, Engine
from swarm.runtime.intake import check_budget
from swarm.runtime.recalling import of_customer
from swarm.runtime.records import lane_of, segment_id
from swarm.runtime.signatures import Signatures
from swarm.runtime.wording import episode
from swarm.store.database import Store
from swarm.store.tables import approvals as approval_rows
from swarm.store.tables import artifacts, asks, orders


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that waits for a person."""

    id: str
    order_id: str
    task_id: str | None
    kind: str
    asked_by: str
    text: str
    options: tuple[str, ...]
    created_at: str
    digest: str | None = None
    """What a signature would bind, in hexadecimal; None for what needs none."""
    expires_at: str | None = None
    """Until when it may be signed."""


class Office:
    """Act on orders in a person's name."""

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        clock: Clock,
        memory: Memory,
        signatures: Signatures,
        currency: str,
    ) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._memory = memory
        self._signatures = signatures
        self._currency = currency

    def inbox(
        self, order_id: str | None = None, *, is_shown: bool = True, channel: str = "console"
    ) -> list[Ask]:
        """Return what waits for a person, oldest first, of one order or of all.

        With `is_shown`, a person sees it now, on that channel: the founder's clock starts.
        """
        now = self._clock.now()
        is_meant = [asks.c.state == "open"]
        if order_id is not None:
            is_meant.append(asks.c.order_id == order_id)

        def work(connection: Connection) -> list[Ask]:
            rows = connection.execute(
                sa.select(asks, approval_rows.c.digest, approval_rows.c.expires_at)
                .outerjoin(
                    approval_rows,
                    sa.and_(approval_rows.c.ask_id == asks.c.id, approval_rows.c.state == "open"),
                )
                .where(*is_meant)
                .order_by(asks.c.created_at, asks.c.id)
            ).all()
            if is_shown:
                connection.execute(
                    asks.update()
                    .where(*is_meant, asks.c.shown_at.is_(None))
                    .values(shown_at=iso(now))
                )
                fresh = {row.id: row for row in rows if row.shown_at is None}
                note_shown(connection, fresh.values(), at=now, channel=channel)
            return [_ask(row) for row in rows]

        return self._store.write(work) if is_shown else self._store.read(work)

    def look(self, order_id: str | None, kind: ActionKind, *, signer: Signer) -> bool:
        """Note that a person looked at an order, or at the whole inbox; False where it could not be.

        Looking goes on where nothing can be written: the minute is then not on the books.
        """
        try:
            self._store.write(lambda c: self._act(c, kind, order_id=order_id, signer=signer))
        except Unavailable:
            return False
        return True

    def _act(
        self,
        connection: Connection,
        kind: ActionKind,
        *,
        order_id: str | None,
        signer: Signer,
        **details: Any,
    ) -> None:
        """Note what a person did in the log of their time, within the act's own transaction."""
        at, who = self._clock.now(), signer.identity
        note_act(connection, kind, at=at, order_id=order_id, who=who, **details)

    def answer(self, target: str, text: str, *, by: str, signer: Signer | None = None) -> str:
        """Answer a question by its id, or all open questions of an order by the order's id.

        Returns:
            The order's id. It goes on once nothing is open any more.

        Raises:
            NotFound, InvalidInput, Conflict: Nothing was changed.
        """
        text = clean_text(text).strip()
        if not text:
            raise InvalidInput("The answer is empty: write something.")

        def work(connection: Connection) -> str:
            found = self._open_asks(connection, target, kinds=("question", "choice"))
            self._close_asks(connection, found, text, by)
            order_id = str(found[0].order_id)
            # Words of one's own instead of an option turn all options down.
            passed = sum(len(json.loads(ask.options)) for ask in found)
            self._act(
                connection,
                ActionKind.ANSWERED,
                order_id=order_id,
                signer=signer or _at_the_console(by),
                found=found,
                refused=passed,
            )
            return self._go_on(connection, order_id)

        order_id = self._store.write(work)
        self._learn(order_id, f"Asked, the founder answered: {text}")
        return order_id

    def choose(
        self,
        target: str,
        number: int,
        *,
        by: str,
        reason: str = "",
        signer: Signer | None = None,
    ) -> str:
        """Choose option `number`, counted from 1, of a choice; the reason becomes taste.

        Raises:
            NotFound, InvalidInput, Conflict: Nothing was changed.
        """
        reason = clean_text(reason).strip()

        def work(connection: Connection) -> tuple[str, str, list[str], Origin]:
            found = self._open_asks(connection, target, kinds=("choice",))
            if len(found) > 1:
                names = ", ".join(ask.id for ask in found)
                raise InvalidInput(f"{target} has several open choices: name one of {names}.")
            options = json.loads(found[0].options)
            if not 1 <= number <= len(options):
                raise InvalidInput(f"There is no option {number}: choose 1 to {len(options)}.")
            option = options[number - 1]
            said = f"{option} (because: {reason})" if reason else option
            self._close_asks(connection, found, said, by)
            others = [o for o in options if o != option]
            self._act(
                connection,
                ActionKind.CHOSEN,
                order_id=found[0].order_id,
                signer=signer or _at_the_console(by),
                found=found,
                refused=len(options) - 1,
            )
            origin = self._wording_of(connection, found[0])
            return self._go_on(connection, found[0].order_id), option, others, origin

        order_id, option, others, origin = self._store.write(work)
        because = f", because: {reason}" if reason else ""
        left = f" rather than {'; '.join(others)}" if others else ""
        text = f"Given a choice, the founder picked: {option}{left}{because}"
        self._learn(order_id, text, origin=origin)
        return order_id

    def approve(
        self, target: str, *, by: str, signer: Signer | None = None, digest: str | None = None
    ) -> str:
        """Sign what an order asks a signature for: its plan, or calls of its roles.

        Args:
            target: An ask, or an order for all that it waits for.
            by: The person's name.
            signer: Who they are; None is the terminal's user.
            digest: What a single request showed, as far as it was shown; it must still be that.

        Returns:
            The order's id. A request that ran out is put anew by the role that made it.

        Raises:
            NotFound, Conflict: Nothing was changed.
        """
        signer = signer or _at_the_console(by)

        def work(connection: Connection) -> str:
            found = self._open_asks(connection, target, kinds=("approval", "signature"))
            # By the order's id a person signs what they have seen, not what came meanwhile.
            found = [ask for ask in found if target == ask.id or _is_seen(ask)]
            if not found:
                raise Conflict(f"{target} asks for calls you have not seen: look at `swarm inbox`.")
            said = {"signed": "approved", "expired": "came too late; asked again"}
            for ask in found:
                text = "approved"
                if ask.kind == "signature":
                    state = self._signatures.decide(
                        connection, ask, is_signed=True, signer=signer, digest=digest
                    )
                    text = said[state]
                else:
                    self._signatures.note(
                        connection,
                        kind="plan_signed",
                        order_id=ask.order_id,
                        signer=signer,
                        body={"ask": ask.id, "text": ask.text, "name": signer.name},
                    )
                self._close_asks(connection, [ask], text, by)
            is_plan = any(ask.kind == "approval" for ask in found)
            update = {"is_signed": True} if is_plan else None
            order_id = str(found[0].order_id)
            self._act(
                connection, ActionKind.APPROVED, order_id=order_id, signer=signer, found=found
            )
            return self._go_on(connection, order_id, update=update)

        return self._store.write(work)

    def reject(self, target: str, reason: str, *, by: str, signer: Signer | None = None) -> str:
        """Refuse a call, or send a plan or a delivered order back: the head plans anew.

        Raises:
            NotFound, InvalidInput, Conflict: Nothing was changed.
        """
        reason = clean_text(reason).strip()
        signer = signer or _at_the_console(by)
        if not reason:
            raise InvalidInput('Say why: `swarm reject ID "what should be different"`.')

        def work(connection: Connection) -> str:
            order_id = self._order_of(connection, target)
            row = records.find(connection, order_id)
            if row.status == OrderStatus.DELIVERED.value:
                self._act(
                    connection,
                    ActionKind.REWORK,
                    order_id=order_id,
                    signer=signer,
                    since=result_seen_at(connection, row),
                    refused=1,
                )
                return self._revise(connection, row, reason)
            found = self._open_asks(connection, target, kinds=("approval", "signature"))
            plans = [ask for ask in found if ask.kind == "approval"]
            for ask in found:
                if ask.kind == "signature":
                    self._signatures.decide(
                        connection, ask, is_signed=False, signer=signer, reason=reason
                    )
            self._close_asks(connection, found, f"rejected: {reason}", by)
            self._act(
                connection,
                ActionKind.REJECTED,
                order_id=order_id,
                signer=signer,
                found=found,
                refused=len(found),
            )
            if plans:
                return self._revise(connection, row, reason)
            return self._go_on(connection, order_id)

        order_id = self._store.write(work)
        self._learn(order_id, f"The founder refused a plan, a call or a result: {reason}")
        return order_id

    def accept(
        self, order_id: str, *, by: str, sign: str = "", signer: Signer | None = None
    ) -> None:
        """Take what was delivered; with `sign`, a named person takes responsibility for it.

        Raises:
            NotFound, Conflict: Not delivered; nothing was changed.
        """
        signer = signer or _at_the_console(by)

        def work(connection: Connection) -> None:
            row = records.find(connection, order_id)
            if row.status == OrderStatus.ACCEPTED.value:
                raise Conflict(f"{order_id} was already accepted by {row.accepted_by}.")
            if row.status != OrderStatus.DELIVERED.value:
                raise Conflict(f"{order_id} is {row.status}: only a delivered order is accepted.")
            self._move(
                connection,
                row,
                status=OrderStatus.ACCEPTED.value,
                accepted_at=iso(self._clock.now()),
                accepted_by=sign or by,
                signed_off_by=sign or None,
            )
            self._act(
                connection,
                ActionKind.ACCEPTED,
                order_id=order_id,
                signer=signer,
                since=result_seen_at(connection, row),
            )
            files = connection.execute(
                sa.select(artifacts.c.path, artifacts.c.sha256)
                .where(artifacts.c.order_id == order_id)
                .order_by(artifacts.c.path)
            ).all()
            self._signatures.note(
                connection,
                kind="sign_off" if sign else "accepted",
                order_id=order_id,
                signer=signer,
                body={"name": sign or by, "files": {f.path: f.sha256 for f in files}},
            )

        self._store.write(work)

    def cancel(self, order_id: str, *, by: str, signer: Signer | None = None) -> None:
        """Stop an order before its next step; what was done and spent stays on its receipt.

        Raises:
            NotFound, Conflict: It already ended.
        """
        signer = signer or _at_the_console(by)

        def work(connection: Connection) -> None:
            row = records.find(connection, order_id)
            if OrderStatus(row.status).is_final:
                raise Conflict(f"{order_id} is already {row.status}.")
            self._move(
                connection,
                row,
                status=OrderStatus.CANCELLED.value,
                reason=json.dumps({"kind": "rejected", "text": f"Cancelled by {by}."}),
                owner=None,
            )
            self._void_asks(connection, order_id)
            self._act(connection, ActionKind.CANCELLED, order_id=order_id, signer=signer)
            self._signatures.note(
                connection,
                kind="cancelled",
                order_id=order_id,
                signer=signer,
                body={"name": by},
            )
            release_holds(connection, order_id)
            state = records.read_state(row.state)
            self._memory.remember(
                episode(state, OrderStatus.CANCELLED, None),
                kind=MemoryKind.EPISODE,
                origin=state.mark_of_all.origin,
                detail=of_customer(row.customer),
                order_id=order_id,
                within=connection,
            )

        self._store.write(work)

    def resume(self, order_id: str, *, signer: Signer | None = None) -> None:
        """Let a parked or failed order go on; failed tasks start another round.

        Raises:
            NotFound, Conflict: It is neither parked nor failed.
        """

        def work(connection: Connection) -> None:
            row = records.find(connection, order_id)
            if row.status not in (OrderStatus.PARKED.value, OrderStatus.FAILED.value):
                raise Conflict(
                    f"{order_id} is {row.status}: only a parked or failed order resumes."
                )
            state = _another_round(records.read_state(row.state))
            if row.status == OrderStatus.FAILED.value:
                # Answers that failed stay on the books under their old keys.
                state = state.model_copy(update={"retry": state.retry + 1})
            self._act(
                connection,
                ActionKind.RESUMED,
                order_id=order_id,
                signer=signer or _at_the_console("founder"),
            )
            self._restart(connection, row, state)

        self._store.write(work)

    def budgets(self) -> list[budget.Budget]:
        """Return the company's budget and today's, as far as they exist."""
        scopes = [budget.COMPANY, budget.day_scope(self._clock.now())]

        def work(connection: Connection) -> list[budget.Budget]:
            found = (budget.find(connection, scope) for scope in scopes)
            return [item for item in found if item is not None]

        return self._store.read(work)

    def set_budget(
        self, target: str, amount: Decimal | None, *, signer: Signer | None = None
    ) -> list[str]:
        """Set the limit of an order, of `day` (today) or of the `company`.

        Returns:
            The ids of parked orders that now go on.

        Raises:
            NotFound, InvalidInput: Nothing was changed.
        """
        check_budget(amount)
        fixed = {"company": budget.COMPANY, "day": budget.day_scope(self._clock.now())}

        def work(connection: Connection) -> list[str]:
            scope = fixed.get(target)
            if scope is None:
                scope = budget.order_scope(records.find(connection, target).id)
            before = budget.find(connection, scope)
            budget.set_limit(connection, scope, amount, currency=self._currency)
            only = None if target in fixed else target
            who = signer or _at_the_console("founder")
            limits = {"before": before.limit if before else None, "limit": amount}
            self._signatures.note(
                connection,
                kind="budget",
                order_id=only,
                signer=who,
                body={"scope": scope, "currency": self._currency}
                | {
                    name: plain(limit) if limit is not None else None
                    for name, limit in limits.items()
                },
            )
            self._act(connection, ActionKind.BUDGET, order_id=only, signer=who)
            return self._unpark(connection, only)

        return self._store.write(work)

    def _unpark(self, connection: Connection, only: str | None) -> list[str]:
        """Let orders parked at a budget go on: all, or the one named."""
        query = sa.select(orders).where(orders.c.status == OrderStatus.PARKED.value)
        rows = connection.execute(query).all()
        moved = []
        for row in rows:
            is_meant = only is None or row.id == only
            if is_meant and json.loads(row.reason or "{}").get("kind") == "limit":
                self._restart(connection, row, _another_round(records.read_state(row.state)))
                moved.append(row.id)
        return moved

    def _open_asks(self, connection: Connection, target: str, *, kinds: Sequence[str]) -> list[Any]:
        rows = connection.execute(
            sa.select(asks)
            .where(sa.or_(asks.c.id == target, asks.c.order_id == target))
            .order_by(asks.c.created_at, asks.c.id)
        ).all()
        found = [row for row in rows if row.state == "open" and row.kind in kinds]
        if found:
            return found
        named = next((row for row in rows if row.id == target), None)
        if named is not None and named.state != "open":
            raise Conflict(f"{target} was already {named.state}; nothing was changed.")
        if named is None:
            row = records.find(connection, self._order_of(connection, target))
            raise Conflict(f"{row.id} is {row.status} and has no open {' or '.join(kinds)}.")
        raise InvalidInput(f"{target} is a {named.kind}, not a {' or '.join(kinds)}.")

    def _order_of(self, connection: Connection, target: str) -> str:
        """Return the order that a target, an order's or an ask's id, belongs to."""
        found = connection.execute(sa.select(asks.c.order_id).where(asks.c.id == target)).scalar()
        if found is not None:
            return str(found)
        if connection.execute(sa.select(orders.c.id).where(orders.c.id == target)).first() is None:
            known = [*connection.execute(sa.select(orders.c.id)).scalars()]
            known += connection.execute(sa.select(asks.c.id)).scalars()
            raise NotFound(f"There is no order or question {target!r}{nearest(target, known)}")
        return target

    def _close_asks(self, connection: Connection, found: Sequence[Any], text: str, by: str) -> None:
        now = iso(self._clock.now())
        result = connection.execute(
            asks.update()
            .where(asks.c.id.in_([ask.id for ask in found]), asks.c.state == "open")
            .values(state="answered", answer=text, answered_by=by, answered_at=now)
        )
        if result.rowcount != len(found):
            raise Conflict("Somebody else answered at the same moment; nothing was changed.")

    def _go_on(
        self, connection: Connection, order_id: str, *, update: dict[str, Any] | None = None
    ) -> str:
        """Enqueue the next segment once nothing of the order is open any more."""
        # Two people who answer the last two questions at once must not both see the other one open.
        row = records.find(connection, order_id, is_held=True)
        is_open = connection.execute(
            sa.select(asks.c.id).where(asks.c.order_id == order_id, asks.c.state == "open").limit(1)
        ).first()
        if is_open is None and row.status == OrderStatus.WAITING.value:
            state = self._with_answers(connection, row)
            self._restart(connection, row, state.model_copy(update=update or {}))
        return order_id

    def _with_answers(self, connection: Connection, row: Any) -> OrderState:
        state = records.read_state(row.state)
        rows = connection.execute(
            sa.select(asks.c.id, asks.c.answer).where(
                asks.c.order_id == row.id, asks.c.state == "answered"
            )
        )
        said = {ask.id: ask.answer for ask in rows}
        questions = tuple(
            q.model_copy(update={"answer": said.get(q.id, q.answer)}) for q in state.questions
        )
        return state.model_copy(update={"questions": questions})

    def _revise(self, connection: Connection, row: Any, reason: str) -> str:
        state = records.read_state(row.state)
        self._void_asks(connection, row.id)
        self._restart(
            connection,
            row,
            state.model_copy(
                update={
                    "plan": None,
                    "baseline": None,
                    "forecast": None,
                    "is_signed": False,
                    "tasks": {},
                    "answer": None,
                    "revision": state.revision + 1,
                    "corrections": (*state.corrections, reason),
                }
            ),
        )
        return str(row.id)

    def _restart(self, connection: Connection, row: Any, state: OrderState) -> None:
        """Move an order to its next segment and enqueue it."""
        segment = row.segment + 1
        self._move(
            connection,
            row,
            status=OrderStatus.QUEUED.value,
            segment=segment,
            state=state.model_dump_json(),
            reason=None,
            owner=None,
        )
        self._engine.enqueue(
            connection,
            SEGMENT,
            segment_id(row.id, segment),
            row.id,
            segment,
            lane=lane_of(row.channel, row.sender_id, row.customer),
            is_urgent=True,
        )

    def _move(self, connection: Connection, row: Any, **values: Any) -> None:
        result = connection.execute(
            orders.update()
            .where(
                orders.c.id == row.id,
                orders.c.status == row.status,
                orders.c.segment == row.segment,
            )
            .values(**values)
        )
        if result.rowcount != 1:
            raise Conflict(f"{row.id} moved on at the same moment; look again with `swarm show`.")

    def _void_asks(self, connection: Connection, order_id: str) -> None:
        approvals.void_order(connection, order_id)
        connection.execute(
            asks.update()
            .where(asks.c.order_id == order_id, asks.c.state == "open")
            .values(state="void")
        )

    def _wording_of(self, connection: Connection, ask: Any) -> Origin:
        """Return whose wording the options of a choice are: a role's, and who shaped its words.

        The founder's pick does not make them the founder's own.
        """
        mark = records.read_state(records.find(connection, ask.order_id).state).mark
        known = records.task_states(connection, ask.order_id)
        if ask.task_id in known:
            mark = mark.joined(known[ask.task_id].mark)
        return mark.origin

    def _learn(self, order_id: str, text: str, *, origin: Origin = Origin.FOUNDER) -> None:
        """Remember what the founder corrected or chose; it is their taste."""
        self._memory.remember(text, kind=MemoryKind.PREFERENCE, origin=origin, order_id=order_id)


def _at_the_console(name: str) -> Signer:
    return Signer(f"console:{name}", name)


def _is_seen(ask: Any) -> bool:
    return ask.kind != "signature" or ask.shown_at is not None


def _another_round(state: OrderState) -> OrderState:
    """Plan failed and skipped tasks again, with new ledger keys for the failed ones."""
    tasks: dict[str, TaskState] = {}
    for task_id, task in state.tasks.items():
        if task.status in (TaskStatus.FAILED, TaskStatus.SKIPPED):
            task = TaskState(round=task.round + (task.status is TaskStatus.FAILED))
        elif task.reason is not None:
            task = task.model_copy(update={"reason": None})
        tasks[task_id] = task
    return state.model_copy(update={"tasks": tasks})


def _ask(row: Any) -> Ask:
    return Ask(
        id=row.id,
        order_id=row.order_id,
        task_id=row.task_id,
        kind=row.kind,
        asked_by=row.asked_by,
        text=row.text,
        options=tuple(json.loads(row.options)),
        created_at=row.created_at,
        digest=row.digest,
        expires_at=row.expires_at,
    )
