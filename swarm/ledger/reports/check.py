"""Hold the narrow rows against the ledger itself, and make them anew.

Only SQLite keeps narrow rows; on Postgres they are views, which cannot differ.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.money import CostStatus
from swarm.ledger.book import INTENT
from swarm.ledger.reports.sums import (
    AMOUNTS,
    AMOUNTS_OF_ORDER,
    BY_DAY,
    BY_ORDER,
    order_facts,
    sums_by_day,
    sums_by_order,
)
from swarm.store.tables import ledger, orders

MOST = 10
"""Faults told one by one."""
_REWORK = ("*/w[1-9]*", "*/r[1-9]*", "*/[1-9]*", "*/0.[1-9]*")
_PROMPT = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_tokens",
    "tool_tokens",
)


def faults(connection: Connection) -> list[str]:
    """Return where the narrow rows differ from the ledger, in sentences; reads every row once."""
    if connection.dialect.name != "sqlite":
        return []
    found = []
    for table, keys, amounts, query in _kept():
        kept = _by_key(connection.execute(sa.select(*table.c).where(table.c.calls != 0)), keys)
        real = _by_key(connection.execute(query), keys)
        found += [
            f"{table.name} {', '.join(map(str, key))}: "
            f"{dict(zip(amounts, kept.get(key, ()), strict=False)) or 'nothing'} is kept, "
            f"the ledger says {dict(zip(amounts, real.get(key, ()), strict=False)) or 'nothing'}"
            for key in sorted(kept.keys() | real.keys(), key=str)
            if kept.get(key) != real.get(key)
        ]
    left = len(found) - MOST
    return found[:MOST] + ([f"and {left:,} more"] if left > 0 else [])


def rebuild(connection: Connection) -> None:
    """Make the narrow rows anew from the ledger, in the caller's transaction."""
    if connection.dialect.name != "sqlite":
        return
    for table, keys, amounts, query in _kept():
        connection.execute(sa.delete(table))
        connection.execute(sa.insert(table).from_select([*keys, *amounts], query))


def _by_key(rows: Any, keys: tuple[str, ...]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    size = len(keys)
    return {tuple(row[:size]): tuple(row[size:]) for row in rows}


def _kept() -> list[tuple[Any, tuple[str, ...], tuple[str, ...], Any]]:
    keys, amounts = _keys(), _amounts()
    whole = ledger.outerjoin(order_facts, order_facts.c.order_id == ledger.c.order_id)
    return [
        (table, names, sums, _query(whole, [keys[n] for n in names], [amounts[n] for n in sums]))
        for table, names, sums in (
            (sums_by_day, BY_DAY, AMOUNTS),
            (sums_by_order, BY_ORDER, AMOUNTS_OF_ORDER),
        )
    ]


def _query(source: Any, keys: list[Any], amounts: list[Any]) -> Any:
    sums = [sa.func.sum(amount) for amount in amounts]
    return (
        sa.select(*keys, *sums).select_from(source).where(ledger.c.state != INTENT).group_by(*keys)
    )


def _keys() -> dict[str, Any]:
    is_again = sa.or_(*(ledger.c.node.op("GLOB")(pattern) for pattern in _REWORK))
    return {
        "order_id": ledger.c.order_id,
        "day": sa.func.substr(ledger.c.started_at, 1, 10),
        "kind": sa.func.coalesce(order_facts.c.kind, ""),
        "role": ledger.c.role,
        "model": ledger.c.model,
        "currency": ledger.c.currency,
        "cost_status": ledger.c.cost_status,
        "state": ledger.c.state,
        "is_rework": sa.case((is_again, 1), else_=0),
    }


def _amounts() -> dict[str, Any]:
    columns = ledger.c
    is_listed = sa.and_(
        columns.listed_pico.is_not(None),
        sa.func.coalesce(columns.listed_currency, columns.currency) == columns.currency,
    )
    is_unpriced = columns.cost_status == CostStatus.UNPRICED.value
    listed = sa.case((is_listed, columns.listed_pico), (is_unpriced, 0), else_=columns.cost_pico)
    prompt = sum(
        (sa.func.coalesce(columns[name], 0) for name in _PROMPT[1:]), start=_zero("input_tokens")
    )
    return {
        "calls": sa.literal_column("1"),
        "cost_pico": columns.cost_pico,
        "listed_pico": listed,
        "cached_tokens": _zero("cache_read_tokens"),
        "prompt_tokens": prompt,
        **{name: _zero(name) for name in AMOUNTS if name.endswith("_tokens")},
    }


def _zero(name: str) -> Any:
    return sa.func.coalesce(ledger.c[name], 0)


def order_faults(connection: Connection) -> list[str]:
    """Return orders whose narrow row says another status than their own."""
    if connection.dialect.name != "sqlite":
        return []
    query = (
        sa.select(orders.c.id)
        .select_from(orders.outerjoin(order_facts, order_facts.c.order_id == orders.c.id))
        .where(order_facts.c.status.is_distinct_from(orders.c.status))
        .limit(MOST)
    )
    return [f"order {id}: its narrow row is behind" for id in connection.execute(query).scalars()]
