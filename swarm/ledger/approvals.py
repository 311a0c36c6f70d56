"""The books of signatures: what was shown to whom, what they said, and that it was used once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.core.errors import Conflict
from swarm.store.prepared import Prepared
from swarm.store.tables import approvals, standing_rules
from swarm.tools.policy import StandingRule


@dataclass(frozen=True, slots=True)
class SignatureRequest:
    """One call that waits for a signature."""

    node: str
    seq: int
    position: int
    action: str
    """Canonical JSON of the call; see `tools.action`."""
    nonce: str
    digest: str
    text: str
    """The whole action as a person reads it."""

    @property
    def ask_node(self) -> str:
        """Name the request among the asks of its order."""
        return f"{self.node}#{self.position}"


@dataclass(frozen=True, slots=True)
class Approval:
    """One request as it stands."""

    id: str
    ask_id: str
    state: str
    action: str
    digest: str
    nonce: str
    expires_at: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Signer:
    """A named person; `identity` is the platform's immutable id of them, as `channel:id`."""

    identity: str
    name: str


def of_node(connection: Connection, order_id: str, node: str) -> dict[tuple[int, int], Approval]:
    """Return the newest request of each call of a node, by (seq, position)."""
    rows = _OF_NODE.all(connection, {"of_order": order_id, "of_node": node})
    return {(row.seq, row.position): _approval(row) for row in rows}


def request(
    connection: Connection,
    wanted: SignatureRequest,
    *,
    approval_id: str,
    ask_id: str,
    order_id: str,
    task_id: str | None,
    now: datetime,
    hours: float,
) -> None:
    """Store a request; earlier ones of the same call can no longer be signed or used."""
    connection.execute(
        approvals.update()
        .where(
            approvals.c.order_id == order_id,
            approvals.c.node == wanted.node,
            approvals.c.seq == wanted.seq,
            approvals.c.position == wanted.position,
            approvals.c.state.in_(["open", "signed"]),
        )
        .values(state="void")
    )
    connection.execute(
        approvals.insert().values(
            id=approval_id,
            ask_id=ask_id,
            order_id=order_id,
            task_id=task_id,
            node=wanted.node,
            seq=wanted.seq,
            position=wanted.position,
            action=wanted.action,
            digest=wanted.digest,
            nonce=wanted.nonce,
            state="open",
            expires_at=iso(now + timedelta(hours=hours)),
            created_at=iso(now),
        )
    )


def open_of_ask(connection: Connection, ask_id: str) -> Approval | None:
    """Return the request that an ask shows, if it still waits."""
    row = connection.execute(
        sa.select(approvals).where(approvals.c.ask_id == ask_id, approvals.c.state == "open")
    ).first()
    return None if row is None else _approval(row)


def settle(
    connection: Connection,
    approval: Approval,
    *,
    is_signed: bool,
    signer: Signer,
    now: datetime,
    reason: str | None = None,
) -> str:
    """Write down what a person said and return the state it led to: a late word is `expired`.

    Raises:
        Conflict: Somebody else decided at the same moment.
    """
    state = "signed" if is_signed else "refused"
    if is_signed and approval.expires_at <= iso(now):
        state = "expired"
    changed = connection.execute(
        approvals.update()
        .where(approvals.c.id == approval.id, approvals.c.state == "open")
        .values(
            state=state,
            decided_at=iso(now),
            approver=signer.identity,
            approver_name=signer.name,
            reason=reason,
        )
    )
    if changed.rowcount != 1:
        raise Conflict("Somebody else decided at the same moment; nothing was changed.")
    return state


def use(connection: Connection, approval_id: str, digest: str, *, now: datetime) -> str | None:
    """Use a signature up, if it is still good for exactly this digest; return who signed."""
    changed = connection.execute(
        approvals.update()
        .where(
            approvals.c.id == approval_id,
            approvals.c.state == "signed",
            approvals.c.digest == digest,
            approvals.c.expires_at > iso(now),
        )
        .values(state="used", used_at=iso(now))
    )
    if changed.rowcount != 1:
        return None
    signer = sa.select(approvals.c.approver).where(approvals.c.id == approval_id)
    return str(connection.execute(signer).scalar_one())


def void_order(connection: Connection, order_id: str) -> None:
    """Take back every signature of an order that was not used."""
    connection.execute(
        approvals.update()
        .where(approvals.c.order_id == order_id, approvals.c.state.in_(["open", "signed"]))
        .values(state="void")
    )


def standing(connection: Connection, role: str, *, now: datetime) -> tuple[StandingRule, ...]:
    """Return what the founder signed in advance for a role and has not revoked."""
    rows: Sequence[Any] = connection.execute(
        sa.select(standing_rules).where(
            standing_rules.c.role == role,
            standing_rules.c.until > iso(now),
            standing_rules.c.revoked_at.is_(None),
        )
    ).all()
    return tuple(
        StandingRule(row.id, row.role, row.tool, tuple(_json_list(row.destinations)))
        for row in rows
    )


def _json_list(text: str) -> list[str]:

    return [str(item) for item in json.loads(text)]


_OF_NODE = Prepared(
    sa.select(approvals)
    .where(
        approvals.c.order_id == sa.bindparam("of_order"),
        approvals.c.node == sa.bindparam("of_node"),
    )
    .order_by(approvals.c.created_at, approvals.c.id)
)


def _approval(row: Any) -> Approval:
    return Approval(
        id=row.id,
        ask_id=row.ask_id,
        state=row.state,
        action=row.action,
        digest=row.digest,
        nonce=row.nonce,
        expires_at=row.expires_at,
        reason=row.reason,
    )
