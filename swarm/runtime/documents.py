"""Orders as documents: what `swarm show`, `--json` and every other reader see."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
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
    PaperDocument,
    PlanDocument,
    QuestionDocument,
    ReviewDocument,
    TaskDocument,
    WeekDocument,
)
from swarm.core.money import CostStatus
from swarm.core.order import OrderState, OrderStatus, Plan, Reason, Review, TaskState
from swarm.core.role import MCP_PREFIX
from swarm.ledger import budget
from swarm.ledger.attention import (
    ActionKind,
    FounderTime,
    FounderTimeConfig,
    FounderWeek,
    Minutes,
    founder_time,
    founder_week,
    minutes_between,
    minutes_of,
)
from swarm.ledger.attention.spent import WEEK, week_of
from swarm.ledger.hosting.attribution import hosting_of_order
from swarm.ledger.receipt import Sheet, receipt
from swarm.runtime import records
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import (
    artifacts,
    asks,
    effects,
    founder_actions,
    hosting_usage,
    ledger,
    orders,
)


class Documents:
    """Read orders of one company. Works beside a running worker."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        home: Path,
        currency: str,
        rates: Mapping[str, Decimal] | None = None,
        founder_time: FounderTimeConfig | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._home = home
        self._currency = currency
        self._rates = rates or {}
        self._founder_time = founder_time or FounderTimeConfig()

    def order(self, order_id: str) -> OrderDocument:
        """Return one order, whole.

        Raises:
            NotFound: No such order.
        """
        return self._store.read(lambda c: self._read(c, order_id))

    def paper(self, order_id: str) -> PaperDocument:
        """Return the receipt of one order, with the founder's week.

        Raises:
            NotFound: No such order.
        """
        document = self.order(order_id)
        last = document.receipt.founder.last_at if document.receipt.founder else None
        week = self.week(last or document.created_at)
        return PaperDocument(
            **dict(document.receipt),
            order=document.id,
            week=WeekDocument(
                start=week.start,
                end=week.end,
                seconds=week.seconds,
                limit_seconds=week.limit_seconds,
                is_over=week.is_over,
            ),
            **{name: getattr(document, name) for name in _ON_PAPER},
        )

    def week(self, at: datetime | None = None) -> FounderWeek:
        """Return the founder's week that a moment lies in; None is now."""
        moment = at or self._clock.now()
        return self._store.read(
            lambda c: founder_week(c, moment, config=self._founder_time, currency=self._currency)
        )

    def founder_time(self, order_id: str) -> FounderTime:
        """Return what an order took of the founder's time."""
        return self._store.read(
            lambda c: founder_time(c, order_id, config=self._founder_time, currency=self._currency)
        )

    def minutes(self, order_id: str) -> list[Minutes]:
        """Return the stretches of founder time that count for an order.

        Raises:
            NotFound: No such order.
        """

        def work(connection: Connection) -> list[Minutes]:
            records.find(connection, order_id)
            return minutes_of(connection, order_id, config=self._founder_time)

        return self._store.read(work)

    def minutes_of_week(self) -> list[Minutes]:
        """Return the stretches of founder time that count for the week of now."""
        start = week_of(self._clock.now())
        return self._store.read(
            lambda c: minutes_between(c, start, start + WEEK, config=self._founder_time)
        )

    def orders(self, *, limit: int = 50) -> list[OrderDocument]:
        """Return the newest orders first."""

        def work(connection: Connection) -> list[OrderDocument]:
            newest = sa.select(orders.c.id).order_by(orders.c.created_at.desc(), orders.c.id)
            found = connection.execute(newest.limit(limit)).scalars().all()
            return [self._read(connection, order_id) for order_id in found]

        return self._store.read(work)

    def status(self, order_id: str) -> OrderStatus:
        """Return where an order stands; cheap enough to ask often. Raises NotFound."""
        return self._store.read(lambda c: records.status_of(c, order_id))

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
        key = {"of_order": order_id}
        asked, lines = _ASKS.all(connection, key), _LINES.all(connection, key)
        files = _ARTIFACTS.all(connection, key)
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
            receipt=receipt(self._sheet(connection, row, state, lines)),
            budget=self._budget(connection, order_id),
            accepted_by=row.accepted_by,
            signed_off_by=row.signed_off_by,
            created_at=created_at,
            delivered_at=parse_iso(row.delivered_at) if row.delivered_at else None,
        )

    def _sheet(
        self, connection: Connection, row: Any, state: OrderState, lines: Sequence[Any]
    ) -> Sheet:
        used = sorted(found.tool for found in _TOOLS.all(connection, {"of_order": row.id}))
        ended_at = _ended_at(connection, row, lines)
        return Sheet(
            rows=lines,
            plan=state.plan,
            created_at=parse_iso(row.created_at),
            ended_at=ended_at or self._clock.now(),
            is_ended=ended_at is not None,
            currency=self._currency,
            founder=founder_time(
                connection, row.id, config=self._founder_time, currency=self._currency
            ),
            founder_config=self._founder_time,
            rates=self._rates,
            hosting=hosting_of_order(connection, row.id),
            hosting_until=_hosting_until(connection),
            baseline=state.baseline,
            channel=row.channel,
            foreign_tools=tuple(tool for tool in used if tool.startswith(MCP_PREFIX)),
            is_on_web="web_fetch" in used,
        )

    def _budget(self, connection: Connection, order_id: str) -> CostDocument | None:
        found = budget.find(connection, budget.order_scope(order_id))
        if found is None or found.limit is None:
            return None
        return CostDocument(amount=found.limit, currency=found.currency, status=CostStatus.PAID)


