"""Files that people send: so many, so large, of a kind that is taken, and under a name of ours."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from swarm.channels.base import Channel
from swarm.core.errors import InvalidInput
from swarm.core.message import InboundFile, InboundMessage
from swarm.core.text import slug
from swarm.runtime.sniffing import checked

MAX_FILE_BYTES = 20 * 1024 * 1024
"""Largest file taken from a person, whatever the platform would give."""
MAX_FILES = 10
"""Most files of one message, or of one album."""
MAX_TOGETHER = 60 * 1024 * 1024
"""Most bytes of the files of one message."""
FOLDER = "incoming"


def safe_name(name: str) -> str:
    """Return a name that is one file in one folder, whatever a stranger called it."""
    stem, dot, ending = Path(name.replace("\\", "/")).name.rpartition(".")
    if not dot:
        return slug(ending, length=60)
    plain = slug(ending, length=10)
    return f"{slug(stem, length=60)}.{plain}"


class Incoming:
    """Fetch files into the home, each looked at before it is kept."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def fetched(
        self, channel: Channel, row_id: int, message: InboundMessage
    ) -> InboundMessage:
        """Return a message with its files fetched; one that is not taken says why.

        Raises:
            Transient: Not now.
        """
        kept: list[InboundFile] = []
        left = MAX_TOGETHER
        for number, file in enumerate(message.files):
            if number >= MAX_FILES:
                refusal = f"{file.name}: I take {MAX_FILES} files at a time."
                kept.append(replace(file, refused=refusal))
                continue
            try:
                found, size = await self._one(channel, row_id, file, left, kept)
            except InvalidInput as error:
                kept.append(replace(file, refused=str(error)))
            else:
                left -= size
                kept.append(found)
        return replace(message, files=tuple(kept))

    async def _one(
        self,
        channel: Channel,
        row_id: int,
        file: InboundFile,
        left: int,
        kept: Sequence[InboundFile],
    ) -> tuple[InboundFile, int]:
        most = min(channel.capabilities.file_bytes, MAX_FILE_BYTES)
        if file.bytes is not None and file.bytes > most:
            # Before a byte of it is fetched.
            raise InvalidInput(
                f"{file.name} is larger than {most // 1024**2} MiB, the most I take."
            )
        if min(most, file.bytes or 0) > left:
            raise InvalidInput(
                f"{file.name}: together these are more than {MAX_TOGETHER // 1024**2} MiB."
            )
        content = await channel.fetch(file, most=min(most, left))
        if len(content) > most:
            raise InvalidInput(f"{file.name} has more than {most // 1024**2} MiB.")
        name, mime = checked(file.name, content)
        taken = {Path(other.path).name for other in kept if other.path is not None}
        path = await asyncio.to_thread(self._keep, row_id, unlike(safe_name(name), taken), content)
        return replace(file, path=str(path), mime=mime), len(content)

    def _keep(self, row_id: int, name: str, content: bytes) -> Path:
        folder = self._home / FOLDER / str(row_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / name
        path.write_bytes(content)
        return path


def unlike(name: str, taken: set[str]) -> str:
    """Return a name that none of some others is; what came first keeps its own."""
    stem, dot, ending = name.rpartition(".")
    base, tail = (stem, f".{ending}") if dot else (name, "")
    found, number = name, 2
    while found in taken:
        found, number = f"{base}-{number}{tail}", number + 1
    return found
