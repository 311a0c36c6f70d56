"""What people sign: single calls, and what they allow in advance. Each word goes into the audit."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.ids import Ids
from swarm.core.registry import nearest
from swarm.ledger import approvals
from swarm.ledger.approvals import Signer
from swarm.ledger.effects import Auditor
from swarm.store.database import Store
from swarm.store.tables import orders, standing_rules

MAX_DAYS = 366
"""A rule signed in advance ends within a year: who signs should look again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One rule that the founder signed in advance."""

    id: str
    role: str
    tool: str
    destinations: tuple[str, ...]
    until: datetime
    note: str
    created_by: str
    revoked_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Return whether the rule still opens anything."""
        return self.revoked_at is None and self.until > now


class Signatures:
    """Decide requests for signatures, and keep the rules signed in advance."""

    def __init__(
        self, *, store: Store, clock: Clock, ids: Ids, audit: Auditor | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._audit = audit

    def decide(
        self,
        connection: Connection,
        ask: Any,
        *,
        is_signed: bool,
        signer: Signer,
        reason: str | None = None,
        digest: str | None = None,
    ) -> str:
        """Sign or refuse what an ask shows; part of the caller's transaction.

        Args:
            connection: The transaction.
            ask: Row of an open ask of kind `signature`.
            is_signed: False refuses.
            signer: The named person.
            reason: Why it is refused; the role is told.
            digest: What the person was shown, or its first 12 signs or more.

        Returns:
            `signed`, `refused`, or `expired` where the word came too late.

        Raises:
            Conflict: What waits is not what was shown, or somebody else decided.
        """
        found = approvals.open_of_ask(connection, ask.id)
        if found is None:
            raise Conflict(f"{ask.id} waits for no signature any more; nothing was changed.")
        if digest is not None and (len(digest) < 12 or not found.digest.startswith(digest)):
            raise Conflict(
                f"{ask.id} is not what you were shown; look again with `swarm inbox`. "
                "Nothing was changed."
            )
        state = approvals.settle(
            connection,
            found,
            is_signed=is_signed,
            signer=signer,
            now=self._clock.now(),
            reason=reason,
        )
        self.note(
            connection,
            kind=f"approval_{state}",
            order_id=ask.order_id,
            signer=signer,
            body={
                "approval": found.id,
                "action": found.action,
                "digest": found.digest,
                "nonce": found.nonce,
                "expires_at": found.expires_at,
                "name": signer.name,
                "reason": reason,
            },
        )
        return state

    def note(
        self,
        connection: Connection,
        *,
        kind: str,
        order_id: str | None,
        signer: Signer,
        body: dict[str, Any],
    ) -> None:
        """Write a person's word into the audit chain, as part of the caller's transaction."""
        if self._audit is None:
            return
        initiator = None
        if order_id is not None:
            row = connection.execute(
                sa.select(orders.c.channel, orders.c.sender_id).where(orders.c.id == order_id)
            ).first()
            initiator = f"{row.channel}:{row.sender_id}" if row else None
        self._audit.append(
            connection,
            kind=kind,
            order_id=order_id,
            actor=signer.identity,
            initiator=initiator,
            approver=signer.identity,
            body=body,
        )

    def record(self, *, kind: str, signer: Signer, body: dict[str, Any]) -> None:
        """Write a person's word about the company itself into the audit chain."""
        self._store.write(
            lambda c: self.note(c, kind=kind, order_id=None, signer=signer, body=body)
        )

    def allow(
        self,
        *,
        role: str,
        tool: str,
        destinations: tuple[str, ...],
        days: float,
        note: str,
        signer: Signer,
    ) -> Standing:
        """Sign in advance that a role may use a tool towards named destinations for some days.

        Raises:
            InvalidInput: No destination, or a time that is no future within a year.
        """
        named = _named(destinations)
        if not 0 < days <= MAX_DAYS:
            raise InvalidInput(f"{days:g} days make no sense: give more than 0, up to {MAX_DAYS}.")
        now = self._clock.now()
        rule = Standing(
            id=self._ids.new("p"),
            role=role,
            tool=tool,
            destinations=named,
            until=now + timedelta(days=days),
            note=note,
            created_by=signer.identity,
            revoked_at=None,
        )
        self._store.write(lambda c: self._keep(c, rule, at=now, signer=signer))
        return rule

    def _keep(
        self, connection: Connection, rule: Standing, *, at: datetime, signer: Signer
    ) -> None:
        facts = {"role": rule.role, "tool": rule.tool, "until": iso(rule.until), "note": rule.note}
        connection.execute(
            standing_rules.insert().values(
                id=rule.id,
                destinations=json.dumps(rule.destinations),
                created_at=iso(at),
                created_by=rule.created_by,
                **facts,
            )
        )
        body = {"rule": rule.id, "destinations": list(rule.destinations), "name": signer.name}
        self.note(connection, kind="standing_rule", order_id=None, signer=signer, body=body | facts)

    def standing(self) -> list[Standing]:
        """Return every rule ever signed in advance, the newest first."""
        newest = sa.select(standing_rules).order_by(standing_rules.c.created_at.desc())
        return [_standing(row) for row in self._store.read(lambda c: c.execute(newest).all())]

    def revoke(self, rule_id: str, *, signer: Signer) -> None:
        """Take a rule back; calls that are not yet made need a signature again.

        Raises:
            NotFound, Conflict: Nothing was changed.
        """

        def work(connection: Connection) -> None:
            changed = connection.execute(
                standing_rules.update()
                .where(standing_rules.c.id == rule_id, standing_rules.c.revoked_at.is_(None))
                .values(revoked_at=iso(self._clock.now()), revoked_by=signer.identity)
            )
            if changed.rowcount != 1:
                known = list(connection.execute(sa.select(standing_rules.c.id)).scalars())
                if rule_id in known:
                    raise Conflict(f"{rule_id} was revoked before.")
                raise NotFound(f"There is no standing rule {rule_id!r}{nearest(rule_id, known)}")
            self.note(
                connection,
                kind="standing_rule_revoked",
                order_id=None,
                signer=signer,
                body={"rule": rule_id, "name": signer.name},
            )

        self._store.write(work)


def _named(destinations: tuple[str, ...]) -> tuple[str, ...]:
    """Return each destination once; anything but a full name is refused."""
    named = tuple(dict.fromkeys(d.strip() for d in destinations if d.strip()))
    if not named or any("*" in d for d in named):
        raise InvalidInput(
            "Name each destination in full: an empty list means nobody, and there are no wildcards."
        )
    return named


def _standing(row: Any) -> Standing:
    return Standing(
        id=row.id,
        role=row.role,
        tool=row.tool,
        destinations=tuple(json.loads(row.destinations)),
        until=parse_iso(row.until),
        note=row.note,
        created_by=row.created_by,
        revoked_at=parse_iso(row.revoked_at) if row.revoked_at else None,
    )
