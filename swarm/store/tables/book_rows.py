"""What was spent, what a human team would have needed, and the founder's minutes."""

from sqlalchemy import BigInteger, Column, Index, Integer, Text

from swarm.store.tables.declared import Field, SQLModel, metadata, partial_index


class LedgerRow(SQLModel, table=True):
    """One attempt at one model call: the intent, then the answer and its price."""

    __tablename__ = "ledger"
    __table_args__ = (
        Index("ux_ledger_call", "order_id", "node", "seq", "attempt", unique=True),
        partial_index(
            "ux_ledger_used",
            "order_id",
            "node",
            "seq",
            unique=True,
            where="state = 'used'",
        ),
        partial_index(
            "ix_ledger_open",
            "order_id",
            where="state = 'intent'",
        ),
        Index("ix_ledger_started", "started_at"),
    )

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    order_id: str
    task_id: str | None
    node: str
    seq: int
    attempt: int
    state: str
    """`intent`, then `used`, `superseded` (another worker was first) or `failed`."""
    role: str
    model: str
    answered_model: str | None = None
    digest: str
    """SHA-256 of the request in canonical JSON."""
    prompt: str = Field(sa_column=Column(Text, nullable=False))
    """JSON of the request without the messages that the previous call of the node also had."""
    prompt_base: int = 0
    """How many leading messages were the same as in the previous call of the node."""
    answer: str | None = Field(default=None, sa_column=Column(Text))
    raw_usage: str | None = Field(default=None, sa_column=Column(Text))
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    audio_tokens: int | None = None
    tool_tokens: int | None = None
    provider: str | None = None
    """Who was asked, by our name; None in rows of models without one."""
    service_tier: str | None = None
    """The service tier that was billed; None where the answer could not be read."""
    parts: str | None = Field(default=None, sa_column=Column(Text))
    """JSON list of `ledger.pricing.PricedPart`; a part without an amount may have an `estimate`."""
    listed_pico: int | None = Field(default=None, sa_column=Column(BigInteger))
    """What the book says, in `listed_currency`, also where the provider named another cost."""
    listed_currency: str | None = None
    reserved_pico: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    cost_pico: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    currency: str
    cost_status: str
    price_id: str | None = None
    started_at: str
    ended_at: str | None = None
    latency_s: float | None = None
    error_kind: str | None = None
    error_text: str | None = Field(default=None, sa_column=Column(Text))


class BudgetRow(SQLModel, table=True):
    """What one scope (`order:<id>`, `day:<date>`, `company`) may spend, has spent and holds."""

    __tablename__ = "budgets"

    scope: str = Field(primary_key=True)
    limit_pico: int | None = Field(default=None, sa_column=Column(BigInteger))
    spent_pico: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    reserved_pico: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    currency: str


class BaselineRow(SQLModel, table=True):
    """A human baseline; triggers refuse to change or delete it."""

    __tablename__ = "baselines"

    order_id: str = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    """Counts the order's rows from 0."""
    body: str = Field(sa_column=Column(Text, nullable=False))
    """JSON of `core.order.Baseline`."""
    digest: str
    """SHA-256 of the body, in hexadecimal; the audit chain has it too."""
    frozen_at: str
    kind: str = Field(default="frozen", sa_column_kwargs={"server_default": "frozen"})
    """`frozen` before the work of a plan, or `view` where it was estimated again later."""
    plan_revision: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Which plan it estimates: how often a person had sent it back."""
    author: str = Field(default="", sa_column_kwargs={"server_default": ""})
    calibration_id: str = Field(
        default="borrowed-x4", sa_column_kwargs={"server_default": "borrowed-x4"}
    )


class ActualRow(SQLModel, table=True):
    """What people really took for a piece of work; triggers refuse to change or delete it."""

    __tablename__ = "actuals"
    __table_args__ = (
        Index("ux_actuals_digest", "digest", unique=True),
        Index("ix_actuals_order", "order_id"),
    )

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    order_id: str | None
    task_id: str | None
    work: str
    """The measured kind of work; see `ledger.baseline.classes`."""
    estimate_hours: str | None
    """Decimal text, estimated before the work."""
    actual_hours: str
    """Decimal text, person-hours."""
    elapsed_hours: str | None
    cost_pico: int | None = Field(default=None, sa_column=Column(BigInteger))
    currency: str | None
    source: str
    """Who did it."""
    finished_at: str | None
    digest: str
    """SHA-256 of the row's own words and of which one it is among equals, in hexadecimal."""
    imported_by: str
    imported_at: str


