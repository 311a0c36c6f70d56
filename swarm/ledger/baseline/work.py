"""Route A: a task, from its kind and an estimate made before the work."""

import math
from dataclasses import dataclass

from swarm.ledger.baseline.calibration import Calibration, Reference
from swarm.ledger.baseline.classes import WorkClass
from swarm.ledger.baseline.cocomo import HOURS_PER_MONTH, Drivers
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.spread import Spread, around, between, blend, mixture, product

TASK_HOURS = 40.0
"""Above it an estimate begins to be one of a project, ten times above it is one."""
CALENDAR_MONTH_HOURS = 365.25 / 12 * 24
FOREIGN_PROJECT_FACTOR = 4.0
"""Of a project's estimate in another firm than the one measured; counts as much as that one."""
FOREIGN_SCHEDULE_FACTOR = 2.5
"""x/÷ of elapsed over nominal time: the medians of two data sets differ by 1.7, and each one's
80 % band is 2.6 to 3.2 wide."""


@dataclass(frozen=True)
class Need:
    """What people need for a piece of work."""

    hours: Spread
    elapsed: Spread
    """From the start to the end by the calendar, in hours."""
    cases: int
    """Cases of the borrowed calibration that the hours rest on."""
    method: str
    sources: tuple[str, ...]
    floor_hours: float | None = None
    """Elapsed hours below which no schedule was seen to go, at the median effort."""


def need_of_task(
    work: WorkClass, estimate: float | None, *, calibration: Calibration, history: History
) -> Need:
    """Return what a task needs.

    Args:
        work: Its kind.
        estimate: Hours, estimated before the work; None where nobody did.
        calibration: What is borrowed.
        history: What the company learnt itself; it corrects estimates.
    """
    table = calibration.tasks
    if estimate is None:
        hours = table.unestimated(work.measured)
        elapsed = table.elapsed_of(work.measured, None)
        assert elapsed is not None
        method = (
            f"{work.measured} without an estimate: hours of all such tasks, a band as wide as they "
            "are; borrowed"
        )
        cases = table.cases(work.measured, is_estimated=False)
        return Need(hours, elapsed, cases, _noted(method, work), (calibration.task_source,))
    ratio = _ratio(work, estimate, calibration)
    hours = history.apply(ratio).times(estimate)
    method = (
        f"{work.measured}: the estimate of {estimate:g} h made before, times what work really took "
        f"over such estimates; {history.words}"
    )
    sources = [calibration.task_source]
    if estimate > TASK_HOURS:
        sources.append(calibration.estimates.source)
    return Need(
        hours=hours,
        elapsed=_elapsed(work, estimate, hours, calibration),
        cases=table.cases(work.measured, is_estimated=True),
        method=_noted(method, work),
        sources=tuple(sources),
    )


def _noted(method: str, work: WorkClass) -> str:
    return f"{method} ({work.note})" if work.note else method


def _ratio(work: WorkClass, estimate: float, calibration: Calibration) -> Spread:
    task = calibration.tasks.ratio(work.measured, estimate)
    share = _project_share(estimate)
    return blend(task, project_ratio(calibration), share) if share else task


def project_ratio(calibration: Calibration) -> Spread:
    """Return the spread of actual over estimated hours of whole projects."""
    seen = calibration.estimates
    return mixture(
        [(1, between(seen.p10, seen.p50, seen.p90)), (1, around(1.0, FOREIGN_PROJECT_FACTOR))]
    )


def _elapsed(work: WorkClass, estimate: float, hours: Spread, calibration: Calibration) -> Spread:
    share = _project_share(estimate)
    task = calibration.tasks.elapsed_of(work.measured, estimate)
    if task is None or share == 1:
        return schedule_of(hours, Drivers(), calibration)
    return blend(task, schedule_of(hours, Drivers(), calibration), share) if share else task


def schedule_of(hours: Spread, drivers: Drivers, calibration: Calibration) -> Spread:
    """Return elapsed hours of a project of so many working hours: COCOMO II's time, spread.

    The effort counts without the pressure that a short schedule adds to it. The result is held,
    quantile by quantile, to the shortest schedule that was seen.
    """
    calm_months = hours.times(1 / HOURS_PER_MONTH / drivers.pressure)
    nominal = calm_months.to_power(drivers.time_exponent).times(
        drivers.nominal_months(1.0) * CALENDAR_MONTH_HOURS
    )
    usual = geometric_mean(calibration.schedule)
    return product(nominal.times(drivers.time_share), around(usual, FOREIGN_SCHEDULE_FACTOR))


def geometric_mean(references: tuple[Reference, ...]) -> float:
    """Return the geometric mean of the data sets' medians."""
    logs = [math.log(reference.p50) for reference in references]
    return math.exp(sum(logs) / len(logs))


def _project_share(estimate: float) -> float:
    return min(max(math.log10(estimate / TASK_HOURS), 0.0), 1.0)
