"""The books of effects: what a tool call was, who let it happen, and what came back.

A tool call is known by (order, node, seq, position); one with a row is never made again. What
reaches out of the workspace has its row before it happens: found `started` after a crash, it may
or may not have happened, and is not tried again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.errors import Cancelled
from swarm.ledger import approvals
from swarm.ledger.approvals import Approval
from swarm.ledger.book import Caller, CallKey, check_claim
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import effects
from swarm.tools.policy import StandingRule

STARTED = "started"
DONE = "done"
UNKNOWN = "unknown"
"""Started before a crash: nobody knows whether it happened."""
HANDING = "handing"
"""A colleague works on it; gone through again after a crash."""
HANDED = "handed"


class Auditor(Protocol):
    """Append to the audit chain within a transaction; see `store.audit`."""

    def append(
        self,
        connection: Connection,
        *,
        kind: str,
        order_id: str | None,
        actor: str,
        initiator: str | None,
        approver: str | None,
        body: dict[str, Any],
    ) -> int:
        """Add one row and return its number."""


@dataclass(frozen=True, slots=True)
class EffectRecord:
    """One tool call with its decision; `result` is JSON."""

    position: int
    tool: str
    arguments: str
    decision: str
    rule: str
    result: str
    state: str = DONE
    approval_id: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes the calls of one node, for the audit."""

    caller: Caller
    initiator: str
    """Whose order it is, as `channel:id`."""
    prompt_digest: str
    """SHA-256 of the role's prompt, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class NodeBook:
    """What the books hold of one node, by (seq, position)."""

    effects: dict[tuple[int, int], EffectRecord]
    approvals: dict[tuple[int, int], Approval]


class NotSigned(Exception):
    """The signature was used, taken back or ran out since it was looked at."""


class EffectBook:
    """Write and read effect rows of one company."""

    def __init__(self, *, store: Store, clock: Clock, audit: Auditor | None = None) -> None:
        self._store = store
        self._clock = clock
        self._audit = audit

    async def of_node(self, order_id: str, node: str) -> NodeBook:
        """Return what is on the books for a node."""

        def work(connection: Connection) -> NodeBook:
            rows = _OF_NODE.all(connection, {"of_order": order_id, "of_node": node})
            return NodeBook(
                {(row.seq, row.position): _record(row) for row in rows},
                approvals.of_node(connection, order_id, node),
            )

        return await self._store.aread(work)

    async def result(self, key: CallKey, position: int) -> str | None:
        """Return the JSON that one call came to, or None where it was not made."""
        place = {"of_order": key.order_id, "of_node": key.node, "of_seq": key.seq}
        found = await self._store.aread(
            lambda c: _RESULT.scalar(c, place | {"at_position": position})
        )
        return None if found is None else str(found)

    async def standing(self, role: str) -> tuple[StandingRule, ...]:
        """Return what the founder signed in advance for a role, as it stands now."""
        now = self._clock.now()
        return await self._store.aread(lambda c: approvals.standing(c, role, now=now))

    async def write(self, key: CallKey, records: Sequence[EffectRecord], actor: Actor) -> None:
        """Store the tool calls of one step; rows that exist stay as they are.

        Raises:
            Cancelled: Another run holds the claim.
        """

        def work(connection: Connection) -> None:
            check_claim(connection, key.order_id, actor.caller)
            step = {"of_order": key.order_id, "of_node": key.node, "of_seq": key.seq}
            known = {row.position for row in _OF_STEP.all(connection, step)}
            new = [record for record in records if record.position not in known]
            for record in new:
                _INSERT.run(connection, self._values(key, record))
            for record in new:
                self._append(connection, "effect", key, record, actor)

        await self._store.awrite(work)

    async def begin(
        self, key: CallKey, record: EffectRecord, actor: Actor, *, approval: Approval | None = None
    ) -> None:
        """Store that an effect on the world is about to happen, and use its signature up.

        Raises:
            Cancelled: Another run holds the claim, or began the same call.
            NotSigned: The signature is not good any more; nothing was stored.
        """
        record = replace(record, state=STARTED, approval_id=approval.id if approval else None)

        def work(connection: Connection) -> None:
            check_claim(connection, key.order_id, actor.caller)
            if self._state(connection, key, record.position) is not None:
                raise Cancelled("another run has begun this call")
            signer = None
            if approval is not None:
                now = self._clock.now()
                signer = approvals.use(connection, approval.id, approval.digest, now=now)
                if signer is None:
                    raise NotSigned
            _INSERT.run(connection, self._values(key, record))
            self._append(connection, "effect_begins", key, record, actor, approver=signer)

        await self._store.awrite(work)

    async def finish(self, key: CallKey, record: EffectRecord, actor: Actor) -> None:
        """Store what an effect that was begun came to, even if the order has stopped since."""

        def work(connection: Connection) -> None:
            changed = connection.execute(
                effects.update()
                .where(*_at(key, record.position), effects.c.state.in_((STARTED, HANDING)))
                .values(state=record.state, result=record.result)
            )
            if changed.rowcount == 1:
                kind = "effect_unknown" if record.state == UNKNOWN else "effect"
                self._append(connection, kind, key, record, actor)

        await self._store.awrite(work)

    async def begin_handoff(
        self, key: CallKey, record: EffectRecord, actor: Actor, *, limit: int
    ) -> bool:
        """Store that a sub-task begins; False where the order has had `limit` of them already."""
        record = replace(record, state=HANDING)

        def work(connection: Connection) -> bool:
            check_claim(connection, key.order_id, actor.caller)
            if self._state(connection, key, record.position) is not None:
                return True
            counted = sa.select(sa.func.count()).where(
                effects.c.order_id == key.order_id,
                effects.c.state.in_((HANDING, HANDED)),
            )
            if connection.execute(counted).scalar_one() >= limit:
                return False
            _INSERT.run(connection, self._values(key, record))
            return True

        return await self._store.awrite(work)

    def _state(self, connection: Connection, key: CallKey, position: int) -> str | None:
        found = sa.select(effects.c.state).where(*_at(key, position))
        return connection.execute(found).scalar()

    def _append(
        self,
        connection: Connection,
        kind: str,
        key: CallKey,
        record: EffectRecord,
        actor: Actor,
        *,
        approver: str | None = None,
    ) -> None:
        """Write the call into the audit chain. Texts go in as digests: they may be forgotten."""
        if self._audit is None:
            return
        self._audit.append(
            connection,
            kind=kind,
            order_id=key.order_id,
            actor=f"role:{actor.caller.role}",
            initiator=actor.initiator,
            approver=approver,
            body={
                "task": actor.caller.task_id,
                "node": key.node,
                "seq": key.seq,
                "position": record.position,
                "tool": record.tool,
                "arguments_sha256": _sha256(record.arguments),
                "decision": record.decision,
                "rule": record.rule,
                "approval": record.approval_id,
                "result_sha256": _sha256(record.result),
                "prompt_sha256": actor.prompt_digest,
            },
        )

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
            "state": record.state,
            "approval_id": record.approval_id,
            "result": record.result,
            "at": iso(self._clock.now()),
        }


# Written once: building a statement costs more than running it.
_IS_NODE = sa.and_(
    effects.c.order_id == sa.bindparam("of_order"), effects.c.node == sa.bindparam("of_node")
)
_IS_STEP = sa.and_(_IS_NODE, effects.c.seq == sa.bindparam("of_seq"))
_OF_NODE = Prepared(sa.select(effects).where(_IS_NODE))
_OF_STEP = Prepared(sa.select(effects.c.position).where(_IS_STEP))
_RESULT = Prepared(
    sa.select(effects.c.result).where(_IS_STEP, effects.c.position == sa.bindparam("at_position"))
)
_INSERT = Prepared(effects.insert())


def _at(key: CallKey, position: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        effects.c.order_id == key.order_id,
        effects.c.node == key.node,
        effects.c.seq == key.seq,
        effects.c.position == position,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _record(row: Any) -> EffectRecord:
    return EffectRecord(
        position=row.position,
        tool=row.tool,
        arguments=row.arguments,
        decision=row.decision,
        rule=row.rule,
        result=row.result,
        state=row.state,
        approval_id=row.approval_id,
    )
