"""Skills: folders with a `SKILL.md` that tell a role how a kind of work is done well.

The format is that of agentskills.io. Those shipped with the program are as trusted as its code.
Those a company adds are words of strangers until a person has read them: they are pinned by their
digest, and one changed byte closes them again.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import yaml

from swarm.core.errors import ConfigError, InvalidInput, NotFound, ToolError
from swarm.core.registry import nearest
from swarm.core.text import clean_text, shorten
from swarm.tools import workspace as ws

MAIN = "SKILL.md"
MAX_MAIN_BYTES = 64 * 1024
"""A skill's body goes into a prompt whole; what is longer belongs into further files."""
MAX_FILE_BYTES = 1024 * 1024
MAX_SKILL_BYTES = 4 * 1024 * 1024
MAX_SKILL_FILES = 200
MAX_FRONT_CHARS = 8 * 1024
"""Of front matter; how long YAML takes to read grows faster than its length."""
MAX_FRONT_DEPTH = 4
MAX_SKILLS = 200
MAX_DESCRIPTION_CHARS = 1_024
_NAME = re.compile("[a-z0-9]+(?:-[a-z0-9]+)*")
_NAME_RULE = "up to 64 small letters a-z, digits and single dashes between them"
_FENCE = "---"
_CHUNK = 256 * 1024
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class SkillSource(StrEnum):
    """Say where a skill lies."""

    SHIPPED = "shipped"
    COMPANY = "company"


READY = "ready"
NEEDS_APPROVAL = "needs approval"
CHANGED = "changed"
BROKEN = "broken: "


@dataclass(frozen=True, slots=True)
class SkillEntry:
    """One skill as it is listed."""

    name: str
    description: str
    """Empty where it could not be read."""
    source: SkillSource
    digest: str
    """SHA-256 in hex of all its files; empty where they could not be read."""
    state: str
    """`ready`, `needs approval`, `changed` since its approval, or `broken: ` and why."""

    @property
    def is_ready(self) -> bool:
        """True where a role may load it."""
        return self.state == READY


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill read whole, at one moment: what was approved is what is used."""

    name: str
    description: str
    source: SkillSource
    digest: str
    body: str
    """`SKILL.md` below its front matter."""
    files: Mapping[str, bytes] = field(repr=False)
    """All its files by relative path, in the order of the paths."""

    @property
    def further(self) -> tuple[str, ...]:
        """The paths beside `SKILL.md`."""
        return tuple(path for path in self.files if path != MAIN)

    def text(self, path: str) -> str:
        """Return a file of the skill as text.

        Raises:
            ToolError: No such file (the nearest one is named), or no text.
        """
        name = "/".join(ws.parts(path))
        if name not in self.files:
            raise ToolError(f"skill {self.name!r} has no file {path!r}{nearest(path, self.files)}")
        text = _decoded(self.files[name])
        if text is None:
            raise ToolError(f"{path!r} of skill {self.name!r} is not a text file")
        return text


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 in hex over the sorted relative paths and the contents.

    Each part is led by its length, so that no two sets of files give the same bytes.
    """
    digest = hashlib.sha256(b"skill 1\n")
    for path in sorted(files):
        for part in (path.encode(), files[path]):
            digest.update(f"{len(part)}\n".encode())
            digest.update(part)
    return digest.hexdigest()


