"""What the company learnt itself: how its own finished orders lie in the borrowed bands.

Each own case has a normal score: where its ratio of actual to estimate lies in the borrowed band
for its size and kind. Centre and width of those scores move and stretch every borrowed band, so
that size and kind still count. Until there are `ENOUGH` cases the result is a mixture: n of 30
parts the refitted band, the rest the borrowed one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from swarm.ledger.baseline.fit import Case, TaskTable
from swarm.ledger.baseline.spread import GRID, Spread, mixture, of_logs

ENOUGH = 30
"""Own cases from which on a band is the company's own."""
_PRIOR = 3
"""The borrowed width counts like so many own cases, lest two that agree make a narrow band."""
_FARTHEST = 6.0
_NARROWEST = 0.2


@dataclass(frozen=True, slots=True)
class History:
    """How own cases lie in the borrowed bands."""

    count: int = 0
    shift: float = 0.0
    """Mean of the normal scores."""
    stretch: float = 1.0
    """Standard deviation of a new score, with the uncertainty of mean and width in it."""

    def apply(self, borrowed: Spread) -> Spread:
        """Return a borrowed band with what was learnt."""
        if not self.count:
            return borrowed
        own = of_logs([borrowed.log_at(self.shift + self.stretch * z) for z in GRID])
        weight = min(self.count / ENOUGH, 1.0)
        return mixture([(weight, own), (1 - weight, borrowed)])

    @property
    def words(self) -> str:
        """Say whose experience the band is."""
        if self.count < ENOUGH:
            return f"borrowed, n = {self.count} of your own"
        return f"fitted on n = {self.count} of your own"


def learn(cases: Sequence[Case], table: TaskTable) -> History:
    """Learn from own cases; those without an estimate teach nothing about estimates."""
    scores = []
    for case in cases:
        if case.estimate is not None:
            band = table.ratio(case.work, case.estimate)
            score = band.score_of(math.log(case.actual / case.estimate))
            scores.append(min(max(score, -_FARTHEST), _FARTHEST))
    if not scores:
        return History()
    count = len(scores)
    mean = sum(scores) / count
    squares = sum((score - mean) ** 2 for score in scores)
    variance = (squares + _PRIOR) / (count - 1 + _PRIOR) * (1 + 1 / count)
    return History(count, mean, max(math.sqrt(variance), _NARROWEST))
