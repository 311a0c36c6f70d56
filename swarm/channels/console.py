"""The terminal, or a pipe, as a channel: each line heard is a message."""

import asyncio
import errno
import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TextIO

from swarm.channels.base import Capabilities, Hear
from swarm.core.clock import Clock, SystemClock, iso
from swarm.core.errors import InvalidInput
from swarm.core.ids import Ids, RandomIds
from swarm.core.message import InboundFile, InboundMessage, OutboundMessage, Signal
from swarm.core.text import MAX_ORDER_BYTES, clean_text

MAX_LINE_BYTES = 2 * MAX_ORDER_BYTES
"""What is kept of a line; longer ones stay too long to be taken for an order, and memory holds."""
_CHUNK = 64 * 1024


class ConsoleChannel:
    """Hear lines on one stream and write answers to another.

    A line that ends with a backslash goes on in the next one. The end of the input ends `run`.
    """

    name = "console"
    capabilities = Capabilities()

    def __init__(
        self,
        stream_in: TextIO,
        stream_out: TextIO,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        """Take the streams, which stay the caller's; `stream_in` must have a file descriptor."""
        self._out = stream_out
        self._clock = clock or SystemClock()
        self._lines = _Lines(stream_in.fileno())
        # The moment and the random signs keep the lines of two runs apart.
        self._run = f"{iso(self._clock.now())}-{(ids or RandomIds()).new('')}"
        self._heard = 0
        self._sent = 0

    async def run(self, hear: Hear) -> None:
        """Hear line after line until the input ends. What was read but not heard is kept."""
        async for text in self._lines.messages():
            self._heard += 1
            await hear(
                InboundMessage(
                    channel=self.name,
                    account="local",
                    update_id=f"{self._run}-{self._heard}",
                    chat_id="console",
                    thread_id=None,
                    sender_id=str(os.getuid()),
                    text=text,
                    received_at=self._clock.now(),
                )
            )

    def parts(self, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Leave it whole: a terminal has no limit."""
        return [message]

    async def signal(self, signal: Signal) -> None:
        """Show nothing."""

    async def fetch(self, file: InboundFile, *, most: int) -> bytes:
        """Raise InvalidInput: a line carries no file."""
        raise InvalidInput(f"{file.name}: files cannot be sent here; put it into the workspace.")

    async def close(self) -> None:
        """Hold nothing."""

    async def send(self, message: OutboundMessage) -> str:
        """Write the text, its order in front and its files below, and return a number.

        Controls are taken out: a text could otherwise steer the terminal or hide what it says.
        """
        lines = [message.text, *message.files]
        head = f"[{message.order_id}] " if message.order_id else ""
        text = clean_text(head + "\n".join(lines)) + "\n"
        encoding = self._out.encoding or "utf-8"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()
        self._sent += 1
        return str(self._sent)


class _Lines:
    """Turn the bytes of a descriptor into messages, without a thread.

    A thread that waits for input would keep the process alive after everything else has ended.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = bytearray()
        """The message so far, as much of it as is kept."""
        self._last = b""
        """How the line ends, also where the end itself is not kept."""
        self._ready: deque[str] = deque()

    async def messages(self) -> AsyncIterator[str]:
        """Give each message that is not blank, the last one also without a line feed."""
        is_open = True
        while is_open:
            while self._ready:
                yield self._ready.popleft()
            is_open = await self._fill()
        while self._ready:
            yield self._ready.popleft()

    async def _fill(self) -> bool:
        """Read what there is, waiting for it; return False at the end of the input."""
        chunk = await self._read()
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            self._keep(line)
            self._end_line()
        self._keep(rest)
        if not chunk:
            self._finish()
        return bool(chunk)

    def _keep(self, data: bytes) -> None:
        self._text += data[: max(MAX_LINE_BYTES - len(self._text), 0)]
        self._last = (self._last + data[-2:])[-2:]

    def _end_line(self) -> None:
        is_continued = self._last.removesuffix(b"\r").endswith(b"\\")
        self._last = b""
        if self._text.endswith(b"\r"):
            del self._text[-1]
        if not is_continued:
            self._finish()
        elif self._text.endswith(b"\\"):
            self._text[-1:] = b"\n"

    def _finish(self) -> None:
        text = self._text.decode(errors="replace").strip()
        self._text.clear()
        if text:
            self._ready.append(text)

    async def _read(self) -> bytes:
        """Read the next bytes; none at the end, or when the terminal is gone."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        try:
            # Not a pipe transport: it would make the terminal non-blocking for the shell, too.
            loop.add_reader(self._descriptor, event.set)
        except PermissionError:
            # Files and /dev/null cannot be waited for, because they never block.
            await asyncio.sleep(0)
        else:
            try:
                await event.wait()
            finally:
                loop.remove_reader(self._descriptor)
        try:
            return os.read(self._descriptor, _CHUNK)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise
