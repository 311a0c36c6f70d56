"""Buttons: a platform holds an opaque token, the company what it does, for whom and until when."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.errors import Conflict
from swarm.core.message import Button
from swarm.store.tables import buttons

GOOD_FOR = timedelta(days=7)
TOKEN_BYTES = 18
"""144 bits, 24 signs: nobody guesses one, and it fits the 64 bytes of Telegram."""


@dataclass(frozen=True, slots=True)
class Press:
    """What a pressed button stands for."""

    token: str
    card: str
    do: str
    order_id: str | None
    ask_id: str | None
    number: int | None
    digest: str | None
    """SHA-256 of what the card showed, in hexadecimal."""
    more: Mapping[str, Any]


def digest_of(text: str) -> str:
    """Return the SHA-256 of what a card shows, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class Keyboard:
    """Make the buttons of one card, all of them for one person in one chat."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        *,
        card: str,
        channel: str,
        chat_id: str,
        person_id: str | None,
        until: str | None = None,
    ) -> None:
        """Take where the card is shown; `until` is an ISO time, None is a week."""
        self._connection = connection
        self._now = clock.now()
        self._fixed: dict[str, Any] = {
            "card": card,
            "channel": channel,
            "chat_id": chat_id,
            "person_id": person_id,
            "created_at": iso(self._now),
            "expires_at": until or iso(self._now + GOOD_FOR),
        }

    def button(self, label: str, do: str, **action: Any) -> Button:
        """Return a new button; `action` is kept here and never leaves the company."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._connection.execute(
            buttons.insert().values(
                token=token, label=label, action=json.dumps({"do": do, **action}), **self._fixed
            )
        )
        return Button(label, token)


def press(
    connection: Connection,
    clock: Clock,
    token: str,
    *,
    channel: str,
    chat_id: str,
    person_id: str,
) -> Press:
    """Use a button up in a person's name and return what it stands for.

    Raises:
        Conflict: There is no such button here, it is not theirs, it ran out, or its card was
            settled already. Nothing was changed.
    """
    row = connection.execute(sa.select(buttons).where(buttons.c.token == token)).first()
    if row is None or row.channel != channel or row.chat_id != chat_id:
        raise Conflict("This button is not known here.")
    if row.person_id is not None and row.person_id != person_id:
        raise Conflict("This button is not yours to press.")
    settled = _settled(connection, row.card)
    if settled is not None:
        raise Conflict(f"Done already: {settled.label}.")
    if row.expires_at <= iso(clock.now()):
        raise Conflict("This button ran out: /inbox shows what still waits.")
    changed = connection.execute(
        buttons.update()
        .where(buttons.c.token == token, buttons.c.used_at.is_(None))
        .values(used_at=iso(clock.now()), used_by=f"{channel}:{person_id}")
    )
    if changed.rowcount != 1:
        raise Conflict("Done already.")
    action = json.loads(row.action)
    named = {key: action.pop(key, None) for key in ("do", "order_id", "ask_id", "number", "digest")}
    return Press(token=token, card=row.card, more=action, **named)


def is_open(connection: Connection, clock: Clock, token: str) -> bool:
    """Return whether a button can still be pressed: it is known, good, and its card not settled."""
    row = connection.execute(sa.select(buttons).where(buttons.c.token == token)).first()
    if row is None or row.expires_at <= iso(clock.now()):
        return False
    return _settled(connection, row.card) is None


def reopen(connection: Connection, token: str) -> None:
    """Let a button that only opened something (a dialogue, a look at the cost) be pressed again."""
    connection.execute(
        buttons.update().where(buttons.c.token == token).values(used_at=None, used_by=None)
    )


def _settled(connection: Connection, card: str) -> Any:
    return connection.execute(
        sa.select(buttons.c.label)
        .where(buttons.c.card == card, buttons.c.used_at.is_not(None))
        .limit(1)
    ).first()
