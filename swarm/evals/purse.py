"""Money for what an evaluation itself asks of models: a ledger of its own, and a limit that holds.

What is asked here serves no order of the company, so it stands in no book of hers. It goes the one
way to models all the same: reserved before, charged after, priced by the same book.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.clock import iso
from swarm.core.money import CostStatus, from_pico, plain, worst_status
from swarm.core.order import OrderState, OrderStatus
from swarm.evals.homes import furnish
from swarm.ledger import budget
from swarm.ledger.book import Book, Caller, CallKey
from swarm.ledger.metered import Metered, ModelAccess
from swarm.llm.base import LLM
from swarm.settings import Environment
from swarm.store.tables import ledger, orders

LIMIT = Decimal(1)
"""Most that an evaluation spends on models unless it is told otherwise, in the settings' currency."""
_ORDER, _TOKEN = "oevalpay", "reval"


@dataclass(frozen=True, slots=True)
class Terms:
    """Whom an evaluation may ask, and for how much. It travels between processes."""

    home: Path
    """A folder for the ledger; processes that share it share the limit."""
    environment: Environment
    """Whose keys, prices, rates and currency count; its home is not touched."""
    model: str
    limit: Decimal = LIMIT


class Purse:
    """Ask models on an evaluation's account. Opened by any number of processes at once."""

    def __init__(self, terms: Terms, *, llm: LLM | None = None) -> None:
        """Open the ledger, which is made where it is missing.

        Args:
            terms: Whom and for how much.
            llm: Answers, where it is not the model's own adapter; whoever gave it closes it.
        """
        furnish(terms.home)
        self._terms = terms
        given = terms.environment.settings
        # Whoever starts an evaluation has named the model and the limit: no price is no refusal.
        wanted = {"model": terms.model, "max_attempts": 1, "fallback": None, "allow_unpriced": True}
        settings = given.model_copy(
            update={"llm": given.llm.model_copy(update=wanted), "database_url": None}
        )
        self._app = App(
            terms.environment.model_copy(update={"home": terms.home, "settings": settings})
        )
        app, store = self._app, self._app.store
        self.currency = settings.currency
        self._metered = Metered(
            book=Book(
                store=store, clock=app.clock, currency=settings.currency, rates=settings.rates,
                day_limit=None,
            ),
            prices=app.prices,
            access=app.access if llm is None else lambda model: ModelAccess(llm, is_own_hardware=False),
            config=settings.llm,
            clock=app.clock,
            currency=settings.currency,
        )  # fmt: skip
        store.write(self._open)

    def _open(self, connection: Connection) -> None:
        known = sa.select(orders.c.id).where(orders.c.id == _ORDER)
        if connection.execute(known).first() is not None:
            return
        connection.execute(
            orders.insert().values(
                id=_ORDER, created_at=iso(self._app.clock.now()), channel="eval",
                account="eval", update_id=_ORDER, chat_id="eval", sender_id="eval",
                status=OrderStatus.WORKING.value, segment=0, owner=_TOKEN, is_auto_signed=True,
                state=OrderState(text="an evaluation's own questions").model_dump_json(),
            )
        )  # fmt: skip
        scope, limit = budget.order_scope(_ORDER), self._terms.limit
        budget.open_scope(connection, scope, limit=limit, currency=self.currency)
        budget.open_scope(connection, budget.COMPANY, limit=None, currency=self.currency)

    async def ask(self, request: ModelRequest, *, about: str, number: int) -> RawAnswer:
        """Ask a model, with the call on the books.

        Args:
            request: What is asked.
            about: What for: shown beside the call.
            number: Tells the calls of one purpose apart.

        Raises:
            LimitExceeded: The limit does not cover the worst case; nothing was asked.
            ModelError: As the adapter says.
        """
        caller = Caller(role="eval", task_id=None, token=_TOKEN)
        return await self._metered.call(CallKey(_ORDER, about, number), request, caller)

    def lines(self, about: str | None = None) -> list[dict[str, Any]]:
        """Return the calls on the books, oldest first: of one purpose, or all."""
        query = sa.select(ledger).where(ledger.c.order_id == _ORDER).order_by(ledger.c.id)
        if about is not None:
            query = query.where(ledger.c.node == about)
        rows = self._app.store.read(lambda c: c.execute(query).all())
        return [
            {
                "about": row.node, "model": row.answered_model or row.model, "state": row.state,
                "input_tokens": row.input_tokens, "output_tokens": row.output_tokens,
                "cost": plain(from_pico(row.cost_pico)), "currency": row.currency,
                "status": row.cost_status, "error": row.error_kind,
            }
            for row in rows
        ]  # fmt: skip

    async def close(self) -> None:
        """Let go of models and of the database."""
        await self._app.close_models()
        self._app.close()


def costs_of(lines: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Add calls up by currency; what an attempt that failed may have cost is unknown, never nothing."""
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    worst: dict[str, CostStatus] = {}
    for line in lines:
        currency, status = line["currency"], CostStatus(line["status"])
        amounts[currency] += Decimal(line["cost"])
        worst[currency] = worst_status([status, *([worst[currency]] if currency in worst else [])])
    return [
        {"amount": plain(amount), "currency": currency, "status": worst[currency].value}
        for currency, amount in sorted(amounts.items())
    ]
