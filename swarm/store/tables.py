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
        Index("ix_outbox_slot", "channel", "chat_id", "slot"),
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
    """`pending`, `sending`, `sent`, `unknown`, `refused` by the platform, or `void` when it came to
    say nothing any more."""
    tries: int = 0
    not_before: str
    created_at: str
    sent_at: str | None = None
    sent_id: str | None = None
    place: int | None = None
    """Number of the message that this is a part of: what a person reads stays together."""
    part: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    card: str | None = None
    """How the order ended its segment, where the text is written anew as a card when it is sent."""
    buttons: str = Field(default="[]", sa_column_kwargs={"server_default": "[]"})
    """JSON list of rows of `{label, token}`."""
    markup: str | None = Field(default=None, sa_column=Column(Text))
    """The text in the platform's own form, cut to fit."""
    slot: str | None = None
    """A place in the chat that is edited: of the messages with one slot the newest counts."""
    reply_to: str | None = None
    is_silent: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    ask_id: str | None = None
    """What it asks, where it asks one thing."""
    error: str | None = Field(default=None, sa_column=Column(Text))
    held_until: str | None = None
    """Until when it is held back because its reader sleeps; it holds up nothing behind it."""


class SentRow(SQLModel, table=True):
    """One message as the platform numbered it, to find what a reply or a reaction means."""

    __tablename__ = "sent_messages"
    __table_args__ = (Index("ix_sent_messages_slot", "channel", "chat_id", "slot"),)

    channel: str = Field(primary_key=True)
    chat_id: str = Field(primary_key=True)
    message_id: str = Field(primary_key=True)
    outbox_id: int
    order_id: str | None
    ask_id: str | None
    slot: str | None
    sent_at: str


class InboxRow(SQLModel, table=True):
    """One update of a platform, stored before the platform is told that it was received."""

    __tablename__ = "inbox"
    __table_args__ = (
        Index("ux_inbox_update", "channel", "account", "update_id", unique=True),
        Index("ix_inbox_state", "state"),
        Index("ix_inbox_message", "channel", "chat_id", "message_id"),
    )

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    channel: str
    account: str
    update_id: str
    kind: str
    chat_id: str
    thread_id: str | None
    sender_id: str
    message_id: str | None
    raw: bytes
    """The update as it came."""
    body: str = Field(sa_column=Column(Text, nullable=False))
    """JSON of what the channel read in it."""
    received_at: str
    state: str = "new"
    """`new`, then `done`, `ignored`, or `failed` where handling it broke again and again."""
    tries: int = 0
    handled_at: str | None = None
    outcome: str | None = Field(default=None, sa_column=Column(Text))
    order_id: str | None = None
    """The order that it became, or spoke of."""


class PersonRow(SQLModel, table=True):
    """Somebody who may talk to the company, by the platform's immutable id."""

    __tablename__ = "people"
    __table_args__ = (
        Index("ux_people_id", "channel", "platform_id", unique=True),
        Index("ix_people_chat", "channel", "chat_id"),
    )

    id: str = Field(primary_key=True)
    channel: str
    platform_id: str
    name: str
    """As they call themselves; shown, never compared."""
    role: str
    """`founder`, `team`, `customer` or `observer`."""
    chat_id: str | None
    """Where they are reached in private."""
    language: str | None = None
    added_at: str
    added_by: str
    revoked_at: str | None = None
    revoked_by: str | None = None


class PairingRow(SQLModel, table=True):
    """A code that lets somebody in: shown to a stranger and approved, or given out once."""

    __tablename__ = "pairings"
    __table_args__ = (Index("ix_pairings_state", "state"),)

    code: str = Field(primary_key=True)
    """SHA-256 of the code, in hexadecimal."""
    kind: str
    """`request` of a stranger, which the operator approves; `invite` of the operator."""
    shown: str | None = None
    """The code in clear, for requests alone: it gives nothing by itself."""
    channel: str | None
    account: str | None
    platform_id: str | None
    name: str
    chat_id: str | None
    role: str
    created_at: str
    expires_at: str
    state: str
    """`pending`, `approved`, `used` or `revoked`."""
    decided_at: str | None = None
    decided_by: str | None = None


class ButtonRow(SQLModel, table=True):
    """One button under one message; the platform knows only its token."""

    __tablename__ = "buttons"
    __table_args__ = (Index("ix_buttons_card", "card"),)

    token: str = Field(primary_key=True)
    card: str
    """Buttons of one card: the first one pressed settles all."""
    channel: str
    chat_id: str
    person_id: str | None
    """Who alone may press it; None leaves it to the rights."""
    action: str = Field(sa_column=Column(Text, nullable=False))
    """JSON of what it does, with the digest of what was shown."""
    label: str
    created_at: str
    expires_at: str
    used_at: str | None = None
    used_by: str | None = None
    outcome: str | None = None


