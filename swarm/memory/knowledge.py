"""The knowledge folder: what the company has written down for its customers, found by its words.

The index is kept in memory and made of the files alone: it cannot go stale in a database, and
several workers need no agreement about it. Files that did not change are not read again.
"""

import os
import stat
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from swarm.core.errors import InvalidInput
from swarm.memory import pdf, rules
from swarm.memory.knowledge_text import Section, read_html, read_markdown, read_plain
from swarm.memory.words import MAX_ASKED, terms

READERS = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": read_plain,
    ".html": read_html,
    ".htm": read_html,
}
"""How each kind of file is read; others are left out, and said to be."""
PDF = ".pdf"
"""Read too, where the extra `pdf` is installed."""
MAX_PDFS = 50
"""Each takes a process of its own to be read, once: about half a second."""
MAX_FILES = 500
MAX_FILE_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 8
PASSAGE_SIGNS = 1_200
"""About how long one passage is: a few paragraphs, of which an answer quotes one."""
CANDIDATES = 2_000
"""Passages that are ranked for one question."""
LEAST_SHARE = 0.2
"""Share of a question's known words below which a passage is no answer to it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of one file."""

    file: str
    """Path within the folder, with forward slashes."""
    heading: str
    """The headings above it, outermost first; empty where there is none."""
    text: str

    @property
    def source(self) -> str:
        """Return what a reader is told that something was taken from."""
        return f"{self.file} > {self.heading}" if self.heading else self.file


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the folder holds at the moment."""

    files: tuple[str, ...]
    passages: int
    left_out: Mapping[str, str]
    """Why a file is not read, by its path."""


@dataclass(frozen=True, slots=True)
class _File:
    mark: tuple[int, ...]
    """What changes with every change of the file."""
    passages: tuple[Passage, ...]
    words: tuple[frozenset[str], ...]


class Knowledge:
    """Find passages in one folder. Safe from any thread."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which need not exist; nothing is read yet."""
        self._folder = folder
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}
        self._left_out: dict[str, str] = {}
        self._broken: dict[str, tuple[tuple[int, ...], str]] = {}
        """PDFs that could not be read, and why: they are not tried again until they change."""
        self._index: dict[str, list[tuple[str, int]]] = {}

    def find(self, query: str, *, limit: int) -> list[Passage]:
        """Return the passages that answer most of a question's words, best first."""
        with self._lock:
            self._refresh()
            # A word that stands nowhere here tells passages apart by nothing, however long it is.
            known = (term for term in terms(query) if term in self._index)
            wanted = sorted(known, key=lambda term: (-len(term), term))[:MAX_ASKED]
            places: dict[tuple[str, int], None] = {}
            # The rarest words first: what is cut off at the limit says little.
            for term in sorted(wanted, key=lambda term: len(self._index.get(term, ()))):
                for place in self._index.get(term, ()):
                    if len(places) < CANDIDATES:
                        places[place] = None
            found = [(self._files[file], number) for file, number in places]
        shares = rules.matches(wanted, [file.words[number] for file, number in found])
        best = sorted(zip(shares, range(len(found)), strict=True), key=lambda pair: -pair[0])
        chosen = [found[n] for share, n in best[:limit] if share >= LEAST_SHARE]
        return [file.passages[number] for file, number in chosen]

    def shelf(self) -> Shelf:
        """Return what is there to be found, and what was left out and why."""
        with self._lock:
            self._refresh()
            count = sum(len(file.passages) for file in self._files.values())
            return Shelf(tuple(sorted(self._files)), count, dict(self._left_out))

    def _refresh(self) -> None:
        """Read what is new or changed, and forget what is gone."""
        self._left_out = {}
        fresh: dict[str, _File] = {}
        total = pdfs = 0
        for name, path, facts in _walk(self._folder, self._left_out):
            is_pdf = Path(name).suffix.lower() == PDF
            pdfs += is_pdf
            # Of a PDF it is its words that take room.
            total += min(facts.st_size, pdf.MAX_SIGNS) if is_pdf else facts.st_size
            is_more = len(fresh) >= MAX_FILES or (is_pdf and pdfs > MAX_PDFS)
            if is_more or total > MAX_TOTAL_BYTES:
                self._left_out[name] = "the folder holds more than is read"
                continue
            mark = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            known = self._files.get(name)
            made = (
                known if known is not None and known.mark == mark else self._read(name, path, mark)
            )
            if made is not None:
                fresh[name] = made
        if fresh != self._files:
            self._files = fresh
            self._index = _index(fresh)

    def _read(self, name: str, path: Path, mark: tuple[int, ...]) -> _File | None:
        broken = self._broken.get(name)
        if broken is not None and broken[0] == mark:
            self._left_out[name] = broken[1]
            return None
        try:
            sections = _sections(name, path)
        except InvalidInput as error:
            self._broken[name] = (mark, str(error))
            self._left_out[name] = str(error)
            return None
        except (OSError, UnicodeDecodeError) as error:
            self._left_out[name] = getattr(error, "strerror", None) or "it is not UTF-8 text"
            return None
        passages = tuple(p for section in sections for p in _passages(name, section))
        words = tuple(
            # Interned: the same words stand in most passages.
            frozenset(map(sys.intern, terms(f"{p.file} {p.heading} {p.text}")))
            for p in passages
        )
        return _File(mark, passages, words)


