"""Orders, their tasks, and what people decide about them."""

from sqlalchemy import Column, Index, Integer, Text

from swarm.store.tables.declared import Field, SQLModel, metadata


class OrderRow(SQLModel, table=True):
    """One order; `state` is the JSON of `core.order.OrderState`."""

    __tablename__ = "orders"
    __table_args__ = (
        Index("ux_orders_update", "channel", "account", "update_id", unique=True),
        Index("ix_orders_status", "status"),
        Index("ix_orders_created", "created_at"),
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


orders = metadata.tables["orders"]
tasks = metadata.tables["tasks"]
artifacts = metadata.tables["artifacts"]
effects = metadata.tables["effects"]
asks = metadata.tables["asks"]
approvals = metadata.tables["approvals"]
standing_rules = metadata.tables["standing_rules"]
labels = metadata.tables["labels"]
audit = metadata.tables["audit"]
audit_heads = metadata.tables["audit_heads"]
