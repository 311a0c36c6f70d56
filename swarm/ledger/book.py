"""The ledger's rows: an intent before each attempt at a model call, the charge after it."""

import hashlib
import json
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError

from swarm.core.chat import JsonSchema, Message, ModelRequest, RawAnswer, ToolSpec
from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.errors import BadAnswer, Cancelled, ConfigError, ModelError, Transient
from swarm.core.money import CostStatus, to_pico
from swarm.core.order import OrderStatus
from swarm.core.usage import Usage
from swarm.ledger import budget
from swarm.ledger.price_rates import Price
from swarm.ledger.usage_estimate import estimated_parts
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import ledger, orders, tasks

USED, SUPERSEDED, FAILED, INTENT = "used", "superseded", "failed", "intent"
Frame: TypeAlias = tuple[str | None, JsonSchema | None, tuple[ToolSpec, ...]]
"""What a conversation goes on with, call by call: the schema's name, the schema, the tools."""
_WRITTEN: ContextVar[tuple[ModelRequest, str] | None] = ContextVar("swarm_written", default=None)
"""The request that this task asked last, in canonical JSON: it is quoted, stored and looked up."""


@dataclass(frozen=True, slots=True)
class CallKey:
    """Where a call stands in its order; never a position in time."""

    order_id: str
    node: str
    seq: int


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made."""

    role: str
    task_id: str | None
    token: str
    """The run's claim on the order or task; a run that lost it may not start another call."""
    task_limit: Decimal | None = None
    """The role's budget for one task, in the company's currency."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The bound of a call's price; `price` is None for an allowed model without one."""

    price: Price | None
    worst: Decimal
    """In the company's currency."""
    currency: str
    """Of the price row; the company's where there is none."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What an answer cost."""

    amount: Decimal
    """Where the status is `unpriced`, what is known of it: a lower bound."""
    currency: str
    status: CostStatus
    price_id: str | None
    usage: Usage | None = None
    """None where the answer's own account of it has to do."""
    provider: str | None = None
    service_tier: str | None = None
    parts: str | None = None
    """JSON of the priced parts."""
    listed: Decimal | None = None
    listed_currency: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An open intent."""

    row_id: int
    key: CallKey
    model: str
    quote: Quote
    scopes: tuple[str, ...]
    prompt_bytes: int
    """Of the request as it is asked, in UTF-8."""
    started_at: datetime


class Book:
    """Write and settle ledger rows of one company."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        currency: str,
        rates: dict[str, Decimal],
        day_limit: Decimal | None,
        month_limit: Decimal | None = None,
        counts_notional: bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._currency = currency
        self._rates = rates
        self._day_limit = day_limit
        self._month_limit = month_limit
        self._counts_notional = counts_notional
        self._known_day = ""
        self._last_messages: dict[tuple[str, str], tuple[int, tuple[Message, ...], Frame]] = {}

    def to_company(self, amount: Decimal, currency: str) -> Decimal:
        """Turn an amount into the company's currency; raises ConfigError without a rate."""
        return budget.convert(amount, currency, self._currency, self._rates)

    def binds(self, status: CostStatus) -> bool:
        """Say whether a cost uses budgets up."""
        return self._counts_notional or status is not CostStatus.NOTIONAL

    async def open(
        self, key: CallKey, request: ModelRequest, caller: Caller, *, quote: Quote, text: str
    ) -> Attempt | RawAnswer:
        """Reserve the worst case and write the intent, or return the answer already on the books.

        Args:
            key: Which call of which order.
            request: What will be asked.
            caller: On whose behalf.
            quote: The bound of its price.
            text: The request in canonical JSON.

        Raises:
            LimitExceeded: A budget does not cover it; nothing was written.
            Cancelled: The order stopped, or another run holds the claim.
        """
        base, prompt = self._prompt(key, request)
        now = self._clock.now()
        worst_pico = to_pico(quote.worst)
        size = len(text.encode())
        values = {
            "order_id": key.order_id,
            "task_id": caller.task_id,
            "node": key.node,
            "seq": key.seq,
            "state": INTENT,
            "role": caller.role,
            "model": request.model,
            "digest": digest_of(text),
            "prompt": prompt,
            "prompt_base": base,
            "reserved_pico": worst_pico,
            "cost_pico": 0,
            "currency": quote.currency,
            "cost_status": CostStatus.UNPRICED.value,
            "price_id": quote.price.id if quote.price else None,
            "started_at": iso(now),
        }
        day = budget.day_scope(now)

        def work(connection: Connection) -> Attempt | RawAnswer:
            self._check(connection, key, caller)
            attempts = 0
            for row in _OF_CALL.all(connection, _call(key)):
                if row.state == USED:
                    return recorded_answer(row)
                attempts += 1
            scopes = self._scopes(connection, key.order_id, caller, at=now)
            budget.reserve(connection, scopes, worst_pico)
            row_id = _INSERT.insert(connection, {**values, "attempt": attempts + 1})
            return Attempt(row_id, key, request.model, quote, tuple(scopes), size, now)

        opened = await self._store.awrite(work)
        self._known_day = day
        return opened

    def _check(self, connection: Connection, key: CallKey, caller: Caller) -> None:
        """Refuse a call by a run that may not make it; raises Cancelled."""
        check_claim(connection, key.order_id, caller)

    async def settle(self, attempt: Attempt, answer: RawAnswer, charge: Charge) -> RawAnswer:
        """Charge an answer and store it; return the one in use, which may be another run's.

        Of an answer that nobody can price, what is not known to be spent stays held until the order
        ends: a budget that forgot it would never fire.
        """
        cost_pico, is_known = self._owed(charge)
        values = _answer_values(answer, charge) | {
            "cost_pico": to_pico(charge.amount),
            "currency": charge.currency,
            "cost_status": charge.status.value,
            "price_id": charge.price_id,
            "ended_at": iso(self._clock.now()),
        }

        def work(connection: Connection) -> RawAnswer:
            found = _HOLD_AND_USED.one(connection, {"row_id": attempt.row_id})
            is_late = found.used_id is not None
            kept = 0 if is_known else max(0, found.reserved_pico - cost_pico)
            state = {"row_id": attempt.row_id, "state": SUPERSEDED if is_late else USED}
            _CHANGE.run(connection, {**values, **state, "reserved_pico": kept})
            budget.settle(
                connection,
                list(attempt.scopes),
                reserved_pico=found.reserved_pico - kept,
                cost_pico=cost_pico,
            )
            if not is_late:
                return answer
            return recorded_answer(_BY_ID.one(connection, {"row_id": found.used_id}))

        try:
            return await self._store.awrite(work)
        except IntegrityError:
            # On Postgres two runs may settle at the same moment; the second look finds the first.
            return await self._store.awrite(work)

    def _owed(self, charge: Charge) -> tuple[int, bool]:
        """Return what a charge takes from budgets, in 1e-12 parts, and whether that is all of it."""
        if not self.binds(charge.status):
            return 0, True
        try:
            amount = self.to_company(charge.amount, charge.currency)
        except ConfigError:
            # The provider named a cost in a currency without a rate: it is kept apart, not lost.
            return 0, False
        return to_pico(amount), charge.status is not CostStatus.UNPRICED

    async def fail(self, attempt: Attempt, error: ModelError) -> None:
        """Close an attempt without an answer.

        Where money may be owed all the same, the hold stays until the order ends and the line is
        `unpriced`; otherwise the line is a paid zero.
        """
        may_be_owed = isinstance(error, BadAnswer) or (
            isinstance(error, Transient) and error.is_billed_unknown
        )
        status = CostStatus.UNPRICED if may_be_owed else CostStatus.PAID

        def work(connection: Connection) -> None:
            failed = {
                "row_id": attempt.row_id,
                "state": FAILED,
                "cost_status": status.value,
                "ended_at": iso(self._clock.now()),
                "error_kind": error.kind,
                "error_text": str(error)[:500],
                "parts": _estimate(attempt) if may_be_owed else None,
            }
            _CHANGE.run(connection, failed)
            if not may_be_owed:
                held = _HOLD_AND_USED.one(connection, {"row_id": attempt.row_id})
                _RELEASE.run(connection, {"row_id": attempt.row_id})
                budget.settle(
                    connection,
                    list(attempt.scopes),
                    reserved_pico=held.reserved_pico,
                    cost_pico=0,
                )

        await self._store.awrite(work)

    def _scopes(
        self, connection: Connection, order_id: str, caller: Caller, *, at: datetime
    ) -> list[str]:
        scopes = [budget.order_scope(order_id), *self._spans(connection, at), budget.COMPANY]
        if caller.task_limit is not None and caller.task_id is not None:
            task = budget.task_scope(order_id, caller.task_id)
            # The role's file may have been raised since the task began.
            budget.set_limit(connection, task, caller.task_limit, currency=self._currency)
            scopes.append(task)
        return scopes

    def _spans(self, connection: Connection, at: datetime) -> tuple[str, str]:
        """Return the budgets of a moment's day and month, which are there then."""
        day, month = budget.day_scope(at), budget.month_scope(at)
        if day != self._known_day:
            currency = self._currency
            budget.open_scope(connection, day, limit=self._day_limit, currency=currency)
            budget.open_month(connection, at, limit=self._month_limit, currency=currency)
        return day, month

    def _prompt(self, key: CallKey, request: ModelRequest) -> tuple[int, str]:
        """Return how many messages the node's previous call had too, and the rest as JSON.

        A conversation is thus stored once, not once per step.
        """
        frame: Frame = (request.schema_name, request.schema, request.tools)
        lane = (key.order_id, key.node)
        last_seq, last, last_frame = self._last_messages.get(lane, (-1, (), None))
        base = 0
        if last_seq == key.seq - 1 and request.messages[: len(last)] == last:
            base = len(last)
        self._last_messages[lane] = (key.seq, request.messages, frame)
        document: dict[str, Any] = {
            "messages": list(request.messages[base:]),
            "max_output_tokens": request.max_output_tokens,
            "temperature": request.temperature,
        }
        if not base or frame != last_frame:
            document["schema_name"] = request.schema_name
            document["schema"] = request.schema
            document["tools"] = [_tool(t) for t in request.tools]
        return base, json.dumps(document, ensure_ascii=False)

    def forget(self, order_id: str) -> None:
        """Drop what is kept in memory of an order's conversations."""
        for lane in [lane for lane in self._last_messages if lane[0] == order_id]:
            del self._last_messages[lane]


