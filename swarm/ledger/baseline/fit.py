"""Quantiles of what work really took, from cases with an estimate made before.

The ratio of actual to estimate depends on the size of the estimate and on the kind of work: small
jobs run over as often as under, large budgets are seldom used up. So ratios are kept per band of
estimates, and within it per kind where there are enough cases; a kind with few is drawn towards
all kinds together, by its number of cases. Between the middles of two bands quantiles are blended.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from swarm.ledger.baseline.classes import ANY
from swarm.ledger.baseline.spread import Spread, around, blend, mixture, score, through

PROBABILITIES = (
    0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
    0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99,
)  # fmt: skip
LEAST_CASES = 40
"""A table of quantiles needs as many; below, they would be the cases themselves."""
PULL = 60
"""A kind with as many cases in a band counts half, all kinds together the other half."""
BAND_CASES = 500
"""Cases a band of estimates should have, and at most `MOST_BANDS` bands."""
MOST_BANDS = 9
SMOOTHING = 0.08
"""Standard deviation of the logs around each case: people round estimates and hours alike."""
ELSEWHERE = 0.05
"""Least share of the spread that is not learnt from the cases but from other firms."""
ELSEWHERE_MORE = 0.15
"""What is added to that share for a kind without any cases of its own in a band."""
ELSEWHERE_FACTOR = 4.0
"""Other firms: x/÷4 around the estimate held when figures of one firm were carried to another."""
BUDGET_HOURS = (6.0, 14.0)
"""Above the first an estimate begins to be a budget, above the second it is one."""
BUDGET_STRETCH = 0.2
"""How much wider a budget's band is made, in logs: how far budgets are used changes from year to
year, and bands of the years before held 72 to 77 % of them, not 80 %, in two years out of two."""


@dataclass(frozen=True, slots=True)
class Case:
    """One finished piece of work; hours are positive."""

    work: str
    actual: float
    estimate: float | None = None
    """Made before the work began."""
    elapsed: float | None = None
    """From the start to the end by the calendar, nights and weekends included, in hours."""
    at: date | None = None
    """When it was estimated."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Quantiles at `PROBABILITIES` of so many cases."""

    count: int
    quantiles: tuple[float, ...]

    @property
    def spread(self) -> Spread:
        """Return the spread through the quantiles."""
        return through(PROBABILITIES, self.quantiles)


@dataclass(frozen=True, slots=True)
class Band:
    """Cases whose estimates are of a size; `middle` is their geometric mean in hours."""

    middle: float
    ratio: Mapping[str, Cell]
    """Actual over estimate by kind of work; `any` is always there."""
    elapsed: Cell | None
    """Elapsed hours by the calendar."""


@dataclass(frozen=True)
class TaskTable:
    """All that was learnt from cases."""

    bands: tuple[Band, ...]
    """By rising estimate; empty where no case had one."""
    hours: Mapping[str, Cell]
    """Hours by kind of work, estimate or not; `any` is always there."""
    elapsed: Mapping[str, Cell]

    def ratio(self, work: str, estimate: float) -> Spread:
        """Return the spread of actual over estimate. There must be bands."""
        low, high, share = self._place(estimate)
        found = blend(self._ratio_in(low, work), self._ratio_in(high, work), share)
        return found.stretched(1 + BUDGET_STRETCH * _budget_share(estimate))

    def unestimated(self, work: str) -> Spread:
        """Return the spread of hours of a kind of work for which nobody gave an estimate."""
        if work not in self._unestimated:
            self._unestimated[work] = _drawn(self.hours, work)
        return self._unestimated[work]

    def elapsed_of(self, work: str, estimate: float | None) -> Spread | None:
        """Return the spread of elapsed hours; None where no case told."""
        if estimate is None:
            return _drawn(self.elapsed, work) if self.elapsed else None
        if not self.bands or any(band.elapsed is None for band in self.bands):
            return None
        low, high, share = self._place(estimate)
        return blend(self._elapsed[low], self._elapsed[high], share)

    def cases(self, work: str, *, is_estimated: bool) -> int:
        """Return how many cases of a kind, or of all kinds where it has none, were learnt from."""
        if not is_estimated:
            return self.hours.get(work, self.hours[ANY]).count
        own = sum(band.ratio[work].count for band in self.bands if work in band.ratio)
        return own or sum(band.ratio[ANY].count for band in self.bands)

    @cached_property
    def _middles(self) -> list[float]:
        return [math.log(band.middle) for band in self.bands]

    @cached_property
    def _elapsed(self) -> list[Spread]:
        return [band.elapsed.spread for band in self.bands if band.elapsed]

    @cached_property
    def _unestimated(self) -> dict[str, Spread]:
        return {}

    @cached_property
    def _ratios(self) -> dict[tuple[int, str], Spread]:
        return {}

    def _place(self, estimate: float) -> tuple[int, int, float]:
        """Return the two bands around an estimate, and how far it is from the first."""
        log, middles = math.log(estimate), self._middles
        high = bisect_right(middles, log)
        if high in (0, len(middles)):
            edge = min(high, len(middles) - 1)
            return edge, edge, 0.0
        low = high - 1
        return low, high, (log - middles[low]) / (middles[high] - middles[low])

    def _ratio_in(self, band: int, work: str) -> Spread:
        # Mixing is the dear part, and a table is asked for the same cells again and again.
        key = (band, work)
        if key not in self._ratios:
            cells = self.bands[band].ratio
            pull = _pull(cells, work)
            away = ELSEWHERE + ELSEWHERE_MORE * pull
            here, there = _drawn(cells, work), around(1.0, ELSEWHERE_FACTOR)
            self._ratios[key] = mixture([(1 - away, here), (away, there)])
        return self._ratios[key]


