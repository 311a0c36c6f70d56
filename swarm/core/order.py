"""An order and all that becomes of it: the values that the graph passes from node to node."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.mark import CLEAN, Mark
from swarm.core.origin import Origin

STATE_VERSION = 1
"""Version of `OrderState` as stored; a reader refuses a newer one."""


class OrderStatus(StrEnum):
    """Where an order stands. Every order ends in one of the last five."""

    QUEUED = "queued"
    WORKING = "working"
    WAITING = "waiting"
    """For a person: see the open asks."""
    PARKED = "parked"
    """By a limit or a provider; `swarm budget` or `swarm resume` goes on."""
    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True where no more work will be done without a person's word."""
        return self in (
            OrderStatus.DELIVERED,
            OrderStatus.ACCEPTED,
            OrderStatus.FAILED,
            OrderStatus.CANCELLED,
        )

    @property
    def is_moving(self) -> bool:
        """True while a worker has, or should have, something to do."""
        return self in (OrderStatus.QUEUED, OrderStatus.WORKING)


class TaskStatus(StrEnum):
    """Where a task stands."""

    PLANNED = "planned"
    WORKING = "working"
    WAITING = "waiting"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """Delivered, but the reviewer still objects after the last rework; shown with the reasons."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Never started, because a task it depends on failed."""

    @property
    def is_done(self) -> bool:
        """True where the task has a result to build on."""
        return self in (TaskStatus.ACCEPTED, TaskStatus.REJECTED)


class ReasonKind(StrEnum):
    """Why an order stands still; each has its own exit code at the command line."""

    LIMIT = "limit"
    PROVIDER = "provider"
    CONFIG = "config"
    REJECTED = "rejected"
    WORK = "work"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reason(_Value):
    """Say in one sentence why an order is parked or failed, and what helps."""

    kind: ReasonKind
    text: str


class Question(_Value):
    """Something the company asked the founder."""

    id: str
    text: str
    options: tuple[str, ...] = ()
    answer: str | None = None
    asked_by: str


class Frame(_Value):
    """What the CEO understood."""

    goal: str
    success_criteria: tuple[str, ...]
    kind: str
    questions: tuple[str, ...] = ()


class PlannedTask(_Value):
    """One part of the plan, given to one role."""

    id: str
    role: str
    title: str
    brief: str
    depends_on: tuple[str, ...] = ()
    deliverable: str
    human_hours: Decimal = Field(gt=0)
    """Hours a competent person would need, estimated before any work."""
    kind: str = ""
    """Kind of work as the planner named it; empty where nobody said."""


class Plan(_Value):
    """Tasks as a graph; `depends_on` names earlier tasks only, so it has no cycle."""

    approach: str
    tasks: tuple[PlannedTask, ...]


class _Band(_Value):
    p10: Decimal = Field(gt=0, allow_inf_nan=False)
    p50: Decimal = Field(allow_inf_nan=False)
    p90: Decimal = Field(allow_inf_nan=False)

    @model_validator(mode="after")
    def _rises(self) -> "_Band":
        """Refuse what is no band: nobody knows the one number in advance."""
        if not self.p10 < self.p50 < self.p90:
            raise ValueError(f"not a band: p10 {self.p10}, p50 {self.p50}, p90 {self.p90}")
        return self


class HoursBand(_Band):
    """Hours at three quantiles."""


class CostBand(_Band):
    """Money at three quantiles."""

    currency: str


class Baseline(_Value):
    """What a human team would have needed, frozen before the first working step.

    Effort, elapsed time and price are three things: an article takes five hours of work, two days
    to arrive, and costs what its writer asks.
    """

    hours: HoursBand
    """Effort in person-hours."""
    cost: CostBand
    method: str
    sources: tuple[str, ...]
    author: str
    frozen_at: datetime | None
    elapsed: HoursBand | None = None
    """From start to end by the calendar, in hours; None in baselines of the first version."""
    rate: CostBand | None = None
    """An hour of work; None in baselines of the first version."""
    reference_cases: int = 0
    """Borrowed cases that the hours rest on."""
    own_cases: int = 0
    """The company's own finished cases that the hours rest on."""
    calibration_id: str = "borrowed-x4"
    """Names the figures; another id may give other bands for the same plan."""


class Forecast(_Value):
    """What the order is expected to cost in model calls; None where the model has no price."""

    low: Decimal | None
    high: Decimal | None
    currency: str
    calls_low: int
    calls_high: int


class Verdict(StrEnum):
    """What a reviewer decided."""

    ACCEPT = "accept"
    REWORK = "rework"


class Review(_Value):
    """A reviewer's verdict on one attempt; the reviewer is never the author."""

    verdict: Verdict
    reasons: tuple[str, ...]
    reviewer: str


class TaskState(_Value):
    """What became of one task."""

    status: TaskStatus = TaskStatus.PLANNED
    attempts: int = 0
    summary: str = ""
    files: tuple[str, ...] = ()
    """Paths of deliverables, relative to the order's workspace."""
    review: Review | None = None
    reason: Reason | None = None
    round: int = 0
    """How often a person had this task done again; part of its ledger keys."""
    mark: Mark = CLEAN
    """What the task has read; whoever builds on its result inherits it."""


class OrderState(_Value):
    """All that the org graph knows of an order; stored as one JSON document after each node."""

    schema_version: int = Field(default=STATE_VERSION, ge=1, le=STATE_VERSION)
    text: str
    origin: Origin = Origin.FOUNDER
    """Whose words the text is."""
    language: str | None = None
    memories: tuple[str, ...] = ()
    """What was recalled for framing and planning, as the prompts show it, kept so that a second
    run sees the same."""
    recalled: tuple[str, ...] = ()
    """Ids of those memories."""
    mark: Mark = CLEAN
    """What was read before any task began: strangers' words in the order, recalled memories."""
    frame: Frame | None = None
    questions: tuple[Question, ...] = ()
    plan: Plan | None = None
    revision: int = 0
    """How often the plan was sent back by a person; the newest revision alone can be signed."""
    retry: int = 0
    """How often a person let a failed order go on; part of its ledger keys."""
    corrections: tuple[str, ...] = ()
    """What the founder said against earlier revisions or deliveries."""
    baseline: Baseline | None = None
    forecast: Forecast | None = None
    is_signed: bool = False
    tasks: dict[str, TaskState] = Field(default_factory=dict)
    answer: str | None = None

    @property
    def mark_of_all(self) -> Mark:
        """Return what the order as a whole has read."""
        mark = self.mark
        for task in self.tasks.values():
            mark = mark.joined(task.mark)
        return mark

    @property
    def founder_words(self) -> str:
        """Return all that the founder wrote for this order; empty where it is not the founder's."""
        if self.origin is not Origin.FOUNDER:
            return ""
        # An answer picked from a list is the model's wording, not the founder's.
        said = [q.answer for q in self.questions if q.answer and not q.options]
        return "\n".join([self.text, *said, *self.corrections])
