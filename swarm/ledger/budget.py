"""Budgets: reserve the worst case in one statement, settle with what it really was."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.engine import Connection

from swarm.core.errors import ConfigError, LimitExceeded
from swarm.core.money import from_pico, plain, to_pico
from swarm.store.prepared import Prepared
from swarm.store.tables import budgets, meta

COMPANY = "company"


class BudgetConfig(BaseModel):
    """Limits in the company's currency; None means no limit."""

    model_config = ConfigDict(extra="forbid")

    order: Decimal | None = Field(default=Decimal(10), gt=0)
    """The most one order may spend on model calls, unless it is given its own."""
    day: Decimal | None = Field(default=Decimal(50), gt=0)
    """The most all orders together may spend on one UTC day."""
    month: Decimal | None = Field(default=None, gt=0)
    """The most they may spend in one calendar month, in UTC."""
    company: Decimal | None = Field(default=None, gt=0)
    """The most the company may spend in its life."""
    sign_above: Decimal | None = Field(default=Decimal(5), ge=0)
    """A plan whose forecast reaches above this needs the founder's signature; None: never."""
    notional: bool = True
    """Whether calls that a subscription covers use budgets up, at the price stated for them. A
    hard stop that sleeps on them lets a plan's own limits stop the work instead."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One scope's limit and what is left of it."""

    scope: str
    limit: Decimal | None
    spent: Decimal
    reserved: Decimal
    currency: str


def order_scope(order_id: str) -> str:
    """Name the budget of one order."""
    return f"order:{order_id}"


def day_scope(at: datetime) -> str:
    """Name the budget of one UTC day."""
    return f"day:{at:%Y-%m-%d}"


def month_scope(at: datetime) -> str:
    """Name the budget of one calendar month, in UTC."""
    return f"month:{at:%Y-%m}"


def task_scope(order_id: str, task_id: str) -> str:
    """Name the budget of one task, which only a role with its own `budget` has."""
    return f"task:{order_id}/{task_id}"


def open_scope(connection: Connection, scope: str, *, limit: Decimal | None, currency: str) -> None:
    """Create a scope where it does not exist yet; an existing one keeps its limit."""
    if _KNOWN.first(connection, {"of_scope": scope}) is not None:
        return
    _OPEN.run(
        connection,
        {
            "scope": scope,
            "limit_pico": None if limit is None else to_pico(limit),
            "spent_pico": 0,
            "reserved_pico": 0,
            "currency": currency,
        },
    )


def open_month(
    connection: Connection, at: datetime, *, limit: Decimal | None, currency: str
) -> str:
    """Create a month's scope where it does not exist yet, and return its name.

    What its days spent and hold already counts: a company may come from a version that knew days
    alone. The settings' limit counts as soon as they are read, in the middle of a month too, unless
    a person set another one for this month.
    """
    scope = month_scope(at)
    row = _FIND.first(connection, {"of_scope": scope})
    if row is None:
        open_scope(connection, scope, limit=limit, currency=currency)
        _TAKE_DAYS.run(connection, {"days": f"day:{at:%Y-%m}-%", "of_scope": scope})
        return scope
    told = None if limit is None else to_pico(limit)
    if row.limit_pico != told and _SET_BY.first(connection, {"of_key": _by(scope)}) is None:
        set_limit(connection, scope, limit, currency=currency)
    return scope


def set_month(
    connection: Connection, at: datetime, limit: Decimal | None, *, currency: str
) -> None:
    """Set a month's limit in a person's name: for that month it goes before the settings' own."""
    scope = open_month(connection, at, limit=None, currency=currency)
    set_limit(connection, scope, limit, currency=currency)
    if _SET_BY.first(connection, {"of_key": _by(scope)}) is None:
        connection.execute(meta.insert().values(key=_by(scope), value="person"))


def _by(scope: str) -> str:
    return f"limit/{scope}"


def _of_scopes(count: int) -> sa.Update:
    """Return a change of so many scopes, named `scope0` and on."""
    return budgets.update().where(
        budgets.c.scope.in_([sa.bindparam(f"scope{n}") for n in range(count)])
    )


def _named(scopes: list[str]) -> dict[str, object]:
    return {f"scope{n}": scope for n, scope in enumerate(scopes)}


@cache
def _reserve(count: int) -> Prepared:
    held = budgets.c.reserved_pico + sa.bindparam("worst")
    return Prepared(
        _of_scopes(count)
        .where(
            sa.or_(
                budgets.c.limit_pico.is_(None),
                budgets.c.spent_pico + held <= budgets.c.limit_pico,
            )
        )
        .values(reserved_pico=held)
    )


@cache
def _settle(count: int) -> Prepared:
    return Prepared(
        _of_scopes(count).values(
            reserved_pico=budgets.c.reserved_pico - sa.bindparam("reserved"),
            spent_pico=budgets.c.spent_pico + sa.bindparam("cost"),
        )
    )


_KNOWN = Prepared(sa.select(budgets.c.scope).where(budgets.c.scope == sa.bindparam("of_scope")))
_FIND = Prepared(sa.select(budgets).where(budgets.c.scope == sa.bindparam("of_scope")))
_SET_BY = Prepared(sa.select(meta.c.value).where(meta.c.key == sa.bindparam("of_key")))
_OPEN = Prepared(budgets.insert())
_days = budgets.alias("days")


