"""Price the recorded usage of a period again, by another price book.

The usage objects are read as the providers sent them, so a call costs by the other book what it would
have cost had that book been in force. Pricing again by the book of the day gives the same amounts.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import parse_iso
from swarm.core.money import PICO, from_pico
from swarm.ledger.prices import PriceBook
from swarm.ledger.pricing import PricedCall, price_usage
from swarm.ledger.reports.build import UNFRAMED
from swarm.ledger.reports.document import PeriodDocument, RepricedDocument, RepricedLineDocument
from swarm.ledger.reports.economics import ratio
from swarm.ledger.reports.period import Period
from swarm.ledger.reports.sums import order_facts
from swarm.store.tables import ledger

BATCH = 2_000


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    now: Decimal = Decimal(0)
    then: Decimal = Decimal(0)
    unpriced_now: int = 0
    unpriced_then: int = 0


def repriced(
    connection: Connection, period: Period, book: PriceBook, *, limit: int
) -> RepricedDocument:
    """Price what was used in a period by another book.

    Args:
        connection: Only read from.
        period: Calls count that were begun in it and answered.
        book: The other book; what a provider reported is left aside, for it knows no other prices.
        limit: The most orders that are listed.
    """
    models: dict[tuple[str, str, str], _Sum] = {}
    kinds: dict[tuple[str, str, str], _Sum] = {}
    orders: dict[tuple[str, str, str], _Sum] = {}
    for row in _answered(connection, period):
        priced = _priced(row, book)
        currencies = (row.currency, priced.currency)
        for groups, name in (
            (models, row.model),
            (kinds, row.kind or UNFRAMED),
            (orders, row.order_id),
        ):
            _add(groups.setdefault((name, *currencies), _Sum()), row, priced)
    listed = sorted(orders.items(), key=lambda item: (-abs(item[1].then - item[1].now), item[0]))
    return RepricedDocument(
        period=PeriodDocument(first=period.first, last=period.last, days=period.days),
        book=book.id,
        by_model=[_line(*item) for item in sorted(models.items())],
        by_kind=[_line(*item) for item in sorted(kinds.items())],
        orders=[_line(*item) for item in listed[:limit]],
        orders_left_out=max(len(listed) - limit, 0),
    )


def _answered(connection: Connection, period: Period) -> Iterator[Any]:
    columns = ledger.c
    query = (
        sa.select(
            columns.order_id,
            columns.provider,
            columns.model,
            columns.answered_model,
            columns.raw_usage,
            columns.service_tier,
            columns.started_at,
            columns.currency,
            columns.cost_pico,
            columns.cost_status,
            order_facts.c.kind,
        )
        .select_from(ledger.outerjoin(order_facts, order_facts.c.order_id == columns.order_id))
        .where(
            columns.started_at >= period.start,
            columns.started_at < period.end,
            columns.raw_usage.is_not(None),
        )
        .order_by(columns.started_at, columns.id)
    )
    with connection.execution_options(yield_per=BATCH).execute(query) as result:
        yield from result


def _priced(row: Any, book: PriceBook) -> PricedCall:
    usage = _usage(row.raw_usage)
    provider, _, bare = row.model.partition("/")
    call = price_usage(
        book,
        provider=row.provider or (provider if bare else ""),
        model=row.answered_model or row.model,
        usage=usage,
        at=parse_iso(row.started_at),
        tier=row.service_tier,
        asked=row.model,
    )
    return call


def _usage(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _add(to: _Sum, row: Any, priced: PricedCall) -> None:
    # Where a provider reported a cost, the book's own bill is beside it.
    by_book = priced.listed if priced.reported is not None else priced.amount
    to.calls += 1
    to.now += from_pico(row.cost_pico)
    to.then += by_book or Decimal(0)
    to.unpriced_now += row.cost_status == "unpriced"
    to.unpriced_then += by_book is None or priced.status.value == "unpriced"


def _line(key: tuple[str, str, str], of: _Sum) -> RepricedLineDocument:
    name, currency, other = key
    return RepricedLineDocument(
        name=name,
        calls=of.calls,
        now=of.now,
        currency=currency,
        then=of.then,
        currency_then=other,
        # Two currencies are two scales.
        factor=ratio(of.then.quantize(PICO), of.now, digits=6) if currency == other else None,
        unpriced_now=of.unpriced_now,
        unpriced_then=of.unpriced_then,
    )
