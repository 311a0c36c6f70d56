"""The books of effects: what a tool call was, who let it happen, and what came back.

A tool call is known by (order, node, seq, position); one with a row is never made again.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.ledger.book import Caller, CallKey, check_claim
from swarm.store.database import Store
from swarm.store.tables import effects


@dataclass(frozen=True, slots=True)
class EffectRecord:
    """One tool call with its decision; `result` is JSON."""

    position: int
    tool: str
    arguments: str
    decision: str
    rule: str
    result: str


class EffectBook:
    """Write and read effect rows of one company."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def of_node(self, order_id: str, node: str) -> dict[tuple[int, int], EffectRecord]:
        """Return what is on the books for a node, by (seq, position)."""

        def work(connection: Connection) -> dict[tuple[int, int], EffectRecord]:
            rows = connection.execute(
                sa.select(effects).where(effects.c.order_id == order_id, effects.c.node == node)
            )
            return {(row.seq, row.position): _record(row) for row in rows}

        return await self._store.aread(work)

    async def write(self, key: CallKey, records: list[EffectRecord], caller: Caller) -> None:
        """Store the tool calls of one step; rows that exist stay as they are.

        Raises:
            Cancelled: Another run holds the claim.
        """

        def work(connection: Connection) -> None:
            check_claim(connection, key.order_id, caller)
            known = set(
                connection.execute(
                    sa.select(effects.c.position).where(
                        effects.c.order_id == key.order_id,
                        effects.c.node == key.node,
                        effects.c.seq == key.seq,
                    )
                ).scalars()
            )
            new = [self._values(key, r) for r in records if r.position not in known]
            if new:
                connection.execute(effects.insert(), new)

        await self._store.awrite(work)

    def _values(self, key: CallKey, record: EffectRecord) -> dict[str, Any]:
        return {
            "order_id": key.order_id,
            "node": key.node,
            "seq": key.seq,
            "position": record.position,
            "tool": record.tool,
            "arguments": record.arguments,
            "decision": record.decision,
            "rule": record.rule,
            "result": record.result,
            "at": iso(self._clock.now()),
        }


def _record(row: Any) -> EffectRecord:
    return EffectRecord(row.position, row.tool, row.arguments, row.decision, row.rule, row.result)
