"""Keep the beginning and the end of an output of any length."""

import asyncio

CHUNK_BYTES = 1024 * 1024
"""How much is taken from a pipe at a time; small ones make a gigabyte slow."""


class Kept:
    """What is kept of one output; holds never more than the limit and one chunk."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._cut = 0

    async def drain(self, stream: asyncio.StreamReader) -> None:
        """Read to the end, so that the command is never held up by a full pipe."""
        while chunk := await stream.read(CHUNK_BYTES):
            room = self._half - len(self._head)
            self._head += chunk[:room]
            rest = chunk[room:] if room else chunk
            kept = rest[-self._half :]
            surplus = max(len(self._tail) + len(kept) - self._half, 0)
            del self._tail[:surplus]
            self._tail += kept
            self._cut += surplus + len(rest) - len(kept)

    def text(self) -> str:
        """Return what was kept, with a note where something was left out."""
        if not self._cut:
            return (self._head + self._tail).decode(errors="replace")
        note = f"\n[… {self._cut:,} bytes cut …]\n"
        return self._head.decode(errors="replace") + note + self._tail.decode(errors="replace")