_OF_CALL = Prepared(
    sa.select(ledger).where(
        ledger.c.order_id == sa.bindparam("order_id"),
        ledger.c.node == sa.bindparam("node"),
        ledger.c.seq == sa.bindparam("seq"),
    )
)
_IS_ROW = ledger.c.id == sa.bindparam("row_id")
_BY_ID = Prepared(sa.select(ledger).where(_IS_ROW))
_INSERT = Prepared(ledger.insert())
_CHANGE = Prepared(ledger.update().where(_IS_ROW))
"""Sets the columns that its values name."""
_RELEASE = Prepared(ledger.update().where(_IS_ROW).values(reserved_pico=0))
_HELD = Prepared(
    sa.select(ledger.c.id, ledger.c.task_id, ledger.c.reserved_pico, ledger.c.started_at).where(
        ledger.c.order_id == sa.bindparam("order_id"), ledger.c.reserved_pico > 0
    )
)
_used = ledger.alias("used")
_HOLD_AND_USED = Prepared(
    sa.select(ledger.c.reserved_pico, _used.c.id.label("used_id"))
    .select_from(
        ledger.outerjoin(
            _used,
            sa.and_(
                _used.c.order_id == ledger.c.order_id,
                _used.c.node == ledger.c.node,
                _used.c.seq == ledger.c.seq,
                _used.c.state == sa.literal_column("'used'"),
            ),
        )
    )
    .where(_IS_ROW)
)
"""What an attempt still holds (the end of its order may have released it), and which row is used."""
_CLAIM = Prepared(
    sa.select(orders.c.status, orders.c.owner, tasks.c.owner.label("task_owner"))
    .select_from(
        orders.outerjoin(
            tasks,
            sa.and_(tasks.c.order_id == orders.c.id, tasks.c.task_id == sa.bindparam("task_id")),
        )
    )
    .where(orders.c.id == sa.bindparam("order_id"))
)


