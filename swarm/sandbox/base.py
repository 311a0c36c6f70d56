"""What a sandbox does."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

TIMED_OUT = 124
"""Exit code of a command whose time was up, as `timeout` of coreutils has it."""
KILLED = 137
"""Exit code of a command that was ended, as a shell tells SIGKILL."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command, with all that it starts, may use."""

    timeout_s: float = 60
    memory_mib: int = 512
    """What its processes hold together. Address space may be reserved without being used."""
    processes: int = 64
    """Threads count as processes, as they do for the kernel."""
    output_bytes: int = 64 * 1024
    """Of each of the two outputs; more is cut in the middle."""
    disk_bytes: int = 1024**3
    """What its folders may hold. Where they hold more at the start, they must not grow."""
    files: int = 20_000
    """Files, folders and links in its folders, under the same rule as `disk_bytes`."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a command, with all that it started, used of the machine.

    Memory is looked at 20 times a second. Processor time is exact where the sandbox's own launcher
    is told it by the kernel (`landlock`); else it is what the last look showed, so that up to a
    twentieth of a second at the end is missing.
    """

    elapsed_s: float
    cpu_s: float
    memory_mib_s: float
    """Memory held, summed over time."""
    peak_mib: float


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command left behind. `exit_code` is 124 after a timeout."""

    exit_code: int
    stdout: str
    stderr: str
    is_timed_out: bool = False
    used: Used | None = field(default=None, compare=False)
    """None where nothing was measured."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Whether a sandbox holds on this machine, and if not, why and what to do."""

    holds: bool
    detail: str


class Sandbox(Protocol):
    """Run a command with one writable folder, no network and an empty environment."""

    name: str

    async def run(
        self, argv: list[str], *, workspace: Path, limits: Limits | None = None
    ) -> CommandResult:
        """Run to the end or to a limit, and leave no process behind.

        The command starts in `workspace`, which is created where it is missing; by which path it
        sees that folder is the sandbox's matter. Each output is kept up to `Limits.output_bytes`,
        cut in its middle. A command ended at a limit other than time exits with 137, and the last
        line of `stderr` says which limit it was.

        Raises:
            ToolError: The command does not exist inside the sandbox, or cannot be run.
            ConfigError: No sandbox can be made here; the text says what the operator can do.
        """

    async def self_test(self) -> SelfTest:
        """Try harmless escapes; a sandbox that lets one through is not used."""
