"""The baseline of a plan: its tasks' needs, added up, with a price."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from swarm.core.errors import InvalidInput
from swarm.core.money import plain
from swarm.core.order import Baseline, CostBand, HoursBand, Plan, PlannedTask
from swarm.ledger.baseline.calibration import Calibration, borrowed
from swarm.ledger.baseline.classes import ANY, WorkClass, find_class
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.rates import HourlyRate, find_rate
from swarm.ledger.baseline.spread import CORRELATION, Spread, product, total
from swarm.ledger.baseline.work import Need, need_of_task

_DIGITS = 3
"""Significant digits shown; bands this wide support no more."""


def estimate(
    plan: Plan,
    *,
    author: str,
    at: datetime | None,
    kind: str = "",
    rate: HourlyRate | None = None,
    history: History | None = None,
    calibration: Calibration | None = None,
) -> Baseline:
    """Estimate what people would have needed for a plan.

    Args:
        plan: Its tasks' `human_hours` are estimates made before the work; their `kind` says what
            work it is.
        author: The role, or person, that made the estimates.
        at: When the baseline is frozen, aware; None for a view that is not stored.
        kind: Of the whole order, for tasks that do not say theirs.
        rate: An hour's price; None is that of the EU, any kind of contract.
        history: What the company learnt itself; None is nothing.
        calibration: What is borrowed; None is what comes with Swarm.

    Returns:
        80 % bands with p10 < p50 < p90, to three significant digits.

    Raises:
        ValueError: The plan has no task, so there is nothing to estimate.
    """
    if not plan.tasks:
        raise ValueError("a plan without tasks has no baseline")
    figures, known, price = calibration or borrowed(), history or History(), rate or find_rate()
    works = {task.id: _class(task, kind) for task in plan.tasks}
    needs = {
        task.id: need_of_task(
            works[task.id], float(task.human_hours), calibration=figures, history=known
        )
        for task in plan.tasks
    }
    # In a fixed order: floating-point sums must not depend on how the plan was written.
    hours = total(sorted((need.hours for need in needs.values()), key=lambda s: s.logs))
    chain = longest_chain(plan, {name: need.elapsed.median for name, need in needs.items()})
    elapsed = total(sorted((needs[name].elapsed for name in chain), key=lambda s: s.logs))
    return Baseline(
        hours=_hours(hours),
        cost=_money(product(hours, price.spread), price.currency),
        method=_method(list(works.values()), price, known, figures),
        sources=_sources(needs, price),
        author=author,
        frozen_at=at,
        elapsed=_hours(elapsed),
        rate=CostBand(p10=price.p10, p50=price.p50, p90=price.p90, currency=price.currency),
        reference_cases=min(need.cases for need in needs.values()),
        own_cases=known.count,
        calibration_id=calibration_id(figures, known),
    )


def calibration_id(figures: Calibration, history: History) -> str:
    """Name the figures a baseline was made with: the borrowed ones and how they were refitted."""
    if not history.count:
        return figures.id
    return f"{figures.id}+own{history.count}({history.shift:.2f}x{history.stretch:.2f})"


def longest_chain(plan: Plan, medians: Mapping[str, float]) -> list[str]:
    """Return the tasks that follow each other for the longest time."""
    best: dict[str, tuple[float, list[str]]] = {}
    for task in plan.tasks:
        before = max(
            (best[name] for name in task.depends_on if name in best),
            key=lambda found: found[0],
            default=(0.0, []),
        )
        best[task.id] = (before[0] + medians[task.id], [*before[1], task.id])
    return max(best.values(), key=lambda found: found[0])[1]


def rounded(value: float, digits: int = _DIGITS) -> Decimal:
    """Return a positive amount to so many significant digits, written without an exponent."""
    assert math.isfinite(value)
    assert value > 0
    context = Context(prec=digits, rounding=ROUND_HALF_EVEN)
    return Decimal(plain(context.plus(Decimal(repr(value)))))


def _class(task: PlannedTask, kind: str) -> WorkClass:
    for word in (task.kind, kind):
        try:
            if word:
                return find_class(word)
        except InvalidInput:
            # A planner may call its work what it likes; all kinds together then stand for it.
            continue
    return WorkClass(ANY, ANY)


def _hours(spread: Spread) -> HoursBand:
    p10, p50, p90 = (rounded(spread.quantile(p)) for p in (0.1, 0.5, 0.9))
    return HoursBand(p10=p10, p50=p50, p90=p90)


def _money(spread: Spread, currency: str) -> CostBand:
    p10, p50, p90 = (rounded(spread.quantile(p)) for p in (0.1, 0.5, 0.9))
    return CostBand(p10=p10, p50=p50, p90=p90, currency=currency)


def _method(
    works: Sequence[WorkClass], rate: HourlyRate, history: History, figures: Calibration
) -> str:
    kinds = Counter(work.measured for work in works)
    notes = sorted({work.note for work in works if work.note})
    said = ", ".join(f"{count} of {name}" for name, count in sorted(kinds.items()))
    added = (
        f" {len(works)} tasks added with a common factor (correlation {CORRELATION:g})."
        if len(works) > 1
        else ""
    )
    return (
        f"{calibration_id(figures, history)}: the hours estimated for each task before the work, "
        f"times what work of its kind and size really took over such estimates ({said}"
        f"{''.join(f'; {note}' for note in notes)}).{added} 80 % bands; times {rate.words}. "
        f"Whose experience: {history.words}."
    )


def _sources(needs: Mapping[str, Need], rate: HourlyRate) -> tuple[str, ...]:
    found = dict.fromkeys(source for need in needs.values() for source in need.sources)
    return (
        "Hours of each task: the planner's estimate, made before the work.",
        *found,
        rate.source,
    )