class SkillShelf:
    """The skills a company has: the shipped ones and its own.

    Everything is read anew at each call, and a skill is read whole before it is judged, so that no
    change slips in between the check and the use.
    """

    def __init__(
        self,
        builtin: Path,
        company: Path,
        is_approved: Callable[[str, str], bool],
        *,
        was_approved: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Take where skills lie and who says which of the company's may be used.

        Args:
            builtin: The shipped skills.
            company: The company's own; may be missing.
            is_approved: Whether a person approved the skill of that name with that digest.
            was_approved: Whether the skill of that name was ever approved, whatever its digest.
        """
        self._folders = {SkillSource.SHIPPED: builtin, SkillSource.COMPANY: company}
        self._is_approved = is_approved
        self._was_approved = was_approved

    def list(self) -> tuple[SkillEntry, ...]:
        """Return every skill there is, usable or not, the shipped ones first, by name."""
        return tuple(entry for entry, _ in self._all())

    def summary(self) -> str:
        """Return the skills that can be loaded for a prompt, one line `name: description` each."""
        ready = [entry for entry in self.list() if entry.is_ready]
        return "\n".join(f"{entry.name}: {entry.description}" for entry in ready)

    def load(self, name: str) -> Skill:
        """Return a skill for use.

        Raises:
            ToolError: No such skill, or none that may be used; the text says which there are.
        """
        found = list(self._all())
        for entry, skill in found:
            if entry.name == name and entry.is_ready and skill:
                return skill
        closed = [entry for entry, _ in found if entry.name == name]
        if closed:
            raise ToolError(
                f"skill {name!r} may not be used before a person has seen to it "
                f"({closed[0].state}); go on without it"
            )
        ready = [entry.name for entry, _ in found if entry.is_ready]
        raise ToolError(f"no skill {name!r}{nearest(name, ready)}")

    def look(self, name: str) -> Skill:
        """Return a skill for a person to look at, approved or not.

        Raises:
            NotFound: No such skill.
            InvalidInput: It cannot be read; the text says why.
        """
        entries = {entry.name: (entry, skill) for entry, skill in reversed(list(self._all()))}
        if name not in entries:
            raise NotFound(f"There is no skill {name!r}{nearest(name, entries)}")
        entry, skill = entries[name]
        if skill is None:
            raise InvalidInput(f"Skill {name!r} is {entry.state}.")
        return skill

    def _all(self) -> Iterator[tuple[SkillEntry, Skill | None]]:
        seen: set[str] = set()
        for source, folder in self._folders.items():
            for name in _folder_names(folder):
                yield self._judged(folder, name, source, is_taken=name in seen)
                seen.add(name)

    def _judged(
        self, folder: Path, name: str, source: SkillSource, *, is_taken: bool
    ) -> tuple[SkillEntry, Skill | None]:
        try:
            if is_taken:
                raise ToolError("a shipped skill has this name; rename the folder")
            read = _shipped if source is SkillSource.SHIPPED else _read_skill
            skill = read(folder / name, name, source)
            state = self._state(skill)
        except (ToolError, ConfigError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            shown = visible(name)
            return SkillEntry(
                shown, "", source, "", f"{BROKEN}{visible(why or 'unreadable')}"
            ), None
        return SkillEntry(name, skill.description, source, skill.digest, state), skill

    def _state(self, skill: Skill) -> str:
        if skill.source is SkillSource.SHIPPED or self._is_approved(skill.name, skill.digest):
            return READY
        return CHANGED if self._was_approved(skill.name) else NEEDS_APPROVAL


def visible(text: str) -> str:
    """Return a text with every sign that nobody sees written out, as a person has to read it.

    Hidden signs are how a text says one thing to a model and another to the one who approves it.
    """
    return "".join(
        c
        if c in "\n\t " or not (_HIDDEN_CATEGORIES & {unicodedata.category(c)})
        else f"\\u{{{ord(c):x}}}"
        for c in text
    )


def _decoded(data: bytes) -> str | None:
    """Return bytes as text with line feeds, or None where they are no text."""
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def _folder_names(folder: Path) -> tuple[str, ...]:
    """Return what may be a skill in a folder; files beside them and hidden folders are none."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if not entry.name.startswith((".", "__"))
                and (entry.is_symlink() or entry.is_dir(follow_symlinks=False))
            ]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(names)[:MAX_SKILLS])


def _shipped(folder: Path, name: str, source: SkillSource) -> Skill:
    """Read a skill that is part of the program: once in a process, as its code is."""
    try:
        changed = tuple(path.stat().st_mtime_ns for path in (folder, folder / MAIN))
    except OSError:
        return _read_skill(folder, name, source)
    return _shipped_at(folder, name, source, changed)


@lru_cache(maxsize=32)
def _shipped_at(folder: Path, name: str, source: SkillSource, changed: tuple[int, ...]) -> Skill:
    return _read_skill(folder, name, source)


def _read_skill(folder: Path, name: str, source: SkillSource) -> Skill:
    """Read a skill whole.

    Raises:
        ToolError: It is none, or holds what a skill may not hold.
    """
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise ToolError(f"the folder's name must be {_NAME_RULE}")
    files = _read_files(folder, source)
    if MAIN not in files:
        raise ToolError(f"there is no {MAIN}")
    text = _decoded(files[MAIN])
    if text is None or len(files[MAIN]) > MAX_MAIN_BYTES:
        raise ToolError(f"{MAIN} must be a UTF-8 text of at most {MAX_MAIN_BYTES:,} bytes")
    front, body = _split(text)
    if front.get("name") != name:
        raise ToolError(f"{MAIN}: name must be that of the folder, {name!r}")
    description = shorten(visible(clean_text(front.get("description", ""))), 10_000)
    if not description or len(description) > MAX_DESCRIPTION_CHARS:
        raise ToolError(f"{MAIN}: description must have 1 to {MAX_DESCRIPTION_CHARS:,} characters")
    if not body:
        raise ToolError(f"{MAIN}: there is nothing below the front matter")
    return Skill(name, description, source, digest_of(files), body, files)