class FounderActionRow(SQLModel, table=True):
    """One thing a person did, or was shown; triggers refuse to change or delete it.

    That an order was placed is not written twice: its own row says when.
    """

    __tablename__ = "founder_actions"
    __table_args__ = (
        Index("ix_founder_actions_at", "at"),
        Index("ix_founder_actions_order", "order_id"),
    )

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    at: str
    kind: str
    """One of `ledger.attention.ActionKind`."""
    order_id: str | None
    """None for what concerns no single order, such as a look at the whole inbox."""
    who: str
    """The person as `channel:id`; empty for what was only shown."""
    channel: str
    since: str | None = None
    """From when on this could be acted upon: the question was shown, the result delivered."""
    asks: str = Field(default="[]", sa_column=Column(Text, server_default="[]", nullable=False))
    """JSON list of the asks it answers or shows."""
    options: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How many options were shown."""
    refused: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How many options were passed over, or proposals turned down."""


class FounderCorrectionRow(SQLModel, table=True):
    """What the founder says about their own minutes; a new row, never an edit."""

    __tablename__ = "founder_corrections"
    __table_args__ = (
        Index("ix_founder_corrections_order", "order_id"),
        Index("ix_founder_corrections_about", "about_at"),
    )

    id: str = Field(primary_key=True)
    at: str
    who: str
    kind: str
    """`away`, `add` or `revoke`."""
    order_id: str | None
    seconds: int
    """What counts instead, or on top; 0 for a revocation."""
    gaps: str = Field(default="{}", sa_column=Column(Text, server_default="{}", nullable=False))
    """JSON: the gaps that `away` speaks of, each with the microseconds it counts from now on."""
    about_at: str
    """When the minutes were spent, for the week they count in."""
    note: str = Field(default="", sa_column=Column(Text, server_default="", nullable=False))
    revokes: str | None = None
    """The correction that no longer counts."""


class HostingEventRow(SQLModel, table=True):
    """The life of an instance of this company: when it started and stopped, and on which terms."""

    __tablename__ = "hosting_events"

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    instance: str
    at: str
    event: str
    """`started` or `stopped`; one that was killed has no `stopped`."""
    terms: str | None = Field(default=None, sa_column=Column(Text))
    """JSON of `ledger.hosting.terms.Terms`: what the host costs from here on."""


class HostingUsageRow(SQLModel, table=True):
    """What one task, one order's own steps, or nobody (idle) used of the machine; at most an hour."""

    __tablename__ = "hosting_usage"
    __table_args__ = (
        Index("ix_hosting_usage_order", "order_id"),
        Index("ix_hosting_usage_started", "started_at"),
    )

    instance: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    order_id: str | None = None
    """None for idle: its times then say when the instance ran, busy or not."""
    task_id: str | None = None
    """None for the order's own steps: framing, planning, pricing, the last answer."""
    segment: int | None = None
    started_at: str
    ended_at: str
    """`started_at` and the time that passed, whatever the clock did meanwhile."""
    elapsed_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    cpu_us: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of the company's process, in microseconds."""
    memory_kib_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of the company's process, KiB times milliseconds."""
    sandbox_cpu_us: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of commands in sandboxes."""
    sandbox_memory_kib_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    peak_kib: int = Field(sa_column=Column(BigInteger, nullable=False))
    """The most that one command's processes held together."""


ledger = metadata.tables["ledger"]
budgets = metadata.tables["budgets"]
baselines = metadata.tables["baselines"]
actuals = metadata.tables["actuals"]
founder_actions = metadata.tables["founder_actions"]
founder_corrections = metadata.tables["founder_corrections"]
hosting_events = metadata.tables["hosting_events"]
hosting_usage = metadata.tables["hosting_usage"]
