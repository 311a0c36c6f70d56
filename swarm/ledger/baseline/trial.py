"""Fit bands to somebody's own table, and tell how they do on rows that the fit has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from swarm.core.errors import InvalidInput
from swarm.ledger.baseline.classes import ANY
from swarm.ledger.baseline.columns import Fault, Table, day, hours
from swarm.ledger.baseline.fit import LEAST_CASES, Case, TaskTable, fit
from swarm.ledger.baseline.score import Scores, scores

FOLDS = 5
LEAST_HELD_OUT = 10
HELD_OUT = 0.2
"""Share of the newest rows that is predicted from the older ones."""


@dataclass(frozen=True)
class Trial:
    """A fit on all rows, and how the same method does on rows it has not seen."""

    table: TaskTable
    cases: int
    split: str
    """How rows were held out."""
    scores: Scores
    class_only: Scores | None
    """The same rows predicted from their kind alone."""
    by_size: tuple[tuple[str, Scores], ...]
    by_class: tuple[tuple[str, Scores], ...]


def read_cases(table: Table) -> tuple[list[Case], list[Fault]]:
    """Return the cases of a table, each id once, and the rows that are refused."""
    cases: list[Case] = []
    faults: list[Fault] = []
    seen: set[str] = set()
    for line, row in table.rows:
        try:
            case = Case(
                work=" ".join(row.get("class", "").casefold().split()) or ANY,
                actual=float(hours(row["actual"], "actual")),
                estimate=float(hours(row["estimate"], "estimate")),
                at=day(row["at"]) if row.get("at") else None,
            )
        except InvalidInput as error:
            faults.append(Fault(line, str(error)))
            continue
        # A task with several people has a row for each, and every row has the task's hours.
        name = row.get("id", "")
        if not name or name not in seen:
            seen.add(name)
            cases.append(case)
    return cases, faults


def run_trial(cases: Sequence[Case], *, levels: Sequence[float], split: date | None) -> Trial:
    """Fit and test.

    Args:
        cases: All with an estimate.
        levels: Of the intervals that are tested.
        split: Cases estimated before it are learnt from, the rest is predicted; None takes the
            newest fifth where every case has a day, else five folds in turn.

    Raises:
        InvalidInput: Too few cases, or none on one side of `split`.
    """
    if len(cases) < LEAST_CASES + LEAST_HELD_OUT:
        raise InvalidInput(
            f"{len(cases)} usable rows are too few to fit and test a band: it needs "
            f"{LEAST_CASES + LEAST_HELD_OUT}."
        )
    pairs, words = _pairs(cases, split)
    predicted, classes, held_out = [], [], []
    for past, later in pairs:
        table = fit(past)
        held_out += later
        predicted += [table.ratio(c.work, _estimate(c)).times(_estimate(c)) for c in later]
        classes += [table.unestimated(c.work) for c in later]
    actual = [case.actual for case in held_out]

    def part(chosen: Sequence[int]) -> Scores:
        return scores([predicted[i] for i in chosen], [actual[i] for i in chosen], levels=levels)

    return Trial(
        table=fit(cases),
        cases=len(cases),
        split=words,
        scores=scores(predicted, actual, levels=levels),
        class_only=scores(classes, actual, levels=levels),
        by_size=tuple((name, part(chosen)) for name, chosen in _sizes(held_out)),
        by_class=tuple((name, part(chosen)) for name, chosen in _classes(held_out)),
    )


def _estimate(case: Case) -> float:
    assert case.estimate is not None
    return case.estimate


_Pairs = list[tuple[list[Case], list[Case]]]


def _pairs(cases: Sequence[Case], split: date | None) -> tuple[_Pairs, str]:
    if split is None and any(case.at is None for case in cases):
        folds = [
            (
                [case for place, case in enumerate(cases) if place % FOLDS != fold],
                [case for place, case in enumerate(cases) if place % FOLDS == fold],
            )
            for fold in range(FOLDS)
        ]
        return folds, f"by fold: each fifth of the rows predicted from the other {FOLDS - 1}"
    ordered = sorted((case for case in cases if case.at is not None), key=_day)
    if split is None:
        split = _day(ordered[int(len(ordered) * (1 - HELD_OUT))])
    past = [case for case in ordered if _day(case) < split]
    later = [case for case in ordered if _day(case) >= split]
    if len(past) < LEAST_CASES or len(later) < LEAST_HELD_OUT:
        raise InvalidInput(
            f"{len(past)} rows before {split} and {len(later)} from then on: a test in time needs "
            f"{LEAST_CASES} and {LEAST_HELD_OUT}. Choose another day with --split."
        )
    return [(past, later)], f"in time: rows from {split} on predicted from those before"


def _day(case: Case) -> date:
    assert case.at is not None
    return case.at


def _sizes(cases: Sequence[Case]) -> list[tuple[str, list[int]]]:
    """Cut held-out cases at the thirds of their estimates."""
    ordered = sorted(_estimate(case) for case in cases)
    low, high = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
    groups = {
        f"estimates below {low:g} h": [i for i, c in enumerate(cases) if _estimate(c) < low],
        f"estimates from {low:g} to {high:g} h": [
            i for i, c in enumerate(cases) if low <= _estimate(c) <= high
        ],
        f"estimates above {high:g} h": [i for i, c in enumerate(cases) if _estimate(c) > high],
    }
    return [(name, chosen) for name, chosen in groups.items() if chosen]


def _classes(cases: Sequence[Case]) -> list[tuple[str, list[int]]]:
    groups: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        groups.setdefault(case.work, []).append(place)
    common = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [group for group in common if len(group[1]) >= LEAST_HELD_OUT]
