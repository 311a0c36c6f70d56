"""The tool that gives a part of the work to a colleague."""

from typing import ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.core.text import clean_text
from swarm.tools.base import Arguments, Effect, Handoff, ToolContext


class DelegateArguments(Arguments):
    """Who does what."""

    role: str = Field(description="The colleague's role.")
    title: str = Field(min_length=1, max_length=200, description="The sub-task in a few words.")
    brief: str = Field(
        min_length=1,
        max_length=50_000,
        description="All the colleague must know: goal, material, form of the result.",
    )


class Delegate:
    """Hand a sub-task over; the agent loop comes back with the colleague's result."""

    name: ClassVar[str] = "delegate"
    description: ClassVar[str] = (
        "Give a part of your task to a colleague and wait for the result. The colleague knows "
        "nothing but the brief you write and the files of the workspace."
    )
    # Nothing leaves the company: what the colleague does passes the policy as the colleague's.
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = DelegateArguments

    def reads(self, args: DelegateArguments) -> tuple[str, ...]:
        """Return no file: nothing of the workspace is shown."""
        return ()

    async def run(self, args: DelegateArguments, context: ToolContext) -> Handoff:
        """Return the hand-over.

        Raises:
            ToolError: No such colleague (the known ones are named), the caller itself, or no words.
        """
        others = [name for name in context.colleagues if name != context.role]
        known = f"your colleagues: {', '.join(others) or 'none'}"
        if args.role == context.role:
            raise ToolError(f"you are {context.role!r} yourself: do it, or ask another; {known}")
        if args.role not in others:
            raise ToolError(f"no colleague {args.role!r}; {known}")
        title, brief = clean_text(args.title).strip(), clean_text(args.brief).strip()
        if not title or not brief:
            raise ToolError("delegate: title and brief need words")
        return Handoff(role=args.role, title=title, brief=brief)