def _drawn(cells: Mapping[str, Cell], work: str) -> Spread:
    """Return the spread of a kind of work, drawn towards all kinds the fewer cases it has."""
    pull = _pull(cells, work)
    own = cells.get(work, cells[ANY])
    return mixture([(1 - pull, own.spread), (pull, cells[ANY].spread)])


def _pull(cells: Mapping[str, Cell], work: str) -> float:
    """Return how far a kind of work is drawn towards all kinds, from 0 to 1."""
    return PULL / (cells[work].count + PULL) if work in cells else 1.0


def _budget_share(estimate: float) -> float:
    low, high = BUDGET_HOURS
    return min(max(math.log(estimate / low) / math.log(high / low), 0.0), 1.0)


def fit(cases: Sequence[Case]) -> TaskTable:
    """Learn from cases; there must be at least `LEAST_CASES` of them."""
    assert len(cases) >= LEAST_CASES
    estimated = [case for case in cases if case.estimate is not None]
    bands = _bands(estimated) if len(estimated) >= LEAST_CASES else ()
    elapsed = [case for case in cases if case.elapsed is not None]
    return TaskTable(
        bands=bands,
        hours=_cells((case.work, case.actual) for case in cases),
        elapsed=_cells((c.work, c.elapsed) for c in elapsed if c.elapsed is not None)
        if len(elapsed) >= LEAST_CASES
        else {},
    )


def _bands(cases: Sequence[Case]) -> tuple[Band, ...]:
    """Cut cases into bands of about equal numbers; equal estimates stay together."""
    ordered = sorted(cases, key=_estimate)
    count = max(1, min(MOST_BANDS, len(ordered) // BAND_CASES))
    groups: list[list[Case]] = [[]]
    for index, case in enumerate(ordered):
        is_full = index >= len(ordered) * len(groups) / count
        if (
            is_full
            and len(groups[-1]) >= LEAST_CASES
            and _estimate(case) > _estimate(groups[-1][-1])
        ):
            groups.append([])
        groups[-1].append(case)
    if len(groups) > 1 and len(groups[-1]) < LEAST_CASES:
        rest = groups.pop()
        groups[-1].extend(rest)
    return tuple(_band(group) for group in groups)


def _band(cases: Sequence[Case]) -> Band:
    logs = [math.log(_estimate(case)) for case in cases]
    elapsed = [case.elapsed for case in cases if case.elapsed is not None]
    return Band(
        middle=math.exp(sum(logs) / len(logs)),
        ratio=_cells((case.work, case.actual / _estimate(case)) for case in cases),
        elapsed=_cell(elapsed) if len(elapsed) >= LEAST_CASES else None,
    )


def _estimate(case: Case) -> float:
    assert case.estimate is not None
    return case.estimate


def _cells(values: Iterable[tuple[str, float]]) -> dict[str, Cell]:
    groups: dict[str, list[float]] = defaultdict(list)
    for work, value in values:
        groups[ANY].append(value)
        if work != ANY:
            groups[work].append(value)
    return {
        work: _cell(found)
        for work, found in sorted(groups.items())
        if work == ANY or len(found) >= LEAST_CASES
    }


def _cell(values: Sequence[float]) -> Cell:
    """Take quantiles, each case spread a little so that rounded values make no steps."""
    nudges = [SMOOTHING * score(p) for p in (0.1, 0.3, 0.5, 0.7, 0.9)]
    logs = sorted(math.log(value) + nudge for value in values for nudge in nudges)
    found = []
    for probability in PROBABILITIES:
        place = probability * len(logs) - 0.5
        index = min(max(int(place), 0), len(logs) - 2)
        part = min(max(place - index, 0.0), 1.0)
        log = logs[index] + (logs[index + 1] - logs[index]) * part
        found.append(float(f"{math.exp(log):.4g}"))
    return Cell(len(values), tuple(found))
