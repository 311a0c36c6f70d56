"""A queue for one taker, with a lane for what cannot wait."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """Hand out what is urgent first, and each lane in its order. Safe from any thread."""

    def __init__(self) -> None:
        self._urgent: deque[T] = deque()
        self._plain: deque[T] = deque()
        self._change = threading.Condition()
        self._is_ended = False

    def put(self, item: T, *, is_urgent: bool = False) -> None:
        """Queue an item."""
        with self._change:
            (self._urgent if is_urgent else self._plain).append(item)
            self._change.notify()

    def wait(self) -> T | None:
        """Return the next item, waiting for it; None after the end, once nothing is left."""
        with self._change:
            while not self._urgent and not self._plain:
                if self._is_ended:
                    return None
                self._change.wait()
            return self._next()

    def take(self) -> T | None:
        """Return the next item that is there already, or None."""
        with self._change:
            return self._next() if self._urgent or self._plain else None

    def take_urgent(self) -> T | None:
        """Return the next urgent item that is there already, or None."""
        with self._change:
            return self._urgent.popleft() if self._urgent else None

    @property
    def has_urgent(self) -> bool:
        """Return whether something urgent waits."""
        return bool(self._urgent)

    def end(self) -> None:
        """Let the taker go once it has taken all that is queued."""
        with self._change:
            self._is_ended = True
            self._change.notify()

    def _next(self) -> T:
        return (self._urgent or self._plain).popleft()
