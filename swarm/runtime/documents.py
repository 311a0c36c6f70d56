"""Orders as documents: what `swarm show`, `--json` and every other reader see."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, parse_iso
from swarm.core.document import (
    ArtifactDocument,
    BandDocument,
    BaselineDocument,
    CostDocument,
    ForecastDocument,
    HoursDocument,
    OrderDocument,
    PlanDocument,
    QuestionDocument,
    ReviewDocument,
    TaskDocument,
)
from swarm.core.money import CostStatus
from swarm.core.order import OrderState, OrderStatus, Plan, Reason, Review, TaskState
from swarm.ledger import budget
from swarm.ledger.receipt import receipt
from swarm.runtime import records
from swarm.store.database import Store
from swarm.store.tables import artifacts, asks, ledger, orders


class Documents:
    """Read orders of one company. Works beside a running worker."""

    def __init__(self, *, store: Store, clock: Clock, home: Path, currency: str) -> None:
        self._store = store
        self._clock = clock
        self._home = home
        self._currency = currency

    def order(self, order_id: str) -> OrderDocument:
        """Return one order, whole.

        Raises:
            NotFound: No such order.
        """
        return self._store.read(lambda c: self._read(c, order_id))

    def orders(self, *, limit: int = 50) -> list[OrderDocument]:
        """Return the newest orders first."""

        def work(connection: Connection) -> list[OrderDocument]:
            newest = sa.select(orders.c.id).order_by(orders.c.created_at.desc(), orders.c.id)
            found = connection.execute(newest.limit(limit)).scalars().all()
            return [self._read(connection, order_id) for order_id in found]

        return self._store.read(work)

    def status(self, order_id: str) -> OrderStatus:
        """Return where an order stands; cheap enough to ask often. Raises NotFound."""
        return OrderStatus(self._store.read(lambda c: records.find(c, order_id)).status)

    def ledger(self, order_id: str | None = None, *, limit: int = 1000) -> list[dict[str, Any]]:
        """Return ledger rows, newest last, without prompts and answers."""
        hidden = ("prompt", "answer")
        columns = [column for column in ledger.c if column.name not in hidden]
        query = sa.select(*columns).order_by(ledger.c.id.desc()).limit(limit)
        if order_id is not None:
            query = query.where(ledger.c.order_id == order_id)

        def work(connection: Connection) -> list[dict[str, Any]]:
            if order_id is not None:
                records.find(connection, order_id)
            return [dict(row._mapping) for row in connection.execute(query)][::-1]

        return self._store.read(work)

    def working(self, order_id: str) -> list[dict[str, str]]:
        """Return who waits for a model right now: role, task, since when."""
        query = sa.select(ledger.c.role, ledger.c.task_id, ledger.c.started_at).where(
            ledger.c.order_id == order_id, ledger.c.state == "intent"
        )
        rows = self._store.read(lambda c: c.execute(query).all())
        return [
            {"role": row.role, "task": row.task_id or "", "since": row.started_at} for row in rows
        ]

    def _read(self, connection: Connection, order_id: str) -> OrderDocument:
        row = records.find(connection, order_id)
        state = records.read_state(row.state)
        # The tasks' own rows are ahead of the order's state while they run.
        if row.status == OrderStatus.WORKING.value:
            done = records.task_states(connection, order_id)
            known = {t: s for t, s in done.items() if t in state.tasks and s.attempts}
            state = state.model_copy(update={"tasks": {**state.tasks, **known}})
        asked = connection.execute(sa.select(asks).where(asks.c.order_id == order_id)).all()
        lines = connection.execute(sa.select(*_LINES).where(ledger.c.order_id == order_id)).all()
        files = connection.execute(
            sa.select(artifacts).where(artifacts.c.order_id == order_id).order_by(artifacts.c.path)
        ).all()
        created_at = parse_iso(row.created_at)
        return OrderDocument(
            id=row.id,
            status=OrderStatus(row.status),
            reason=Reason.model_validate_json(row.reason) if row.reason else None,
            text=state.text,
            language=state.language,
            goal=state.frame.goal if state.frame else None,
            success_criteria=list(state.frame.success_criteria) if state.frame else [],
            questions=_questions(state, asked),
            plan=_plan(state) if state.plan else None,
            baseline=_baseline(state),
            forecast=_forecast(state),
            artifacts=[_artifact(file) for file in files],
            workspace=str(self._home / "workspace" / row.id),
            answer=state.answer,
            receipt=receipt(
                lines,
                plan=state.plan,
                asks=asked,
                created_at=created_at,
                ended_at=self._ended_at(row),
                currency=self._currency,
            ),
            budget=self._budget(connection, order_id),
            accepted_by=row.accepted_by,
            signed_off_by=row.signed_off_by,
            created_at=created_at,
            delivered_at=parse_iso(row.delivered_at) if row.delivered_at else None,
        )

    def _ended_at(self, row: Any) -> datetime:
        return parse_iso(row.delivered_at) if row.delivered_at else self._clock.now()

    def _budget(self, connection: Connection, order_id: str) -> CostDocument | None:
        found = budget.find(connection, budget.order_scope(order_id))
        if found is None or found.limit is None:
            return None
        return CostDocument(amount=found.limit, currency=found.currency, status=CostStatus.PAID)


_LINES = [column for column in ledger.c if column.name not in ("prompt", "answer", "raw_usage")]


def _questions(state: OrderState, asked: Any) -> list[QuestionDocument]:
    """Return the framing questions and those that roles asked while working."""
    said = {row.id: row for row in asked}
    framing = [
        QuestionDocument(
            id=q.id,
            text=q.text,
            options=list(q.options),
            answer=said[q.id].answer if q.id in said else q.answer,
            asked_by=q.asked_by,
        )
        for q in state.questions
    ]
    known = {q.id for q in framing}
    others = [
        QuestionDocument(
            id=row.id,
            text=row.text,
            options=_options(row),
            answer=row.answer,
            asked_by=row.asked_by,
        )
        for row in sorted(asked, key=lambda r: (r.created_at, r.id))
        if row.id not in known
    ]
    return framing + others


def _options(row: Any) -> list[str]:
    return [str(option) for option in json.loads(row.options)]


def _plan(state: OrderState) -> PlanDocument:
    plan: Plan | None = state.plan
    assert plan is not None
    return PlanDocument(
        approach=plan.approach,
        revision=state.revision,
        tasks=[
            TaskDocument(
                **task.model_dump(include={"id", "role", "title", "brief", "deliverable"}),
                depends_on=list(task.depends_on),
                status=_task(state, task.id).status,
                attempts=_task(state, task.id).attempts,
                review=_review(_task(state, task.id).review),
            )
            for task in plan.tasks
        ],
    )


def _task(state: OrderState, task_id: str) -> TaskState:
    return state.tasks.get(task_id, TaskState())


def _review(review: Review | None) -> ReviewDocument | None:
    if review is None:
        return None
    return ReviewDocument(
        verdict=review.verdict, reasons=list(review.reasons), reviewer=review.reviewer
    )


def _baseline(state: OrderState) -> BaselineDocument | None:
    if state.baseline is None:
        return None
    return BaselineDocument(
        hours=HoursDocument(**state.baseline.hours.model_dump()),
        cost=BandDocument(**state.baseline.cost.model_dump()),
        method=state.baseline.method,
        sources=list(state.baseline.sources),
        frozen_at=state.baseline.frozen_at,
    )


def _forecast(state: OrderState) -> ForecastDocument | None:
    if state.forecast is None:
        return None
    return ForecastDocument(
        low=state.forecast.low, high=state.forecast.high, currency=state.forecast.currency
    )


def _artifact(row: Any) -> ArtifactDocument:
    return ArtifactDocument(
        path=row.path, sha256=row.sha256, bytes=row.bytes, role=row.role, task=row.task_id
    )
