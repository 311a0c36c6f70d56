"""Texts in runs of one style each, cut where a reader would, for a platform to write in its marks.

A text is first read into runs, these are cut, and a platform's markup is written last: so no tag,
no fence and no sign is ever cut in two.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from swarm.core.text import clean_text

_LABEL_UNITS = 16
"""Room kept for `(2/3)` at the end of a part."""


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text in one style: `b`, `i`, `code`, `pre`, `a`, or none."""

    text: str
    tag: str = ""
    detail: str = ""
    """The language of a `pre`, the address of an `a`."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one message takes."""

    plain: str
    marked: str
    """The same in the platform's marks."""


Write: TypeAlias = Callable[[Run], str]
"""Write a run in a platform's marks."""


def units(text: str) -> int:
    """Return the length of a text in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, *, limit: int, write: Write, counts_marks: bool) -> list[Part]:
    """Format a text and cut it into messages of at most `limit` units each.

    Parts are numbered where there is more than one. A blank text is one part that says so, since
    platforms refuse a message without words.

    Args:
        text: In the few marks that models write.
        limit: Most UTF-16 units of one message.
        write: Writes a run in the platform's marks.
        counts_marks: True where the platform counts the marked text; else what it shows counts.
    """
    runs = list(read(clean_text(text).strip()))
    if not "".join(run.text for run in runs).strip():
        return [Part("(no words)", "(no words)")]
    parts = _parts(runs, limit, write, counts_marks)
    if len(parts) == 1:
        return parts
    parts = _parts(runs, limit - _LABEL_UNITS, write, counts_marks)
    count = len(parts)
    return [
        Part(f"{part.plain}\n({n}/{count})", f"{part.marked}\n({n}/{count})")
        for n, part in enumerate(parts, start=1)
    ]


def _parts(runs: Sequence[Run], limit: int, write: Write, counts_marks: bool) -> list[Part]:
    room = limit
    while True:
        parts = [
            Part("".join(run.text for run in piece), "".join(map(write, piece)))
            for piece in fill(runs, room)
        ]
        longest = max(units(part.marked) for part in parts)
        if not counts_marks or longest <= limit:
            return parts
        # Marks and escapes take more room in one place than in another: less text until all fit.
        room = max(min(room - 1, room * limit // longest), limit // 8)
        if room <= limit // 8:
            # What makes it long is in the marks, such as an address: the words go without them.
            runs = [Run(run.text) for run in runs]


def read(text: str) -> Iterator[Run]:
    """Read the few marks that models write (fences, code, bold, links, headings) into runs."""
    position = 0
    for match in _FENCE.finditer(text):
        yield from _read_lines(text[position : match.start()])
        body = match["body"]
        if body.strip():
            yield Run(body.rstrip("\n"), "pre", match["language"])
            # The line feed after the fence, unless the text ends there.
            if match.end() < len(text):
                yield Run("\n")
        position = match.end()
    yield from _read_lines(text[position:])


_FENCE = re.compile(
    r"^[ \t]*```(?P<language>[\w+#.-]{0,30})[^\n`]*\n(?P<body>.*?)(?:^[ \t]*```[ \t]*(?:\n|\Z)|\Z)",
    re.S | re.M,
)
_INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|\*\*(?P<bold>[^*\n]+)\*\*"
    r"|(?<![\w*])\*(?P<italic>[^*\s\n](?:[^*\n]*[^*\s\n])?)\*(?![\w*])"
    r"|\[(?P<words>[^\]\[\n]+)\]\((?P<url>https?://[^\s()<>\"]+)\)"
)
_HEADING = re.compile(r"#{1,6}[ \t]+(?P<words>[^\n]*[^\s#])[ \t]*#*$")


def _read_lines(text: str) -> Iterator[Run]:
    for line in text.splitlines(keepends=True):
        words = line.rstrip("\n")
        heading = _HEADING.match(words)
        if heading:
            yield Run(heading["words"].replace("**", ""), "b")
            if words != line:
                yield Run("\n")
        else:
            yield from _read_inline(line)


def _read_inline(text: str) -> Iterator[Run]:
    position = 0
    for match in _INLINE.finditer(text):
        if match.start() > position:
            yield Run(text[position : match.start()])
        if match["code"] is not None:
            yield Run(match["code"], "code")
        elif match["bold"] is not None:
            yield Run(match["bold"], "b")
        elif match["italic"] is not None:
            yield Run(match["italic"], "i")
        else:
            yield Run(match["words"], "a", match["url"])
        position = match.end()
    if position < len(text):
        yield Run(text[position:])


def fill(runs: Sequence[Run], limit: int) -> list[list[Run]]:
    """Spread runs over as few pieces as they need, breaking where a reader would."""
    pieces: list[list[Run]] = []
    rest = list(runs)
    while rest:
        piece, rest = _take(rest, limit)
        piece = _trimmed(piece)
        if piece:
            pieces.append(piece)
    return pieces


def _take(runs: list[Run], limit: int) -> tuple[list[Run], list[Run]]:
    """Return what one piece holds, and what is left."""
    whole = "".join(run.text for run in runs)
    if units(whole) <= limit:
        return runs, []
    at = _break(whole, limit)
    piece: list[Run] = []
    for number, run in enumerate(runs):
        if len(run.text) > at:
            left = [replace(run, text=run.text[at:]), *runs[number + 1 :]]
            return ([*piece, replace(run, text=run.text[:at])] if at else piece), left
        piece.append(run)
        at -= len(run.text)
    raise AssertionError("a text above the limit is longer than its break")


def _break(text: str, limit: int) -> int:
    """Return after how many signs to break: at a paragraph, a line, a word, or between signs."""
    most = _signs_in(text, limit)
    for mark in ("\n\n", "\n", " "):
        at = text.rfind(mark, 0, most)
        # A piece of less than a third would make more messages than it saves the eye.
        if at > most // 3:
            return at + len(mark)
    at = most
    while at > 1 and not _may_break(text, at):
        at -= 1
    # Thousands of joined signs are no writing: then any place is as good.
    return at if at > most // 2 else most


def _signs_in(text: str, limit: int) -> int:
    """Return how many signs fit into `limit` units."""
    used = 0
    for number, sign in enumerate(text):
        used += 2 if ord(sign) > 0xFFFF else 1
        if used > limit:
            return max(number, 1)
    return len(text)


_JOINER = "\u200d"


def _may_break(text: str, at: int) -> bool:
    """Return whether what stands before and after is not one sign to the eye."""
    after, before = text[at], text[at - 1]
    joins = unicodedata.combining(after) or after == _JOINER or before == _JOINER
    is_modifier = 0xFE00 <= ord(after) <= 0xFE0F or 0x1F3FB <= ord(after) <= 0x1F3FF
    is_flag = all(0x1F1E6 <= ord(sign) <= 0x1F1FF for sign in (before, after))
    return not (joins or is_modifier or is_flag)


def _trimmed(runs: list[Run]) -> list[Run]:
    """Take the blank ends away, which the platform would cut off itself."""
    while runs and not runs[0].text.strip():
        runs = runs[1:]
    while runs and not runs[-1].text.strip():
        runs = runs[:-1]
    if runs:
        keep_indent = runs[0].tag == "pre"
        first = runs[0].text.lstrip("\n") if keep_indent else runs[0].text.lstrip()
        runs = [replace(runs[0], text=first), *runs[1:]]
        runs = [*runs[:-1], replace(runs[-1], text=runs[-1].text.rstrip())]
    return runs
