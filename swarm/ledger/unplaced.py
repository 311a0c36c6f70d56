"""Paid calls that come before their order: a voice note is heard before anybody knows what it orders.

Their lines stand under a name of their own, on the company. The order that one becomes takes it over,
with its cost; of a note that is thrown away the line stays where it is.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.clock import iso, parse_iso
from swarm.core.money import CostStatus
from swarm.ledger import budget
from swarm.ledger.book import USED, Attempt, Book, Caller, CallKey, Charge, Quote
from swarm.ledger.metered import Metered
from swarm.ledger.price_rates import AUDIO_SECOND
from swarm.ledger.prices import UnknownPrice
from swarm.llm.transcription import by_second, seconds_asked
from swarm.store.tables import ledger

PREFIX = "voice:"
HELD_FOR = timedelta(days=1)
"""How long a call without an answer holds its worst case, where no order's end gives it back."""
TOKENS_PER_S = 100
"""Bound of the tokens that a second of sound is counted as; OpenAI counts ten, Gemini 32."""


def unplaced(name: str) -> str:
    """Return the name under which a line stands that no order has."""
    return f"{PREFIX}{name}"


class UnplacedBook(Book):
    """Write lines that no order has: budgets of the day, the month and the company cover them."""

    def __init__(self, *, company_limit: Decimal | None, **parts: Any) -> None:
        """Take what any book takes, and the company's limit: a note may come before any order."""
        super().__init__(**parts)
        self._company_limit = company_limit

    async def open(
        self, key: CallKey, request: ModelRequest, caller: Caller, *, quote: Quote, text: str
    ) -> Attempt | RawAnswer:
        """Do as any book does; what calls of long ago still hold is given back first."""
        before = iso(self._clock.now() - HELD_FOR)
        await self._store.awrite(lambda c: _release(c, _any(c), ledger.c.started_at < before))
        return await super().open(key, request, caller, quote=quote, text=text)

    def _check(self, connection: Connection, key: CallKey, caller: Caller) -> None:
        """Refuse nothing: there is no order that could have stopped."""

    def _scopes(
        self, connection: Connection, order_id: str, caller: Caller, *, at: datetime
    ) -> list[str]:
        if budget.day_scope(at) != self._known_day:
            limit = self._company_limit
            budget.open_scope(connection, budget.COMPANY, limit=limit, currency=self._currency)
        return [*self._spans(connection, at), budget.COMPANY]


class MeteredVoice(Metered):
    """Have notes written down, with every attempt on the books."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.known_seconds: dict[str, int] = {}
        """Exact lengths of the notes in hand, by the name of their line."""

    def forget(self, line: str) -> None:
        """Drop what is kept in memory of a note."""
        self.known_seconds.pop(line, None)
        self._book.forget(line)

    def _quote(self, request: ModelRequest, text: str) -> Quote:
        """Bound the price by the note's length, where a second has a price, else by its tokens."""
        try:
            price = self._prices.find(request.model, at=self._clock.now())
        except UnknownPrice:
            return super()._quote(request, text)
        if not self._book.binds(price.status):
            return Quote(price=price, worst=Decimal(0), currency=price.currency)
        seconds = int(seconds_asked(request).to_integral_value(ROUND_CEILING))
        if price.is_by_second:
            worst = price.units[AUDIO_SECOND] * max(seconds, 1)
        else:
            worst = self._prices.worst_case(
                price,
                prompt_bytes=max(seconds * TOKENS_PER_S, len(text.encode())),
                max_output_tokens=request.max_output_tokens,
            ).amount
        in_company = self._book.to_company(worst, price.currency)
        return Quote(price=price, worst=in_company, currency=price.currency)

    def _charge(self, attempt: Attempt, answer: RawAnswer) -> Charge:
        """Price by the second what is billed by the second, whatever else the server counts.

        Where it names no length, the note's own counts, as far as that is known exactly.
        """
        price = attempt.quote.price
        if price is None or not price.is_by_second:
            return super()._charge(attempt, answer)
        told = answer.raw_usage.get("prompt_audio_seconds")
        known = told if isinstance(told, int) else self.known_seconds.get(attempt.key.order_id)
        usage = by_second(known) if known is not None else {}
        return super()._charge(attempt, replace(answer, raw_usage=usage, usage=None))


def take_over(connection: Connection, name: str, order_id: str) -> int:
    """Book the lines of a name on the order that it became; return how many there were.

    The order's own budget is used up by them too: whatever it was before, the money is spent.
    """
    of_name = ledger.c.order_id == unplaced(name)
    _release(connection, of_name)
    rows = connection.execute(
        sa.select(ledger.c.cost_pico, ledger.c.cost_status, ledger.c.currency).where(
            of_name, ledger.c.state == USED
        )
    ).all()
    if not rows:
        return 0
    scope = budget.order_scope(order_id)
    found = budget.find(connection, scope)
    for row in rows:
        # In another currency it was converted when it was reserved; the order's limit is a guard
        # for what is still to come, so that only what is in its own is added.
        is_owed = row.cost_status != CostStatus.NOTIONAL.value
        if found is not None and is_owed and row.currency == found.currency:
            budget.settle(connection, [scope], reserved_pico=0, cost_pico=row.cost_pico)
    connection.execute(ledger.update().where(of_name).values(order_id=order_id))
    return len(rows)


def _any(connection: Connection) -> "sa.ColumnElement[bool]":
    """Return the condition that a line is one that no order has."""
    name: sa.ColumnElement[str] = ledger.c.order_id
    if connection.dialect.name == "postgresql":
        # Most databases sort as dictionaries do, past punctuation: nothing would lie between these.
        name = name.collate("C")
    return sa.and_(name >= PREFIX, name < "voice;")


def _release(connection: Connection, *which: Any) -> None:
    """Give back what calls without an answer or a price still hold."""
    held = connection.execute(
        sa.select(ledger.c.id, ledger.c.reserved_pico, ledger.c.started_at).where(
            *which, ledger.c.reserved_pico > 0
        )
    ).all()
    for row in held:
        at = parse_iso(row.started_at)
        scopes = [budget.day_scope(at), budget.month_scope(at), budget.COMPANY]
        budget.settle(connection, scopes, reserved_pico=row.reserved_pico, cost_pico=0)
        connection.execute(ledger.update().where(ledger.c.id == row.id).values(reserved_pico=0))
