"""What a memory holds, who may see it, and what a memory does."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection

from swarm.core.errors import InvalidInput
from swarm.core.origin import Origin

INTERNAL = "internal"
"""In an audience: any role, but never while it serves a customer."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class MemoryConfig(BaseModel):
    """How memory is searched. Environment: `SWARM_MEMORY__<FIELD>`."""

    model_config = ConfigDict(extra="forbid")

    embedding_model: str | None = None
    """Such as `openai/text-embedding-3-small`: memories are then found by sense too, which costs
    one small metered call per recall. None finds them by words alone, and asks nobody."""


class MemoryKind(StrEnum):
    """Say what a memory is about."""

    EPISODE = "episode"
    """What an order was and how it ended."""
    PREFERENCE = "preference"
    """What the founder corrected, chose or refused."""
    LESSON = "lesson"
    """What a review taught."""
    FACT = "fact"


class Scope(StrEnum):
    """Say whom a memory belongs to."""

    COMPANY = "company"
    ROLE = "role"
    PERSON = "person"
    """One person of the team: their taste, their word."""
    CUSTOMER = "customer"
    """One customer; what it holds never reaches another."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Say for whom memories are looked up; it is built from the task, never from a model's words."""

    role: str
    person: str | None = None
    """Id of the person whom the role works for."""
    customer: str | None = None
    """The one customer whom the role serves now."""
    is_owner: bool = False
    """True for the company's own person at the company's own door: sees every memory."""


@dataclass(frozen=True, slots=True)
class Detail:
    """Say what is known of a memory besides its text.

    Raises:
        InvalidInput: A scope without its id, a share outside 0 to 1, a time without a zone.
    """

    scope: Scope = Scope.COMPANY
    scope_id: str | None = None
    """The role, the person or the customer; None for the company."""
    audience: tuple[str, ...] = ()
    """Roles that may see it, besides what the scope says; empty means all. See `INTERNAL`."""
    source: str | None = None
    """What it was taken from, such as `message 42` or `file notes/visit.md`."""
    observed_at: datetime | None = None
    """When it was true; None means now."""
    observed_by: str | None = None
    """Id of the person who saw it."""
    is_flow: bool = False
    """True for what a person saw in the field at a date; it is worth most while it is fresh."""
    valid_until: datetime | None = None
    half_life_days: int | None = None
    """Days after which it is worth half; None takes the rule of its kind (`rules.half_life`)."""
    confidence: float = 1.0
    """Share from 0 to 1 to which it is believed."""
    importance: float = 0.5
    """From 0 (a remark) to 1 (a rule of the house)."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if (self.scope is Scope.COMPANY) != (self.scope_id is None):
            raise InvalidInput(
                "A memory of a role, a person or a customer names which one, and a memory of the "
                "company names none."
            )
        if self.scope_id is not None and not self.scope_id.strip():
            raise InvalidInput(f"The name of the {self.scope.value} is empty.")
        for name in self.audience:
            if not _NAME.fullmatch(name):
                raise InvalidInput(f"{name!r} is no role: an audience is a list of role names.")
        if not (0 <= self.confidence <= 1 and 0 <= self.importance <= 1):
            raise InvalidInput("Confidence and importance are numbers from 0 to 1.")
        if self.half_life_days is not None and not 1 <= self.half_life_days <= 100_000:
            raise InvalidInput("A half-life is a number of days from 1 to 100,000.")
        if self.is_flow and not (self.observed_by and self.observed_at):
            raise InvalidInput("What was seen in the field says who saw it, and when.")
        for moment in (self.observed_at, self.valid_until):
            if moment is not None and moment.tzinfo is None:
                raise InvalidInput("A time needs its zone, such as 2026-03-01T08:00:00Z.")


PLAIN = Detail()


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """One remembered thing, with where it came from. Fields as in `Detail` mean the same."""

    id: str
    kind: MemoryKind
    text: str
    origin: Origin
    order_id: str | None
    observed_at: datetime
    key: str | None = None
    subject: str | None = None
    """What it speaks of; of two memories of one subject and scope the newer one counts."""
    scope: Scope = Scope.COMPANY
    scope_id: str | None = None
    audience: tuple[str, ...] = ()
    source: str | None = None
    observed_by: str | None = None
    is_flow: bool = False
    valid_until: datetime | None = None
    half_life_days: int | None = None
    confidence: float = 1.0
    importance: float = 0.5
    is_quarantined: bool = False
    """True for what was shaped by a stranger's words and no person has confirmed: data only."""
    confirmed_by: str | None = None
    superseded_by: str | None = None
    """Id of the memory that took its place; it is kept, but no longer recalled."""

    @property
    def reads_as(self) -> Origin:
        """Whose words a task reads with it: a person's confirmation makes them the team's."""
        if self.is_quarantined or self.origin.is_trusted:
            return self.origin
        return Origin.TEAM


