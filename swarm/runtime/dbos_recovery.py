"""What dead workers left with the engine, and how it is put back in line.

Only public names of `dbos` are used. All of it blocks: callers run it in a thread.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarm.runtime.engine import SEGMENT
from swarm.runtime.records import order_of_workflow

if TYPE_CHECKING:
    from dbos import DBOSClient

QUEUE = "orders"
"""The queue of a SQLite home."""
SHARED = "orders-by-lane"
"""The queue of a shared database: parted by whose order it is."""
ALONE = "suspects"
"""Where orders stand whose workers died again and again: one runs at a time in the whole company, so
that it is clear whose fault the next death is."""
HELD = "suspects-held"
"""Where the tasks of such an order stand until it runs itself. Nobody takes work from here."""
INNER = "_dbos_internal_queue"
"""The engine's own queue, for the tasks of segments; a task is not held up by a limit of orders."""
UNFINISHED = ("PENDING", "ENQUEUED")
BROKEN = ("CANCELLED", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
"""Nothing of ours ends a workflow so: a stop between two steps of a takeover, or the database."""


@dataclass(frozen=True, slots=True)
class Left:
    """One unfinished workflow of a worker that is gone."""

    workflow_id: str
    is_segment: bool
    order_id: str
    segment: int
    status: str
    version: str | None
    queue: str | None
    lane: str | None

    @property
    def is_alone(self) -> bool:
        """True for an order that ran alone, as a suspect."""
        return self.is_segment and self.queue == ALONE


class DbosRecovery:
    """Find what is left and put it back in line."""

    def __init__(self, client: "DBOSClient", *, version: str, queue: str = SHARED) -> None:
        """Take the way to the engine.

        Args:
            client: Of the database's engine.
            version: Of the work that this process can do.
            queue: Where orders stand in line: `SHARED`, or `QUEUE` on a SQLite home.
        """
        self._client = client
        self._version = version
        self._queue = queue

    def left_by(self, executor_id: str) -> list[Left]:
        """Return what an executor began and did not end."""
        found = self._client.list_workflows(
            executor_id=executor_id,
            status=["PENDING", *BROKEN],
            load_input=False,
            load_output=False,
        )
        return [_left(workflow) for workflow in found]

    def has_unfinished(self) -> bool:
        """Say whether anything at all is left, of whomever it is."""
        return bool(self._any(status=[*UNFINISHED, *BROKEN]))

    def has_work_for(self, executor_id: str) -> bool:
        """Say whether an executor has something in hand, or could take something up."""
        in_line = self._any(queue_name=[SHARED, ALONE, INNER], status=["ENQUEUED"])
        return bool(in_line or self._any(executor_id=executor_id, status=["PENDING"]))

    def _any(self, **of: Any) -> list[Any]:
        return [*self._client.list_workflows(**of, limit=1, load_input=False, load_output=False)]

    def has_suspects(self) -> bool:
        """Say whether work stands apart, whose workers died again and again."""
        return bool(self._any(queue_name=[ALONE, HELD], status=list(UNFINISHED)))

    def stranded(self, versions: Collection[str]) -> list[tuple[str | None, Left]]:
        """Return unfinished work that belongs to other versions than these, with its executor."""
        known = [item["version_name"] for item in self._client.list_application_versions()]
        gone = [version for version in known if version not in versions]
        if not gone:
            return []
        found = self._client.list_workflows(
            app_version=gone, status=list(UNFINISHED), load_input=False, load_output=False
        )
        return [(workflow.executor_id, _left(workflow)) for workflow in found]

    @property
    def is_newest(self) -> bool:
        """True where new work goes to this version."""
        return bool(self._client.get_latest_application_version()["version_name"] == self._version)

    def hand_back(self, items: Iterable[Left], *, alone: bool, living: Collection[str]) -> None:
        """Put work back in line; what belongs to a version that nobody runs becomes ours.

        Args:
            items: What is left.
            alone: Whether it is to run as a suspect.
            living: Versions that somebody runs.
        """
        # Tasks first: an order that runs already must find its tasks as they will be.
        items = sorted(items, key=lambda item: item.is_segment)
        own = {(item.order_id, item.segment) for item in items if item.is_segment}
        again: dict[str, list[str]] = {}
        for item in items:
            # Where a living worker waits for a task, nobody would let it go on later.
            is_held = alone and (item.order_id, item.segment) in own
            queue = self._queue_of(item, alone=is_held)
            is_plain = item.status in UNFINISHED and (item.version or self._version) in living
            if is_plain:
                again.setdefault(queue, []).append(item.workflow_id)
            elif (item.version or self._version) in living or self.is_newest:
                self._rewind(item, queue)
        for queue, ids in again.items():
            self._client.resume_workflows(ids, queue_name=queue)

    def _rewind(self, item: Left, queue: str) -> None:
        # Who dies between the two leaves a cancelled one, which is taken for left as well.
        self._client.cancel_workflow(item.workflow_id)
        self._client.rewind_workflow(
            item.workflow_id,
            application_version=self._version,
            queue_name=queue,
            queue_partition_key=item.lane if queue == SHARED else None,
        )

    def _queue_of(self, item: Left, *, alone: bool) -> str:
        if alone:
            return ALONE if item.is_segment else HELD
        if not item.is_segment:
            return INNER
        # Without a lane it could never be taken from the queue of lanes.
        return self._queue if item.lane or self._queue != SHARED else INNER

    def let_go_on(self, workflow_id: str) -> None:
        """Let a held task go on, since its order runs now."""
        found = self._client.list_workflows(
            workflow_ids=[workflow_id], queue_name=HELD, load_input=False, load_output=False
        )
        if found:
            self._client.resume_workflows([workflow_id], queue_name=INNER)

    def drop(self, items: Iterable[Left]) -> None:
        """Forget work for good: its order goes on under another name, if at all."""
        self._client.delete_workflows([item.workflow_id for item in items])


def _left(workflow: Any) -> Left:
    order_id, segment = order_of_workflow(workflow.workflow_id)
    return Left(
        workflow_id=workflow.workflow_id,
        is_segment=workflow.name == SEGMENT,
        order_id=order_id,
        segment=segment,
        status=workflow.status,
        version=workflow.app_version,
        queue=workflow.queue_name,
        lane=workflow.queue_partition_key,
    )
