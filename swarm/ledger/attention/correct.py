"""Take the founder's word on their own minutes: find what it is about, check it, write the row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import parse_iso
from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.registry import nearest
from swarm.ledger.attention import corrections as words
from swarm.ledger.attention.corrections import LONGEST_S, Correction, CorrectionKind
from swarm.ledger.attention.gaps import FounderTimeConfig
from swarm.ledger.attention.spent import Minutes, minutes_between, minutes_of
from swarm.store.tables import asks, founder_actions, orders

_GAP = re.compile(r"g[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Word:
    """Who says something, when, and under which id it is stored."""

    id: str
    at: datetime
    who: str
    note: str = ""


def away(
    connection: Connection, target: str, seconds: int, *, word: Word, config: FounderTimeConfig
) -> Correction:
    """Count measured time as nothing, or as `seconds` in all: the founder was elsewhere.

    Args:
        connection: The transaction.
        target: A question's id, a gap's name as `swarm time list` shows it, or an order's id for
            all of its gaps that were not corrected yet.
        seconds: What counts instead.
        word: Who says so.
        config: The rule by which the gaps were measured.

    Raises:
        NotFound: Nothing has that id, or nothing was measured there.
        Conflict: It was corrected before; revoke that first.
        InvalidInput: More is stated than was measured.
    """
    lines = _measured(connection, target, config)
    free = [line for line in lines if line.correction is None]
    if not lines:
        raise NotFound(f"No time was measured for {target}: there is nothing to take away.")
    if not free:
        before = lines[0].correction
        raise Conflict(
            f"{target} was corrected before ({before}): `swarm time revoke {before}` first."
        )
    correction = Correction(
        id=word.id,
        at=word.at,
        who=word.who,
        kind=CorrectionKind.AWAY,
        order_id=free[0].order_id,
        seconds=seconds,
        about_at=free[-1].end,
        note=word.note,
        gaps=words.shares([(line.key, line.measured) for line in free], seconds),
    )
    words.store(connection, correction)
    return correction


def add(
    connection: Connection, order_id: str, seconds: int, *, word: Word, about_at: datetime
) -> Correction:
    """Count time that nobody measured: reading on paper, a call, a walk with the plan in mind.

    Raises:
        NotFound: No such order.
        InvalidInput: Nothing, more than a week, or time that is still to come.
    """
    if not 0 < seconds <= LONGEST_S:
        raise InvalidInput("Add more than nothing and at most a week: `15m`, `1h30m`.")
    if about_at > word.at:
        raise InvalidInput("That day is still to come: add time that is spent.")
    known = connection.execute(sa.select(orders.c.created_at).where(orders.c.id == order_id))
    if known.first() is None:
        raise NotFound(f"There is no order {order_id!r}{_nearest(connection, order_id)}")
    correction = Correction(
        id=word.id,
        at=word.at,
        who=word.who,
        kind=CorrectionKind.ADD,
        order_id=order_id,
        seconds=seconds,
        about_at=about_at,
        note=word.note,
    )
    words.store(connection, correction)
    return correction


def revoke(connection: Connection, correction_id: str, *, word: Word) -> Correction:
    """Let an earlier correction count no longer; it stays on the books, and so does this.

    Raises:
        NotFound, Conflict: Nothing was changed.
    """
    old = words.to_revoke(connection, correction_id)
    correction = Correction(
        id=word.id,
        at=word.at,
        who=word.who,
        kind=CorrectionKind.REVOKE,
        order_id=old.order_id,
        seconds=0,
        about_at=old.about_at,
        note=word.note,
        revokes=old.id,
    )
    words.store(connection, correction)
    return correction


def _measured(connection: Connection, target: str, config: FounderTimeConfig) -> list[Minutes]:
    """Return the measured stretches that a target names, those of no length left out."""
    if _GAP.fullmatch(target):
        lines = _of_gap(connection, target, config)
    else:
        order_id, ask_id = _order_and_ask(connection, target)
        lines = minutes_of(connection, order_id, config=config)
        if ask_id is not None:
            lines = [line for line in lines if ask_id in line.asks]
        elif target != order_id:
            lines = [line for line in lines if line.key == target]
    return [line for line in lines if line.measured]


def _of_gap(connection: Connection, key: str, config: FounderTimeConfig) -> list[Minutes]:
    at = connection.execute(
        sa.select(founder_actions.c.at).where(founder_actions.c.id == int(key[1:]))
    ).scalar()
    if at is None:
        raise NotFound(f"There is no gap {key!r}: `swarm time list` names them.")
    end = parse_iso(at)
    lines = minutes_between(connection, end, end + timedelta(microseconds=1), config=config)
    return [line for line in lines if line.key == key]


def _order_and_ask(connection: Connection, target: str) -> tuple[str, str | None]:
    order_id = target.removeprefix("placed:")
    asked = connection.execute(sa.select(asks.c.order_id).where(asks.c.id == target)).scalar()
    if asked is not None:
        return str(asked), target
    if connection.execute(sa.select(orders.c.id).where(orders.c.id == order_id)).first() is None:
        raise NotFound(
            f"There is no order, question or gap {target!r}{_nearest(connection, target)}"
        )
    return order_id, None


def _nearest(connection: Connection, word: str) -> str:
    known: Sequence[str] = (
        connection.execute(sa.select(orders.c.id).order_by(orders.c.created_at.desc()).limit(200))
        .scalars()
        .all()
    )
    return nearest(word, list(known))