def _of_days(column: sa.Column[int]) -> sa.ScalarSelect[int]:
    total = sa.func.coalesce(sa.func.sum(column), 0)
    is_of_month = _days.c.scope.like(sa.bindparam("days", type_=sa.String))
    # A sum of whole numbers is a fraction's type on Postgres.
    return sa.select(sa.cast(total, sa.BigInteger)).where(is_of_month).scalar_subquery()


_TAKE_DAYS = Prepared(
    budgets.update()
    .where(budgets.c.scope == sa.bindparam("of_scope"))
    .values(spent_pico=_of_days(_days.c.spent_pico), reserved_pico=_of_days(_days.c.reserved_pico))
)
_HOLD = (
    sa.select(budgets.c.scope)
    .where(budgets.c.scope.in_(sa.bindparam("scopes", expanding=True)))
    .order_by(budgets.c.scope.desc())
    .with_for_update()
)
"""Locks the rows one after the other, always in one order, so that no two wait for each other. The
task's and the order's come before the day's and the company's, which everybody wants."""


def reserve(connection: Connection, scopes: list[str], worst_pico: int) -> None:
    """Hold `worst_pico` in every scope, or in none; the caller's transaction is undone then.

    Raises:
        LimitExceeded: One scope has not that much left; the text names it and the way on.
    """
    # Others give back meanwhile what would have been enough: all is seen at one moment.
    _hold(connection, scopes)
    held = _reserve(len(scopes)).run(connection, {**_named(scopes), "worst": worst_pico})
    if held != len(scopes):
        raise _exceeded(connection, scopes, worst_pico)


def settle(
    connection: Connection, scopes: list[str], *, reserved_pico: int, cost_pico: int
) -> None:
    """Replace a hold by what was really spent."""
    _hold(connection, scopes)
    spent = {"reserved": reserved_pico, "cost": cost_pico}
    _settle(len(scopes)).run(connection, {**_named(scopes), **spent})


def _hold(connection: Connection, scopes: list[str]) -> None:
    """Lock the rows where writers run side by side; SQLite has one writer at a time."""
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD, {"scopes": scopes})


def _exceeded(connection: Connection, scopes: list[str], worst_pico: int) -> LimitExceeded:
    rows = connection.execute(sa.select(budgets).where(budgets.c.scope.in_(scopes))).all()
    for row in rows:
        # A scope the update did reach already holds the new amount.
        if row.limit_pico is None:
            continue
        if row.spent_pico + row.reserved_pico + worst_pico > row.limit_pico:
            limit, spent = from_pico(row.limit_pico), from_pico(row.spent_pico)
            name = _spoken(row.scope)
            return LimitExceeded(
                f"The {name} of {plain(limit)} {row.currency} does not cover the next model call: "
                f"{plain(spent)} {row.currency} spent, {_brief(from_pico(row.reserved_pico))} held, "
                f"up to {_brief(from_pico(worst_pico))} needed. {_way_on(row.scope)}",
                limit=row.scope,
                value=limit,
                unit=row.currency,
            )
    raise AssertionError(f"no budget rows for {scopes}")


def _brief(amount: Decimal) -> str:
    return plain(amount.quantize(Decimal("0.000001")))


def _spoken(scope: str) -> str:
    kind = scope.partition(":")[0]
    return {
        "order": "order's budget",
        "day": "day's budget",
        "month": "month's budget",
        "task": "role's budget per task",
    }.get(kind, "company's budget")


def _way_on(scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind == "task":
        return (
            "Raise `budget` in the role's file and start the worker again, then "
            f"`swarm resume {name.partition('/')[0]}` goes on."
        )
    return f"Raise it with `swarm budget {name if kind == 'order' else kind} AMOUNT`."


def set_limit(connection: Connection, scope: str, limit: Decimal | None, *, currency: str) -> None:
    """Change a scope's limit, creating the scope where needed."""
    open_scope(connection, scope, limit=limit, currency=currency)
    connection.execute(
        budgets.update()
        .where(budgets.c.scope == scope)
        .values(limit_pico=None if limit is None else to_pico(limit))
    )


def find(connection: Connection, scope: str) -> Budget | None:
    """Return a scope as it stands, or None."""
    row = _FIND.first(connection, {"of_scope": scope})
    if row is None:
        return None
    return Budget(
        scope=row.scope,
        limit=None if row.limit_pico is None else from_pico(row.limit_pico),
        spent=from_pico(row.spent_pico),
        reserved=from_pico(row.reserved_pico),
        currency=row.currency,
    )


def convert(amount: Decimal, currency: str, to: str, rates: dict[str, Decimal]) -> Decimal:
    """Turn an amount into the company's currency with the rates of `company.yaml`.

    Raises:
        ConfigError: No rate is set for that currency.
    """
    if currency == to:
        return amount
    if currency not in rates:
        raise ConfigError(
            f"company.yaml: rates: no rate from {currency} to {to}; add `rates: {{{currency}: …}}`, "
            f"the price of one {currency} in {to}."
        )
    return amount * rates[currency]
