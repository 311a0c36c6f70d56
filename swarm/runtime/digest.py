"""The daily digest: one message a day at an hour of the person's own zone, and none where nothing happened.

Summed up by the database; no model is asked. That it was sent is the row in the outbox, whose key
names the day: neither a restart nor a clock that is set back makes a second one.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.runtime.outbox import put
from swarm.runtime.people import People, Person
from swarm.runtime.quiet import moment_of
from swarm.runtime.quiet_desk import DIGEST, Habit, QuietDesk
from swarm.store.database import Store
from swarm.store.tables import outbox

log = structlog.get_logger("swarm.digest")

LONGEST_S = 900.0
"""Longest sleep of the timer, in seconds: a clock that is set anew wakes nobody."""
SETTLE_S = 1.0
"""Wait after a person's word, which is committed only after it was told."""
LATE = timedelta(hours=12)
"""A digest that is later than this is left out; the next one tells of its day too."""
APART = timedelta(hours=12)
"""Least time between two digests, for people who move their hour, or themselves."""
LONGEST = timedelta(days=7)
DAY = timedelta(days=1)

Summary = Callable[[Connection, Person, datetime, datetime], str | None]
"""Write what happened between two moments; None where nothing did."""


@dataclass(frozen=True, slots=True)
class _Due:
    """One person's digest that is due."""

    person: Person
    day: date
    at: datetime
    habit: Habit


class Digest:
    """Queue digests for the people of this process's channels."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        people: People,
        quiet: QuietDesk,
        channels: Collection[str],
        summary: Summary,
        queued: asyncio.Event,
    ) -> None:
        """Take what to tell with.

        Args:
            store: Holds the outbox.
            clock: Tells what is due.
            people: Knows the founders.
            quiet: Knows their zones and hours.
            channels: Names of those that this process sends on.
            summary: Writes the text.
            queued: Set where a digest waits in the outbox.
        """
        self._store = store
        self._clock = clock
        self._people = people
        self._quiet = quiet
        self._channels = frozenset(channels)
        self._summary = summary
        self._queued = queued

    async def run(self) -> None:
        """Sleep until the next digest is due, until cancelled."""
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        self._quiet.on_change = wake
        while True:
            changed.clear()
            wait_s = LONGEST_S
            try:
                wait_s = await self.look()
            except Exception:
                log.exception("a digest could not be written")
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await changed.wait()
                    await asyncio.sleep(SETTLE_S)

    async def look(self) -> float:
        """Queue what is due and return how long to sleep, in seconds."""
        due, next_at = await self._store.aread(self._plan)
        for one in due:
            # One transaction each: what breaks for one is not lost for another.
            if await self._store.awrite(partial(self._write, one=one)):
                self._queued.set()
        if next_at is None:
            return LONGEST_S
        return min(max((next_at - self._clock.now()).total_seconds(), 0.05), LONGEST_S)

    def _plan(self, connection: Connection) -> tuple[list[_Due], datetime | None]:
        """Return whose digest may be due, and when the next one is."""
        now = self._clock.now()
        due: list[_Due] = []
        ahead: list[datetime] = []
        for person in self._people.founders(connection):
            habit = self._quiet.of(connection, person.channel, person.platform_id)
            at, zone = habit.digest_at, habit.zone
            if person.channel not in self._channels or at is None or zone is None:
                continue
            today = now.astimezone(zone).date()
            days = [today + timedelta(days=n) for n in (-2, -1, 0, 1, 2)]
            moments = [(moment_of(day, at, zone), day) for day in days]
            ahead += [moment for moment, _ in moments if moment > now]
            moment, day = max(found for found in moments if found[0] <= now)
            one = _Due(person, day, moment, habit)
            if self._is_wanted(one, now) and not _is_written(connection, one):
                due.append(one)
        return due, min(ahead, default=None)

    def _is_wanted(self, one: _Due, now: datetime) -> bool:
        is_new = one.habit.set_at is not None and one.habit.set_at >= one.at
        # It comes late, into a night that it was not asked for.
        is_night = one.habit.until(now) is not None and one.habit.until(one.at) is None
        return not is_new and not is_night and now - one.at < LATE

    def _write(self, connection: Connection, one: _Due) -> bool:
        """Queue a digest, or the mark that there was nothing to tell; False where it is not due."""
        if _is_written(connection, one):
            return False
        now = self._clock.now()
        last = _last(connection, one.person)
        if last is not None and now - last < APART:
            return False
        since = max(last or now - DAY, now - LONGEST)
        text = self._summary(connection, one.person, since, now)
        assert one.person.chat_id is not None
        put(
            connection,
            dedupe_key=_key(one),
            message=OutboundMessage(
                channel=one.person.channel,
                chat_id=one.person.chat_id,
                thread_id=None,
                kind=OutboundKind.ANSWER,
                text=text or "",
            ),
            now=iso(now),
            extra=None if text else {"state": "void"},
        )
        return text is not None


def _stem(person: Person) -> str:
    return f"{DIGEST}{person.channel}/{person.platform_id}/"


def _key(one: _Due) -> str:
    return f"{_stem(one.person)}{one.day.isoformat()}"


def _is_written(connection: Connection, one: _Due) -> bool:
    query = sa.select(outbox.c.id).where(outbox.c.dedupe_key == _key(one))
    return connection.execute(query).first() is not None


def _last(connection: Connection, person: Person) -> datetime | None:
    """Return when a person's newest digest was written, or was found to say nothing."""
    stem = _stem(person)
    query = sa.select(sa.func.max(outbox.c.created_at)).where(
        outbox.c.dedupe_key >= stem, outbox.c.dedupe_key < f"{stem}:"
    )
    newest = connection.execute(query).scalar()
    return parse_iso(newest) if newest else None
