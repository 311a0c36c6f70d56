"""What a sandbox does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may use."""

    timeout_s: float = 60
    memory_mib: int = 512
    processes: int = 64
    output_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command left behind. `exit_code` is 124 after a timeout."""

    exit_code: int
    stdout: str
    stderr: str
    is_timed_out: bool = False


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
        """Run to the end or to a limit. The command sees `workspace` as its current folder.

        Raises:
            ToolError: The command does not exist inside the sandbox.
        """

    async def self_test(self) -> SelfTest:
        """Try harmless escapes; a sandbox that lets one through is not used."""
