"""The port of the durable engine: it says whether and where work stands, and loses none of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sqlalchemy.engine import Connection

from swarm.store.database import Store

Argument: TypeAlias = str | int
Workflow: TypeAlias = Callable[..., Awaitable[None]]

SEGMENT, TASK = "segment", "task"


@dataclass(frozen=True, slots=True)
class Lanes:
    """How much of a shared database's work runs at once, over all workers; None is no limit."""

    per_lane: int | None = None
    in_all: int | None = None


class Engine(Protocol):
    """Run named workflows to their end, also over the death of the process.

    A workflow is known by its id: the same id twice is one workflow. A workflow may be run again
    from its start, so all it does must bear repetition.
    """

    def prepare(self) -> None:
        """Create or upgrade the engine's own tables. Running it again changes nothing."""

    def prepare_shared(self, owner: Store, *, role: str | None) -> None:
        """Create or upgrade the tables of every company of a Postgres, and of this one.

        Args:
            owner: The database by the role that may do that.
            role: The role that works on the tables, where it is another one.
        """

    def enqueue(
        self,
        connection: Connection,
        workflow: str,
        workflow_id: str,
        *arguments: Argument,
        lane: str = "",
        is_urgent: bool = False,
    ) -> None:
        """Enqueue within the caller's transaction: both are committed, or neither.

        Args:
            connection: The transaction.
            workflow: Its name, as `start` knows it.
            workflow_id: The same id twice is one workflow.
            *arguments: What it is called with.
            lane: Whose work it is; no lane holds up another where workers share a database.
            is_urgent: A person decided and waits: it goes before what is merely new.
        """

    async def start(self, workflows: Mapping[str, Workflow]) -> None:
        """Begin to work, and take up what an earlier process left."""

    async def run_child(self, workflow: str, workflow_id: str, *arguments: Argument) -> None:
        """Run a workflow in this process and wait for its end; a known id is waited for."""

    async def stop(self) -> None:
        """Stop taking work; what runs is left to be taken up again."""
