"""What a memory does."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sqlalchemy.engine import Connection

from swarm.core.origin import Origin


class MemoryKind(StrEnum):
    """Say what a memory is about."""

    EPISODE = "episode"
    """What an order was and how it ended."""
    PREFERENCE = "preference"
    """What the founder corrected, chose or refused."""
    LESSON = "lesson"
    """What a review taught."""
    FACT = "fact"


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """One remembered thing, with where it came from."""

    id: str
    kind: MemoryKind
    text: str
    origin: Origin
    order_id: str | None
    observed_at: datetime


class Memory(Protocol):
    """Remember and recall. Short calls on the company's own database, safe from any thread."""

    def remember(
        self,
        text: str,
        *,
        kind: MemoryKind,
        origin: Origin,
        order_id: str | None = None,
        key: str | None = None,
        within: Connection | None = None,
    ) -> MemoryItem:
        """Store a memory; the same `key` twice stores it once and returns the first.

        `within` is a transaction of the company's database that it becomes part of.
        """

    def recall(self, query: str, *, limit: int = 5) -> list[MemoryItem]:
        """Return the memories nearest to the query, best first; none for a query of no words."""

    def list(self, *, limit: int = 100) -> list[MemoryItem]:
        """Return the newest memories first."""

    def forget(self, memory_id: str) -> None:
        """Delete the text for good.

        Raises:
            NotFound: No such memory.
        """