def _read_files(folder: Path, source: SkillSource) -> dict[str, bytes]:
    # Installers share files between environments by hard links; nobody else writes there.
    is_shipped = source is SkillSource.SHIPPED
    found = ws.listing(folder, allow_shared=is_shipped)
    if found.left_out or found.is_cut:
        raise ToolError("it holds links, devices or unusable names; keep plain files only")
    if len(found.files) > MAX_SKILL_FILES or sum(s for _, s in found.files) > MAX_SKILL_BYTES:
        raise ToolError(
            f"it has more than {MAX_SKILL_FILES} files or {MAX_SKILL_BYTES:,} bytes; keep only what "
            "belongs to the skill, without .git"
        )
    files: dict[str, bytes] = {}
    left = MAX_SKILL_BYTES
    for path, _ in found.files:
        with ws.reading(folder, path, allow_shared=is_shipped) as descriptor:
            files[path] = _read_all(descriptor, path)
        left -= len(files[path])
        if left < 0:
            raise ToolError(f"it has more than {MAX_SKILL_BYTES:,} bytes")
    return files


def _read_all(descriptor: int, path: str) -> bytes:
    data = bytearray()
    while chunk := os.read(descriptor, _CHUNK):
        data += chunk
        if len(data) > MAX_FILE_BYTES:
            raise ToolError(f"{path!r} has more than {MAX_FILE_BYTES:,} bytes")
    return bytes(data)


def _split(text: str) -> tuple[Mapping[str, str], str]:
    """Return the front matter's own fields and the text below it."""
    lines = text.split("\n")
    ends = [i for i, line in enumerate(lines) if i and line.rstrip() == _FENCE]
    if lines[0].rstrip() != _FENCE or not ends:
        raise ToolError(f"{MAIN}: begin with a line `{_FENCE}`, fields, and a line `{_FENCE}`")
    source = "\n".join(lines[1 : ends[0]])
    if len(source) > MAX_FRONT_CHARS:
        raise ToolError(f"{MAIN}: the front matter has more than {MAX_FRONT_CHARS:,} characters")
    return _fields(source), "\n".join(lines[ends[0] + 1 :]).strip()


@lru_cache(maxsize=64)
def _fields(source: str) -> Mapping[str, str]:
    """Read the plain fields of a YAML mapping, and pass over what is nested below them.

    Kept by the text itself, at most half a megabyte of it: every task reads all skills, and YAML
    takes most of that time.
    """
    found: dict[str, str] = {}
    key: str | None = None
    try:
        for depth, value in _scalars(source):
            if depth > 1:
                key = None  # What is nested was this field's value.
            elif key is None:
                key = value
            elif key in found:
                raise ToolError(f"{MAIN}: {key} is there twice")
            else:
                found[key], key = value, None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        problem = getattr(error, "problem", None) or "a sign that no text has"
        raise ToolError(f"{MAIN}: bad YAML in the front matter: {problem}") from error
    return MappingProxyType(found)


def _scalars(source: str) -> Iterator[tuple[int, str]]:
    """Give the scalars of a YAML mapping with their depth, and an empty one for what is nested.

    Events make no objects and do not recurse, and ending at the first deep one keeps the reader
    from the nestings it takes minutes for: a stranger's text can neither run, nor grow, nor hang.
    """
    depth = 0
    for event in yaml.parse(source, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.ScalarEvent):
            yield depth, str(event.value)
        elif isinstance(event, yaml.CollectionStartEvent):
            if not depth and not isinstance(event, yaml.MappingStartEvent):
                raise ToolError(f"{MAIN}: the front matter must be lines of `field: value`")
            depth += 1
            if depth > MAX_FRONT_DEPTH:
                raise ToolError(f"{MAIN}: the front matter is nested too deeply")
            if depth > 1:
                yield depth, ""
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            raise ToolError(f"{MAIN}: no aliases in the front matter")
