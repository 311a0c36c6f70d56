"""Hold the ledger against the budgets: both say what was spent, and must say the same."""

from collections import Counter
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import parse_iso
from swarm.core.money import CostStatus, from_pico, plain
from swarm.ledger.book import USED
from swarm.ledger.budget import COMPANY, day_scope, month_scope, order_scope, task_scope
from swarm.store.tables import budgets, ledger


def book_faults(connection: Connection, currency: str) -> list[str]:
    """Return what does not agree, one sentence each; an empty list is a sound ledger.

    What was spent in another currency was turned with the rate of its day, which nobody keeps;
    scopes with such calls are held to their holds alone. Notional costs count or do not, as the
    company had set it on their day.
    """
    connection.exec_driver_sql(_ONE_VIEW[connection.dialect.name])
    spent, held, skipped, notional = _sums(connection, currency)
    faults = [
        f"call {row.order_id}/{row.node}/{row.seq} is used {row.times} times"
        for row in connection.execute(_TWICE)
    ]
    for row in connection.execute(sa.select(budgets).order_by(budgets.c.scope)):
        if row.reserved_pico < 0 or row.spent_pico < 0:
            faults.append(f"budget {row.scope}: a negative amount")
        owed = spent[row.scope] - notional[row.scope]
        if row.scope not in skipped and not owed <= row.spent_pico <= spent[row.scope]:
            faults.append(_differs(row, "spent", row.spent_pico, spent[row.scope]))
        if row.reserved_pico != held[row.scope]:
            faults.append(_differs(row, "held", row.reserved_pico, held[row.scope]))
    return faults


_ONE_VIEW = {
    "sqlite": "BEGIN",
    "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
}
"""Begins a look at all tables as of one moment: a worker may be writing to them."""

_TWICE = (
    sa.select(ledger.c.order_id, ledger.c.node, ledger.c.seq, sa.func.count().label("times"))
    .where(ledger.c.state == USED)
    .group_by(ledger.c.order_id, ledger.c.node, ledger.c.seq)
    .having(sa.func.count() > 1)
)


class _Sums(NamedTuple):
    """What calls cost, hold, have in another currency, and cost by list price alone."""

    spent: Counter[str]
    held: Counter[str]
    skipped: set[str]
    notional: Counter[str]


def _sums(connection: Connection, currency: str) -> "_Sums":
    """Sum up what calls cost and hold, by the scopes they were charged to, in 1e-12 parts."""
    spent: Counter[str] = Counter()
    notional: Counter[str] = Counter()
    held: Counter[str] = Counter()
    skipped: set[str] = set()
    columns = (
        ledger.c.order_id,
        ledger.c.task_id,
        ledger.c.started_at,
        ledger.c.cost_pico,
        ledger.c.reserved_pico,
        ledger.c.currency,
        ledger.c.cost_status,
    )
    for row in connection.execute(sa.select(*columns)):
        at = parse_iso(row.started_at)
        scopes = [order_scope(row.order_id), day_scope(at), month_scope(at), COMPANY]
        if row.task_id is not None:
            scopes.append(task_scope(row.order_id, row.task_id))
        if row.currency != currency and row.cost_pico:
            skipped.update(scopes)
        for scope in scopes:
            spent[scope] += row.cost_pico
            held[scope] += row.reserved_pico
            if row.cost_status == CostStatus.NOTIONAL:
                notional[scope] += row.cost_pico
    return _Sums(spent, held, skipped, notional)


def _differs(row: sa.Row[tuple[object, ...]], word: str, budget: int, calls: int) -> str:
    return (
        f"budget {row.scope}: {plain(from_pico(budget))} {row.currency} {word}, "
        f"but its calls add up to {plain(from_pico(calls))}"
    )