_ON_PAPER = (
    "status",
    "text",
    "language",
    "baseline",
    "forecast",
    "budget",
    "accepted_by",
    "created_at",
    "delivered_at",
)
_HEAVY = ("prompt", "answer", "raw_usage", "parts")
# Written once: building a statement costs more than running it.
_ORDER: sa.BindParameter[str] = sa.bindparam("of_order")
_LINES = Prepared(
    sa.select(*(column for column in ledger.c if column.name not in _HEAVY)).where(
        ledger.c.order_id == _ORDER
    )
)
_ASKS = Prepared(sa.select(asks).where(asks.c.order_id == _ORDER))
_ARTIFACTS = Prepared(
    sa.select(artifacts).where(artifacts.c.order_id == _ORDER).order_by(artifacts.c.path)
)
_TOOLS = Prepared(sa.select(effects.c.tool).where(effects.c.order_id == _ORDER).distinct())
_METERED_UNTIL = Prepared(
    sa.select(hosting_usage.c.ended_at).order_by(hosting_usage.c.started_at.desc()).limit(1)
)


def _ended_at(connection: Connection, row: Any, lines: Sequence[Any]) -> datetime | None:
    """Return when an order came to its end, or None while it goes on.

    A failed or cancelled order ended with its last call, or with the word that cancelled it.
    """
    status = OrderStatus(row.status)
    if not status.is_final:
        return None
    if status in (OrderStatus.DELIVERED, OrderStatus.ACCEPTED) and row.delivered_at:
        return parse_iso(row.delivered_at)
    word = connection.execute(
        sa.select(sa.func.max(founder_actions.c.at)).where(
            founder_actions.c.order_id == row.id,
            founder_actions.c.kind == ActionKind.CANCELLED.value,
        )
    ).scalar()
    ends = [line.ended_at for line in lines if line.ended_at is not None]
    return parse_iso(max([row.created_at, *ends, *([word] if word else [])]))


def _hosting_until(connection: Connection) -> datetime | None:
    found = _METERED_UNTIL.scalar(connection, {})
    return parse_iso(found) if found else None


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
    band = state.baseline
    if band is None:
        return None
    return BaselineDocument(
        hours=HoursDocument(**band.hours.model_dump()),
        cost=BandDocument(**band.cost.model_dump()),
        method=band.method,
        sources=list(band.sources),
        frozen_at=band.frozen_at,
        elapsed=HoursDocument(**band.elapsed.model_dump()) if band.elapsed else None,
        rate=BandDocument(**band.rate.model_dump()) if band.rate else None,
        author=band.author,
        reference_cases=band.reference_cases,
        own_cases=band.own_cases,
        calibration_id=band.calibration_id,
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