class DialogueRow(SQLModel, table=True):
    """What the next words of one person in one place are about."""

    __tablename__ = "dialogues"

    channel: str = Field(primary_key=True)
    chat_id: str = Field(primary_key=True)
    thread_id: str = Field(primary_key=True)
    """Empty outside topics."""
    person_id: str = Field(primary_key=True)
    kind: str
    order_id: str | None
    ask_id: str | None
    body: str = Field(sa_column=Column(Text, nullable=False))
    expires_at: str


class OrderNoteRow(SQLModel, table=True):
    """What a person said of an order while it was worked; read when it is planned anew."""

    __tablename__ = "order_notes"
    __table_args__ = (Index("ix_order_notes_order", "order_id"),)

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    order_id: str
    at: str
    by: str
    text: str = Field(sa_column=Column(Text, nullable=False))
    taken_at: str | None = None


class QuietHoursRow(SQLModel, table=True):
    """When one person wants to be left alone, by their own word.

    What they said nothing of is as the settings have it.
    """

    __tablename__ = "quiet_hours"

    channel: str = Field(primary_key=True)
    platform_id: str = Field(primary_key=True)
    zone: str | None = None
    """IANA name."""
    hours: str | None = None
    """`HH:MM-HH:MM` on their wall, or `off`."""
    digest: str | None = None
    """`HH:MM`, `end` of the quiet hours, or `off`."""
    set_at: str


class TopicRow(SQLModel, table=True):
    """The topic of a group that one order has to itself."""

    __tablename__ = "topics"
    __table_args__ = (
        Index("ix_topics_state", "channel", "state"),
        Index("ix_topics_thread", "channel", "chat_id", "thread_id"),
    )

    order_id: str = Field(primary_key=True)
    channel: str
    chat_id: str
    thread_id: str | None = None
    """The platform's id of it, once it is there."""
    origin_thread: str | None = None
    """Where the order was given, and where it goes on without a topic."""
    name: str
    state: str
    """`opening`, `open`, `closed` at the order's end, `lost` to a person who closed or deleted it,
    or `refused` by the platform."""
    at: str


class LeaseRow(SQLModel, table=True):
    """Who alone may do something for now, such as polling a bot."""

    __tablename__ = "leases"

    name: str = Field(primary_key=True)
    owner: str
    until: str


class ChannelHealthRow(SQLModel, table=True):
    """How a channel fares, for `swarm doctor` and the founder."""

    __tablename__ = "channel_health"

    channel: str = Field(primary_key=True)
    account: str
    state: str
    """`well`, `waiting`, or `broken`."""
    detail: str = Field(sa_column=Column(Text, nullable=False))
    at: str
    well_at: str | None = None


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


class FarmInstanceRow(SQLModel, table=True):
    """One instance of the farm that this home's operator runs, as it is wanted."""

    __tablename__ = "farm_instances"

    name: str = Field(primary_key=True)
    driver: str
    owner: str
    image: str
    generation: str
    """Of the run that made what runs now, or that makes it."""
    spec: str = Field(sa_column=Column(Text, nullable=False))
    """JSON: limits, environment, budget, names of the secrets; never a secret's value."""
    state: str
    """`coming`, `running`, `stopped` or `going`: what the last command wanted, reached or not."""
    created_at: str
    updated_at: str
    ready_at: str | None = None
    """When it was healthy for the first time."""
    ready_ms: int | None = None
    """How long that took from the command on."""
    bot: str | None = None
    """Name of the bot to talk to, as the chat service says it."""
    backup: str | None = None
    """Path of the newest backup."""


class FarmJournalRow(SQLModel, table=True):
    """One thing done, or about to be done, to something that a farm driver pays for or made."""

    __tablename__ = "farm_journal"
    __table_args__ = (
        Index("ix_farm_journal_instance", "instance"),
        Index(
            "ux_farm_journal_open",
            "provider", "instance", "generation", "action", "kind", "name",
            unique=True,
            sqlite_where=text("state = 'intended'"),
            postgresql_where=text("state = 'intended'"),
        ),
    )  # fmt: skip

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    instance: str
    """Empty for what several instances share."""
    owner: str
    generation: str
    provider: str
    action: str
    kind: str
    name: str
    type: str | None = None
    location: str | None = None
    size_gb: str | None = None
    parent: str | None = None
    cpus: str | None = None
    memory_mib: int | None = None
    hour_pico: int | None = Field(default=None, sa_column=Column(BigInteger))
    month_pico: int | None = Field(default=None, sa_column=Column(BigInteger))
    price: str | None = Field(default=None, sa_column=Column(Text))
    """JSON of the rest of the price: currency, tax, status, source, day read, reason."""
    state: str
    """`intended`, `done` or `undone`."""
    intended_at: str
    ended_at: str | None = None
    """When it took effect in the place."""
    resource_id: str = ""
    why: str = ""


