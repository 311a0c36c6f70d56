"""What a cassette's first line says: of which order it is, and under what it was made."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from swarm.evals.lanes import (
    Amount,
    Digest,
    Entry,
    Moment,
    OrderId,
    OriginName,
    PlainPath,
    RoleName,
    SkillName,
)


class Provenance(BaseModel):
    """Where the answers of the models came from."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["recorded", "authored", "embedded", "imported"]
    """`recorded` from a provider, `authored` by a person, `embedded`: the model in the package.

    `imported` is the trace of another program: no order of this one, so nothing that is replayed.
    """
    by: str = ""
    """The provider's name, or the author's."""


class OrderFacts(BaseModel):
    """The order as it came in."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: OrderId
    created_at: Moment
    channel: str
    account: str
    update_id: str
    chat_id: str
    thread_id: str | None
    sender_id: str
    is_auto_signed: bool
    origin: OriginName
    customer: str | None
    text: str
    budget: Amount | None
    delivered_at: Moment | None = None


class ModelFacts(BaseModel):
    """What a model could do when it was asked, and whether it ran on own hardware."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    is_own_hardware: bool
    native_tools: bool
    native_schema: bool
    max_output_tokens: Annotated[int, Field(ge=0, le=10**9)]
    compact_prompts: bool = False


class BookFacts(BaseModel):
    """Part of a price book: the lines that priced the order."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    document: Entry


class McpFacts(BaseModel):
    """The tools of MCP servers that were offered, as they were approved; no server is started."""

    model_config = ConfigDict(extra="forbid", strict=True)

    servers: dict[str, Entry] = Field(default_factory=dict)
    """By server: what its tools do, and whom their calls reach."""
    lock: Entry = Field(default_factory=dict)
    """The approved texts of the tools, as `mcp.lock` has them."""
    offered: list[str] = Field(default_factory=list)


class PersonFacts(BaseModel):
    """Somebody who wrote on a channel, and what they may do."""

    model_config = ConfigDict(extra="forbid", strict=True)

    channel: str
    platform_id: str
    name: str
    role: Literal["founder", "team", "customer", "observer"]
    chat_id: str | None
    language: str | None


class ReasonFacts(BaseModel):
    """Why an order stands still without being done."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: str
    text: str


class HandoverFacts(BaseModel):
    """Why a customer was handed over to a human, and with which words."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: OrderId
    reason: str
    words: str


class CustomerFacts(BaseModel):
    """What bounded the answer to a customer, and whom it brought in."""

    model_config = ConfigDict(extra="forbid", strict=True)

    spent: Amount
    """What answers to this customer had cost on that UTC day, in the company's currency."""
    spent_by_all: Amount
    """The same for all customers together, this one included."""
    cards: Annotated[int, Field(ge=0, le=10_000)]
    """Customers of whom the staff had been told within the hour before."""
    waiting: HandoverFacts | None = None
    """The hand-over that was open already when the question came."""
    handover: HandoverFacts | None = None
    """The hand-over that this answer led to."""


class SkillFileFacts(BaseModel):
    """One file of a skill of the company's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sha256: Digest
    text: str | None = None
    base64: str | None = None


class Manifest(BaseModel):
    """What a cassette is of, and under what it was made."""

    model_config = ConfigDict(extra="forbid")

    lane: Literal["manifest"] = "manifest"
    format: int
    swarm: str
    """Version of the code."""
    recorded_at: Moment
    provenance: Provenance
    order: Entry
    """Of `OrderFacts`: the order's row, what it said, and its budget."""
    settings: Entry
    """The company's settings without secrets."""
    roles: dict[RoleName, str] = Field(default_factory=dict)
    """Texts of the company's own role files, by name."""
    roles_sha256: str
    """Of all roles in force, the built-in ones included."""
    prices: str
    """Id of the price book."""
    books: list[BookFacts] = Field(default_factory=list)
    """The lines of the price books that speak of the order's models; later ones win."""
    models: dict[str, ModelFacts]
    mcp: McpFacts = Field(default_factory=McpFacts)
    asks: dict[str, OrderId] = Field(default_factory=dict)
    """Ids of what the order asked people, by place: `<node> <seq>`."""
    people: list[PersonFacts] = Field(default_factory=list)
    """Who wrote about the order on a channel."""
    customer: CustomerFacts | None = None
    """Of a customer's question alone; then no name in the cassette is the customer's."""
    skills: dict[SkillName, dict[PlainPath, SkillFileFacts]] = Field(default_factory=dict)
    """The company's own skills that a person had approved, by name and path."""
    salt: str
    """Goes into the keys of requests, so that no key tells of what was redacted."""
    status: str
    """How the order ended."""
    reason: ReasonFacts | None = None
    """Why it ended so, where it was not delivered."""
    ledger_sha256: str
    """Of the order's ledger; a replay must come to the same."""
    lanes: dict[str, int] = Field(default_factory=dict)
    """How many entries each lane has."""
    dropped: list[str] = Field(default_factory=list)
    """What could not be recorded, in words."""


def read_manifest(entry: Entry) -> Manifest:
    """Read the first line.

    Raises:
        ValidationError: It is none of this version's.
    """
    OrderFacts.model_validate(entry.get("order"))
    return Manifest.model_validate(entry)
