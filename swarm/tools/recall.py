"""The tool that looks something up in memory."""

import asyncio
from typing import ClassVar

from pydantic import Field

from swarm.core.language import detect
from swarm.core.mark import CLEAN
from swarm.memory.base import Viewer
from swarm.memory.shown import render
from swarm.tools.base import Arguments, Effect, ToolContext, ToolResult
from swarm.tools.remember import memory_of

MAX_ITEMS = 20
MAX_TOKENS = 2_000
"""Most that one recall brings into a prompt."""


class RecallArguments(Arguments):
    """What to look up."""

    query: str = Field(min_length=1, max_length=500, description="Words of what is looked for.")
    limit: int = Field(default=5, ge=1, description="The most memories to return, up to 20.")


class Recall:
    """Look up what the company remembers, as far as the task may see it."""

    name: ClassVar[str] = "recall"
    description: ClassVar[str] = (
        "Look up what the company remembers of past orders, people, tastes and facts, by words. "
        "Each memory comes with its age; what was seen lately in the field beats what was known."
    )
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = RecallArguments

    def reads(self, args: RecallArguments) -> tuple[str, ...]:
        """Return no file: nothing of the workspace is shown."""
        return ()

    async def run(self, args: RecallArguments, context: ToolContext) -> ToolResult:
        """Return what is nearest; the origin is the least trusted among what is returned.

        Raises:
            ToolError: The task has no memory.
        """
        memory = memory_of(context, self.name)
        # From the task alone: no argument of a model widens what it may see.
        viewer = Viewer(context.role, customer=context.customer)
        language = detect(args.query) or "en"
        items = await asyncio.to_thread(
            memory.recall,
            args.query,
            limit=min(args.limit, MAX_ITEMS),
            viewer=viewer,
            max_tokens=MAX_TOKENS,
            language=language,
        )
        mark = CLEAN
        for item in items:
            mark = mark.after(item.reads_as)
        text = render(items, language=language) or "Nothing like that is remembered."
        return ToolResult(text, origin=mark.origin, is_private=bool(items))
