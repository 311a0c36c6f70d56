"""The tool that runs a command in the sandbox, and what the model reads of its end."""

from typing import Annotated, ClassVar

from pydantic import Field

from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits
from swarm.tools.base import Arguments, Effect, ToolContext, ToolResult

DEFAULT_TIMEOUT_S = 60
MAX_TIMEOUT_S = 600
MAX_WORDS = 1_000
MAX_WORD_LENGTH = 128 * 1024
"""The kernel's own limit for one word of a command is 128 KiB with its closing zero."""
OUTPUT_BYTES = 16 * 1024
"""Of each output: about 4,000 tokens, enough for the head and the tail of a test run."""
OFF = (
    "commands are off on this machine: no sandbox holds here, and `swarm doctor` tells the operator "
    "why; do the work without running anything, and say that it was not run"
)


class ShellArguments(Arguments):
    """What to run."""

    command: Annotated[
        list[Annotated[str, Field(max_length=MAX_WORD_LENGTH)]],
        Field(
            max_length=MAX_WORDS,
            description='The program and its arguments, one string each, such as ["ls", "-l"]. No '
            'shell reads them; for pipes and variables use ["sh", "-c", "…"].',
        ),
    ]
    timeout_s: int = Field(
        DEFAULT_TIMEOUT_S,
        ge=1,
        description=f"After so many seconds it is ended; at most {MAX_TIMEOUT_S}.",
    )


class Shell:
    """Run a program in the order's workspace, cut off from the machine and the network."""

    name: ClassVar[str] = "shell"
    description: ClassVar[str] = (
        "Run a program in the workspace and read its exit code and output. There is no network, "
        "only the workspace can be written, and nothing it starts outlives it. Use it to build, to "
        "test and to look."
    )
    effect: ClassVar[Effect] = Effect.RUN

    Args: ClassVar[type[Arguments]] = ShellArguments

    async def run(self, args: ShellArguments, context: ToolContext) -> ToolResult:
        """Run it to its end or to a limit.

        Raises:
            ToolError: No sandbox holds here, or the program does not exist or cannot be run.
        """
        return await run_command(args.command, context, timeout_s=args.timeout_s)


async def run_command(argv: list[str], context: ToolContext, *, timeout_s: int) -> ToolResult:
    """Run a command in the task's sandbox and put its end into words.

    The result has the origin of what the workspace holds: a command may print any of it.

    Raises:
        ToolError: No sandbox holds here, or the program does not exist or cannot be run.
    """
    if context.sandbox is None:
        raise ToolError(OFF)
    timeout_s = min(timeout_s, MAX_TIMEOUT_S)
    limits = Limits(timeout_s=timeout_s, output_bytes=OUTPUT_BYTES)
    try:
        result = await context.sandbox.run(argv, workspace=context.workspace, limits=limits)
    except ConfigError as error:
        raise ToolError(f"{OFF} ({error})") from error
    return ToolResult(told(result, timeout_s=timeout_s), origin=context.origin)


def told(result: CommandResult, *, timeout_s: int) -> str:
    """Return a command's end as the model reads it: how it ended first, then what it printed."""
    lines = [f"exit code {result.exit_code}"]
    if result.is_timed_out:
        lines[0] += f" (ended: it did not finish within {timeout_s} seconds)"
    for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
        lines += [f"{name}:", text.rstrip("\n")] if text.strip() else []
    if len(lines) == 1:
        lines.append("It printed nothing.")
    return "\n".join(lines)
