"""Ask the model one tiny question, metered like every other.

No model is asked outside the ledger, so the question is an order of its own: `swarm orders` shows
it with its receipt. No segment is enqueued for it, so no worker takes it up.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.cli.checks import Finding, Level
from swarm.cli.wording import cost, duration
from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.clock import iso
from swarm.core.errors import SwarmError
from swarm.core.order import OrderState, OrderStatus, Reason
from swarm.core.text import shorten
from swarm.ledger import budget
from swarm.ledger.book import Caller, CallKey
from swarm.llm.base import parse_answer
from swarm.runtime.outbox import TERMINAL
from swarm.runtime.tasks import reason_of
from swarm.store.tables import orders

QUESTION = "Answer with the one word: ready."
MAX_OUTPUT_TOKENS = 64
"""Room for a model that reasons before it speaks."""
TIMEOUT_S = 60.0


def ask_model(app: App) -> Iterator[Finding]:
    """Ask the company's model, and say what it answered and cost.

    Raises:
        SwarmError: As the model's adapter, the price book or the budget says.
    """
    order_id, token = app.ids.new("o"), app.ids.new("r")
    app.store.write(lambda c: _open(c, app, order_id, token))
    try:
        answer = asyncio.run(_ask(app, order_id, token))
        text = shorten(parse_answer(answer).text, 60)
    except SwarmError as error:
        _close(app, order_id, OrderStatus.FAILED, reason=reason_of(error))
        raise
    except TimeoutError:
        reason = reason_of(SwarmError(f"no answer within {TIMEOUT_S:g} s"))
        _close(app, order_id, OrderStatus.FAILED, reason=reason)
        yield Finding("answer", Level.PROBLEM, reason.text, "see whether the model's server works")
        return
    _close(app, order_id, OrderStatus.DELIVERED, answer=text)
    paper = app.documents.order(order_id).receipt
    said = f"{app.choice.model} said {text!r} after {duration(answer.latency_s)}"
    yield Finding("answer", Level.OK, f"{said}, for {cost(paper.model_cost)}; order {order_id}")


async def _ask(app: App, order_id: str, token: str) -> RawAnswer:
    request = ModelRequest(
        model=app.choice.model,
        messages=({"role": "user", "content": QUESTION},),
        max_output_tokens=MAX_OUTPUT_TOKENS,
    )
    caller = Caller(role=app.org.head, task_id=None, token=token)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await app.company.metered.call(CallKey(order_id, "doctor", 0), request, caller)
    finally:
        await app.close_models()


def _open(connection: Connection, app: App, order_id: str, token: str) -> None:
    rules, currency = app.settings.budget, app.settings.currency
    connection.execute(
        orders.insert().values(
            id=order_id,
            created_at=iso(app.clock.now()),
            channel=TERMINAL,
            account=str(app.home),
            update_id=f"doctor-{order_id}",
            chat_id=TERMINAL,
            sender_id=app.environment.user_id,
            status=OrderStatus.WORKING.value,
            segment=0,
            owner=token,
            is_auto_signed=True,
            state=OrderState(text=f"swarm doctor --ask: {QUESTION}").model_dump_json(),
        )
    )
    scopes = {budget.order_scope(order_id): rules.order, budget.COMPANY: rules.company}
    for scope, limit in scopes.items():
        budget.open_scope(connection, scope, limit=limit, currency=currency)


def _close(
    app: App,
    order_id: str,
    status: OrderStatus,
    *,
    answer: str | None = None,
    reason: Reason | None = None,
) -> None:
    text = f"swarm doctor --ask: {QUESTION}"
    values: dict[str, Any] = {
        "status": status.value,
        "owner": None,
        "reason": reason.model_dump_json() if reason else None,
        "state": OrderState(text=text, answer=answer).model_dump_json(),
        "delivered_at": iso(app.clock.now()) if answer is not None else None,
    }
    app.store.write(
        lambda c: c.execute(orders.update().where(orders.c.id == order_id).values(**values))
    )
