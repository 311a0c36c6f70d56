"""How fast a bot writes: the figures, what passes the limits, and floods that must be obeyed.

The limits are unofficial: thirty a second for a bot, one a second in a chat, twenty a minute in a
group (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this).
"""

import math
from collections import defaultdict, deque
from dataclasses import dataclass

from tests.servers.telegram.refusals import Refusal, flood
from tests.servers.telegram.world import Chat

# Two sends a second apart on the sender's clock may arrive a little closer.
SECOND = 0.95
MINUTE = 59.0
UNCOUNTED = ("sendchataction", "sendmessagedraft")


@dataclass(frozen=True, slots=True)
class Early:
    """A call that came before the wait it was told had passed."""

    chat_id: int
    method: str
    early_s: float


class Rates:
    """Watches the writing of one server's bots; refuses only where `is_enforced`."""

    def __init__(self) -> None:
        self.is_enforced = False
        self.per_second = 30
        self.chat_per_second = 1
        self.group_per_minute = 20
        self.exceeded: list[str] = []
        """Every call that passed a limit, with the limit's name."""
        self.disobeyed: list[Early] = []
        """Every call to a chat before its `retry_after` had passed."""
        self.busiest_second = 0
        self.busiest_chat_second = 0
        self.busiest_group_minute = 0
        self.total = 0
        self._until: dict[int, float] = {}
        self._all: deque[float] = deque()
        self._second: defaultdict[int, deque[float]] = defaultdict(deque)
        self._minute: defaultdict[int, deque[float]] = defaultdict(deque)

    @staticmethod
    def counts(method: str) -> bool:
        """Tell whether a method writes into a chat."""
        name = method.lower()
        return name.startswith(("send", "edit", "forward", "copy")) and name not in UNCOUNTED

    def hold(self, chat_id: int, now: float, seconds: float) -> None:
        """Refuse a chat for so long."""
        self._until[chat_id] = now + seconds

    def held(self, chat_id: int, method: str, now: float) -> Refusal | None:
        """Refuse a call to a chat that is held, and record that it came too early."""
        left = self._until.get(chat_id, 0.0) - now
        if left <= 0.05 or not self.counts(method):
            return None
        self.disobeyed.append(Early(chat_id, method, round(left, 3)))
        return flood(math.ceil(left))

    def count(self, chat: Chat, method: str, now: float) -> Refusal | None:
        """Count a call; a refusal where the limits are enforced and passed."""
        if not self.counts(method):
            return None
        is_group = chat.kind != "private"
        whole = _within(self._all, now, SECOND) + 1
        second = _within(self._second[chat.id], now, SECOND) + 1
        minute = _within(self._minute[chat.id], now, MINUTE) + 1 if is_group else 0
        passed, wait = self._passed(whole, second, minute)
        if passed:
            self.exceeded.append(f"{passed}: {method} in chat {chat.id}")
            if self.is_enforced:
                self.hold(chat.id, now, wait)
                return flood(wait)
        self.total += 1
        self.busiest_second = max(self.busiest_second, whole)
        self.busiest_chat_second = max(self.busiest_chat_second, second)
        self.busiest_group_minute = max(self.busiest_group_minute, minute)
        for window in (
            self._all,
            self._second[chat.id],
            *([self._minute[chat.id]] if is_group else []),
        ):
            window.append(now)
        return None

    def _passed(self, whole: int, second: int, minute: int) -> tuple[str, int]:
        if whole > self.per_second:
            return f"more than {self.per_second} a second", 1
        if second > self.chat_per_second:
            return f"more than {self.chat_per_second} a second in a chat", 1
        if minute > self.group_per_minute:
            return f"more than {self.group_per_minute} a minute in a group", 30
        return "", 0


def _within(window: deque[float], now: float, length: float) -> int:
    while window and window[0] <= now - length:
        window.popleft()
    return len(window)
