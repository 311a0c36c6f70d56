"""The scorer that runs a command on what was delivered, in the sandbox."""

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from swarm.evals.checks import TextArgs, faults_of
from swarm.evals.evidence import Evidence
from swarm.evals.scorers import Mark, ScorerArgs, mark, order_of
from swarm.sandbox.base import Limits, Sandbox
from swarm.sandbox.choose import choose

_chosen: list[Sandbox | None] = []
"""Chosen once for each process: its self-test takes longer than most commands."""


class CommandArgs(TextArgs):
    """A command, how it must end, and what it must print."""

    SHORT: ClassVar[str] = "run"
    run: str = Field(min_length=1)
    """For `/bin/sh`, in a copy of the workspace."""
    exit: int = 0
    timeout_s: float = Field(default=30, gt=0, le=600)


class Command:
    """Whether a command passes on the files that the order left."""

    name: ClassVar[str] = "command"
    Args: ClassVar[type[ScorerArgs]] = CommandArgs

    async def score(self, evidence: Evidence, args: CommandArgs) -> Mark:
        """Run it on a copy, so that a check changes nothing that another looks at."""
        sandbox = await sandbox_here()
        if sandbox is None:
            return mark(False, "no sandbox holds on this machine: `swarm doctor` says why")
        with tempfile.TemporaryDirectory(prefix="swarm-check-") as folder:
            copy = Path(folder) / "workspace"
            shutil.copytree(order_of(evidence, args).workspace, copy, symlinks=True)
            limits = Limits(timeout_s=args.timeout_s)
            done = await sandbox.run(["/bin/sh", "-c", args.run], workspace=copy, limits=limits)
        printed = f"{done.stdout}\n{done.stderr}".strip()
        if done.exit_code != args.exit:
            return mark(False, f"`{args.run}` ended with {done.exit_code}: {printed[-300:]}")
        faults = list(faults_of(printed, args))
        return mark(not faults, f"`{args.run}` {faults[0] if faults else 'passes'}")


async def sandbox_here() -> Sandbox | None:
    """Return the sandbox that holds on this machine; None where none does."""
    if not _chosen:
        _chosen.append((await choose()).sandbox)
    return _chosen[0]
