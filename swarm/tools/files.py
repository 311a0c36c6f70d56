"""The tools that list, read and write files, inside the order's workspace alone."""

import asyncio
import os
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.tools import workspace as ws
from swarm.tools.base import EVERY_FILE, Arguments, Effect, ToolContext, ToolResult
from swarm.tools.workspace import FileFacts, canonical, facts, write_text

__all__ = ["FileFacts", "ListFiles", "ReadFile", "WriteFile", "facts", "write_text"]

MAX_READ_BYTES = 1024 * 1024
"""The most that one read shows."""
MAX_SCAN_BYTES = 64 * 1024 * 1024
"""How far into a file lines are counted: a command can make one of any length in no time."""
MAX_LISTED = 1_000
_CHUNK = 256 * 1024


class ListArguments(Arguments):
    """Where to look."""

    folder: str = Field("", description="Only below this folder; empty for everything.")


class ListFiles:
    """List what the order's workspace holds."""

    name: ClassVar[str] = "list_files"
    description: ClassVar[str] = (
        "List the files of the workspace with their sizes in bytes. Use it before reading or "
        "changing files you have not written yourself."
    )
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = ListArguments

    def reads(self, args: ListArguments) -> tuple[str, ...]:
        """Return that names and words of any file may be shown."""
        return (EVERY_FILE,)

    async def run(self, args: ListArguments, context: ToolContext) -> ToolResult:
        """List one file a line.

        Raises:
            ToolError: No such folder.
        """
        found = await asyncio.to_thread(ws.listing, context.workspace, args.folder)
        lines = [f"{path} ({size:,} bytes)" for path, size in found.files[:MAX_LISTED]]
        if len(found.files) > MAX_LISTED:
            more = len(found.files) - MAX_LISTED
            lines.append(f"[and {more:,} more: name a folder to see fewer at a time]")
        if found.left_out:
            lines.append(f"[{found.left_out:,} entries left out: links, devices or unusable names]")
        if found.is_cut:
            lines.append("[the workspace holds too much to be listed whole]")
        return ToolResult("\n".join(lines) or "There are no files yet.")


class ReadArguments(Arguments):
    """What to read."""

    path: str = Field(description="Relative to the workspace, such as site/index.html.")
    first_line: int = Field(1, ge=1, description="The first line to show; lines count from 1.")
    last_line: int | None = Field(None, ge=1, description="The last line to show.")


class ReadFile:
    """Show a text file, or some of its lines."""

    name: ClassVar[str] = "read_file"
    description: ClassVar[str] = (
        "Read a text file of the workspace. Long files are cut; name the first and the last line "
        "to read the rest."
    )
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = ReadArguments

    def reads(self, args: ReadArguments) -> tuple[str, ...]:
        """Return the file whose words are shown."""
        return (canonical(args.path),)

    async def run(self, args: ReadArguments, context: ToolContext) -> ToolResult:
        """Return the lines asked for, at most `MAX_READ_BYTES` of them, and say what is missing.

        Raises:
            ToolError: No such file, no text, or no such lines.
        """
        if args.last_line is not None and args.last_line < args.first_line:
            raise ToolError("read_file: last_line lies before first_line")
        return ToolResult(await asyncio.to_thread(_read, context.workspace, args))


class WriteArguments(Arguments):
    """What to write, and where."""

    path: str = Field(description="Relative to the workspace, such as site/index.html.")
    content: str = Field(description="The complete content of the file.")


class WriteFile:
    """Write a text file whole."""

    name: ClassVar[str] = "write_file"
    description: ClassVar[str] = (
        "Write a text file into the workspace, making its folders. An existing file is replaced "
        "whole, so give the complete content, never a part or a placeholder."
    )
    effect: ClassVar[Effect] = Effect.WRITE_WORKSPACE

    Args: ClassVar[type[Arguments]] = WriteArguments

    def writes(self, args: WriteArguments) -> tuple[str, ...]:
        """Return the file that is changed."""
        return (canonical(args.path),)

    async def run(self, args: WriteArguments, context: ToolContext) -> ToolResult:
        """Write it in one step: a reader sees the old file or the new one.

        Raises:
            ToolError: The path or the size is refused; nothing was written.
        """
        written = await asyncio.to_thread(write_text, context.workspace, args.path, args.content)
        return ToolResult(f"Wrote {written.path} ({written.bytes:,} bytes).")


@dataclass(slots=True)
class _Excerpt:
    """The lines wanted of a file, gathered chunk by chunk in bounded memory."""

    first: int
    last: int | None
    kept: bytearray = field(default_factory=bytearray)
    line: int = 1
    """The line that the next byte belongs to."""
    is_full: bool = False
    """The limit was reached within `line`."""
    is_line_open: bool = False
    """The last byte seen ended no line."""

    def take(self, chunk: bytes) -> bool:
        """Take the next bytes of the file and return whether more of them are wanted."""
        self.is_line_open = not chunk.endswith(b"\n")
        newlines = chunk.count(b"\n")
        if self.line + newlines < self.first:
            self.line += newlines
            return True
        return all(self._take_piece(piece) for piece in BytesIO(chunk))

    def _take_piece(self, piece: bytes) -> bool:
        if self.line >= self.first:
            room = MAX_READ_BYTES - len(self.kept)
            self.kept += piece[:room]
            self.is_full = len(piece) > room
        if self.is_full:
            return False
        self.line += piece.endswith(b"\n")
        return self.last is None or self.line <= self.last


def _read(workspace: Path, args: ReadArguments) -> str:
    excerpt = _Excerpt(args.first_line, args.last_line)
    is_end = False
    with ws.reading(workspace, args.path) as descriptor:
        for _ in range(MAX_SCAN_BYTES // _CHUNK):
            chunk = os.read(descriptor, _CHUNK)
            is_end = not chunk
            if is_end or not excerpt.take(chunk):
                break
        else:
            is_end = not os.read(descriptor, 1)
            if not is_end:
                excerpt.is_full = True
    if b"\0" in excerpt.kept:
        raise ToolError(f"{args.path!r} is not a text file")
    if is_end and not excerpt.kept:
        return _nothing(args, excerpt)
    return _shown(args.path, excerpt)


def _nothing(args: ReadArguments, excerpt: _Excerpt) -> str:
    lines = excerpt.line - 1 + excerpt.is_line_open
    if not lines:
        return "[the file is empty]"
    raise ToolError(f"{args.path!r} has {lines:,} lines; first_line is {args.first_line:,}")


def _shown(path: str, excerpt: _Excerpt) -> str:
    """Return the lines as text, with a note on how to read on where they were cut."""
    kept = bytes(excerpt.kept)
    if not excerpt.is_full:
        return kept.decode(errors="replace")
    if not kept:
        raise ToolError(
            f"{path!r}: line {excerpt.first:,} lies beyond the first {MAX_SCAN_BYTES:,} bytes, "
            "which is as far as files are read"
        )
    whole, newline, _ = kept.rpartition(b"\n")
    if newline:
        following, note = excerpt.line, ""
    else:
        whole, following = kept, excerpt.line + 1
        note = f"line {excerpt.line:,} is cut; "
    return (
        whole.decode(errors="replace")
        + f"\n[{note}one read shows {MAX_READ_BYTES:,} bytes; read on with first_line={following}]"
    )
