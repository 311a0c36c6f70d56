"""The log of what people did and were shown: rows are added, never changed."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso, parse_iso
from swarm.core.origin import Origin
from swarm.store.prepared import Prepared
from swarm.store.tables import founder_actions, orders


class ActionKind(StrEnum):
    """What a person did; only `SHOWN` is not their own doing."""

    ORDERED = "ordered"
    SHOWN = "shown"
    """A question or a result reached them."""
    LOOKED = "looked"
    """At the inbox, or at an order under way."""
    OPENED = "opened"
    """A delivered result."""
    BOOKS = "books"
    """A receipt, or an order that is closed: looking at books is no work on the order."""
    ANSWERED = "answered"
    CHOSEN = "chosen"
    APPROVED = "approved"
    REJECTED = "rejected"
    REWORK = "rework"
    """A delivered result was sent back."""
    ACCEPTED = "accepted"
    CANCELLED = "cancelled"
    RESUMED = "resumed"
    BUDGET = "budget"
    REMEMBERED = "remembered"
    """A memory was written, edited, confirmed or forgotten."""

    @property
    def is_look(self) -> bool:
        """Return whether it changes nothing: the person came to read."""
        return self in _LOOKS

    @property
    def is_decision(self) -> bool:
        """Return whether somebody waited for it."""
        return self in _DECISIONS


_LOOKS = frozenset({ActionKind.LOOKED, ActionKind.OPENED, ActionKind.BOOKS})
_DECISIONS = frozenset(
    {
        ActionKind.ANSWERED,
        ActionKind.CHOSEN,
        ActionKind.APPROVED,
        ActionKind.REJECTED,
        ActionKind.REWORK,
        ActionKind.ACCEPTED,
        ActionKind.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class Action:
    """One row of the log, or the placing of an order, which the order's own row tells."""

    kind: ActionKind
    at: datetime
    order_id: str | None = None
    who: str = ""
    """The person as `channel:id`."""
    channel: str = ""
    since: datetime | None = None
    """From when on it was possible: the question was shown, the result delivered."""
    asks: tuple[str, ...] = ()
    options: int = 0
    refused: int = 0
    id: int | None = None
    """Number of its row; None before it is stored, and for the placing of an order."""

    @property
    def is_own(self) -> bool:
        """Return whether the person did it themselves."""
        return self.kind is not ActionKind.SHOWN

    @property
    def gap(self) -> str:
        """Name the time that ends with this action: `g12`, or `placed:<order>`."""
        return f"placed:{self.order_id}" if self.id is None else f"g{self.id}"

    @property
    def charged_to(self) -> str | None:
        """Return the order whose cost the time before it is, or None for the company's."""
        return None if self.kind is ActionKind.BOOKS else self.order_id


def note(connection: Connection, action: Action) -> None:
    """Write an action into the log, as part of the caller's transaction."""
    row = {
        "at": iso(action.at),
        "kind": action.kind.value,
        "order_id": action.order_id,
        "who": action.who,
        "channel": action.channel,
        "since": iso(action.since) if action.since else None,
        "asks": json.dumps(list(action.asks)),
        "options": action.options,
        "refused": action.refused,
    }
    _NOTE.run(connection, row)


def note_act(
    connection: Connection,
    kind: ActionKind,
    *,
    at: datetime,
    order_id: str | None,
    who: str,
    found: Sequence[Any] = (),
    since: str | None = None,
    refused: int = 0,
) -> None:
    """Write down what a person did.

    Args:
        connection: The transaction that does it.
        kind: What it was.
        at: When, aware.
        order_id: About which order; None for none alone.
        who: The person as `channel:id`.
        found: Rows of the asks it answers.
        since: From when on it was possible, as `iso` writes it; the asks say it themselves.
        refused: How many options or proposals it turned down.
    """
    # What was never shown cannot have been thought about before it was there.
    seen = [ask.shown_at or ask.created_at for ask in found]
    start = min(seen) if seen else since
    action = Action(
        kind,
        at,
        order_id=order_id,
        who=who,
        channel=who.partition(":")[0],
        since=parse_iso(start) if start else None,
        asks=tuple(ask.id for ask in found),
        refused=refused,
    )
    note(connection, action)


def note_shown(connection: Connection, asked: Iterable[Any], *, at: datetime, channel: str) -> None:
    """Write down that asks reached a person; `asked` are their rows."""
    for ask in asked:
        shown = Action(
            ActionKind.SHOWN,
            at,
            order_id=ask.order_id,
            channel=channel,
            asks=(ask.id,),
            options=len(json.loads(ask.options)),
        )
        note(connection, shown)


def note_result(connection: Connection, order_id: str, *, at: datetime, channel: str) -> None:
    """Write down that the word on how an order ended reached its person."""
    note(connection, Action(ActionKind.SHOWN, at, order_id=order_id, channel=channel))


