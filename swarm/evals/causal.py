"""A clock for authored answers: each role reads the time of what it could have seen."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from swarm.core.lane import LANE


class CausalClock:
    """Time goes on in each task by itself; who builds on several begins when the last was done.

    So the times of an order are the same in every performance, whichever role is first.
    """

    def __init__(self, start: datetime) -> None:
        """Take when everything begins."""
        self._base = start
        self._times: dict[str, dict[str, datetime]] = defaultdict(dict)
        """By order and task; what is no task is under the empty name."""
        self._needs: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)

    def now(self) -> datetime:
        """Return the time in the lane that asks; outside of any, that of the newest event."""
        lane = LANE.get()
        return self.in_lane(lane) if lane else self.latest

    def monotonic(self) -> float:
        """Return the seconds of the machine: what limits a task is real time."""
        return asyncio.get_running_loop().time()

    @property
    def latest(self) -> datetime:
        """Return the time of the newest event."""
        return max([self._base, *(t for order in self._times.values() for t in order.values())])

    def in_lane(self, lane: str) -> datetime:
        """Return the time in a lane `<order> <node> <seq>`."""
        order, task = _order_and_task(lane)
        times = self._times[order]
        if not task:
            return max([self._base, *times.values()])
        seen = ["", task, *self._needs[order].get(task, ())]
        return max([self._base, *(times[name] for name in seen if name in times)])

    def pass_time(self, lane: str, seconds: float) -> None:
        """Let an answer take its time."""
        order, task = _order_and_task(lane)
        self._times[order][task] = self.in_lane(lane) + timedelta(seconds=seconds)

    def set_base(self, moment: datetime) -> None:
        """Let a person speak: nobody who works on is earlier than that."""
        self._base = max(self._base, moment)

    def learn_plan(self, lane: str, needs: Iterable[Iterable[int]]) -> None:
        """Take from a plan which earlier tasks, by number from 1, each task builds on."""
        order, _ = _order_and_task(lane)
        self._needs[order] = {}
        for number, earlier in enumerate(needs, start=1):
            direct = tuple(f"t{n}" for n in earlier)
            further = (name for task in direct for name in self._needs[order].get(task, ()))
            self._needs[order][f"t{number}"] = (*direct, *further)


def _order_and_task(lane: str) -> tuple[str, str]:
    order, _, rest = lane.partition(" ")
    head = rest.partition("/")[0]
    return order, head if head[:1] == "t" and head[1:].isdigit() else ""
