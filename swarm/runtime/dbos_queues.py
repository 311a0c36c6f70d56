"""The queues of DBOS that hold a company's orders, and how many of them run at once."""

from typing import TYPE_CHECKING, NamedTuple

from swarm.runtime.dbos_recovery import ALONE, QUEUE, SHARED
from swarm.runtime.engine import Lanes

if TYPE_CHECKING:
    from dbos import DBOSClient

FREE_LANE = 8
"""Up to so many orders at once, one person's may fill a worker; beyond it, they fill half of one."""
SUSPECTS_POLL_S = 1.0
"""How often workers on Postgres look for orders that may have killed others, in seconds."""


async def register_home(
    client: "DBOSClient", *, concurrency: int, poll_s: float, has_suspects: bool
) -> None:
    """Register the queue of a SQLite home; that of suspects only where there are any."""
    await client.register_queue_async(
        QUEUE, worker_concurrency=concurrency, polling_interval_sec=poll_s
    )
    if has_suspects:
        await _register_suspects(client, poll_s=poll_s)


async def register_shared(client: "DBOSClient", *, most: int, lanes: Lanes, poll_s: float) -> None:
    """Register the queues of a shared database, for all of its workers.

    Args:
        client: Of the database's engine.
        most: Orders at once of the largest worker: one row holds for all, and a smaller worker takes
            more than it works, and lets it wait.
        lanes: Limits over all workers.
        poll_s: How often each looks for work.
    """
    limits = fitted(most, lanes)
    await client.register_queue_async(
        SHARED,
        worker_concurrency=limits.of_worker,
        partition_worker_concurrency=limits.of_lane,
        partition_concurrency=limits.per_lane,
        global_concurrency=limits.in_all,
        polling_interval_sec=poll_s,
    )
    await _register_suspects(client, poll_s=max(poll_s, SUSPECTS_POLL_S))


class Limits(NamedTuple):
    """How many orders of the shared queue run at once."""

    of_worker: int
    of_lane: int
    """Of one person, in one worker."""
    per_lane: int | None
    """Of one person, over all workers."""
    in_all: int | None


def fitted(most: int, lanes: Lanes) -> Limits:
    """Return the limits of the shared queue, none wider than one that holds it: DBOS takes no other.

    Args:
        most: Orders at once of the largest worker.
        lanes: Limits over all workers, as they were set.
    """
    of_worker = min(most, lanes.in_all or most)
    of_lane = max(of_worker // 2, min(of_worker, FREE_LANE))
    per_lane = lanes.per_lane
    if per_lane is not None:
        per_lane = min(per_lane, lanes.in_all or per_lane)
        of_lane = min(of_lane, per_lane)
    return Limits(of_worker, of_lane, per_lane, lanes.in_all)


async def _register_suspects(client: "DBOSClient", *, poll_s: float) -> None:
    await client.register_queue_async(ALONE, global_concurrency=1, polling_interval_sec=poll_s)
