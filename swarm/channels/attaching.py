"""Files on their way out, alike for every platform."""

import asyncio
from dataclasses import replace
from pathlib import Path

from swarm.core.message import OutboundMessage


class Unsendable(Exception):
    """Say why a file stays where it is; the text goes on from its name."""


async def content_of(message: OutboundMessage, *, at_most: int, for_what: str) -> tuple[str, bytes]:
    """Read the file that a message has along; return its name and its content.

    Args:
        message: With one file at least; the first one counts.
        at_most: Bytes that the platform takes.
        for_what: What a larger file is too large for.

    Raises:
        Unsendable: It cannot be read, is empty or too large.
    """
    path = Path(message.files[0])
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
        content = await asyncio.to_thread(path.read_bytes) if size <= at_most else b""
    except OSError as error:
        raise Unsendable(f"cannot be read ({error.strerror})") from error
    if size > at_most:
        raise Unsendable(f"has {size / 1024**2:,.0f} MiB, too large {for_what}")
    if not content:
        raise Unsendable("is empty")
    return path.name, content


def instead(message: OutboundMessage, why: str) -> OutboundMessage:
    """Return the message that names a file's place where the file itself cannot be sent."""
    path = message.files[0]
    return replace(message, text=f"{Path(path).name} {why}. It is in {path}", markup=None, files=())
