"""Chat in and chat out, as every channel speaks it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from swarm.core.origin import Origin


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One message heard on a channel."""

    channel: str
    account: str
    """Which bot or installation heard it; update ids are unique within it."""
    update_id: str
    chat_id: str
    thread_id: str | None
    sender_id: str
    """The platform's immutable id of the person, never a name."""
    text: str
    received_at: datetime
    origin: Origin = Origin.FOUNDER
    """Whose words the text is; only the founder's are orders that need no second look."""
    customer: str | None = None
    """The customer whom an order made of this message serves."""


class OutboundKind(StrEnum):
    """Say what a message is for; a decision goes out before an answer, an answer before progress."""

    DECISION = "decision"
    ANSWER = "answer"
    PROGRESS = "progress"


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One message to send."""

    channel: str
    chat_id: str
    thread_id: str | None
    kind: OutboundKind
    text: str
    order_id: str | None = None
    files: tuple[str, ...] = field(default=())
    """Absolute paths of deliverables."""
