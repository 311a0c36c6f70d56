"""The founder's time: from a question shown to its answer, each capped."""

from collections.abc import Iterable
from typing import Any

from swarm.core.clock import parse_iso

CAP_S = 300.0
RULE = "from question shown to answer, at most 5 minutes each"


def founder_seconds(asks: Iterable[Any]) -> float:
    """Sum the time between showing and answering, in seconds, each answer up to `CAP_S`.

    An answer to a question that was never shown counts nothing: nobody saw it wait.
    """
    total = 0.0
    for ask in asks:
        if ask.shown_at and ask.answered_at:
            gap = (parse_iso(ask.answered_at) - parse_iso(ask.shown_at)).total_seconds()
            total += min(max(gap, 0.0), CAP_S)
    return total
