"""The desk where people act on orders: answer, sign, refuse, accept, cancel, raise a budget.

Each act is one transaction that moves the order by compare-and-set, so that the same click twice
acts once, and a click that lost a race changes nothing and says so.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.errors import Conflict, InvalidInput, Unavailable
from swarm.core.money import plain
from swarm.core.order import OrderStatus
from swarm.core.origin import Origin
from swarm.core.text import clean_text
from swarm.ledger import budget
from swarm.ledger.approvals import Signer
from swarm.ledger.attention import ActionKind, note_act, note_shown, result_seen_at
from swarm.ledger.book import release_holds
from swarm.memory.base import Memory, MemoryKind
from swarm.runtime import asking, records
from swarm.runtime.asking import Ask
from swarm.runtime.engine import Engine
from swarm.runtime.intake import check_budget
from swarm.runtime.moves import Moves, another_round, move
from swarm.runtime.recalling import of_customer
from swarm.runtime.signatures import Signatures
from swarm.runtime.wording import episode
from swarm.store.database import Store
from swarm.store.tables import approvals as approval_rows
from swarm.store.tables import artifacts, asks


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
        self._moves = Moves(engine)
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
            return [asking.from_row(row) for row in rows]

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
            found = asking.open_of(connection, target, kinds=("question", "choice"))
            self._close(connection, found, text, by)
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
            return self._moves.go_on(connection, order_id)

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
            found = asking.open_of(connection, target, kinds=("choice",))
            if len(found) > 1:
                names = ", ".join(ask.id for ask in found)
                raise InvalidInput(f"{target} has several open choices: name one of {names}.")
            options = json.loads(found[0].options)
            if not 1 <= number <= len(options):
                raise InvalidInput(f"There is no option {number}: choose 1 to {len(options)}.")
            option = options[number - 1]
            said = f"{option} (because: {reason})" if reason else option
            self._close(connection, found, said, by)
            others = [o for o in options if o != option]
            self._act(
                connection,
                ActionKind.CHOSEN,
                order_id=found[0].order_id,
                signer=signer or _at_the_console(by),
                found=found,
                refused=len(options) - 1,
            )
            origin = asking.wording_of(connection, found[0])
            return self._moves.go_on(connection, found[0].order_id), option, others, origin

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
            found = asking.open_of(connection, target, kinds=("approval", "signature"))
            # By the order's id a person signs what they have seen, not what came meanwhile.
            found = [ask for ask in found if target == ask.id or asking.is_seen(ask)]
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
                self._close(connection, [ask], text, by)
            is_plan = any(ask.kind == "approval" for ask in found)
            update = {"is_signed": True} if is_plan else None
            order_id = str(found[0].order_id)
            self._act(
                connection, ActionKind.APPROVED, order_id=order_id, signer=signer, found=found
            )
            return self._moves.go_on(connection, order_id, update=update)

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
            order_id = asking.order_of(connection, target)
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
                return self._moves.revise(connection, row, reason)
            found = asking.open_of(connection, target, kinds=("approval", "signature"))
            plans = [ask for ask in found if ask.kind == "approval"]
            for ask in found:
                if ask.kind == "signature":
                    self._signatures.decide(
                        connection, ask, is_signed=False, signer=signer, reason=reason
                    )
            self._close(connection, found, f"rejected: {reason}", by)
            self._act(
                connection,
                ActionKind.REJECTED,
                order_id=order_id,
                signer=signer,
                found=found,
                refused=len(found),
            )
            if plans:
                return self._moves.revise(connection, row, reason)
            return self._moves.go_on(connection, order_id)

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
            move(
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
            # Held: a stop that met another's word at the same moment must not be the one that fails.
            row = records.find(connection, order_id, is_held=True)
            if OrderStatus(row.status).is_final:
                raise Conflict(f"{order_id} is already {row.status}.")
            move(
                connection,
                row,
                status=OrderStatus.CANCELLED.value,
                reason=json.dumps({"kind": "rejected", "text": f"Cancelled by {by}."}),
                owner=None,
            )
            asking.void(connection, order_id)
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
            state = another_round(records.read_state(row.state))
            if row.status == OrderStatus.FAILED.value:
                # Answers that failed stay on the books under their old keys.
                state = state.model_copy(update={"retry": state.retry + 1})
            self._act(
                connection,
                ActionKind.RESUMED,
                order_id=order_id,
                signer=signer or _at_the_console("founder"),
            )
            self._moves.restart(connection, row, state)

        self._store.write(work)

    def budgets(self) -> list[budget.Budget]:
        """Return the company's budget, this month's and today's, as far as they exist."""
        now = self._clock.now()
        scopes = [budget.COMPANY, budget.month_scope(now), budget.day_scope(now)]

        def work(connection: Connection) -> list[budget.Budget]:
            found = (budget.find(connection, scope) for scope in scopes)
            return [item for item in found if item is not None]

        return self._store.read(work)

    def set_budget(
        self, target: str, amount: Decimal | None, *, signer: Signer | None = None
    ) -> list[str]:
        """Set the limit of an order, of `day` (today), of `month` (this one) or of the `company`.

        Returns:
            The ids of parked orders that now go on.

        Raises:
            NotFound, InvalidInput: Nothing was changed.
        """
        check_budget(amount)
        now = self._clock.now()
        fixed = {
            "company": budget.COMPANY,
            "day": budget.day_scope(now),
            "month": budget.month_scope(now),
        }

        def work(connection: Connection) -> list[str]:
            scope = fixed.get(target)
            if scope is None:
                scope = budget.order_scope(records.find(connection, target).id)
            before = budget.find(connection, scope)
            if target == "month":
                budget.set_month(connection, now, amount, currency=self._currency)
            else:
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
            return self._moves.unpark(connection, only)

        return self._store.write(work)

    def _close(self, connection: Connection, found: Sequence[Any], text: str, by: str) -> None:
        asking.close(connection, found, text, by=by, at=iso(self._clock.now()))

    def _learn(self, order_id: str, text: str, *, origin: Origin = Origin.FOUNDER) -> None:
        """Remember what the founder corrected or chose; it is their taste."""
        self._memory.remember(text, kind=MemoryKind.PREFERENCE, origin=origin, order_id=order_id)


def _at_the_console(name: str) -> Signer:
    return Signer(f"console:{name}", name)
