"""What each line of a cassette may say; a line that says anything else is refused.

Lines stay plain dictionaries where they are used. They come from strangers, so each is held to its
shape when it is read: what is played later never meets a number where a text belongs.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from swarm.core.clock import parse_iso
from swarm.core.origin import Origin
from swarm.core.usage import Usage

Entry: TypeAlias = dict[str, Any]

MAX_NAME = 1024
_ORIGINS = tuple(origin.value for origin in Origin)


def _moment(text: str) -> str:
    parse_iso(text)
    return text


def _path(name: str) -> str:
    """Hold a file's name to a plain path below the workspace."""
    is_plain = (
        0 < len(name) <= MAX_NAME
        and not name.startswith("/")
        and "\\" not in name
        and name.isprintable()
        and all(part not in ("", ".", "..") for part in name.split("/"))
    )
    if not is_plain:
        raise ValueError(f"{name[:80]!r} is no path inside a workspace")
    return name


def _origin(name: str) -> str:
    if name not in _ORIGINS:
        raise ValueError(f"there is no origin {name[:40]!r}")
    return name


def _usage(counts: Mapping[str, int]) -> Mapping[str, int]:
    if unknown := [name for name in counts if name not in Usage.__dataclass_fields__]:
        raise ValueError(f"there is no count {unknown[0][:40]!r}")
    if any(not 0 <= count <= 10**12 for count in counts.values()):
        raise ValueError("a count is below zero or larger than any call can be")
    return counts


def _name(name: str) -> str:
    """Hold the name of a file to one file in one folder."""
    if "/" in name:
        raise ValueError(f"{name[:80]!r} is no name of one file")
    return _path(name)


Moment = Annotated[str, AfterValidator(_moment)]
FileName = Annotated[str, AfterValidator(_name)]
PlainPath = Annotated[str, AfterValidator(_path)]
OriginName = Annotated[str, AfterValidator(_origin)]
Counts = Annotated[dict[str, int], AfterValidator(_usage)]
SkillName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
RoleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
OrderId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[str, StringConstraints(pattern=r"^\d{1,24}(\.\d{1,24})?$")]
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=-10, le=10**9)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FailureEntry(_Line):
    """How an attempt ended that brought no answer."""

    kind: str | None
    text: str | None
    is_owed: bool


class ChargeEntry(_Line):
    """What the books say that an attempt cost."""

    cost: Amount
    currency: str
    status: str
    price_id: str | None
    provider: str | None
    tier: str | None


class ModelEntry(_Line):
    """One attempt at a model call."""

    lane: Literal["model"]
    lane_of: str
    role: str
    key: Digest
    request: Entry
    model: str
    started_at: Moment
    ended_at: Moment
    latency_s: Seconds
    error: FailureEntry | None = None
    answer: Entry | None = None
    raw_usage: Entry | None = None
    usage: Counts | None = None
    charge: ChargeEntry
    ledger_sha256: Digest
    """Of the attempt's row in the ledger; a replay must come to the same."""


class ToolResultEntry(_Line):
    """What a tool call came to."""

    content: str
    is_fault: bool
    is_refused: bool = False
    delivered: list[str] = Field(default_factory=list)
    origin: OriginName = Origin.TEAM.value
    is_private: bool = False
    changed: dict[PlainPath, Digest | None] | None = None


class ToolEntry(_Line):
    """One tool call."""

    lane: Literal["tool"]
    node: str
    seq: Count
    position: Count
    tool: str
    arguments: str
    decision: str
    rule: str
    state: str
    result: ToolResultEntry


class FounderEntry(_Line):
    """One word of a person."""

    lane: Literal["founder"]
    act: Literal[
        "question", "choice", "approval", "signature", "rework", "accept", "resume", "cancel",
        "budget", "pause", "unpause",
    ]  # fmt: skip
    at: Moment | None
    node: str | None = None
    seq: Count | None = None
    answer: str | None = None
    by: str | None = None
    shown_at: Moment | None = None
    signed: bool | None = None
    reason: str | None = None
    who: str | None = None
    sign: str | None = None
    limit: Amount | None = None
    """Of `budget`: the new limit of the order; None takes it away."""


class RecallEntry(_Line):
    """What memory brought into a prompt."""

    lane: Literal["recall"]
    node: str
    lines: list[str]
    ids: list[str]
    origins: list[OriginName]
    is_private: bool = False


class BaselineEntry(_Line):
    """The human baseline of a plan, as it was frozen."""

    lane: Literal["baseline"]
    plan_revision: Count
    body: Entry


