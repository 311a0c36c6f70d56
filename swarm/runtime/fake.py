"""An engine without durability, for tests of other rooms: work runs at once, in this process."""

import asyncio
from collections.abc import Mapping

from sqlalchemy.engine import Connection

from swarm.runtime.engine import Argument, Workflow
from swarm.store.database import Store


class FakeEngine:
    """Keep what was enqueued and run it on `drain`; ids dedupe as the port says."""

    def __init__(self) -> None:
        self.enqueued: list[tuple[str, str, tuple[Argument, ...]]] = []
        self._workflows: Mapping[str, Workflow] = {}
        self._seen: set[str] = set()

    def prepare(self) -> None:
        """Need no tables."""

    def prepare_shared(self, owner: Store, *, role: str | None) -> None:
        """Need no tables."""

    def enqueue(
        self,
        connection: Connection,
        workflow: str,
        workflow_id: str,
        *arguments: Argument,
        lane: str = "",
        is_urgent: bool = False,
    ) -> None:
        """Keep the work until `drain`."""
        self.enqueued.append((workflow, workflow_id, arguments))

    async def start(self, workflows: Mapping[str, Workflow]) -> None:
        """Know the workflows."""
        self._workflows = workflows

    async def drain(self) -> None:
        """Run all that is enqueued, in order, until nothing is left."""
        while self.enqueued:
            workflow, workflow_id, arguments = self.enqueued.pop(0)
            await self.run_child(workflow, workflow_id, *arguments)

    async def run_child(self, workflow: str, workflow_id: str, *arguments: Argument) -> None:
        """Run the workflow now; a known id was already run."""
        if workflow_id in self._seen:
            return
        self._seen.add(workflow_id)
        await asyncio.ensure_future(self._workflows[workflow](*arguments))

    async def stop(self) -> None:
        """Hold nothing."""
