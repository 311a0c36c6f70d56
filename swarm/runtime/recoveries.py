"""How often an order's worker died under it, and when that is once too often."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.ids import Ids
from swarm.core.order import OrderStatus, Reason, ReasonKind
from swarm.runtime import outbox, records
from swarm.store.tables import effects, ledger, reaper_actions, recoveries

MOST = 5
"""Recoveries of an order that does not get on; at the next one it is parked."""
ALONE_FROM = 2
"""From which recovery on such an order runs alone, so that no other pays for it."""
SPACING_MS = 2_000
"""Deaths that follow each other faster are one: a host that goes down takes all its workers along."""


class Verdict(StrEnum):
    """What becomes of an order whose worker died."""

    GO = "go"
    ALONE = "alone"
    PARK = "park"


ACTIONS = {Verdict.GO: "resumed", Verdict.ALONE: "isolated", Verdict.PARK: "parked"}
"""What is counted of each."""


def judge(
    connection: Connection,
    segments: Iterable[tuple[str, int]],
    *,
    blamed: Iterable[str],
    now_ms: int,
) -> dict[str, Verdict]:
    """Count a death for the orders that may be at fault, and say what becomes of each.

    An order that got on since the last death (an answered call, an effect) is as good as new.

    Args:
        connection: The transaction.
        segments: The orders that the dead worker had in hand, with their segments.
        blamed: The orders among them that may have killed it.
        now_ms: By the server's clock.
    """
    guilty = set(blamed)
    verdicts: dict[str, Verdict] = {}
    for order_id, segment in segments:
        count = _counted(connection, order_id, segment, order_id in guilty, now_ms)
        is_alone = Verdict.ALONE if count >= ALONE_FROM else Verdict.GO
        verdicts[order_id] = Verdict.PARK if count > MOST else is_alone
    return verdicts


def _counted(
    connection: Connection, order_id: str, segment: int, is_blamed: bool, now_ms: int
) -> int:
    key = (recoveries.c.order_id == order_id, recoveries.c.segment == segment)
    row = connection.execute(sa.select(recoveries).where(*key)).first()
    progress = _progress(connection, order_id)
    if not is_blamed:
        is_stuck = row is not None and row.progress == progress
        return int(row.deaths) if row is not None and is_stuck else 0
    values = {"progress": progress, "counted_ms": now_ms}
    if row is None:
        connection.execute(
            recoveries.insert().values(order_id=order_id, segment=segment, deaths=1, **values)
        )
        return 1
    deaths = 1 if row.progress != progress else int(row.deaths) + 1
    if row.progress == progress and now_ms - row.counted_ms < SPACING_MS:
        return int(row.deaths)
    connection.execute(recoveries.update().where(*key).values(deaths=deaths, **values))
    return deaths


def _progress(connection: Connection, order_id: str) -> int:
    calls = sa.select(sa.func.count()).where(
        ledger.c.order_id == order_id, ledger.c.state != "intent"
    )
    done = sa.select(sa.func.count()).where(effects.c.order_id == order_id)
    return int(connection.execute(calls).scalar_one() + connection.execute(done).scalar_one())


def park(connection: Connection, order_id: str, segment: int, *, clock: Clock, ids: Ids) -> bool:
    """Park an order that kills its workers, and tell who ordered it; False where it moved on."""
    order = records.claim(connection, order_id, segment, ids.new("r"))
    if order is None:
        return False
    reason = Reason(
        kind=ReasonKind.WORK,
        text=(
            f"Its worker died {MOST + 1} times at the same place of this order, so it is parked and "
            f"the others go on. The workers' logs say more; `swarm resume {order_id}` tries again, "
            f"`swarm cancel {order_id}` gives it up."
        ),
    )
    records.advance(
        connection,
        order,
        status=OrderStatus.PARKED.value,
        reason=reason.model_dump_json(),
        owner=None,
    )
    now = iso(clock.now())
    outbox.announce(connection, order, OrderStatus.PARKED, reason, order.state, now=now)
    return True


def note_actions(connection: Connection, counts: Mapping[str, int]) -> None:
    """Add to what was ever done for dead workers."""
    for action, count in counts.items():
        key = reaper_actions.c.action == action
        changed = connection.execute(
            reaper_actions.update().where(key).values(count=reaper_actions.c.count + count)
        )
        if count and changed.rowcount == 0:
            connection.execute(reaper_actions.insert().values(action=action, count=count))


def actions(connection: Connection) -> dict[str, int]:
    """Return what was ever done for dead workers, by action.

    What was never done is a zero, not a gap: an alarm on its growth would miss the first time.
    """
    rows = connection.execute(sa.select(reaper_actions.c.action, reaper_actions.c.count))
    return dict.fromkeys(ACTIONS.values(), 0) | {row[0]: row[1] for row in rows}
