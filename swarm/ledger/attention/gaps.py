"""From actions to minutes: what lies between a person's own actions, each gap capped."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from swarm.core.money import plain
from swarm.ledger.attention.actions import Action, ActionKind

TOLERANCE = timedelta(seconds=2)
"""Two processes may write in another order than their clocks were read; more is a clock set back."""


class FounderTimeConfig(BaseModel):
    """How the founder's minutes are counted and priced. Environment: `SWARM_FOUNDER_TIME__<FIELD>`."""

    model_config = ConfigDict(extra="forbid")

    rate_per_hour: Decimal | None = Field(default=None, ge=0, le=1_000_000)
    """What an hour of the founder is worth; None leaves the minutes without an amount."""
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$")
    """Of the rate; None is the company's."""
    weekly_hours: Decimal | None = Field(default=Decimal(14), gt=0, le=168)
    """Founder time per week, Monday to Sunday in UTC, beyond which it is said; two hours a day
    unless set. None: never."""
    absence_minutes: Decimal = Field(default=Decimal(5), gt=0, le=1440)
    """The most that one gap between two actions counts: longer, and the founder was elsewhere."""

    @property
    def cap(self) -> timedelta:
        """Return the longest gap that counts whole."""
        return timedelta(seconds=float(self.absence_minutes * 60))


@dataclass(frozen=True, slots=True)
class Gap:
    """The time that ended with one action of the founder's."""

    key: str
    kind: ActionKind
    order_id: str | None
    """Whose cost it is; None where the action was about no single order."""
    start: datetime
    end: datetime
    asks: tuple[str, ...] = ()

    @property
    def length(self) -> timedelta:
        """Return how long it was by the rule; never negative."""
        return self.end - self.start


def rule(config: FounderTimeConfig) -> str:
    """Say how minutes are counted, for printing beside them."""
    cap = plain(config.absence_minutes)
    unit = "minute" if config.absence_minutes == 1 else "minutes"
    return (
        f"from one of your actions to the next, or from shown to answered, at most {cap} {unit} "
        "each, for the order acted on; a look after a longer pause counts nothing"
    )


def gaps(
    actions: Iterable[Action],
    *,
    cap: timedelta,
    began_at: datetime | None = None,
    misplaced: Collection[str] = (),
) -> list[Gap]:
    """Return the time before each own action, in the order of time.

    A gap begins at the own action before it, whatever that was about, so no moment counts twice;
    where the thing acted on was shown or delivered later, it begins there. It is never longer than
    `cap`. After a pause longer than that, a look begins anew and counts nothing. The order in which
    actions are given makes no difference.

    Where an order was acted on before it was placed, a clock was set back in between: the time
    before such a placing is known to nobody and counts nothing.

    Args:
        actions: Own actions and showings; `since` may lie after `at` where a clock was set back.
        cap: The longest gap that counts whole.
        began_at: When the log begins, where it holds earlier actions than those given.
        misplaced: Orders known to be acted on before they were placed, besides those given.
    """
    found: list[Gap] = []
    previous: datetime | None = None
    touched = set(misplaced)
    for action in sorted(filter(_is_own, actions), key=_place):
        before = previous
        if before is None and began_at is not None and began_at < action.at:
            before = began_at
        is_misplaced = action.kind is ActionKind.ORDERED and action.order_id in touched
        start = action.at if is_misplaced else _start(action, before, cap)
        found.append(Gap(action.gap, action.kind, action.charged_to, start, action.at, action.asks))
        previous = action.at
        touched.add(action.order_id or "")
    return found


def _start(action: Action, before: datetime | None, cap: timedelta) -> datetime:
    if before is None and action.since is None:
        return action.at
    if action.kind.is_look and (before is None or action.at - before > cap):
        return action.at
    bounds = [action.at - cap, *(moment for moment in (before, action.since) if moment)]
    # A clock that was set back puts the showing after the answer.
    return min(max(bounds), action.at)


def _is_own(action: Action) -> bool:
    return action.is_own


def _place(action: Action) -> tuple[datetime, str, str, int, tuple[str, ...]]:
    return action.at, action.order_id or "", action.kind.value, action.id or 0, action.asks


def clock_faults(actions: Sequence[Action]) -> list[str]:
    """Say where the clock jumped back among some actions; their gaps count 0 at the least."""
    faults = []
    for action in sorted(actions, key=_place):
        if action.is_own and action.since is not None and action.since - action.at > TOLERANCE:
            faults.append(
                f"The clock was set back: by it, what was {action.kind.value} at "
                f"{action.at:%Y-%m-%d %H:%M:%S} UTC was shown only later. That gap counts 0."
            )
    placed = {a.order_id: a.at for a in actions if a.kind is ActionKind.ORDERED}
    for action in sorted(actions, key=_place):
        start = placed.get(action.order_id)
        if start is not None and start - action.at > TOLERANCE:
            faults.append(
                f"The clock was set back: {action.order_id} was {action.kind.value} at "
                f"{action.at:%Y-%m-%d %H:%M:%S} UTC, before it was placed. Gaps are counted as the "
                "clock showed them, none below 0."
            )
    return [*faults, *_steps_back(actions)]


def _steps_back(actions: Iterable[Action]) -> list[str]:
    """Find rows that were written later and carry an earlier time."""
    faults, latest = [], None
    for action in sorted((a for a in actions if a.id is not None), key=lambda a: a.id or 0):
        if latest is not None and latest - action.at > TOLERANCE:
            faults.append(
                f"The clock was set back from {latest:%Y-%m-%d %H:%M:%S} to {action.at:%H:%M:%S} "
                "UTC. Gaps there are counted as the clock showed them, none below 0."
            )
        latest = action.at
    return faults
