"""The rates of one platform, kept by whoever sends on it."""

from collections import deque

from swarm.channels.base import Capabilities
from swarm.core.clock import Clock

LANES = 8
"""Chats of one account that are written to at the same moment; within one, never two."""
LONGEST_BACKOFF_S = 15.0
"""Longest wait before a platform that cannot be reached is tried again, in seconds."""


class Pace:
    """Keep to the rates of one platform."""

    def __init__(self, clock: Clock, can: Capabilities) -> None:
        self._clock = clock
        self._can = can
        self._free_at: dict[str, float] = {}
        self._recent: deque[float] = deque()
        self._open_at = 0.0
        self.busy: set[str] = set()
        self.failures = 0

    def is_free(self, chat: str) -> bool:
        """Return whether a chat may be written to now."""
        return chat not in self.busy and self._clock.monotonic() >= self._free_at.get(chat, 0.0)

    def wait_s(self, poll_s: float) -> float:
        """Return how long to wait before there may be something to do."""
        now = self._clock.monotonic()
        closed = max(self._open_at - now, self._crowded(now))
        if closed > 0:
            return closed
        ahead = [at - now for at in self._free_at.values() if at > now]
        return min([poll_s, *ahead])

    def is_open(self) -> bool:
        """Return whether anything at all may be sent now."""
        now = self._clock.monotonic()
        return now >= self._open_at and self._crowded(now) <= 0 and len(self.busy) < LANES

    def _crowded(self, now: float) -> float:
        """Return for how long the account has sent all that it may within a second."""
        if self._can.per_second is None:
            return 0.0
        while self._recent and self._recent[0] <= now - 1.0:
            self._recent.popleft()
        return self._recent[0] + 1.0 - now if len(self._recent) >= self._can.per_second else 0.0

    def begin(self, chat: str) -> None:
        """Note that a message is on its way."""
        self.busy.add(chat)
        self._recent.append(self._clock.monotonic())

    def end(self, chat: str) -> None:
        """Note that it arrived, or did not; the pause counts from here."""
        self.busy.discard(chat)
        now = self._clock.monotonic()
        # Groups have negative ids on Telegram; elsewhere the two pauses are the same.
        is_group = chat.startswith("-")
        pause = self._can.group_pause_s if is_group else self._can.chat_pause_s
        if pause:
            self._free_at[chat] = now + pause
        if len(self._free_at) > 10_000:
            self._free_at = {c: at for c, at in self._free_at.items() if at > now}

    def close(self) -> None:
        """Keep away from a platform that cannot be reached, longer each time."""
        self.failures += 1
        wait_s = min(0.5 * 2.0 ** min(self.failures, 10), LONGEST_BACKOFF_S)
        self._open_at = self._clock.monotonic() + wait_s
