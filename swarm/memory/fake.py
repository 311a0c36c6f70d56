"""A memory in a list, for tests of other rooms."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from swarm.core.errors import NotFound
from swarm.core.origin import Origin
from swarm.memory.base import MemoryItem, MemoryKind


class FakeMemory:
    """Remember in this process; nearest is who shares most words with the query."""

    def __init__(self) -> None:
        self._items: dict[str, MemoryItem] = {}
        self._keys: dict[str, str] = {}

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
        """Store a memory; the same `key` twice stores it once and returns the first."""
        if key is not None and key in self._keys:
            return self._items[self._keys[key]]
        number = len(self._items) + 1
        observed_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
        item = MemoryItem(f"m{number}", kind, text, origin, order_id, observed_at)
        self._items[item.id] = item
        if key is not None:
            self._keys[key] = item.id
        return item

    def recall(self, query: str, *, limit: int = 5) -> list[MemoryItem]:
        """Return the memories that share words of four signs or more, best first."""
        asked = {word for word in query.casefold().split() if len(word) >= 4}
        scored = [
            (len(asked & set(item.text.casefold().split())), item) for item in self._items.values()
        ]
        best = sorted((s for s in scored if s[0]), key=lambda s: -s[0])
        return [item for _, item in best[:limit]]

    def list(self, *, limit: int = 100) -> list[MemoryItem]:
        """Return the newest memories first."""
        return sorted(self._items.values(), key=lambda i: i.observed_at, reverse=True)[:limit]

    def forget(self, memory_id: str) -> None:
        """Delete the text for good; raises NotFound."""
        if self._items.pop(memory_id, None) is None:
            raise NotFound(f"There is no memory {memory_id!r}.")
