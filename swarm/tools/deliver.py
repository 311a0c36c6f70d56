"""The tool that declares a file a result."""

import asyncio
from typing import ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.core.text import shorten
from swarm.tools.base import Arguments, Effect, ToolContext, ToolResult
from swarm.tools.workspace import facts


class DeliverArguments(Arguments):
    """What to hand in."""

    path: str = Field(description="The file, relative to the workspace.")
    summary: str = Field(
        min_length=1, max_length=2_000, description="What it is and what to know about it."
    )


class Deliver:
    """Hand in a file of the workspace as a deliverable of the task."""

    name: ClassVar[str] = "deliver"
    description: ClassVar[str] = (
        "Hand in one finished file of the workspace as a result of your task. Write it first; "
        "call this once for each file that belongs to the result."
    )
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = DeliverArguments

    def reads(self, args: DeliverArguments) -> tuple[str, ...]:
        """Return no file: nothing of the workspace is shown."""
        return ()

    async def run(self, args: DeliverArguments, context: ToolContext) -> ToolResult:
        """Check that the file is there and holds something, and declare it delivered.

        Raises:
            ToolError: No such file, or an empty one.
        """
        found = await asyncio.to_thread(facts, context.workspace, args.path)
        if not found.bytes:
            raise ToolError(f"{found.path!r} is empty; write its content before you deliver it")
        summary = shorten(args.summary, 500)
        return ToolResult(
            f"Delivered {found.path} ({found.bytes:,} bytes): {summary}", delivered=(found.path,)
        )
