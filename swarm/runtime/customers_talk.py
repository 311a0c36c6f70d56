"""What was said in each customer's own conversation, and how much one may say.

Every query names the channel and the person: there is none that reads across customers, apart from
the count of all messages.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.runtime.customers_config import CustomersConfig
from swarm.store.tables import customer_turns

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MAX_SIGNS = 4_000
"""Most characters of one message that are read: more than a phone's screen ever shows."""
SHOWN_SIGNS = 1_500
"""Most characters of an earlier message that a later answer is written with."""


class Side(StrEnum):
    """Say whose words a turn is."""

    CUSTOMER = "customer"
    COMMAND = "command"
    """A customer's, and nothing to answer."""
    SUPPORT = "support"
    HUMAN = "human"
    LIMIT = "limit"
    """The house's word that a limit is reached."""


HEARD = (Side.CUSTOMER.value, Side.COMMAND.value)
"""Sides of what a customer wrote."""


class Pace(StrEnum):
    """Say how a message stands against the limits."""

    FINE = "fine"
    TELL = "tell"
    """It is too many, and the person was not told yet."""
    SILENT = "silent"


class Talk:
    """One customer's conversation, within one transaction."""

    def __init__(self, connection: Connection, channel: str, person_id: str) -> None:
        self._connection = connection
        self._whose = (
            customer_turns.c.channel == channel,
            customer_turns.c.person_id == person_id,
        )
        self._key = {"channel": channel, "person_id": person_id}

    def add(
        self,
        side: Side,
        text: str,
        *,
        at: datetime,
        order_id: str | None = None,
        files: Sequence[Mapping[str, Any]] = (),
        note: str | None = None,
    ) -> int:
        """Keep what was said; return its number.

        `files` are those that came with it, `note` the name of the voice note that it was spoken in.
        """
        values = {**self._key, "at": iso(at), "side": side.value, "text": text, "note": note}
        values["files"] = json.dumps(list(files))
        made = self._connection.execute(customer_turns.insert().values(**values, order_id=order_id))
        assert made.inserted_primary_key is not None
        return int(made.inserted_primary_key[0])

    def pace(self, config: CustomersConfig, *, at: datetime) -> Pace:
        """Return whether one more message is within the limits; asks no model and places nothing."""
        hour, minute = iso(at - HOUR), iso(at - MINUTE)
        mine = (*self._whose, customer_turns.c.side.in_(HEARD))
        is_fine = (
            self._count(*mine, customer_turns.c.at > minute) < config.burst
            and self._count(*mine, customer_turns.c.at > hour) < config.per_hour
            and self._count(customer_turns.c.side.in_(HEARD), customer_turns.c.at > hour)
            < config.total_per_hour
        )
        if is_fine:
            return Pace.FINE
        return Pace.SILENT if self.was_limited(at=at) else Pace.TELL

    def was_limited(self, *, at: datetime) -> bool:
        """Return whether the person was told of a limit within the last hour."""
        is_limit = customer_turns.c.side == Side.LIMIT.value
        return bool(self._count(*self._whose, is_limit, customer_turns.c.at > iso(at - HOUR)))

    def _count(self, *where: "sa.ColumnElement[bool]") -> int:
        query = sa.select(sa.func.count()).select_from(customer_turns).where(*where)
        return int(self._connection.execute(query).scalar() or 0)

    def unanswered(self) -> Sequence[Any]:
        """Return the messages that no order answers yet, oldest first."""
        query = sa.select(customer_turns).where(
            *self._whose,
            customer_turns.c.side == Side.CUSTOMER.value,
            customer_turns.c.order_id.is_(None),
        )
        return self._connection.execute(query.order_by(customer_turns.c.id)).all()

    def recent_words(self, *, limit: int) -> Sequence[Any]:
        """Return the customer's newest messages, oldest first."""
        query = sa.select(customer_turns).where(
            *self._whose, customer_turns.c.side == Side.CUSTOMER.value
        )
        newest = query.order_by(customer_turns.c.id.desc()).limit(limit)
        return list(reversed(self._connection.execute(newest).all()))

    def give(self, turn_ids: Sequence[int], order_id: str) -> None:
        """Say which order answers some messages."""
        self._connection.execute(
            customer_turns.update()
            .where(*self._whose, customer_turns.c.id.in_(turn_ids))
            .values(order_id=order_id)
        )

    def earlier(
        self, *, limit: int, since: datetime, but_of: str | None = None
    ) -> list[tuple[str, str]]:
        """Return who said what before, oldest first, without what an order is about to answer."""
        shown = (Side.CUSTOMER.value, Side.SUPPORT.value, Side.HUMAN.value)
        where = [
            *self._whose,
            customer_turns.c.side.in_(shown),
            customer_turns.c.at > iso(since),
            # What waits for a later order is not part of this one.
            sa.or_(
                customer_turns.c.side != Side.CUSTOMER.value,
                customer_turns.c.order_id.is_not(None),
            ),
        ]
        if but_of is not None:
            is_other = sa.or_(
                customer_turns.c.order_id.is_(None), customer_turns.c.order_id != but_of
            )
            where.append(is_other)
        query = sa.select(customer_turns.c.side, customer_turns.c.text).where(*where)
        rows = self._connection.execute(query.order_by(customer_turns.c.id.desc()).limit(limit))
        return [(row.side, row.text[:SHOWN_SIGNS]) for row in reversed(rows.all())]

    def was_answered(self, *, since: datetime) -> bool:
        """Return whether the company said anything of its own in this conversation."""
        said = (Side.SUPPORT.value, Side.HUMAN.value)
        return bool(
            self._count(
                *self._whose, customer_turns.c.side.in_(said), customer_turns.c.at > iso(since)
            )
        )