def check_claim(connection: Connection, order_id: str, caller: Caller) -> None:
    """Refuse work for an order that stopped, or by a run that no longer holds the claim.

    Raises:
        Cancelled: With the reason.
    """
    row = _CLAIM.one(connection, {"order_id": order_id, "task_id": caller.task_id})
    if row.status != OrderStatus.WORKING.value:
        raise Cancelled(f"the order is {row.status}")
    owner = row.owner if caller.task_id is None else row.task_owner
    if owner != caller.token:
        raise Cancelled("another worker took this over")


def release_holds(connection: Connection, order_id: str) -> None:
    """Give back what calls without an answer or a price still hold, when their order ends."""
    for row in _HELD.all(connection, {"order_id": order_id}):
        scopes = [
            budget.order_scope(order_id),
            budget.day_scope(parse_iso(row.started_at)),
            budget.month_scope(parse_iso(row.started_at)),
            budget.COMPANY,
        ]
        if row.task_id is not None:
            scopes.append(budget.task_scope(order_id, row.task_id))
        budget.settle(connection, scopes, reserved_pico=row.reserved_pico, cost_pico=0)
        _RELEASE.run(connection, {"row_id": row.id})


def canonical(request: ModelRequest) -> str:
    """Return the request as canonical JSON: sorted keys, no spaces, all that the model is told."""
    known = _WRITTEN.get()
    if known is not None and known[0] is request:
        return known[1]
    text = json.dumps(
        document_of(request), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )
    _WRITTEN.set((request, text))
    return text


