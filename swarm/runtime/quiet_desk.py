"""Who sleeps when: what the settings and people's own words say of it, and what waits for morning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.message import OutboundKind
from swarm.core.order import OrderStatus
from swarm.runtime.people import PersonRole
from swarm.runtime.quiet import AT_END, OFF, Hours, QuietConfig, read_hours, read_time, read_zone
from swarm.store.tables import orders, outbox, people, quiet_hours

DIGEST = "digest/"
REPLY = "reply/"
"""Beginnings of dedupe keys: of the daily digest, and of what answers a person's own message."""
FOR_GOOD = "9999"
"""Later than any time: what is held until then is not worth sending."""
TEST = "test/"
"""Of a message by which the operator tries a channel out."""
DOUBT = "doubt/"


@dataclass(frozen=True, slots=True)
class Habit:
    """How one person wants to be left alone."""

    zone: ZoneInfo | None
    """None where nobody said it; then nothing is held and there is no digest."""
    hours: Hours | None
    digest: str
    """`end`, `off` or a time of day."""
    set_at: datetime | None = None

    @property
    def digest_at(self) -> time | None:
        """Return when the digest comes, by the person's wall; None for never."""
        if self.zone is None or self.digest == OFF:
            return None
        if self.digest != AT_END:
            return read_time(self.digest)
        return self.hours.end if self.hours is not None else None

    def until(self, at: datetime) -> datetime | None:
        """Return when the quiet that a moment lies in ends; None where it lies in none."""
        if self.zone is None or self.hours is None:
            return None
        return self.hours.until(at, self.zone)


class QuietDesk:
    """Know people's quiet hours. Every look is at the table as it is now."""

    def __init__(self, *, clock: Clock, config: QuietConfig) -> None:
        self._clock = clock
        self._config = config
        self.on_change: Callable[[], None] | None = None
        """Told of each word of a person's, before it is committed, from whatever thread."""

    def of(self, connection: Connection, channel: str, platform_id: str) -> Habit:
        """Return the habit of a person: their own word, then the settings'."""
        row = connection.execute(
            sa.select(quiet_hours).where(
                quiet_hours.c.channel == channel, quiet_hours.c.platform_id == platform_id
            )
        ).first()
        return self._habit(channel, platform_id, row)

    def _habit(self, channel: str, platform_id: str, row: Any) -> Habit:
        config = self._config
        person = config.people.get(f"{channel}:{platform_id}")
        said = (person.zone, person.hours, person.digest) if person else ("", None, "")
        zone = (row and row.zone) or said[0] or config.zone
        hours = (row and row.hours) or said[1] or config.hours
        return Habit(
            zone=read_zone(zone) if zone else None,
            hours=read_hours(hours) if hours != OFF else None,
            digest=(row and row.digest) or said[2] or config.digest,
            set_at=parse_iso(row.set_at) if row else None,
        )

    def keep(self, connection: Connection, channel: str, platform_id: str, **said: str) -> Habit:
        """Write down what a person said (`zone`, `hours`, `digest`); what was held is looked at anew."""
        values: Mapping[str, str] = {**said, "set_at": iso(self._clock.now())}
        key = (quiet_hours.c.channel == channel, quiet_hours.c.platform_id == platform_id)
        if connection.execute(quiet_hours.update().where(*key).values(**values)).rowcount == 0:
            connection.execute(
                quiet_hours.insert().values(channel=channel, platform_id=platform_id, **values)
            )
        self.release(connection, channel)
        if self.on_change is not None:
            self.on_change()
        return self.of(connection, channel, platform_id)

    def release(self, connection: Connection, *channels: str) -> None:
        """Let go of all that is held on some channels; what must still wait is held again."""
        connection.execute(
            outbox.update()
            .where(
                outbox.c.channel.in_(channels),
                outbox.c.state == "pending",
                outbox.c.held_until.is_not(None),
            )
            .values(held_until=None)
        )

    def hold(self, connection: Connection, row: Any, *, is_edit: bool) -> str | None:
        """Return until when a message that is due waits, as an ISO time; None to send it now.

        `FOR_GOOD` where it is not worth keeping: how work went in the night is told by its result.
        A decision that blocks work never waits, nor does the answer to what a person just wrote.
        """
        if is_edit or row.part or _is_urgent(row) or not self._is_used(connection):
            return None
        person = self._reader(connection, row)
        if person is None:
            return None
        habit = self.of(connection, row.channel, person)
        until = habit.until(self._clock.now())
        if until is None:
            return None
        return FOR_GOOD if row.kind == OutboundKind.PROGRESS.value else iso(until)

    def _is_used(self, connection: Connection) -> bool:
        """Return whether anybody's night is known at all."""
        config = self._config
        if config.zone or any(person.zone for person in config.people.values()):
            return True
        return connection.execute(_ANY).first() is not None

    def _reader(self, connection: Connection, row: Any) -> str | None:
        """Return who reads a message: whose private chat it is, or in a group who ordered.

        None for customers, who are told nothing but answers.
        """
        found = connection.execute(
            sa.select(people.c.platform_id, people.c.role).where(
                people.c.channel == row.channel, people.c.chat_id == row.chat_id
            )
        ).first()
        if found is not None:
            is_customer = found.role == PersonRole.CUSTOMER.value
            return None if is_customer else str(found.platform_id)
        if row.order_id is None:
            return None
        query = sa.select(orders.c.sender_id).where(
            orders.c.id == row.order_id, orders.c.channel == row.channel
        )
        return connection.execute(query).scalar()


_ANY = sa.select(quiet_hours.c.platform_id).limit(1)


def _is_urgent(row: Any) -> bool:
    """Return whether a message wakes a person, or answers one who is awake."""
    key = row.dedupe_key
    if key.startswith((REPLY, DIGEST, TEST)):
        return True
    if row.card == OrderStatus.PARKED.value:
        # It stands still until somebody says so.
        return True
    is_over = row.card == OrderStatus.FAILED.value
    return row.kind == OutboundKind.DECISION.value and not is_over and not key.startswith(DOUBT)
