"""The tables. They hold what was said, decided, charged and delivered; nothing is validated here.

Times are UTC ISO-8601 texts (`core.clock.iso`), which sort as times do on every database. Amounts
are whole 1e-12 parts of their currency (`core.money.to_pico`), so that a database can add them
exactly.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, false, text
from sqlmodel import Field, SQLModel


class OrderRow(SQLModel, table=True):
    """One order; `state` is the JSON of `core.order.OrderState`."""

    __tablename__ = "orders"
    __table_args__ = (
        Index("ux_orders_update", "channel", "account", "update_id", unique=True),
        Index("ix_orders_status", "status"),
    )

    id: str = Field(primary_key=True)
    created_at: str
    channel: str
    account: str
    update_id: str
    chat_id: str
    thread_id: str | None
    sender_id: str
    status: str
    reason: str | None = None
    segment: int = 0
    """Number of the segment that may move the order now; every person's word adds one."""
    owner: str | None = None
    """Token of the run that works this segment; a run that lost it changes nothing more."""
    is_auto_signed: bool = False
    """True where the founder ordered with `--yes`: nothing waits for them."""
    model: str | None = None
    """The model in force when the order was taken up."""
    state: str = Field(sa_column=Column(Text, nullable=False))
    delivered_at: str | None = None
    accepted_at: str | None = None
    accepted_by: str | None = None
    signed_off_by: str | None = None
    """Who takes responsibility for the deliverables, by name."""
    origin: str = Field(default="founder", sa_column_kwargs={"server_default": "founder"})
    """Whose words the order is; one that is not the founder's marks every task of it."""
    customer: str | None = None
    """The one customer whom the order serves; memory of others stays closed to it."""


class TaskRow(SQLModel, table=True):
    """What one task of an order came to; written by the child workflow that worked it."""

    __tablename__ = "tasks"

    order_id: str = Field(primary_key=True)
    task_id: str = Field(primary_key=True)
    segment: int
    owner: str | None = None
    state: str = Field(sa_column=Column(Text, nullable=False))
    """JSON of `core.order.TaskState`."""


