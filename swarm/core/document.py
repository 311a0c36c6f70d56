"""The order as programs see it: `swarm order --wait --json`, `swarm show --json`.

Amounts are decimal texts with their currency beside them, times are UTC ISO-8601.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from swarm.core.money import CostStatus, plain
from swarm.core.order import OrderStatus, Reason, TaskStatus, Verdict

Amount = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReviewDocument(_Part):
    """The last review of a task."""

    verdict: Verdict
    reasons: list[str]
    reviewer: str


class TaskDocument(_Part):
    """One task of the plan and what became of it."""

    id: str
    role: str
    title: str
    brief: str
    depends_on: list[str]
    deliverable: str
    status: TaskStatus
    attempts: int
    review: ReviewDocument | None


class PlanDocument(_Part):
    """The plan; `revision` counts how often a person sent it back."""

    approach: str
    revision: int
    tasks: list[TaskDocument]


class HoursDocument(_Part):
    """Person-hours at three quantiles."""

    p10: Amount
    p50: Amount
    p90: Amount


class BandDocument(_Part):
    """Money at three quantiles."""

    p10: Amount
    p50: Amount
    p90: Amount
    currency: str


class BaselineDocument(_Part):
    """What a human team would have needed, frozen before the work."""

    hours: HoursDocument
    cost: BandDocument
    method: str
    sources: list[str]
    frozen_at: datetime | None


class ForecastDocument(_Part):
    """Expected model cost; null where the model has no price."""

    low: Amount | None
    high: Amount | None
    currency: str


class QuestionDocument(_Part):
    """Something the company asked, and the answer so far."""

    id: str
    text: str
    options: list[str]
    answer: str | None
    asked_by: str


class ArtifactDocument(_Part):
    """A deliverable on disk."""

    path: str
    sha256: str
    bytes: int
    role: str
    task: str


class CostDocument(_Part):
    """Model cost so far; with status `unpriced` the amount is a lower bound."""

    amount: Amount
    currency: str
    status: CostStatus


class TokensDocument(_Part):
    """Tokens in disjoint buckets; `reasoning` is part of `output`."""

    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int


class ReceiptDocument(_Part):
    """What the order cost. Durations are in seconds."""

    model_cost: CostDocument
    tokens: TokensDocument
    calls: int
    unanswered_intents: int
    """Calls whose answer never arrived: the provider may have billed them."""
    wall_s: float
    """From the order to its delivery, or to now."""
    working_s: float
    """Sum of the time spent in model calls."""
    critical_path_s: float
    """The longest chain of model calls that had to wait for each other."""
    founder_s: float
    """Time the founder spent answering, each answer counted up to the cap in `founder_rule`."""
    founder_rule: str
    by_role: list["RoleCostDocument"] = Field(default_factory=list)


class RoleCostDocument(_Part):
    """One line of the receipt."""

    role: str
    model: str
    calls: int
    amount: Amount
    currency: str
    status: CostStatus


class OrderDocument(_Part):
    """One order, whole."""

    id: str
    status: OrderStatus
    reason: Reason | None
    text: str
    language: str | None
    goal: str | None
    success_criteria: list[str]
    questions: list[QuestionDocument]
    plan: PlanDocument | None
    baseline: BaselineDocument | None
    forecast: ForecastDocument | None
    artifacts: list[ArtifactDocument]
    workspace: str
    answer: str | None
    receipt: ReceiptDocument
    budget: CostDocument | None
    """The order's budget limit, or null for none."""
    accepted_by: str | None
    signed_off_by: str | None
    """Who takes responsibility for the deliverables, by name."""
    created_at: datetime
    delivered_at: datetime | None
