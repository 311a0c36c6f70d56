"""Chat in and chat out, as every channel speaks it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from swarm.core.origin import Origin


class InboundKind(StrEnum):
    """Say what somebody did on a channel."""

    TEXT = "text"
    EDIT = "edit"
    """An earlier message has new words."""
    CALLBACK = "callback"
    """A button was pressed; `data` is its token."""
    REACTION = "reaction"
    """`data` is the sign put on a message of ours; empty where it was taken away."""
    VOICE = "voice"
    FILE = "file"
    OTHER = "other"
    """Something this version has no use for; it is stored and left alone."""


@dataclass(frozen=True, slots=True)
class InboundFile:
    """A file that somebody sent, not yet fetched."""

    file_id: str
    name: str
    bytes: int | None
    """Size as the platform states it, before anything is fetched."""
    mime: str = ""
    path: str | None = None
    """Where it was put once fetched, as an absolute path."""
    refused: str = ""
    """Why it was not taken; empty where it was, or was not looked at yet."""


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
    kind: InboundKind = InboundKind.TEXT
    message_id: str | None = None
    """The platform's id of the message; an edit names the message that was edited."""
    reply_to: str | None = None
    """Id of the message that this one answers."""
    data: str = ""
    """What came with a button or a reaction."""
    click_id: str | None = None
    """What the platform wants named when a click is acknowledged."""
    sender_name: str = ""
    """As the person calls themselves: shown, never compared."""
    is_private: bool = True
    """True where nobody else reads the chat."""
    is_addressed: bool = True
    """True where the company is meant: in private always, in a group by a mention or a reply."""
    is_forwarded: bool = False
    """True where the words are somebody else's."""
    language: str = ""
    """ISO 639-1 code of the person's own app; empty where the platform does not say."""
    files: tuple[InboundFile, ...] = ()
    album: str | None = None
    """What messages that were sent as one have in common."""
    raw: bytes = field(default=b"", repr=False)
    """The update as it came; empty where the channel has no such thing."""


class OutboundKind(StrEnum):
    """Say what a message is for; a decision goes out before an answer, an answer before progress."""

    DECISION = "decision"
    ANSWER = "answer"
    PROGRESS = "progress"


@dataclass(frozen=True, slots=True)
class Button:
    """One button under a message."""

    label: str
    token: str
    """What comes back when it is pressed: opaque, at most 64 bytes."""


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
    buttons: tuple[tuple[Button, ...], ...] = ()
    """Rows of buttons."""
    markup: str | None = None
    """The text as the channel's `parts` formatted it; None where it is to be sent plain."""
    card: str | None = None
    """Status of the order that a channel with buttons shows as a card instead of the text."""
    slot: str | None = None
    """A place in the chat: of the messages with one slot, a later one edits an earlier one."""
    edits: str | None = None
    """The platform's id of the message that this one takes the place of."""
    reply_to: str | None = None
    is_silent: bool = False
    """True where no sound should be made."""
    ask_id: str | None = None
    """The one thing that it asks, if it asks one."""


class SignalKind(StrEnum):
    """Say what a signal is: something seen for a moment, which is no message."""

    TYPING = "typing"
    CLICK = "click"
    """Ends the wait of whoever pressed a button."""
    UNBUTTON = "unbutton"
    """Takes the buttons of a message away, or changes them."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One hint to a platform; lost ones are not sent again."""

    kind: SignalKind
    chat_id: str
    thread_id: str | None = None
    click_id: str | None = None
    message_id: str | None = None
    text: str = ""
    is_refusal: bool = False
    """True where the text says why nothing was done: a platform that has no notes for clicks writes it."""
