"""Read a file of the knowledge folder into sections under their headings."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from swarm.core.text import clean_text

MAX_HEADING = 120
_HEADING = re.compile(r"(?P<level>#{1,6})[ \t]+(?P<words>[^\n]*?)[ \t#]*$")
_FENCE = re.compile(r"[ \t]*(```|~~~)")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.S)
_UNREAD = frozenset({"script", "style", "template", "noscript", "title"})
_GAPS = frozenset({"br", "hr", "img", "input", "td", "th"})
_BLOCKS = frozenset(
    {
        "p",
        "div",
        "li",
        "tr",
        "section",
        "article",
        "ul",
        "ol",
        "table",
        "blockquote",
        "pre",
        "dd",
        "dt",
    }
)


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading."""

    heading: str
    """This heading and those above it, outermost first."""
    text: str


class _Outline:
    """Collect lines under the headings they stand below."""

    def __init__(self) -> None:
        self._above: list[tuple[int, str]] = []
        self._lines: list[str] = []
        self.sections: list[Section] = []

    def head(self, level: int, words: str) -> None:
        self.close()
        self._above = [item for item in self._above if item[0] < level]
        name = " ".join(words.split())[:MAX_HEADING]
        if name:
            self._above.append((level, name))

    def line(self, text: str) -> None:
        self._lines.append(text)

    def close(self) -> None:
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(self._lines)).strip()
        self._lines = []
        if text:
            self.sections.append(Section(" > ".join(name for _, name in self._above), text))


def read_markdown(text: str) -> Sequence[Section]:
    """Read Markdown; headings within a fence are none."""
    outline, fence = _Outline(), ""
    for line in _FRONT_MATTER.sub("", clean_text(text)).split("\n"):
        mark = _FENCE.match(line)
        if mark:
            fence = "" if fence == mark[1] else fence or mark[1]
        heading = None if fence else _HEADING.match(line)
        if heading:
            outline.head(len(heading["level"]), heading["words"])
        else:
            outline.line(line)
    outline.close()
    return outline.sections


def read_plain(text: str) -> Sequence[Section]:
    """Read a text that has no headings."""
    outline = _Outline()
    outline.line(clean_text(text))
    outline.close()
    return outline.sections


def read_html(text: str) -> Sequence[Section]:
    """Read a page's words; what browsers do not show is left out."""
    reader = _Page()
    reader.feed(clean_text(text))
    reader.close()
    return reader.finished()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._outline = _Outline()
        self._unread = 0
        self._heading: tuple[int, list[str]] | None = None
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread += 1
        elif re.fullmatch("h[1-6]", tag):
            self._break()
            self._heading = (int(tag[1]), [])
        elif tag in _BLOCKS:
            self._break()
        elif tag in _GAPS:
            self._words.append("\n" if tag == "br" else " ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread = max(0, self._unread - 1)
        elif self._heading is not None and re.fullmatch("h[1-6]", tag):
            level, words = self._heading
            self._heading = None
            self._outline.head(level, "".join(words))
        elif tag in _BLOCKS:
            self._break()

    def handle_data(self, data: str) -> None:
        if self._unread:
            return
        (self._words if self._heading is None else self._heading[1]).append(data)

    def finished(self) -> Sequence[Section]:
        self._break()
        self._outline.close()
        return self._outline.sections

    def _break(self) -> None:
        """End a paragraph."""
        for line in _lines("".join(self._words)):
            self._outline.line(f"{line}\n")
        self._words = []


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        words = " ".join(line.split())
        if words:
            yield words