def _walk(folder: Path, left_out: dict[str, str]) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Yield the files that are read, in the order of their names; links are not followed."""
    for root, folders, names in os.walk(folder, followlinks=False):
        inside = Path(root).relative_to(folder)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if len(inside.parts) >= MAX_DEPTH:
            folders.clear()
        for name in sorted(n for n in names if not n.startswith(".")):
            path = Path(root) / name
            shown = (inside / name).as_posix()
            try:
                facts = path.lstat()
            except OSError:
                continue  # Gone since it was listed.
            why = _why_not(name, facts)
            if why:
                left_out[shown] = why
            else:
                yield shown, path, facts


def _why_not(name: str, facts: os.stat_result) -> str:
    if not stat.S_ISREG(facts.st_mode):
        return "it is a link, or no file"
    kind = Path(name).suffix.lower()
    if kind == PDF and not pdf.is_readable():
        return "a PDF needs the extra: pip install 'swarm[pdf]'"
    if kind not in (*READERS, PDF):
        return f"only {', '.join((*READERS, PDF))} are read"
    most = pdf.MAX_BYTES if kind == PDF else MAX_FILE_BYTES
    if facts.st_size > most:
        return f"it has more than {most // 1024**2} MiB"
    return ""


def _sections(name: str, path: Path) -> Sequence[Section]:
    """Read a file's sections; of a PDF each page is one.

    Raises:
        InvalidInput: A PDF that cannot be read, or that holds pictures alone.
        OSError, UnicodeDecodeError: The file cannot be read, or is no text.
    """
    kind = PurePosixPath(name).suffix.lower()
    if kind != PDF:
        return READERS[kind](_content(path, MAX_FILE_BYTES).decode("utf-8-sig"))
    found = pdf.read_pdf(_content(path, pdf.MAX_BYTES))
    pages = [
        Section(f"page {number}", text)
        for number, text in enumerate(found.texts, start=1)
        if text.strip()
    ]
    if not pages:
        raise InvalidInput("it holds no text: its pages are pictures")
    return pages


def _content(path: Path, most: int) -> bytes:
    # A link put in its place since it was looked at would lead elsewhere, a pipe would never end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most + 1)[:most]


def _passages(file: str, section: Section) -> Iterator[Passage]:
    """Cut a section into passages, between paragraphs where that is possible."""
    kept: list[str] = []
    size = 0
    for paragraph in _pieces(section.text):
        if kept and size + len(paragraph) > PASSAGE_SIGNS:
            yield Passage(file, section.heading, "\n\n".join(kept))
            kept, size = [], 0
        kept.append(paragraph)
        size += len(paragraph)
    if kept:
        yield Passage(file, section.heading, "\n\n".join(kept))


def _pieces(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        rest = paragraph.strip()
        while len(rest) > PASSAGE_SIGNS:
            at = max(rest.rfind(mark, 0, PASSAGE_SIGNS) for mark in ("\n", ". ", " "))
            at = at if at > PASSAGE_SIGNS // 3 else PASSAGE_SIGNS - 1
            yield rest[: at + 1].strip()
            rest = rest[at + 1 :].strip()
        if rest:
            yield rest


def _index(files: Mapping[str, _File]) -> dict[str, list[tuple[str, int]]]:
    index: dict[str, list[tuple[str, int]]] = {}
    for name, file in files.items():
        for number, words in enumerate(file.words):
            place = (name, number)
            for word in words:
                index.setdefault(word, []).append(place)
    return index


def cited(passages: Sequence[Passage]) -> str:
    """Return the sources of passages, each once, as one line."""
    return "; ".join(dict.fromkeys(passage.source for passage in passages))
