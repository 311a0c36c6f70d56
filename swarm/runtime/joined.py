"""Let several desks act as parts of one transaction."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from swarm.memory.base import Memory, MemoryItem
from swarm.store.database import Store

T = TypeVar("T")


class JoinedStore(Store):
    """A store whose transactions are all parts of one that is open already.

    It opens nothing and closes nothing: what is done through it is committed, or undone, by
    whoever holds the connection.
    """

    def __init__(self, store: Store, connection: Connection) -> None:
        # Nothing of the store's own set-up is wanted: it would open connections.
        self.url = store.url
        self.is_sqlite = store.is_sqlite
        self._connection = connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` within the open transaction."""
        return work(self._connection)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` within the open transaction, which sees its own changes."""
        return work(self._connection)


class JoinedMemory:
    """A memory that remembers as part of an open transaction, and leaves the rest as it is."""

    def __init__(self, memory: Memory, connection: Connection) -> None:
        self._memory = memory
        self._connection = connection

    def remember(self, text: str, **options: Any) -> MemoryItem:
        """Remember within the transaction."""
        options.setdefault("within", self._connection)
        return self._memory.remember(text, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)
