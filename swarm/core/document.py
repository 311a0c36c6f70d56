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
    """Effort in person-hours."""
    cost: BandDocument
    method: str
    sources: list[str]
    frozen_at: datetime | None
    elapsed: HoursDocument | None = None
    """From start to end by the calendar, in hours."""
    rate: BandDocument | None = None
    """An hour of work."""
    author: str = ""
    reference_cases: int = 0
    """Borrowed cases that the hours rest on."""
    own_cases: int = 0
    """The company's own finished cases that the hours rest on."""
    calibration_id: str = ""


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
    """Written to a cache that holds for 5 minutes, or for as long as the provider does not say."""
    output: int
    reasoning: int
    cache_write_1h: int = 0
    audio: int = 0
    """Heard and spoken."""
    tool: int = 0
    """Read by the provider's own tools."""


class HostingDocument(_Part):
    """What the machine cost for this order; null where nobody knows."""

    direct: Amount | None
    """For the seconds that the order's own work took."""
    full: Amount | None
    """With its share of the machine's idle time."""
    currency: str
    status: CostStatus
    note: str


class FounderDocument(_Part):
    """The founder's time: counted by `rule`, as the founder corrected it."""

    seconds: Amount
    """Exact to the microsecond."""
    measured_seconds: Amount
    """What the rule alone gives, before corrections."""
    touches: int
    decisions: int
    options_shown: int
    options_refused: int
    reversals: int
    """Results sent back after delivery, and orders cancelled after a signature."""
    corrections: int
    rate_per_hour: Amount | None
    amount: Amount | None
    """`seconds` times `rate_per_hour` over 3600, to 1e-12, halves to even; null without a rate."""
    currency: str
    rule: str
    flags: list[str]
    """Where a clock jumped."""
    last_at: datetime | None
    """The newest action or correction that went in."""


class TotalPartDocument(_Part):
    """One line of the total."""

    name: str
    amount: Amount | None
    """In the total's currency; null where nobody knows it, or where it is kept apart."""
    status: CostStatus
    is_counted: bool
    """True where `amount` is part of the total."""
    original: CostDocument
    """The same in the currency it came in."""
    rate: Amount | None
    """Price of one unit of that currency, by company.yaml; null where it is the total's own."""


class TotalDocument(_Part):
    """All that is known of what the order cost: the sum of `parts` that are counted."""

    amount: Amount
    currency: str
    status: CostStatus
    is_at_least: bool
    """True where something has no known amount, or is in a currency without a rate."""
    notional: Amount
    """The part of `amount` that nobody is owed: list prices and the founder's rate."""
    parts: list[TotalPartDocument]
    apart: list[CostDocument]
    """Amounts in currencies without a rate; never added."""
    missing: list[str]
    """Why it is a lower bound, a sentence each."""


class AttemptsDocument(_Part):
    """Where the model cost went; the three add up to `model_cost`."""

    first: CostDocument
    """Calls that were used the first time."""
    rework: CostDocument
    """Calls made because a reviewer or a person sent something back."""
    failed: CostDocument
    """Calls without a usable answer, or whose answer another worker had already."""
    failed_calls: int
    rework_calls: int
    rework_share: Amount | None
    """Of the known model cost, to four digits; null where one of the two is not known, or 0."""
    failed_share: Amount | None


class RatioDocument(_Part):
    """How many times what the order cost people would have cost; a band, never a point."""

    p10: Amount
    p50: Amount
    p90: Amount
    words: str
    is_at_most: bool
    """True where the total is a lower bound, so that the true ratio is smaller."""
    cost: CostDocument
    """The total, in the baseline's currency."""


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
    """All model calls by role, model and currency; those in `model_cost`'s currency add up to it."""
    hosting: HostingDocument | None = None
    founder: FounderDocument | None = None
    attempts: AttemptsDocument | None = None
    total: TotalDocument | None = None
    ratio: RatioDocument | None = None
    ratio_note: str = ""
    """Why there is no ratio, where there is none."""
    left_out: list[str] = Field(default_factory=list)
    """What the total does not count, in plain words."""
    as_of: datetime | None = None
    """The newest row that went in, where it came after the order ended; then this receipt is newer
    than one printed at the end. Null while the order goes on, and where nothing came since."""


class RoleCostDocument(_Part):
    """One line of the receipt."""

    role: str
    model: str
    calls: int
    amount: Amount
    currency: str
    status: CostStatus


class WeekDocument(_Part):
    """The founder's week, Monday to Sunday in UTC."""

    start: datetime
    end: datetime
    seconds: Amount
    limit_seconds: Amount | None
    is_over: bool


class PaperDocument(ReceiptDocument):
    """A receipt on its own: `swarm receipt ID --json`."""

    order: str
    status: OrderStatus
    text: str
    language: str | None
    baseline: BaselineDocument | None
    forecast: ForecastDocument | None
    budget: CostDocument | None
    accepted_by: str | None
    created_at: datetime
    delivered_at: datetime | None
    week: WeekDocument
    """The week of the founder's last action on the order, or that it was placed in."""


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
