"""Other processes for runs: several at once, and some that are meant to die."""

import multiprocessing
import multiprocessing.util
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from typing import Any

from swarm.evals.results import RunResult, failed_run
from swarm.evals.runner import run_case
from swarm.evals.warm import WarmHouse

DIED = 70
"""Exit code of a process that died on purpose."""
_PRELOADED = (
    "swarm.evals.runner",
    "swarm.evals.crashing",
    "swarm.runtime.dbos_engine",
    "swarm.org.graph",
    "swarm.tools.skill_lock",
    "swarm.tools.web",
    "swarm.tools.search",
    "dbos",
    "alembic.command",
    "alembic.runtime.migration",
    "zstandard",
)
"""What every run imports sooner or later: copied, it costs nothing."""


def run_all(
    jobs: Sequence[tuple[Path, int]], *, workers: int, terms: Any = None
) -> Iterator[tuple[Path, RunResult]]:
    """Give the results of runs as they end; each process takes many, one app at a time.

    Args:
        jobs: Scenario files, with the number of the run.
        workers: Processes; 1 runs all in this one.
        terms: `purse.Terms`: whom graded checks ask; None asks nobody.
    """
    if workers <= 1 or len(jobs) <= 1:
        with WarmHouse() as warm:
            for path, number in jobs:
                yield path, run_case(path, number, terms, warm=warm)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context()) as pool:
        waiting = {
            pool.submit(_run_warm, path, number, terms): (path, number) for path, number in jobs
        }
        try:
            for done in as_completed(waiting):
                path, number = waiting[done]
                try:
                    yield path, done.result()
                except BrokenProcessPool:
                    yield path, failed_run(number, "the process that ran it died")
        finally:
            pool.shutdown(cancel_futures=True)


def _run_warm(path: Path, number: int, terms: Any) -> RunResult:
    return run_case(path, number, terms, warm=_warm())


@cache
def _warm() -> WarmHouse:
    """Return this process's house; it is closed when the process ends."""
    warm = WarmHouse()
    # A child of a pool calls no `atexit` functions, but these.
    multiprocessing.util.Finalize(None, warm.close, exitpriority=10)
    return warm


def context() -> Any:
    """Return how processes begin: as copies of a clean one that has imported all it needs."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(list(_PRELOADED))
    return made


def exit_code_of(target: Any, *arguments: Any, timeout_s: float) -> int:
    """Run a function in a process of its own, and return how that ended; -1 where it was hung."""
    process = context().Process(target=target, args=arguments)
    process.start()
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
        process.join()
        return -1
    return int(process.exitcode)
