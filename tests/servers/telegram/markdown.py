"""Telegram's two Markdown modes, refused in its words."""

import re
from dataclasses import dataclass

from tests.servers.telegram.markup import Entity, Formatted, cannot_parse, units

RESERVED = "_*[]()~`>#+-=|{}.!"
PAIRS = (
    ("```", "pre", "Pre"),
    ("||", "spoiler", "Spoiler"),
    ("__", "underline", "Underline"),
    ("*", "bold", "Bold"),
    ("_", "italic", "Italic"),
    ("~", "strikethrough", "Strikethrough"),
    ("`", "code", "Code"),
)
NAMES = {kind: name for _, kind, name in PAIRS} | {"text_link": "TextUrl"}


@dataclass(slots=True)
class _Open:
    kind: str
    mark: str
    offset: int
    at: int


class _Text:
    """What is left of a text while its marks are taken out."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0
        self.entities: list[Entity] = []

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.size += units(text)

    def entity(self, kind: str, offset: int, **more: str) -> None:
        if self.size > offset:
            made = {"type": kind, "offset": offset, "length": self.size - offset, **more}
            self.entities.append(made)

    def formatted(self) -> Formatted:
        entities = sorted(self.entities, key=lambda e: (e["offset"], -e["length"]))
        return Formatted("".join(self.parts), entities)


def _bytes_before(source: str, at: int) -> int:
    return len(source[:at].encode())


def parse_markdown_v2(source: str) -> Formatted:
    """Parse a text in MarkdownV2 mode.

    Raises:
        Refusal: A reserved character is bare, or an entity doesn't end.
    """
    made, stack, at = _Text(), list[_Open](), 0
    is_line_start = True
    while at < len(source):
        char = source[at]
        if char == "\\" and at + 1 < len(source) and 0 < ord(source[at + 1]) < 127:
            made.add(source[at + 1])
            at += 2
        elif char not in RESERVED:
            made.add(char)
            at += 1
        elif char == ">" and is_line_start and not stack:
            at = _quote(source, at, made)
            continue
        else:
            at = _mark(source, at, made, stack)
        is_line_start = source[at - 1] == "\n"
    if stack:
        last = stack[-1]
        where = f"at byte offset {_bytes_before(source, last.at)}"
        raise cannot_parse(f"Can't find end of {NAMES[last.kind]} entity {where}")
    return made.formatted()


def _mark(source: str, at: int, made: _Text, stack: list[_Open]) -> int:
    top = stack[-1] if stack else None
    is_verbatim = top is not None and top.kind in ("pre", "code")
    if top is not None and source.startswith(top.mark, at):
        stack.pop()
        return _end(source, at + len(top.mark), made, top)
    if is_verbatim:
        if source[at] == "`":
            raise _reserved(source, at)
        made.add(source[at])
        return at + 1
    for mark, kind, _ in PAIRS:
        if source.startswith(mark, at):
            stack.append(_Open(kind, mark, made.size, at))
            return _after_fence(source, at + 3) if kind == "pre" else at + len(mark)
    if source[at] == "[" or source.startswith("![", at):
        start = at + (2 if source[at] == "!" else 1)
        stack.append(_Open("text_link", "]", made.size, at))
        return start
    raise _reserved(source, at)


def _reserved(source: str, at: int) -> Exception:
    return cannot_parse(
        f"Character '{source[at]}' is reserved and must be escaped with the preceding '\\'"
    )


def _after_fence(source: str, at: int) -> int:
    found = re.compile(r"[^\s`]*\n").match(source, at)
    return found.end() if found else at


def _end(source: str, at: int, made: _Text, opened: _Open) -> int:
    if opened.kind != "text_link":
        made.entity(opened.kind, opened.offset)
        return at
    found = re.compile(r"\(((?:\\.|[^\\)])*)\)").match(source, at)
    if found is None:
        where = f"at byte offset {_bytes_before(source, at)}"
        raise cannot_parse(f"Can't find end of a URL {where}")
    url = re.sub(r"\\(.)", r"\1", found.group(1))
    made.entity("text_link", opened.offset, url=url)
    return found.end()


def _quote(source: str, at: int, made: _Text) -> int:
    """Take the lines of a quote, whose own marks are parsed like any text."""
    lines = []
    while source.startswith(">", at):
        end = source.find("\n", at)
        end = len(source) if end < 0 else end + 1
        lines.append(source[at + 1 : end])
        at = end
    inner = parse_markdown_v2("".join(lines))
    offset = made.size
    made.add(inner.text)
    made.entities += [e | {"offset": e["offset"] + offset} for e in inner.entities]
    made.entity("blockquote", offset)
    return at


def parse_markdown(source: str) -> Formatted:
    """Parse a text in the old Markdown mode, which knows no nesting.

    Raises:
        Refusal: An entity doesn't end.
    """
    made, at = _Text(), 0
    ends = {"*": "bold", "_": "italic", "`": "code", "[": "text_link"}
    while at < len(source):
        char = source[at]
        if char == "\\" and at + 1 < len(source) and source[at + 1] in "_*`[":
            made.add(source[at + 1])
            at += 2
        elif char in ends:
            at = _old(source, at, made, ends[char])
        else:
            made.add(char)
            at += 1
    return made.formatted()


def _old(source: str, at: int, made: _Text, kind: str) -> int:
    mark = source[at]
    if source.startswith("```", at):
        mark, kind = "```", "pre"
    start = _after_fence(source, at + 3) if kind == "pre" else at + 1
    end = source.find("]" if mark == "[" else mark, start)
    if end < 0:
        where = f"at byte offset {_bytes_before(source, at)}"
        raise cannot_parse(f"Can't find end of the entity starting {where}")
    offset = made.size
    made.add(source[start:end])
    after = end + len(mark)
    if kind != "text_link":
        made.entity(kind, offset)
        return after
    found = re.compile(r"\(([^)]*)\)").match(source, after)
    if found is not None:
        made.entity(kind, offset, url=found.group(1))
        return found.end()
    return after
