"""The tool that changes a part of a file, by exact replacement."""

import asyncio
import time
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.core.text import shorten
from swarm.tools import workspace as ws
from swarm.tools.base import Arguments, Effect, ToolContext, ToolResult

MAX_HINTS = 3
HINT_LINES = 100_000
"""How many lines of a file are compared with the one that was not found, and for how long."""
HINT_TIME_S = 0.5
_MIN_LIKENESS = 0.6
_LINE_CHARS = 200


class EditArguments(Arguments):
    """What to replace by what."""

    path: str = Field(description="Relative to the workspace, such as site/index.html.")
    old_text: str = Field(
        min_length=1,
        description="The exact text to replace, with its indentation and line ends, and enough of "
        "the lines around it to be found only once.",
    )
    new_text: str = Field(description="What stands there afterwards; empty removes the old text.")
    replace_all: bool = Field(False, description="Replace each occurrence, not just one.")


class EditFile:
    """Replace a piece of a text file."""

    name: ClassVar[str] = "edit_file"
    description: ClassVar[str] = (
        "Change a part of a text file of the workspace: old_text, which must occur exactly once, "
        "is replaced by new_text. Read the file first. For small changes this is safer than "
        "writing the whole file again."
    )
    effect: ClassVar[Effect] = Effect.WRITE_WORKSPACE

    Args: ClassVar[type[Arguments]] = EditArguments

    def reads(self, args: EditArguments) -> tuple[str, ...]:
        """Return the file whose words are shown."""
        return (ws.canonical(args.path),)

    def writes(self, args: EditArguments) -> tuple[str, ...]:
        """Return the file that is changed."""
        return (ws.canonical(args.path),)

    async def run(self, args: EditArguments, context: ToolContext) -> ToolResult:
        """Replace it in one step: a reader sees the old file or the new one.

        Raises:
            ToolError: No text file, or the old text is not found exactly once: the text names the
                lines that come near, or those it was found in. Nothing was written.
        """
        if args.old_text == args.new_text:
            raise ToolError("edit_file: old_text and new_text are the same; nothing would change")
        return ToolResult(await asyncio.to_thread(_edit, context.workspace, args))


def _edit(workspace: Path, args: EditArguments) -> str:
    found = ws.read_whole(workspace, args.path)
    text = _text(found.data, args.path)
    places = [_line(text, place) for place in _places(text, args.old_text, limit=6)]
    if not places:
        raise ToolError(_not_found(text, args))
    if len(places) > 1 and not args.replace_all:
        raise ToolError(_ambiguous(places, args.path))
    count = text.count(args.old_text) if args.replace_all else 1
    # Counted before it is made: many places times a long text is more than a machine holds.
    length = len(text) + count * (len(args.new_text) - len(args.old_text))
    if length > ws.MAX_WRITE_BYTES:
        raise ToolError(
            f"{args.path!r} would have {length:,} characters, the limit is "
            f"{ws.MAX_WRITE_BYTES:,} bytes; replace less, or split the file"
        )
    changed = text.replace(args.old_text, args.new_text, count)
    written = ws.write_text(workspace, args.path, changed, seen=found.stamp)
    what = f"line {places[0]:,}" if count == 1 else f"{count:,} places"
    return f"Changed {what} of {written.path} ({written.bytes:,} bytes)."


def _text(data: bytes, path: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ToolError(f"{path!r} is not a UTF-8 text file") from error
    if "\0" in text:
        raise ToolError(f"{path!r} is not a text file")
    return text


def _places(text: str, old: str, *, limit: int) -> Iterator[int]:
    """Give where `old` begins, at most `limit` times.

    Overlapping places count too: which of them is meant nobody can know.
    """
    start = text.find(old)
    while start >= 0 and limit > 0:
        yield start
        limit -= 1
        start = text.find(old, start + 1)


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _ambiguous(lines: list[int], path: str) -> str:
    more = " and more" if len(lines) > 5 else ""
    return (
        f"old_text occurs in {path!r} more than once (from lines "
        f"{', '.join(map(str, lines[:5]))}{more}); add lines around it until it is unique, or set "
        "replace_all"
    )


def _not_found(text: str, args: EditArguments) -> str:
    """Say that the old text is not there, and which lines come near."""
    said = f"old_text does not occur in {args.path!r}"
    if "\r\n" in text and "\r" not in args.old_text and "\n" in args.old_text:
        return f"{said}: its lines end with \\r\\n; write them so, or edit line by line"
    wanted = next((line.strip() for line in args.old_text.split("\n") if line.strip()), "")
    near = _nearest(text.split("\n", HINT_LINES)[:HINT_LINES], wanted)
    if not near:
        return f"{said}, nor any line like it; read the file again"
    shown = "".join(f"\n{number}: {_shown(line)}" for number, line in near)
    return (
        f"{said}; copy it exactly, with its indentation. Lines like its first one, "
        f"{shorten(wanted, 80)!r}:{shown}"
    )


def _shown(line: str) -> str:
    """Return a line as it stands, indentation and all, at most so long that many can be shown."""
    return line if len(line) <= _LINE_CHARS else line[: _LINE_CHARS - 1] + "…"


def _nearest(lines: list[str], wanted: str) -> list[tuple[int, str]]:
    """Return the lines most like `wanted`, with their numbers, the nearest first."""
    same = [(n, line) for n, line in enumerate(lines, 1) if wanted and line.strip() == wanted]
    if same or not wanted:
        return same[:MAX_HINTS]
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted[:_LINE_CHARS])
    deadline = time.monotonic() + HINT_TIME_S
    scored: list[tuple[float, int]] = []
    for number, line in enumerate(lines, 1):
        if time.monotonic() > deadline:
            break
        matcher.set_seq1(line.strip()[:_LINE_CHARS])
        # Two cheap upper bounds first: most lines are nothing like it.
        if (
            matcher.real_quick_ratio() >= _MIN_LIKENESS
            and matcher.quick_ratio() >= _MIN_LIKENESS
            and (likeness := matcher.ratio()) >= _MIN_LIKENESS
        ):
            scored.append((-likeness, number))
    return [(number, lines[number - 1]) for _, number in sorted(scored)[:MAX_HINTS]]
