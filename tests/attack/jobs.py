"""The parts of a run, worked in processes of their own."""

import asyncio
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.attack.bench import POLICIES, pairs_of, run
from tests.attack.orders import run_suite
from tests.attack.report import Tally


@dataclass(frozen=True, slots=True)
class Job:
    """One suite under one strategy, worked in a process of its own."""

    suite: str
    strategy: str
    sample: int | None
    policy: str
    is_wire: bool

    def run(self) -> list[Tally]:
        """Work it."""
        if self.is_wire:
            pairs = pairs_of(self.suite, self.strategy, self.sample)
            return asyncio.run(run_suite(self.suite, [(self.strategy, pair) for pair in pairs]))
        return asyncio.run(
            run(
                [self.strategy],
                suite_names=[self.suite],
                sample=self.sample,
                policy=POLICIES[self.policy],
            )
        )


def do(jobs: Sequence[Job], *, workers: int) -> list[Tally]:
    """Work jobs side by side and say on stderr when each is over."""
    if len(jobs) == 1 or workers == 1:
        return [tally for job in jobs for tally in job.run()]
    tallies: list[Tally] = []
    # Forked children would share the parent's threads and locks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for job, done in zip(jobs, pool.map(Job.run, jobs), strict=True):
            seconds = sum(tally.seconds for tally in done)
            sys.stderr.write(f"{job.suite} {job.strategy}: {seconds:.0f} s\n")
            tallies += done
    return tallies
