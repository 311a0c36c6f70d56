"""A channel in memory, for tests; what it sends can also be written to a file that outlives it."""

import asyncio
import json
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swarm.channels.base import Capabilities, Hear
from swarm.core.clock import Clock, SystemClock
from swarm.core.errors import InvalidInput
from swarm.core.message import InboundFile, InboundMessage, OutboundMessage, Signal


class FakeChannel:
    """Hear what `say` is told, and remember what is sent.

    A message is acknowledged after `hear` has returned; one that was not is heard again by the
    next `run`, as a real service would deliver it again.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        name: str = "fake",
        clock: Clock | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        """Play a platform, by default one that can do nothing but texts.

        Args:
            path: Each sent message is also one JSON line there, on disk before `send` ends.
            name: What the channel is called.
            clock: Says when a message was received.
            capabilities: What it claims to be able to do.
        """
        self.name = name
        self.capabilities = capabilities or Capabilities()
        self.signals: list[Signal] = []
        self.files: dict[str, bytes] = {}
        """What `fetch` gives, by file id."""
        self.sent: list[OutboundMessage] = []
        self.acknowledged: list[str] = []
        """Update ids, in the order in which they were acknowledged."""
        self._path = path
        self._clock = clock or SystemClock()
        self._said: deque[InboundMessage] = deque()
        self._arrived = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._failures: dict[int, tuple[Exception, bool]] = {}
        self._count = 0
        self._tries = 0

    def say(
        self,
        text: str,
        *,
        update_id: str | None = None,
        chat_id: str = "chat",
        thread_id: str | None = None,
        sender_id: str = "1",
        **more: Any,
    ) -> InboundMessage:
        """Let somebody write a message; without an `update_id` it gets the next number.

        `more` are further fields of `InboundMessage`.
        """
        self._count += 1
        message = InboundMessage(
            channel=self.name,
            account="fake",
            update_id=update_id or str(self._count),
            chat_id=chat_id,
            thread_id=thread_id,
            sender_id=sender_id,
            text=text,
            received_at=self._clock.now(),
            **more,
        )
        self._said.append(message)
        self._quiet.clear()
        self._arrived.set()
        return message

    async def drained(self) -> None:
        """Wait until everything said has been acknowledged."""
        await self._quiet.wait()

    def fail_at(self, nth: int, error: Exception, *, is_sent: bool = False) -> None:
        """Let the nth try to send, counted from 1, raise; `is_sent` lets the message out first."""
        self._failures[nth] = (error, is_sent)

    async def run(self, hear: Hear) -> None:
        """Hear until cancelled."""
        while True:
            await self._arrived.wait()
            while self._said:
                await hear(self._said[0])
                self.acknowledged.append(self._said.popleft().update_id)
            self._arrived.clear()
            self._quiet.set()

    def parts(self, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Leave it whole."""
        return [message]

    async def signal(self, signal: Signal) -> None:
        """Remember it."""
        self.signals.append(signal)

    async def fetch(self, file: InboundFile, *, most: int) -> bytes:
        """Return what `files` holds."""
        content = self.files.get(file.file_id)
        if content is None or len(content) > most:
            raise InvalidInput(f"{file.name} cannot be fetched.")
        return content

    async def close(self) -> None:
        """Hold nothing."""

    async def send(self, message: OutboundMessage) -> str:
        """Record the message and return its number, or raise what `fail_at` was told."""
        self._tries += 1
        error, is_sent = self._failures.pop(self._tries, (None, True))
        if is_sent:
            self.sent.append(message)
            if self._path is not None:
                _append(self._path, message)
        if error is not None:
            raise error
        return f"{self.name}-{self._tries}"


def _append(path: Path, message: OutboundMessage) -> None:
    """Write one whole line: what a crash test counts must be there when `send` says so."""
    line = json.dumps(asdict(message), ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode("utf-8", "replace"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
