"""A sandbox that runs nothing: it answers from a script and remembers what was asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from swarm.core.errors import ToolError
from swarm.sandbox.base import CommandResult, Limits, SelfTest


@dataclass(frozen=True, slots=True)
class Call:
    """One command that was asked for."""

    argv: tuple[str, ...]
    workspace: Path
    limits: Limits


class FakeSandbox:
    """Answer each program by its name; programs that are not named do not exist."""

    name = "fake"

    def __init__(
        self,
        programs: Mapping[str, CommandResult | Callable[[Call], CommandResult]] | None = None,
        *,
        self_test: SelfTest | None = None,
    ) -> None:
        self.calls: list[Call] = []
        """Every command asked for, in order, also those that do not exist."""
        self._programs = dict(programs or {})
        self._self_test = self_test or SelfTest(holds=True, detail="nothing runs in a fake")

    async def run(
        self, argv: list[str], *, workspace: Path, limits: Limits | None = None
    ) -> CommandResult:
        """Record the call and return what the script says.

        Raises:
            ToolError: No words, or the script does not name the program.
        """
        call = Call(tuple(argv), workspace, limits or Limits())
        self.calls.append(call)
        if not argv or argv[0] not in self._programs:
            raise ToolError(f"cannot run {argv[:1]}: no such program in the sandbox")
        answer = self._programs[argv[0]]
        return answer(call) if callable(answer) else answer

    async def self_test(self) -> SelfTest:
        """Return what the constructor was told."""
        return self._self_test
