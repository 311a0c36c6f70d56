"""What the founder says about their minutes: "I was elsewhere", "15 minutes reviewing".

Each is a new row that can be listed and revoked; nothing that was measured is changed by it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso, parse_iso
from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.registry import nearest
from swarm.store.prepared import Prepared
from swarm.store.tables import founder_corrections

LONGEST_S = 7 * 24 * 3600
"""The most that one correction may add: a slip of the pen is no month of work."""


class CorrectionKind(StrEnum):
    """What a correction does."""

    AWAY = "away"
    """Measured gaps count less, or nothing."""
    ADD = "add"
    """Time that nobody measured counts on top."""
    REVOKE = "revoke"
    """An earlier correction no longer counts."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One row of the founder's own words."""

    id: str
    at: datetime
    who: str
    kind: CorrectionKind
    order_id: str | None
    seconds: int
    """What counts instead, or on top."""
    about_at: datetime
    """When the minutes were spent."""
    note: str = ""
    gaps: Mapping[str, int] = field(default_factory=dict)
    """The gaps an `away` speaks of, each with the microseconds it counts."""
    revokes: str | None = None


def store(connection: Connection, correction: Correction) -> None:
    """Write a correction, as part of the caller's transaction."""
    connection.execute(
        founder_corrections.insert().values(
            id=correction.id,
            at=iso(correction.at),
            who=correction.who,
            kind=correction.kind.value,
            order_id=correction.order_id,
            seconds=correction.seconds,
            gaps=json.dumps(dict(correction.gaps), sort_keys=True),
            about_at=iso(correction.about_at),
            note=correction.note,
            revokes=correction.revokes,
        )
    )


def shares(measured: Sequence[tuple[str, timedelta]], seconds: int) -> dict[str, int]:
    """Return the microseconds each gap counts where `seconds` in all are stated: the earlier ones first.

    Args:
        measured: The gaps by name with their lengths, the oldest first.
        seconds: What all of them together count.

    Raises:
        InvalidInput: More is stated than was measured, or less than nothing.
    """
    total = sum((length for _, length in measured), timedelta())
    if seconds < 0:
        raise InvalidInput("Less than no time is no time: write 0 or more.")
    if timedelta(seconds=seconds) > total:
        raise InvalidInput(
            f"Only {total.total_seconds():.0f} s were measured there: `swarm time add ORDER 15m "
            '"reviewing"` adds to it.'
        )
    left = timedelta(seconds=seconds)
    counted: dict[str, int] = {}
    for key, length in measured:
        part = min(left, length)
        counted[key] = part // timedelta(microseconds=1)
        left -= part
    return counted


def all_of(connection: Connection, order_id: str | None = None) -> list[Correction]:
    """Return the corrections of one order, or of everything, the oldest first."""
    if order_id is not None:
        return _sorted(_OF_ORDER.all(connection, {"of_order": order_id}))
    return _sorted(connection.execute(sa.select(founder_corrections)))


def about(
    connection: Connection, start: datetime, end: datetime, order_ids: Iterable[str]
) -> list[Correction]:
    """Return the corrections about a span of time, and those of some orders and of none."""
    c = founder_corrections.c
    is_about = sa.and_(c.about_at >= iso(start), c.about_at < iso(end))
    is_theirs = sa.or_(c.order_id.in_(sorted(order_ids)), c.order_id.is_(None))
    return _sorted(connection.execute(sa.select(founder_corrections).where(is_about | is_theirs)))


def live(corrections: Sequence[Correction]) -> list[Correction]:
    """Return those that count: neither revoked nor a revocation."""
    gone = {c.revokes for c in corrections if c.kind is CorrectionKind.REVOKE}
    return [c for c in corrections if c.kind is not CorrectionKind.REVOKE and c.id not in gone]


def to_revoke(connection: Connection, correction_id: str) -> Correction:
    """Return a correction that can be revoked.

    Raises:
        NotFound: There is none of that id; the nearest is named.
        Conflict: It was revoked before, or is a revocation itself.
    """
    known = {c.id: c for c in all_of(connection)}
    found = known.get(correction_id)
    if found is None:
        raise NotFound(f"There is no correction {correction_id!r}{nearest(correction_id, known)}")
    if found.kind is CorrectionKind.REVOKE:
        raise Conflict(f"{correction_id} is a revocation itself: write a new correction.")
    if any(c.revokes == correction_id for c in known.values()):
        raise Conflict(f"{correction_id} was revoked before.")
    return found


_OF_ORDER = Prepared(
    sa.select(founder_corrections).where(founder_corrections.c.order_id == sa.bindparam("of_order"))
)


def _sorted(rows: Iterable[Any]) -> list[Correction]:
    return sorted(map(_correction, rows), key=lambda c: (c.at, c.id))


def _correction(row: Any) -> Correction:
    return Correction(
        id=row.id,
        at=parse_iso(row.at),
        who=row.who,
        kind=CorrectionKind(row.kind),
        order_id=row.order_id,
        seconds=row.seconds,
        about_at=parse_iso(row.about_at),
        note=row.note,
        gaps=json.loads(row.gaps),
        revokes=row.revokes,
    )
