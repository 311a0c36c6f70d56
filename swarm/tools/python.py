"""The tool that runs a Python script in the sandbox."""

from typing import ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.tools.base import Arguments, Effect, ToolContext, ToolResult
from swarm.tools.shell import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, run_command

PYTHON = "python3"
MAX_SCRIPT_BYTES = 100_000
"""The script travels as one word of a command, which the kernel limits to 128 KiB."""
# Isolated: neither the environment nor the current folder shadows a module or runs at the start.
_OPTIONS = ("-I", "-B")


class PythonArguments(Arguments):
    """What to run."""

    script: str = Field(
        min_length=1,
        description="Python 3 source text. Print what you want to see; modules of the workspace "
        'are found only after `import sys; sys.path.insert(0, "")`.',
    )
    timeout_s: int = Field(
        DEFAULT_TIMEOUT_S,
        ge=1,
        description=f"After so many seconds it is ended; at most {MAX_TIMEOUT_S}.",
    )


class Python:
    """Run a Python script in the order's workspace, cut off from the machine and the network."""

    name: ClassVar[str] = "python"
    description: ClassVar[str] = (
        "Run a Python 3 script in the workspace and read its exit code and what it printed. Only "
        "the standard library is there, no network, and only the workspace can be written. Use it "
        "to compute, to convert files and to check facts about them."
    )
    effect: ClassVar[Effect] = Effect.RUN

    Args: ClassVar[type[Arguments]] = PythonArguments

    async def run(self, args: PythonArguments, context: ToolContext) -> ToolResult:
        """Run it to its end or to a limit.

        Raises:
            ToolError: The script is too long, no sandbox holds here, or it has no Python.
        """
        size = len(args.script.encode(errors="replace"))
        if size > MAX_SCRIPT_BYTES:
            raise ToolError(
                f"the script has {size:,} bytes, the limit is {MAX_SCRIPT_BYTES:,}: write it to a "
                "file of the workspace and run that with `shell`"
            )
        return await run_command(
            [PYTHON, *_OPTIONS, "-c", args.script], context, timeout_s=args.timeout_s
        )
