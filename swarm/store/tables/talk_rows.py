"""What people and the company said to each other, and who those people are."""

from sqlalchemy import Column, Index, Integer, Text, false

from swarm.store.tables.declared import Field, SQLModel, metadata, partial_index


class OutboxRow(SQLModel, table=True):
    """One message to people. `sending` survives a crash only as `unknown`."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ux_outbox_dedupe", "dedupe_key", unique=True),
        Index("ix_outbox_queue", "state", "channel", "chat_id"),
        Index("ix_outbox_waiting", "state", "channel", "not_before", "chat_id"),
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
        partial_index(
            "ux_handovers_open",
            "channel",
            "person_id",
            unique=True,
            where="state <> 'closed'",
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


outbox = metadata.tables["outbox"]
sent_messages = metadata.tables["sent_messages"]
inbox = metadata.tables["inbox"]
people = metadata.tables["people"]
pairings = metadata.tables["pairings"]
buttons = metadata.tables["buttons"]
dialogues = metadata.tables["dialogues"]
order_notes = metadata.tables["order_notes"]
quiet_hours = metadata.tables["quiet_hours"]
topics = metadata.tables["topics"]
channel_health = metadata.tables["channel_health"]
customer_turns = metadata.tables["customer_turns"]
handovers = metadata.tables["handovers"]
