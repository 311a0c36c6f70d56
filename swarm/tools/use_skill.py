"""The tool that loads a skill when a role needs it."""

import asyncio
from typing import ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.core.origin import Origin
from swarm.tools.base import Arguments, Effect, ToolContext, ToolResult


class UseSkillArguments(Arguments):
    """Which skill, and which of its files."""

    name: str = Field(min_length=1, description="The skill's name, as your prompt lists it.")
    file: str = Field("", description="One of its further files; empty for the skill itself.")


class UseSkill:
    """Show a skill."""

    name: ClassVar[str] = "use_skill"
    description: ClassVar[str] = (
        "Read a skill: tried instructions for one kind of work. Where one of the skills your "
        "prompt lists fits the task, read it before you begin; it names further files to read."
    )
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = UseSkillArguments

    def reads(self, args: UseSkillArguments) -> tuple[str, ...]:
        """Return no file: nothing of the workspace is shown."""
        return ()

    async def run(self, args: UseSkillArguments, context: ToolContext) -> ToolResult:
        """Return the skill's text, or that of one of its files.

        Raises:
            ToolError: No such skill or file, or nobody has approved it.
        """
        if context.skills is None:
            raise ToolError("use_skill: there are no skills here; go on without")
        skill = await asyncio.to_thread(context.skills.load, args.name)
        if args.file:
            return ToolResult(skill.text(args.file), origin=Origin.TEAM)
        listed = ", ".join(skill.further)
        more = f"\n\n[further files, read with use_skill and file: {listed}]" if listed else ""
        # A shipped skill is the program's own, another was read and approved by a person.
        return ToolResult(f"{skill.body}{more}", origin=Origin.TEAM)
