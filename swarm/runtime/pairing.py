"""How strangers become known: a code they are shown and the operator approves, or an invitation."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.ids import ALPHABET
from swarm.core.message import InboundMessage
from swarm.runtime.people import People, Person, PersonRole
from swarm.store.tables import pairings

REQUEST, INVITE = "request", "invite"
GOOD_FOR = timedelta(hours=1)
MAX_PENDING = 3
"""Strangers who may wait at a time on one channel; a fourth is told nothing."""
CODE_SIGNS = 8
"""27^8 is 2.8e11: a request's code gives nothing by itself, it only names who asked."""
INVITE_SIGNS = 16
"""27^16 is 76 bits: an invitation lets in whoever has it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A stranger who waits to be let in."""

    code: str
    channel: str
    platform_id: str
    name: str
    created_at: str
    expires_at: str


class Pairing:
    """Keep the codes of one company. Each call is part of the caller's transaction."""

    def __init__(self, *, clock: Clock, people: People) -> None:
        self._clock = clock
        self._people = people

    def ask(self, connection: Connection, message: InboundMessage) -> str | None:
        """Return a new code for a stranger, or None where nothing is to be said.

        Nothing is said to those who were told their code already, and to anybody while as many as
        may wait do.
        """
        now = iso(self._clock.now())
        waiting = connection.execute(
            sa.select(pairings.c.platform_id).where(
                pairings.c.kind == REQUEST,
                pairings.c.channel == message.channel,
                pairings.c.state == "pending",
                pairings.c.expires_at > now,
            )
        ).scalars()
        known = list(waiting)
        if message.sender_id in known or len(known) >= MAX_PENDING:
            return None
        code = _draw(CODE_SIGNS)
        connection.execute(
            pairings.insert().values(
                code=_digest(code),
                kind=REQUEST,
                shown=code,
                channel=message.channel,
                account=message.account,
                platform_id=message.sender_id,
                name=message.sender_name,
                chat_id=message.chat_id,
                role=PersonRole.OBSERVER.value,
                created_at=now,
                expires_at=iso(self._clock.now() + GOOD_FOR),
                state="pending",
            )
        )
        return code

    def invite(self, connection: Connection, role: PersonRole, *, by: str) -> str:
        """Return a new code that lets in the first person who says it, once, within an hour."""
        code = _draw(INVITE_SIGNS)
        connection.execute(
            pairings.insert().values(
                code=_digest(code),
                kind=INVITE,
                channel=None,
                account=None,
                platform_id=None,
                name="",
                chat_id=None,
                role=role.value,
                created_at=iso(self._clock.now()),
                expires_at=iso(self._clock.now() + GOOD_FOR),
                state="pending",
                decided_by=by,
            )
        )
        return code

    def redeem(self, connection: Connection, code: str, message: InboundMessage) -> Person | None:
        """Let in who says an invitation's code in private; None where it is not good."""
        now = iso(self._clock.now())
        if not message.is_private or not code or len(code) > 64:
            return None
        key = (pairings.c.code == _digest(code), pairings.c.kind == INVITE)
        row = connection.execute(sa.select(pairings).where(*key)).first()
        if row is None or row.state != "pending" or row.expires_at <= now:
            return None
        taken = connection.execute(
            pairings.update()
            .where(*key, pairings.c.state == "pending")
            .values(
                state="used",
                channel=message.channel,
                platform_id=message.sender_id,
                name=message.sender_name,
                decided_at=now,
            )
        )
        if taken.rowcount != 1:
            return None
        return self._people.admit(
            connection,
            channel=message.channel,
            platform_id=message.sender_id,
            name=message.sender_name,
            role=PersonRole(row.role),
            chat_id=message.chat_id,
            by=f"invitation of {row.decided_by}",
        )

    def approve(
        self, connection: Connection, code: str, *, role: PersonRole, by: str
    ) -> tuple[Person, Any]:
        """Let in the stranger who was shown a code; return them and the row of the request.

        Raises:
            NotFound: Nobody was shown it.
            InvalidInput: It ran out.
            Conflict: It was decided already.
        """
        key = (pairings.c.code == _digest(code), pairings.c.kind == REQUEST)
        row = connection.execute(sa.select(pairings).where(*key)).first()
        if row is None:
            raise NotFound(f"Nobody was shown the code {code!r}: see `swarm pairing list`.")
        if row.state != "pending":
            raise Conflict(f"The code {code} was {row.state} already; nothing was changed.")
        if row.expires_at <= iso(self._clock.now()):
            raise InvalidInput(
                f"The code {code} ran out at {row.expires_at}: let them write again for a new one."
            )
        connection.execute(
            pairings.update()
            .where(*key)
            .values(state="approved", decided_at=iso(self._clock.now()), decided_by=by)
        )
        person = self._people.admit(
            connection,
            channel=row.channel,
            platform_id=row.platform_id,
            name=row.name,
            role=role,
            chat_id=row.chat_id,
            by=by,
        )
        return person, row

    def refuse(self, connection: Connection, code: str, *, by: str) -> bool:
        """Refuse a stranger, or take an invitation back; False where there is no such code."""
        changed = connection.execute(
            pairings.update()
            .where(pairings.c.code == _digest(code), pairings.c.state == "pending")
            .values(state="revoked", decided_at=iso(self._clock.now()), decided_by=by)
        )
        return changed.rowcount == 1

    def withdraw_invitations(self, connection: Connection, *, by: str) -> None:
        """Take back every invitation that nobody used."""
        connection.execute(
            pairings.update()
            .where(pairings.c.kind == INVITE, pairings.c.state == "pending")
            .values(state="revoked", decided_at=iso(self._clock.now()), decided_by=by)
        )

    def waiting(self, connection: Connection) -> list[Request]:
        """Return the strangers who wait, oldest first."""
        rows = connection.execute(
            sa.select(pairings)
            .where(
                pairings.c.kind == REQUEST,
                pairings.c.state == "pending",
                pairings.c.expires_at > iso(self._clock.now()),
            )
            .order_by(pairings.c.created_at)
        )
        return [
            Request(
                code=r.shown,
                channel=r.channel,
                platform_id=r.platform_id,
                name=r.name,
                created_at=r.created_at,
                expires_at=r.expires_at,
            )
            for r in rows
        ]


def _draw(signs: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(signs))


def _digest(code: str) -> str:
    """Digest a code as a person types it: case, spaces and dashes do not matter."""
    plain = "".join(sign for sign in code.lower() if sign.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()
