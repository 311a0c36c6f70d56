"""Between a row of the database and a memory; and, in SQL, who may see which row."""

import hashlib
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from swarm.core.clock import iso, parse_iso
from swarm.core.origin import Origin
from swarm.memory import rules
from swarm.memory.base import INTERNAL, MemoryItem, MemoryKind, Scope, Viewer
from swarm.memory.rules import Traits
from swarm.memory.words import subject_key, terms
from swarm.store.tables import memories

INDEXED_BY = 1
"""Version of `words.terms`; rows that an older one indexed are indexed again before a recall."""
_FIELDS = tuple(field.name for field in fields(MemoryItem))
TRAITS = (
    memories.c.kind,
    memories.c.observed_at,
    memories.c.is_flow,
    memories.c.half_life_days,
    memories.c.confidence,
    memories.c.importance,
    memories.c.is_quarantined,
)


def item_of(row: Any) -> MemoryItem:
    """Return the memory of a whole row."""
    values = {name: getattr(row, name) for name in _FIELDS}
    values |= {
        "kind": MemoryKind(row.kind),
        "origin": Origin(row.origin),
        "scope": Scope(row.scope),
        "audience": tuple(row.audience.strip("|").split("|")) if row.audience else (),
        "observed_at": parse_iso(row.observed_at),
        "valid_until": None if row.valid_until is None else parse_iso(row.valid_until),
    }
    return MemoryItem(**values)


def traits_of(row: Any) -> Traits:
    """Return what the rank of a row depends on; `row` holds the columns `TRAITS`."""
    return Traits(
        MemoryKind(row.kind),
        parse_iso(row.observed_at),
        row.is_flow,
        row.half_life_days,
        row.confidence,
        row.importance,
        row.is_quarantined,
    )


def values_of(item: MemoryItem) -> dict[str, Any]:
    """Return the columns of a memory, with what the full-text index is made of."""
    values = {name: getattr(item, name) for name in _FIELDS}
    return values | {
        "kind": item.kind.value,
        "origin": item.origin.value,
        "scope": item.scope.value,
        "audience": f"|{'|'.join(item.audience)}|" if item.audience else "",
        "observed_at": iso(item.observed_at),
        "valid_until": None if item.valid_until is None else iso(item.valid_until),
        "subject_key": None if item.subject is None else subject_key(item.subject),
        "words": " ".join(terms(item.text)),
        "reach": reach(item.scope, item.scope_id, is_quarantined=item.is_quarantined),
        "indexed_by": INDEXED_BY,
    }


def reach(scope: Scope, scope_id: str | None, *, is_quarantined: bool) -> str:
    """Return the two index terms by which a search passes over what is not for its viewer."""
    trust = "data" if is_quarantined else "own"
    return f"{_owner_term(scope, scope_id, trust)} @{scope.value}{trust}"


def reaches(viewer: Viewer | None, *, is_quarantined: bool) -> list[str]:
    """Return the terms of which every row that a viewer may see has one."""
    trust = "data" if is_quarantined else "own"
    if viewer is None or viewer.is_owner:
        shown = [s for s in Scope if viewer is not None or s is not Scope.CUSTOMER]
        return [f"@{scope.value}{trust}" for scope in shown]
    own = [_owner_term(scope, name, trust) for scope, name in rules.owned(viewer).items()]
    return [_owner_term(Scope.COMPANY, None, trust), *own]


def _owner_term(scope: Scope, scope_id: str | None, trust: str) -> str:
    # Hashed, because ids of customers hold signs that an index would cut apart. No word of a text
    # starts with "@".
    digest = hashlib.sha256(f"{scope.value}\0{scope_id or ''}\0{trust}".encode()).hexdigest()
    return f"@{digest[:24]}"


_column = memories.c
_role, _person, _customer, _heard, _now = (
    sa.bindparam(f"viewer_{name}", type_=sa.String, required=True)
    for name in ("role", "person", "customer", "heard", "now")
)
_serves = sa.bindparam("viewer_serves", type_=sa.Integer, required=True)


def _names(name: Any) -> ColumnElement[bool]:
    """Say whether an audience names a role; unlike LIKE, with case and without wildcards."""
    return sa.func.replace(_column.audience, name, "") != _column.audience


# An id that a viewer lacks is NULL here, which equals nothing.
_AS_VIEWER = sa.and_(
    sa.or_(
        _column.scope == Scope.COMPANY.value,
        sa.and_(_column.scope == Scope.ROLE.value, _column.scope_id == _role),
        sa.and_(_column.scope == Scope.PERSON.value, _column.scope_id == _person),
        sa.and_(_column.scope == Scope.CUSTOMER.value, _column.scope_id == _customer),
    ),
    sa.or_(_column.audience == "", _column.audience == f"|{INTERNAL}|", _names(_heard)),
    sa.or_(_serves == 0, sa.not_(_names(sa.literal(f"|{INTERNAL}|")))),
)
_AS_COMPANY: ColumnElement[bool] = _column.scope != Scope.CUSTOMER.value
LIVE = sa.and_(
    _column.superseded_by.is_(None),
    sa.or_(_column.valid_until.is_(None), _column.valid_until > _now),
)
"""The condition that a row is neither superseded nor expired; its value is in `sight`."""


def visible(viewer: Viewer | None) -> ColumnElement[bool]:
    """Return the condition that a row may be shown to a viewer; every query carries it.

    Its values are in `sight`; a query that is run without them fails.
    """
    if viewer is None:
        return _AS_COMPANY
    return sa.true() if viewer.is_owner else _AS_VIEWER


def sight(viewer: Viewer | None, now: datetime) -> dict[str, Any]:
    """Return the values of `visible` and `LIVE`."""
    values: dict[str, Any] = {"viewer_now": iso(now)}
    if viewer is None or viewer.is_owner:
        return values
    own = rules.owned(viewer)
    return values | {
        "viewer_role": own.get(Scope.ROLE),
        "viewer_person": own.get(Scope.PERSON),
        "viewer_customer": own.get(Scope.CUSTOMER),
        "viewer_heard": f"|{viewer.role}|",
        "viewer_serves": int(viewer.customer is not None),
    }
