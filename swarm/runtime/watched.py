"""What those who watch an instance are told that stands in no database."""

from datetime import datetime
from typing import Protocol

from swarm.core.clock import Clock, iso
from swarm.core.errors import Unavailable
from swarm.runtime.doorman_worker import WorkerProcess
from swarm.runtime.local_inbox import LocalInbox, Waiting
from swarm.runtime.shelter import Shelter
from swarm.runtime.vitals import Reading, reading

WORKER, SHELTER = "worker", "local_inbox"


class Watched(Protocol):
    """A part of this process that knows how it fares."""

    name: str

    def faults(self) -> list[str]:
        """Return why this instance is not ready because of it, a sentence each."""
        ...

    def state(self) -> dict[str, object]:
        """Return what else there is to know, as JSON."""
        ...

    def readings(self) -> list[Reading]:
        """Return its measures."""
        ...


class WorkerHealth:
    """The process that works the orders of whoever listens."""

    name = WORKER

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker

    def faults(self) -> list[str]:
        """Say that it dies again and again; that it is not there is no fault where nothing is to do."""
        if not self._worker.is_failing:
            return []
        return [
            f"the process that works orders died {self._worker.deaths} times in a row (the last time: "
            f"{self._worker.last_end}): it is begun again, and orders wait; see `swarm doctor`"
        ]

    def state(self) -> dict[str, object]:
        """Return whether it is there, and how often it died."""
        return {
            "is_running": self._worker.pid is not None,
            "deaths_in_a_row": self._worker.deaths,
            "deaths": self._worker.deaths_in_all,
        }

    def readings(self) -> list[Reading]:
        """Return how often it died, and whether it keeps dying."""
        return [
            reading("swarm_worker_deaths_total", self._worker.deaths_in_all),
            reading("swarm_worker_failing", int(self._worker.is_failing)),
        ]


class ShelterHealth:
    """What is kept on this machine while the database is away."""

    name = SHELTER

    def __init__(self, shelter: Shelter, clock: Clock) -> None:
        self._shelter = shelter
        self._clock = clock

    def faults(self) -> list[str]:
        """Say that the database is away, or that something kept cannot be moved."""
        waiting = _waiting(self._shelter.kept)
        found = []
        if self._shelter.is_away:
            found.append(away_sentence(waiting, self._clock.now()))
        if waiting.broken:
            found.append(
                f"{waiting.broken} kept messages do not go into the inbox; see `swarm doctor`"
            )
        return found

    def state(self) -> dict[str, object]:
        """Return what is kept."""
        return as_json(_waiting(self._shelter.kept), self._clock.now())

    def readings(self) -> list[Reading]:
        """Return how much is kept, and for how long."""
        waiting = _waiting(self._shelter.kept)
        return [
            reading("swarm_local_inbox_rows", waiting.rows + waiting.broken),
            reading("swarm_local_inbox_age_seconds", age_s(waiting, self._clock.now())),
            reading("swarm_local_inbox_passed_over", waiting.passed_over),
        ]


def away_sentence(waiting: Waiting, now: datetime) -> str:
    """Say that the database is away, and what is kept meanwhile."""
    if not waiting.rows:
        return "the database is away; messages will be kept on this machine until it is back"
    return (
        f"the database is away; {waiting.rows} messages are kept on this machine until it is back, "
        f"the oldest for {age_s(waiting, now):.0f} s"
    )


def as_json(waiting: Waiting, now: datetime) -> dict[str, object]:
    """Return what is kept as JSON."""
    return {
        "rows": waiting.rows,
        "bytes": waiting.bytes,
        "oldest_age_s": age_s(waiting, now),
        "away_since": iso(waiting.away_since) if waiting.away_since else None,
        "passed_over": waiting.passed_over,
        "broken": waiting.broken,
    }


def age_s(waiting: Waiting, now: datetime) -> float:
    """Return for how long the oldest row has been kept, in seconds; 0 where there is none."""
    if waiting.oldest_at is None:
        return 0.0
    return round(max(0.0, (now - waiting.oldest_at).total_seconds()), 3)


def _waiting(kept: LocalInbox) -> Waiting:
    try:
        return kept.waiting()
    except Unavailable:
        # Its disk is broken: what is heard is not confirmed, and the channel says so.
        return Waiting()