def document_of(request: ModelRequest) -> dict[str, Any]:
    """Return all that the model is told, as JSON would have it but for tuples within."""
    return {
        "model": request.model,
        "messages": [*request.messages],
        "schema": request.schema,
        "tools": [_tool(t) for t in request.tools],
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.temperature,
    }


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def recorded_answer(row: "Row[Any]") -> RawAnswer:
    """Return the answer that a ledger row holds."""
    usage = None
    if row.input_tokens is not None:
        # Rows of before a bucket was kept apart have none of it.
        usage = Usage(**{name: getattr(row, name) or 0 for name in _USAGE_COLUMNS})
    return RawAnswer(
        body=json.loads(row.answer),
        model=row.answered_model,
        usage=usage,
        latency_s=row.latency_s,
        raw_usage=json.loads(row.raw_usage),
    )


def _answer_values(answer: RawAnswer, charge: Charge) -> dict[str, Any]:
    values: dict[str, Any] = {
        "answer": json.dumps(answer.body, ensure_ascii=False),
        "answered_model": answer.model,
        "raw_usage": json.dumps(answer.raw_usage, ensure_ascii=False),
        "latency_s": round(answer.latency_s, 6),
        "provider": charge.provider,
        "service_tier": charge.service_tier,
        "parts": charge.parts,
        "listed_pico": None if charge.listed is None else to_pico(charge.listed),
        "listed_currency": charge.listed_currency,
    }
    usage = charge.usage or answer.usage
    for name in _USAGE_COLUMNS:
        values[name] = None if usage is None else getattr(usage, name)
    return values


_USAGE_COLUMNS = tuple(Usage.__dataclass_fields__)


def _estimate(attempt: Attempt) -> str | None:
    """Return what an attempt without an answer may have cost, as JSON of its parts."""
    parts = estimated_parts(attempt.quote.price, prompt_bytes=attempt.prompt_bytes, answer=None)
    return json.dumps(parts) if parts else None


def _call(key: CallKey) -> dict[str, Any]:
    return {"order_id": key.order_id, "node": key.node, "seq": key.seq}


def _tool(tool: Any) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