class MessageEntry(_Line):
    """One message that the company sent."""

    lane: Literal["message"]
    key: str
    kind: str
    text: str
    at: Moment | None = None
    """When it was written."""
    sent_at: Moment | None = None
    sent_id: str | None = None
    """The platform's id of it; None where no channel sent it."""


class ButtonEntry(_Line):
    """What a pressed button stood for; its token is in no cassette."""

    card: str
    do: str
    number: int | None = None


class InboundFileEntry(_Line):
    """A file that came with a message."""

    name: FileName
    mime: str = ""
    sha256: Digest
    text: str | None = None
    base64: str | None = None


class SpokenEntry(_Line):
    """The voice notes that a written word was heard in; the sound is kept nowhere."""

    notes: list[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]]
    """The first half of each note's SHA-256, in hexadecimal."""
    by: str
    """The model that wrote it down."""


class InboundEntry(_Line):
    """One thing that a person wrote, pressed or sent on a channel, about the order."""

    lane: Literal["inbound"]
    row: Annotated[int, Field(gt=0, le=2**53)]
    """Its number in the inbox, which names the replies to it."""
    at: Moment
    """When it was acted upon."""
    received_at: Moment
    kind: Literal["text", "edit", "callback", "reaction", "file"]
    channel: str
    account: str
    update_id: str
    chat_id: str
    thread_id: str | None
    sender_id: str
    sender_name: str
    message_id: str | None
    reply_to: str | None
    text: str
    data: str = ""
    """The sign of a reaction; of a button there is `button`."""
    button: ButtonEntry | None = None
    files: list[InboundFileEntry] = Field(default_factory=list)
    spoken: SpokenEntry | None = None
    """Where the words were spoken: their text is what was heard, and what its sender agreed to."""
    language: str
    origin: OriginName
    customer: str | None
    is_private: bool
    is_addressed: bool
    is_forwarded: bool
    outcome: str
    """What the company made of it; a replay must come to the same."""


class FileEntry(_Line):
    """One file as the order left it."""

    lane: Literal["file"]
    path: PlainPath
    sha256: Digest
    text: str | None = None
    base64: str | None = None


class GivenEntry(_Line):
    """One file as it lay in the workspace before the order began."""

    lane: Literal["given"]
    path: PlainPath
    sha256: Digest
    text: str | None = None
    base64: str | None = None


class ChangeEntry(_Line):
    """One file as a command left it; without a digest the command deleted it."""

    lane: Literal["change"]
    node: str
    seq: Count
    position: Count
    path: PlainPath
    sha256: Digest | None
    text: str | None = None
    base64: str | None = None


class PassageEntry(_Line):
    """One piece of what the company wrote down, as it was given to who answered a customer."""

    lane: Literal["passage"]
    label: Annotated[str, StringConstraints(pattern=r"^[kf][0-9]{1,3}$")]
    source: str
    text: str


class TurnEntry(_Line):
    """One thing that was said in a customer's conversation before the order's answer."""

    lane: Literal["turn"]
    side: Literal["customer", "command", "support", "human", "limit"]
    at: Moment
    text: str
    """Empty where no answer is written with it."""
    is_asked: bool = False
    """Whether it waited for this order's answer."""


class EndEntry(_Line):
    """The last line."""

    lane: Literal["end"]
    lines: int
    sha256: Digest


LINES: dict[str, type[_Line]] = {
    "model": ModelEntry,
    "tool": ToolEntry,
    "founder": FounderEntry,
    "recall": RecallEntry,
    "baseline": BaselineEntry,
    "inbound": InboundEntry,
    "given": GivenEntry,
    "message": MessageEntry,
    "file": FileEntry,
    "change": ChangeEntry,
    "passage": PassageEntry,
    "turn": TurnEntry,
    "end": EndEntry,
}
LANES = tuple(name for name in LINES if name != "end")


@cache
def _adapter(lane: str) -> TypeAdapter[Any]:
    return TypeAdapter(LINES[lane])


def fault_of(entry: Entry) -> str | None:
    """Return what is wrong with an entry, in words; None where nothing is."""
    if entry["lane"] not in LINES:
        return f"there is no lane {entry['lane'][:40]!r}"
    try:
        _adapter(entry["lane"]).validate_python(entry)
    except ValidationError as error:
        return f"an entry of lane {entry['lane']}: {first_fault(error)}"
    except RecursionError:
        return "it is nested too deeply"
    return None


def first_fault(error: ValidationError) -> str:
    """Return the first fault of a document as a clause that names its place."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))[:200]
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