@dataclass(frozen=True, slots=True)
class Recalled(MemoryItem):
    """A memory that was found again."""

    score: float = 0.0
    """Above 0; only good for comparing items of one recall."""
    age: str = ""
    """How old it is and who saw it, in words: `seen 3 days ago by you`."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of memories that were brought back."""

    added: tuple[str, ...] = ()
    """Ids of those that were not here."""
    known: tuple[str, ...] = ()
    """Ids of those that were here, just so."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """The reason, by place in what was brought, where another memory has the id or the key."""


Tombstone = Callable[[Connection, str, str, str], None]
"""Told of each forgotten memory inside the transaction: connection, id, digest, who forgot it."""


class Embedder(Protocol):
    """Turn texts into vectors. Never called inside a transaction; may ask a model."""

    model: str
    """Names the space of the vectors; those of another model are not compared."""

    @property
    def is_paid(self) -> bool:
        """Whether somebody pays for vectors here and now; else recall goes by words, silently."""

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return one vector for each text, all of one length.

        Raises:
            ModelError: No vectors now; recall then goes by words alone.
        """


class Memory(Protocol):
    """Remember and recall. Short calls on the company's own database, safe from any thread.

    A call without a `viewer` is the company's own inner work: it sees all but what belongs to
    customers.
    """

    def remember(
        self,
        text: str,
        *,
        kind: MemoryKind,
        origin: Origin,
        order_id: str | None = None,
        key: str | None = None,
        within: Connection | None = None,
        subject: str | None = None,
        detail: Detail = PLAIN,
    ) -> MemoryItem:
        """Store a memory; the same `key` twice stores it once and returns the first.

        What is not of trusted origin is quarantined. Of memories with one subject and scope the
        newest counts, and the others point to it; a quarantined one never displaces a trusted one.

        The text is cleaned of signs that no database carries. `within` is a transaction of the
        company's database that the memory becomes part of. `subject` is what it speaks of, in any
        words: compared without case and accents.

        Raises:
            InvalidInput: It was observed in the future.
        """

    def recall(
        self,
        query: str,
        *,
        limit: int = 5,
        viewer: Viewer | None = None,
        max_tokens: int | None = None,
        language: str | None = None,
        has_quarantined: bool = True,
    ) -> list[Recalled]:
        """Return the memories nearest to the query, best first; none for a query of no words.

        `max_tokens` is the most that the rendered items may take together (`rules.tokens`); an
        item that does not fit is left out. `language` is the ISO 639-1 code for the age, None goes
        by the query. Without `has_quarantined`, what may only be shown as data is left out.
        """

    def list(
        self, *, limit: int | None = 100, viewer: Viewer | None = None, is_all: bool = False
    ) -> list[MemoryItem]:
        """Return the newest memories first; with `is_all`, superseded and expired ones too."""

    def get(self, memory_id: str, *, viewer: Viewer | None = None) -> MemoryItem:
        """Return one memory.

        Raises:
            NotFound: No such memory, or none that the viewer may see.
        """

    def revise(self, memory_id: str, text: str, *, by: str) -> MemoryItem:
        """Store a person's new wording; the old memory stays and points to the new one.

        Raises:
            NotFound: No such memory.
            Conflict: It was superseded already.
        """

    def confirm(self, memory_id: str, *, by: str) -> MemoryItem:
        """Lift the quarantine in the name of a person.

        Raises:
            NotFound: No such memory.
            InvalidInput: Nobody is named.
        """

    def restore(self, brought: Sequence[MemoryItem]) -> Restored:
        """Store exported memories again, in one transaction; those that are here stay as they are.

        A pointer to a memory that is nowhere is dropped.
        """

    def forget(self, memory_id: str, *, by: str = "system") -> tuple[str, ...]:
        """Delete the text of a memory, and of those it superseded, for good; return their ids.

        Raises:
            NotFound: No such memory.
        """
