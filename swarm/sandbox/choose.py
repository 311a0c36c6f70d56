"""Find the sandbox that holds on this machine, or say why none does."""

from dataclasses import dataclass

from swarm.core.registry import Registry
from swarm.sandbox.base import Sandbox, SelfTest
from swarm.sandbox.registry import SANDBOXES

PREFERRED = ("bubblewrap", "landlock")
"""Namespaces first: they show nothing of the machine, where Landlock shows names and sizes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The sandbox to use, and what each that was tried said of itself."""

    sandbox: Sandbox | None
    """None where none holds: then nothing may run commands on this machine."""
    tests: dict[str, SelfTest]
    """By name, in the order of trying; what comes after the first that holds was not tried."""

    @property
    def detail(self) -> str:
        """Return one sentence for the operator: what is used, or why nothing is and what helps."""
        if self.sandbox is not None:
            return f"{self.sandbox.name}: {self.tests[self.sandbox.name].detail}"
        if not self.tests:
            return "no sandbox is configured"
        reasons = "; ".join(f"{name}: {test.detail}" for name, test in self.tests.items())
        return f"commands are off, because no sandbox holds on this machine. {reasons}"


async def choose(names: tuple[str, ...] = PREFERRED, *, registry: Registry = SANDBOXES) -> Choice:
    """Run the self-test of each sandbox until one holds.

    Raises:
        ConfigError: A name is not known.
    """
    tests: dict[str, SelfTest] = {}
    for name in names:
        sandbox: Sandbox = registry.load(name)()
        tests[name] = await sandbox.self_test()
        if tests[name].holds:
            return Choice(sandbox, tests)
    return Choice(None, tests)