def result_seen_at(connection: Connection, order: Any) -> str | None:
    """Return when an order's result could first be read, as `iso` writes it.

    That is when it was delivered, or later, when the message about it arrived.
    """
    shown = connection.execute(
        sa.select(sa.func.max(founder_actions.c.at)).where(
            founder_actions.c.order_id == order.id,
            founder_actions.c.kind == ActionKind.SHOWN.value,
            founder_actions.c.asks == "[]",
        )
    ).scalar()
    return max((text for text in (shown, order.delivered_at) if text), default=None)


def of_order(connection: Connection, order_id: str) -> list[Action]:
    """Return what was done about one order and shown of it, unsorted."""
    key = {"of_order": order_id}
    rows, placed = _DONE_OF.all(connection, key), _PLACED_OF.all(connection, key)
    return [*map(_action, rows), *map(_placing, placed)]


def between(connection: Connection, spans: Sequence[tuple[datetime, datetime]]) -> list[Action]:
    """Return what was done by anybody about anything within spans of time, ends included."""
    if not spans:
        return []
    done: list[Action] = []
    # One by one, so that the index on the time serves each of them; they never overlap.
    for start, end in spans:
        ends = {"from_at": iso(start), "to_at": iso(end)}
        done += map(_action, _DONE_IN.all(connection, ends))
        done += map(_placing, _PLACED_IN.all(connection, ends))
    return done


def merged(moments: Iterable[datetime], *, reach: timedelta) -> list[tuple[datetime, datetime]]:
    """Return the spans that reach back from each moment, those that touch made one."""
    spans: list[tuple[datetime, datetime]] = []
    for moment in sorted(set(moments)):
        if spans and moment - reach <= spans[-1][1]:
            spans[-1] = (spans[-1][0], moment)
        else:
            spans.append((moment - reach, moment))
    return spans


def began_at(connection: Connection) -> datetime | None:
    """Return when anybody first did anything here."""
    first, placed = (query.scalar(connection, {}) for query in (_FIRST_ACT, _FIRST_PLACED))
    known = [text for text in (first, placed) if text is not None]
    return parse_iso(min(known)) if known else None


def misplaced(connection: Connection, actions: Iterable[Action]) -> set[str]:
    """Return which of the orders placed here were acted on before that, by the clock."""
    ids = sorted({str(a.order_id) for a in actions if a.kind is ActionKind.ORDERED})
    if not ids:
        return set()
    rows = _misplaced(len(ids)).all(connection, {f"order{n}": name for n, name in enumerate(ids)})
    return {row.id for row in rows}


@lru_cache(maxsize=32)
def _misplaced(count: int) -> Prepared:
    """Return the query for so many orders, named `order0` and on."""
    among = orders.c.id.in_([sa.bindparam(f"order{n}") for n in range(count)])
    return Prepared(
        sa.select(orders.c.id)
        .join(founder_actions, founder_actions.c.order_id == orders.c.id)
        .where(
            among,
            founder_actions.c.kind != ActionKind.SHOWN.value,
            founder_actions.c.at < orders.c.created_at,
        )
        .distinct()
    )


_OF_ORDER = founder_actions.c.order_id == sa.bindparam("of_order")
_IS_FOUNDERS = orders.c.origin == Origin.FOUNDER.value
_PLACED = sa.select(orders.c.id, orders.c.created_at, orders.c.channel, orders.c.sender_id).where(
    _IS_FOUNDERS
)
_NOTE = Prepared(founder_actions.insert())
_DONE_OF = Prepared(sa.select(founder_actions).where(_OF_ORDER))
_PLACED_OF = Prepared(_PLACED.where(orders.c.id == sa.bindparam("of_order")))
_FROM: sa.BindParameter[str] = sa.bindparam("from_at")
_TO: sa.BindParameter[str] = sa.bindparam("to_at")
_DONE_IN = Prepared(sa.select(founder_actions).where(founder_actions.c.at.between(_FROM, _TO)))
_PLACED_IN = Prepared(_PLACED.where(orders.c.created_at.between(_FROM, _TO)))
_FIRST_ACT = Prepared(
    sa.select(founder_actions.c.at)
    .where(founder_actions.c.kind != ActionKind.SHOWN.value)
    .order_by(founder_actions.c.at)
    .limit(1)
)
_FIRST_PLACED = Prepared(
    sa.select(orders.c.created_at).where(_IS_FOUNDERS).order_by(orders.c.created_at).limit(1)
)


def _action(row: Any) -> Action:
    return Action(
        kind=ActionKind(row.kind),
        at=parse_iso(row.at),
        order_id=row.order_id,
        who=row.who,
        channel=row.channel,
        since=parse_iso(row.since) if row.since else None,
        asks=tuple(json.loads(row.asks)),
        options=row.options,
        refused=row.refused,
        id=row.id,
    )


def _placing(row: Any) -> Action:
    return Action(
        kind=ActionKind.ORDERED,
        at=parse_iso(row.created_at),
        order_id=row.id,
        who=f"{row.channel}:{row.sender_id}",
        channel=row.channel,
    )
