"""The tool that finds files by their names and lines by their content.

Patterns are matched by RE2, in time linear in the text: no pattern that a model, or a page it
read, comes up with can hang the worker.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.tools import workspace as ws
from swarm.tools.base import EVERY_FILE, Arguments, Effect, ToolContext, ToolResult

MAX_FOUND = 200
"""Lines, or names, shown of one search."""
MAX_LINE_CHARS = 300
MAX_FILE_BYTES = 10 * 1024 * 1024
"""How far into one file is looked."""
MAX_TOTAL_BYTES = 256 * 1024 * 1024
"""How much one search reads in all."""
TIME_LIMIT_S = 10.0
MAX_PATTERN_STEPS = 10_000
"""Size of a compiled pattern: the worst ones take so many steps for each byte of text."""
_BLOCK = 64 * 1024


class SearchArguments(Arguments):
    """What to look for, and where."""

    regex: str = Field(
        "",
        max_length=1_000,
        description="A regular expression (RE2 syntax: no look-around, no back-references), "
        "matched line by line; empty finds names alone.",
    )
    glob: str = Field(
        "",
        max_length=200,
        description="Which files: *.py anywhere, or site/**/*.html from the folder down; * and ? "
        "stay within a name, ** crosses folders, {a,b} is either. Empty is every file.",
    )
    folder: str = Field("", description="Only below this folder; empty for the whole workspace.")
    ignore_case: bool = Field(False, description="Take A for a.")


class SearchFiles:
    """Find files by name and lines by content."""

    name: ClassVar[str] = "search_files"
    description: ClassVar[str] = (
        "Find the files of the workspace whose names fit a glob, the lines in them that fit a "
        "regular expression, or both. Lines come back as path:line: text. Use it to find the place "
        "to read or edit."
    )
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = SearchArguments

    def reads(self, args: SearchArguments) -> tuple[str, ...]:
        """Return that names and words of any file may be shown."""
        return (EVERY_FILE,)

    async def run(self, args: SearchArguments, context: ToolContext) -> ToolResult:
        """Return what was found, and a note of what was not looked at.

        Raises:
            ToolError: Nothing to look for, a pattern that is none, or no such folder.
        """
        if not args.regex and not args.glob:
            raise ToolError("search_files: give a regex, a glob, or both")
        return ToolResult(await asyncio.to_thread(_search, context.workspace, args))


def compile_glob(glob: str) -> Any:
    """Return a glob as a compiled RE2 pattern that a whole relative path has to fit.

    A glob without a slash fits the last name of a path, in any folder.

    Raises:
        ToolError: It is no glob; the text says what is wrong.
    """
    prefix = "" if "/" in glob else "(?:.*/)?"
    return _compile(prefix + _glob_regex(glob), "glob", glob)


_GLOB_SIGNS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _glob_regex(glob: str) -> str:
    made, index, depth = [], 0, 0
    while index < len(glob):
        sign = next((s for s in _GLOB_SIGNS if glob.startswith(s, index)), glob[index])
        index += len(sign)
        if sign in _GLOB_SIGNS:
            made.append(_GLOB_SIGNS[sign])
        elif sign == "[" and (end := glob.find("]", index + 1)) > 0:
            made.append(_glob_class(glob[index:end]))
            index = end + 1
        elif sign in "{}":
            depth += 1 if sign == "{" else -1
            made.append("(?:" if sign == "{" else ")")
        else:
            made.append("|" if sign == "," and depth else _quoted(sign))
        if depth < 0:
            break
    if depth:
        raise ToolError(f"search_files: glob {glob!r}: each {{ needs its }}")
    return "".join(made)


def _glob_class(inside: str) -> str:
    negation = "^/" if inside[0] in "!^" else ""
    return f"[{negation}{''.join(c if c == '-' else _quoted(c) for c in inside[bool(negation) :])}]"


def _quoted(sign: str) -> str:
    return sign if sign.isalnum() or sign in "/_" or not sign.isascii() else "\\" + sign


def _compile(pattern: str, what: str, written: str, *, ignore_case: bool = False) -> Any:
    import re2  # type: ignore[import-untyped]  # it has no stubs

    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    # A line is the unit: what could match a line feed would join two of them.
    options.never_nl = True
    try:
        compiled = re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        why = error.args[0] if isinstance(error, re2.error) else "no such character"
        why = why.decode(errors="replace") if isinstance(why, bytes) else why
        raise ToolError(
            f"search_files: {what} {written!r}: {why}; the syntax is that of RE2"
        ) from error
    finally:
        # Its cache keeps 128 patterns of up to 8 MiB each, for as long as the worker lives.
        re2.purge()
    if compiled.programsize > MAX_PATTERN_STEPS:
        raise ToolError(f"search_files: {what} {written!r} is too large; repeat less in it")
    return compiled


@dataclass(slots=True)
class _Found:
    """What a search came upon, within its limits."""

    deadline: float
    lines: list[str] = field(default_factory=list)
    files: int = 0
    """Files looked into, or whose names fit."""
    bytes_left: int = MAX_TOTAL_BYTES
    notes: dict[str, int] = field(default_factory=dict)
    """What was not looked at, by reason."""
    stop: str = ""
    """Why it ended early."""

    def note(self, reason: str) -> None:
        self.notes[reason] = self.notes.get(reason, 0) + 1

    def is_over(self) -> bool:
        if not self.stop:
            if len(self.lines) >= MAX_FOUND:
                self.stop = f"only the first {MAX_FOUND:,} are shown: search for less"
            elif self.bytes_left <= 0 or time.monotonic() > self.deadline:
                self.stop = "it took too long: name a folder or a glob to search less"
        return bool(self.stop)


def _search(workspace: Path, args: SearchArguments) -> str:
    regex = None
    if args.regex:
        # Compiled alone first, so that nothing in it can reach beyond what is put around it.
        _compile(args.regex, "regex", args.regex)
        regex = _compile(f"(?m){args.regex}", "regex", args.regex, ignore_case=args.ignore_case)
    glob = compile_glob(args.glob) if args.glob else None
    listing = ws.listing(workspace, args.folder)
    found = _Found(time.monotonic() + TIME_LIMIT_S, bytes_left=MAX_TOTAL_BYTES)
    for path, size in listing.files:
        if found.is_over():
            break
        if glob is not None and not glob.fullmatch(path.encode()):
            continue
        if regex is None:
            found.files += 1
            found.lines.append(f"{path} ({size:,} bytes)")
        else:
            _look_into(workspace, path, regex, found)
    if listing.is_cut:
        found.note("the workspace holds too much to be searched whole")
    return _told(found, args)


def _look_into(workspace: Path, path: str, regex: Any, found: _Found) -> None:
    try:
        with ws.reading(workspace, path) as descriptor:
            found.files += 1
            for number, line in _hits(descriptor, regex, found):
                found.lines.append(f"{path}:{number}: {line}")
                if found.is_over():
                    return
    except (ToolError, OSError):
        # Somebody may be writing here: what is gone or changed meanwhile is passed over.
        found.note("a file could not be read")


def _hits(descriptor: int, regex: Any, found: _Found) -> Iterator[tuple[int, str]]:
    """Give the lines of a file that fit, each once, with their numbers."""
    number = 1
    for block in _blocks(descriptor, found):
        start = 0
        while start < len(block) and (match := regex.search(block, start)):
            begin = block.rfind(b"\n", 0, match.start()) + 1
            end = block.find(b"\n", match.start())
            end = len(block) if end < 0 else end
            number += block.count(b"\n", start, begin)
            yield number, _shown(block, begin, end, match.start())
            number, start = number + 1, end + 1
        number += block.count(b"\n", start)
        if found.is_over():
            return


def _blocks(descriptor: int, found: _Found) -> Iterator[bytes]:
    """Give a text file in blocks of whole lines; a line longer than a block comes in pieces."""
    rest, taken = b"", 0
    while chunk := os.read(descriptor, _BLOCK):
        if b"\0" in chunk:
            found.note("a file that is no text was passed over")
            return
        taken += len(chunk)
        found.bytes_left -= len(chunk)
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield whole + newline
        elif len(rest) >= _BLOCK:
            yield rest
            rest = b""
        if taken >= MAX_FILE_BYTES:
            found.note(f"a file was searched only up to {MAX_FILE_BYTES:,} bytes")
            return
    if rest:
        yield rest


def _shown(block: bytes, begin: int, end: int, match: int) -> str:
    """Return a line, or of a long one the part around the match."""
    start = begin if match - begin < MAX_LINE_CHARS // 2 else match - MAX_LINE_CHARS // 4
    piece = block[start : min(end, start + 4 * MAX_LINE_CHARS)].decode(errors="replace")
    piece = piece.rstrip("\r")
    cut_before = "…" if start > begin else ""
    if len(piece) > MAX_LINE_CHARS:
        return f"{cut_before}{piece[: MAX_LINE_CHARS - 1]}…"
    return cut_before + piece


def _told(found: _Found, args: SearchArguments) -> str:
    notes = [f"{reason} ({count:,})" for reason, count in found.notes.items()]
    notes += [found.stop] if found.stop else []
    if not found.lines:
        looked = f"in {found.files:,} files" if args.regex else "among the names"
        found.lines.append(f"Nothing found {looked}.")
    return "\n".join([*found.lines, *(f"[{note}]" for note in notes)])