class CustomerTurnRow(SQLModel, table=True):
    """One thing said in the conversation with one customer; no other customer's prompt holds it."""

    __tablename__ = "customer_turns"
    __table_args__ = (
        Index("ix_customer_turns_person", "channel", "person_id", "id"),
        Index("ix_customer_turns_at", "side", "at"),
    )

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    channel: str
    person_id: str
    """The platform's immutable id."""
    at: str
    side: str
    """`customer`, `support` or `human`; `limit` where the customer was told to slow down."""
    text: str = Field(sa_column=Column(Text, nullable=False))
    order_id: str | None = None
    """The order that answers it, or that it answers; None while it waits for one."""
    files: str = Field(default="[]", sa_column=Column(Text, server_default="[]", nullable=False))
    """JSON list of the files that came with it: `name`, `path` and `bytes` of each."""
    note: str | None = None
    """Names of the voice notes that it was spoken in, as their lines of the ledger stand under."""


class HandoverRow(SQLModel, table=True):
    """A customer who is to be answered by a human; one at a time for each customer."""

    __tablename__ = "handovers"
    __table_args__ = (
        Index(
            "ux_handovers_open",
            "channel",
            "person_id",
            unique=True,
            sqlite_where=text("state <> 'closed'"),
            postgresql_where=text("state <> 'closed'"),
        ),
        Index("ix_handovers_state", "state"),
    )

    id: str = Field(primary_key=True)
    channel: str
    account: str
    chat_id: str
    thread_id: str | None = None
    person_id: str
    name: str
    """As the customer calls themselves: shown, never compared."""
    language: str | None = None
    state: str
    """`open` until a human acts, `taken` while one writes instead of Support, then `closed`."""
    reason: str = Field(sa_column=Column(Text, nullable=False))
    words: str = Field(sa_column=Column(Text, nullable=False))
    """What the customer wrote, as it was handed over."""
    order_id: str | None = None
    """The order whose answer handed over."""
    asked_at: str
    touched_at: str
    """When a human last acted on it."""
    shown_at: str | None = None
    """When it first reached a human."""
    answered_at: str | None = None
    """When a human first wrote to the customer."""
    taken_by: str | None = None
    closed_at: str | None = None
    closed_by: str | None = None
    inner_order_id: str | None = None
    """The internal order that a person opened for it."""


class WorkerRow(SQLModel, table=True):
    """One worker on a shared database; its row goes when it leaves, and stays when it dies."""

    __tablename__ = "workers"

    name: str = Field(primary_key=True)
    """Its executor id: unique among those who work, the same over its restarts."""
    generation: int
    """Counts the lives under this name; whoever takes a worker's orders away adds one as well."""
    tag: str
    """Names its connections on the server."""
    host: str
    pid: int
    concurrency: int
    """Orders it works at the same time."""
    version: str
    """Of the work it can do."""
    started_at: str
    seen_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    """When it last gave a sign of life, by the server's clock, in Unix milliseconds."""


class RecoveryRow(SQLModel, table=True):
    """How often the worker of a segment died since the order last got on."""

    __tablename__ = "recoveries"

    order_id: str = Field(primary_key=True)
    segment: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    deaths: int
    progress: int
    """Calls and effects on the order's books at the last recovery."""
    counted_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class ReaperActionRow(SQLModel, table=True):
    """How often something was done for workers that died, over the company's life."""

    __tablename__ = "reaper_actions"

    action: str = Field(primary_key=True)
    count: int


class RateGateRow(SQLModel, table=True):
    """When the last calls of a provider began, or will: all workers together keep its limit."""

    __tablename__ = "rate_gates"

    name: str = Field(primary_key=True)
    begins: str = Field(sa_column=Column(Text, nullable=False))
    """JSON list of Unix milliseconds, oldest first."""


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
sent_messages = _table("sent_messages")
inbox = _table("inbox")
people = _table("people")
pairings = _table("pairings")
buttons = _table("buttons")
dialogues = _table("dialogues")
order_notes = _table("order_notes")
quiet_hours = _table("quiet_hours")
topics = _table("topics")
leases = _table("leases")
channel_health = _table("channel_health")
artifacts = _table("artifacts")
baselines = _table("baselines")
actuals = _table("actuals")
founder_actions = _table("founder_actions")
founder_corrections = _table("founder_corrections")
memories = _table("memories")
memory_vectors = _table("memory_vectors")
hosting_events = _table("hosting_events")
hosting_usage = _table("hosting_usage")
farm_instances = _table("farm_instances")
farm_journal = _table("farm_journal")
customer_turns = _table("customer_turns")
handovers = _table("handovers")
workers = _table("workers")
recoveries = _table("recoveries")
reaper_actions = _table("reaper_actions")
rate_gates = _table("rate_gates")
meta = _table("meta")
metadata = SQLModel.metadata