class LedgerRow(SQLModel, table=True):
    """One attempt at one model call: the intent, then the answer and its price."""

    __tablename__ = "ledger"
    __table_args__ = (
        Index("ux_ledger_call", "order_id", "node", "seq", "attempt", unique=True),
        Index(
            "ux_ledger_used",
            "order_id",
            "node",
            "seq",
            unique=True,
            sqlite_where=text("state = 'used'"),
            postgresql_where=text("state = 'used'"),
        ),
        Index(
            "ix_ledger_open",
            "order_id",
            sqlite_where=text("state = 'intent'"),
            postgresql_where=text("state = 'intent'"),
        ),
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


class EffectRow(SQLModel, table=True):
    """One tool call: the policy's decision and the result, which a second run takes from here."""

    __tablename__ = "effects"

    order_id: str = Field(primary_key=True)
    node: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    tool: str
    arguments: str = Field(sa_column=Column(Text, nullable=False))
    decision: str
    rule: str
    state: str = Field(default="done", sa_column_kwargs={"server_default": "done"})
    """`started` before an effect on the world; one found so after a crash is never made again."""
    approval_id: str | None = None
    result: str = Field(sa_column=Column(Text, nullable=False))
    at: str


class AskRow(SQLModel, table=True):
    """Something a person is asked: a question, a choice or a signature."""

    __tablename__ = "asks"
    __table_args__ = (
        Index("ux_asks_key", "order_id", "node", "seq", unique=True),
        Index("ix_asks_state", "state"),
    )

    id: str = Field(primary_key=True)
    order_id: str
    segment: int
    task_id: str | None
    node: str
    seq: int
    kind: str
    asked_by: str
    text: str = Field(sa_column=Column(Text, nullable=False))
    options: str = "[]"
    state: str = "open"
    """`open`, `answered`, or `void` when the order went on without it."""
    created_at: str
    shown_at: str | None = None
    answered_at: str | None = None
    answered_by: str | None = None
    answer: str | None = Field(default=None, sa_column=Column(Text))


class ApprovalRow(SQLModel, table=True):
    """One effect that a person is asked to sign: what was shown is what runs, once."""

    __tablename__ = "approvals"
    __table_args__ = (
        Index("ux_approvals_call", "order_id", "node", "seq", "position", "nonce", unique=True),
        Index("ix_approvals_ask", "ask_id"),
    )

    id: str = Field(primary_key=True)
    ask_id: str
    order_id: str
    task_id: str | None
    node: str
    seq: int
    position: int
    action: str = Field(sa_column=Column(Text, nullable=False))
    """RFC 8785 JSON of the whole action."""
    digest: str
    """SHA-256 of the action and the nonce, in hexadecimal."""
    nonce: str
    state: str = "open"
    """`open`, `signed`, `refused`, `used`, `expired` or `void`."""
    expires_at: str
    created_at: str
    decided_at: str | None = None
    approver: str | None = None
    """The platform's immutable id of who decided, as `channel:id`."""
    approver_name: str | None = None
    reason: str | None = Field(default=None, sa_column=Column(Text))
    used_at: str | None = None


class StandingRuleRow(SQLModel, table=True):
    """What the founder signed in advance: a role may use a tool towards named destinations."""

    __tablename__ = "standing_rules"

    id: str = Field(primary_key=True)
    role: str
    tool: str
    destinations: str
    """JSON list; every destination of a call must be in it. Empty means none."""
    until: str
    note: str
    created_at: str
    created_by: str
    revoked_at: str | None = None
    revoked_by: str | None = None


class LabelRow(SQLModel, table=True):
    """Whose words a file of an order's workspace holds, where they are not the team's."""

    __tablename__ = "labels"

    order_id: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    """Relative to the workspace; empty speaks of every file in it."""
    origin: str
    is_private: bool = Field(default=False)
    source: str
    """The task and the tool that wrote it."""
    at: str


class AuditRow(SQLModel, table=True):
    """One link of the audit chain; triggers refuse to change or delete it."""

    __tablename__ = "audit"

    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    """Counts from 1 without gaps."""
    at: str
    kind: str
    """What happened, such as `effect`, `approval`, `sign_off`, `memory_forgotten`."""
    order_id: str | None
    actor: str
    """Who did it: a role, `system`, or a person as `channel:id`."""
    initiator: str | None
    """Whose order it served, as `channel:id`."""
    approver: str | None
    """The human who signed, as `channel:id`; None where no signature was asked for."""
    body: str = Field(sa_column=Column(Text, nullable=False))
    """RFC 8785 JSON of what happened."""
    previous: str
    """Hash of the row before; 64 zeros for the first."""
    hash: str
    """SHA-256 over the RFC 8785 JSON of all other columns, in hexadecimal."""


class AuditHeadRow(SQLModel, table=True):
    """A signed head of the audit chain."""

    __tablename__ = "audit_heads"

    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    hash: str
    key_id: str
    """SHA-256 of the public key, in hexadecimal."""
    signature: str
    """Ed25519 over `<seq>:<hash>`, in hexadecimal."""
    at: str


class OutboxRow(SQLModel, table=True):
    """One message to people. `sending` survives a crash only as `unknown`."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ux_outbox_dedupe", "dedupe_key", unique=True),
        Index("ix_outbox_state", "state"),
    )

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    dedupe_key: str
    order_id: str | None
    channel: str
    chat_id: str
    thread_id: str | None
    kind: str
    body: str = Field(sa_column=Column(Text, nullable=False))
    files: str = "[]"
    state: str = "pending"
    """`pending`, `sending`, `sent`, `unknown`, or `refused` by the platform."""
    tries: int = 0
    not_before: str
    created_at: str
    sent_at: str | None = None
    sent_id: str | None = None


class ArtifactRow(SQLModel, table=True):
    """One deliverable on disk."""

    __tablename__ = "artifacts"

    order_id: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    sha256: str
    bytes: int
    role: str
    task_id: str
    created_at: str


class BaselineRow(SQLModel, table=True):
    """A frozen baseline; rows are only ever added."""

    __tablename__ = "baselines"

    order_id: str = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    body: str = Field(sa_column=Column(Text, nullable=False))
    digest: str
    frozen_at: str


class MemoryRow(SQLModel, table=True):
    """Something remembered. The database keeps its full-text index in step by itself."""

    __tablename__ = "memories"
    __table_args__ = (
        Index("ux_memories_key", "key", unique=True),
        Index("ux_memories_number", "number", unique=True),
        # Answers alone whether a viewer may see a row that the full-text index found.
        Index(
            "ix_memories_sight",
            "number",
            "superseded_by",
            "scope",
            "scope_id",
            "is_quarantined",
            "valid_until",
            "audience",
        ),
        Index("ix_memories_subject", "scope", "scope_id", "subject_key"),
        Index("ix_memories_observed", "observed_at"),
        Index("ix_memories_superseded", "superseded_by"),
        Index("ix_memories_indexed", "indexed_by"),
    )

    id: str = Field(primary_key=True)
    number: int | None = None
    """By which SQLite's index counts rows: its own row numbers change when it is vacuumed."""
    kind: str
    text: str = Field(sa_column=Column(Text, nullable=False))
    words: str = Field(default="", sa_column=Column(Text, nullable=False))
    """The stems of the text, each once, between spaces: what the index holds."""
    reach: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Index terms that say whom the memory belongs to."""
    indexed_by: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Version of the stemmer that made `words`; 0 where none did yet."""
    origin: str
    order_id: str | None
    key: str | None
    observed_at: str
    scope: str = Field(default="company", sa_column_kwargs={"server_default": "company"})
    """`company`, `role`, `person` or `customer`."""
    scope_id: str | None = None
    audience: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Roles that may see it, as `|ceo|cto|`; empty means all."""
    source: str | None = None
    """The order, message or file it was taken from."""
    observed_by: str | None = None
    is_flow: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """True for what a person saw in the field at a date."""
    valid_until: str | None = None
    half_life_days: int | None = None
    confidence: float = Field(default=1.0, sa_column_kwargs={"server_default": "1"})
    importance: float = Field(default=0.5, sa_column_kwargs={"server_default": "0.5"})
    subject: str | None = None
    subject_key: str | None = None
    """The subject folded; of live rows with one scope and key, the newest counts."""
    is_quarantined: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    confirmed_by: str | None = None
    superseded_by: str | None = None
    """The memory that took its place; the row is kept and no longer indexed."""


class MemoryVectorRow(SQLModel, table=True):
    """The vector of one memory in the space of one embedding model."""

    __tablename__ = "memory_vectors"

    memory_id: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    vector: bytes
    """Little-endian 32-bit floats, scaled to length 1."""


class MetaRow(SQLModel, table=True):
    """Facts about the company's database itself."""

    __tablename__ = "meta"

    key: str = Field(primary_key=True)
    value: str


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


orders = _table("orders")
tasks = _table("tasks")
ledger = _table("ledger")
budgets = _table("budgets")
effects = _table("effects")
asks = _table("asks")
approvals = _table("approvals")
standing_rules = _table("standing_rules")
labels = _table("labels")
audit = _table("audit")
audit_heads = _table("audit_heads")
outbox = _table("outbox")
artifacts = _table("artifacts")
baselines = _table("baselines")
memories = _table("memories")
memory_vectors = _table("memory_vectors")
meta = _table("meta")
metadata = SQLModel.metadata
