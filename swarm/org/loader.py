"""Load the roles of a company from Markdown files, and report every mistake at once."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from pydantic import ValidationError

from swarm.core.errors import ConfigError
from swarm.core.registry import nearest
from swarm.core.role import MCP_PREFIX, Role
from swarm.core.text import clean_text, shorten
from swarm.org.front_matter import Fault, FrontMatter, number, parse, printable

MAX_FILE_BYTES = 64 * 1024
"""Largest role file read: about 16,000 tokens of prompt, sent with every call of the role."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_FIELDS = sorted(set(Role.model_fields) - {"name", "prompt"})


_Texts: TypeAlias = tuple[tuple[str, Path, str | Fault], ...]
"""Names, files and what is in them, or why that cannot be read."""


@dataclass(frozen=True, slots=True)
class RoleMistake:
    """One thing to mend in a role file, or in the folder of role files."""

    file: Path
    line: int | None
    """From 1; None where the mistake is not in a line: a file's name, an empty folder."""
    field: str
    """Path such as `tools[2]`, counted from 0; "" where the mistake is not in a field."""
    text: str
    """What is wrong and what to write instead."""

    def __str__(self) -> str:
        """Return one line: where it is, and what to do."""
        where = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return printable(": ".join(part for part in (where, self.field, self.text) if part))


class RoleMistakes(ConfigError):
    """Tell the operator all that is wrong with the role files, one line per mistake."""

    def __init__(self, mistakes: Sequence[RoleMistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True)
class Org:
    """The roles of one company, checked: one head, and everybody else's line leads to it."""

    roles: Mapping[str, Role] = field(hash=False)
    """By name, in sorted order; read-only."""
    head: str
    """The one role that reports to nobody."""
    digest: str
    """SHA-256, in hex, over the role files in force; tells a replay that a prompt has changed."""

    def role(self, name: str) -> Role:
        """Return a role.

        Raises:
            ConfigError: No such role: its file was removed while an order still names it.
        """
        if name not in self.roles:
            raise ConfigError(f"no role {name!r}{nearest(name, self.roles)}")
        return self.roles[name]

    def colleagues(self, name: str) -> tuple[str, ...]:
        """Return all other roles, sorted."""
        return tuple(sorted(set(self.roles) - {name}))

    def reviewer_of(self, author: str) -> str | None:
        """Return who reviews an author's work, which is never the author.

        It is the role the author reports to. The head's work goes to the first role, in sorted
        order, that reports to it; None for a head that is alone.

        Raises:
            ConfigError: No such role.
        """
        superior = self.role(author).reports_to
        if superior is not None:
            return superior
        # Whoever reports to nobody is the head, and everybody's line leads to it: where there is
        # another role at all, one of them reports to the head directly.
        reports = (n for n in self.colleagues(author) if self.roles[n].reports_to == author)
        return next(reports, None)


@cache
def builtin_roles() -> Path:
    """Return the folder of the roles that come with the product.

    It lies inside an installed package, and beside the package in a checkout.

    Raises:
        ConfigError: Neither is there: the installation is damaged.
    """
    here = Path(__file__).resolve().parent
    # The packaged folder first: next to an installed package, `roles` would be a stranger's.
    for folder in (here / "roles", here.parents[1] / "roles"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"{here / 'roles'}: the built-in roles are missing; install swarm again")


def load_org(
    *folders: Path,
    known_tools: Collection[str],
    known_model: Callable[[str], str | None] | None = None,
) -> Org:
    """Read the role files of the folders and check that they make a company.

    Files are `<name>.md`; other files and hidden ones are left alone. A file replaces the one of
    the same name in an earlier folder, whole; the replaced one is not read. A folder that does not
    exist holds no roles.

    Args:
        *folders: The built-in roles first, the company's own after them.
        known_tools: Names that `tools` may hold; each of `approvals` must match one of them.
        known_model: Returns None for a model that can be used, else a sentence that says why not.

    Raises:
        RoleMistakes: Something has to be mended; all mistakes are named at once.
    """
    found = _find(folders)
    texts = tuple((name, file, _text_of(file)) for name, file in sorted(found.files.items()))
    if not found.mistakes and known_model is None:
        with suppress(RoleMistakes):  # They are told below, with the places of the files.
            return _org_of(tuple((n, text) for n, _, text in texts), frozenset(known_tools))
    return _org(texts, folders, known_tools, known_model, found.mistakes)


@lru_cache(maxsize=8)
def _org_of(texts: tuple[tuple[str, str | Fault], ...], known_tools: frozenset[str]) -> Org:
    """Check the same texts once: evaluations open hundreds of companies with them."""
    files = tuple((name, Path(f"{name}.md"), text) for name, text in texts)
    return _org(files, (), known_tools, None, ())


def _org(
    texts: _Texts,
    folders: tuple[Path, ...],
    known_tools: Collection[str],
    known_model: Callable[[str], str | None] | None,
    mistakes_found: Sequence[RoleMistake],
) -> Org:
    drafts = [_read(name, file, text) for name, file, text in texts]
    mistakes = list(mistakes_found)
    for draft in drafts:
        faults = [*draft.faults, *_unknown(draft, known_tools, known_model)]
        mistakes += (draft.mistake(fault) for fault in faults)
    mistakes += _lines_of_report(drafts, folders)
    if mistakes:
        raise RoleMistakes(sorted(mistakes, key=lambda m: (str(m.file), m.line or 0, m.field)))
    roles = {draft.name: draft.role for draft in drafts if draft.role}
    head = next(name for name, role in roles.items() if role.reports_to is None)
    return Org(roles=MappingProxyType(roles), head=head, digest=_digest(drafts))


@dataclass
class _Found:
    files: dict[str, Path] = field(default_factory=dict)
    mistakes: list[RoleMistake] = field(default_factory=list)


def _find(folders: Sequence[Path]) -> _Found:
    found = _Found()
    for folder in folders:
        try:
            files = sorted(folder.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            found.mistakes.append(RoleMistake(folder, None, "", _why(error)))
            continue
        for file in files:
            if file.suffix.lower() != ".md" or file.name.startswith("."):
                continue
            if file.suffix == ".md" and _NAME.fullmatch(file.stem):
                found.files[file.stem] = file
            else:
                text = (
                    "no name for a role: use lower-case letters, digits and dashes, a letter "
                    "first, then `.md`; rename the file or move it out of the folder"
                )
                found.mistakes.append(RoleMistake(file, None, "", text))
    return found


@dataclass
class _Draft:
    """A role file on its way to being a role."""

    name: str
    file: Path
    text: str = ""
    front: FrontMatter | None = None
    """None where the file has no front matter that can be read."""
    role: Role | None = None
    faults: list[Fault] = field(default_factory=list)

    def mistake(self, fault: Fault) -> RoleMistake:
        return RoleMistake(self.file, fault.line, fault.field, fault.text)

    def fault(self, path: str, text: str) -> Fault:
        return Fault(self.front.line(path) if self.front else 1, path, text)

    @property
    def reports_to(self) -> str | None:
        value = self.front.values.get("reports_to") if self.front else None
        return value if isinstance(value, str) else None

    @property
    def is_placed(self) -> bool:
        """True where it is known to whom the role reports, or that it reports to nobody."""
        return self.front is not None and not any(f.field == "reports_to" for f in self.faults)


def _read(name: str, file: Path, text: str | Fault) -> _Draft:
    draft = _Draft(name, file)
    if isinstance(text, Fault):
        draft.faults.append(text)
        return draft
    draft.text = text
    front = _front_of(text)
    if isinstance(front, Fault):
        draft.faults.append(front)
        return draft
    draft.front = front
    draft.faults += front.faults
    values = {key: value for key, value in front.values.items() if key in _FIELDS}
    draft.faults += (_unknown_field(draft, key) for key in front.keys if key not in _FIELDS)
    draft.faults += _wild_budget(front)
    try:
        draft.role = Role.model_validate({**values, "name": name, "prompt": front.body})
    except ValidationError as error:
        _add_errors(draft, error)
    return draft


@lru_cache(maxsize=64)
def _front_of(text: str) -> FrontMatter | Fault:
    """Read front matter once: evaluations open hundreds of companies with the same role files."""
    return parse(text)


def _text_of(file: Path) -> str | Fault:
    if file.exists() and not file.is_file():
        return Fault(None, "", "is no file; role files are plain text")
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return Fault(None, "", _why(error))
    if len(data) > MAX_FILE_BYTES:
        return Fault(None, "", f"longer than {MAX_FILE_BYTES:,} bytes: shorten the prompt")
    try:
        return clean_text(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Fault(line, "", "not UTF-8 text: save the file in the encoding UTF-8")


def _why(error: OSError) -> str:
    return f"cannot be read: {error.strerror or type(error).__name__}"


def _unknown_field(draft: _Draft, key: str) -> Fault:
    if key == "name":
        return draft.fault(key, f"the file's name is the role's name, {draft.name!r}; remove this")
    if key == "prompt":
        return draft.fault(key, "the prompt is the text below the front matter; move it there")
    return draft.fault(key, f"no such field{nearest(key, _FIELDS)}")


def _wild_budget(front: FrontMatter) -> Iterator[Fault]:
    """Refuse an exponent such as 1e999999, which would be written out in full later."""
    # YAML takes `1e9` for a text, and the role's model would read it as a number after all.
    budget = number(str(front.values.get("budget")))
    if budget is not None and budget.is_finite() and abs(budget.adjusted()) > 12:
        yield Fault(front.line("budget"), "budget", "is no sum of money; write it like 2.50")


def _add_errors(draft: _Draft, error: ValidationError) -> None:
    """Add what pydantic found, but for values whose fault is known already."""
    faulty = {fault.field for fault in draft.faults}
    for detail in error.errors(include_url=False, include_context=False):
        top, *rest = detail["loc"]
        path = f"{top}" + "".join(f"[{part}]" for part in rest)
        if path == "prompt":
            line = draft.front.body_line if draft.front else 1
            text = "is empty: write below the front matter who the role is and how it works"
            draft.faults.append(Fault(line, path, text))
        elif path not in faulty:
            draft.faults.append(draft.fault(path, _advice(path, detail["type"], detail)))


def _advice(path: str, kind: str, detail: Mapping[str, Any]) -> str:
    if kind in ("missing", "string_too_short"):
        return f"is missing: add a line `{path}: …` to the front matter"
    if kind == "string_type":
        return "should be a text; put it in quotes"
    if kind == "tuple_type":
        return "should be a list, like `[first, second]`"
    if kind.startswith(("decimal", "float", "finite")):
        return "should be a number, like 0.50"
    # What is left are bounds; pydantic says "Input should be …".
    value = shorten(str(detail["input"]), 40)
    return f"{str(detail['msg']).removeprefix('Input ')}, not {value}"


def _unknown(
    draft: _Draft,
    known_tools: Collection[str],
    known_model: Callable[[str], str | None] | None,
) -> Iterator[Fault]:
    """Name what the role asks for and the company has not."""
    seen: set[str] = set()
    for path, tool in _texts(draft, "tools"):
        if tool.startswith(MCP_PREFIX):
            pass  # What the company's MCP servers offer is known only when they run.
        elif tool not in known_tools:
            yield draft.fault(path, f"no tool {tool!r}{nearest(tool, known_tools)}")
        elif tool in seen:
            yield draft.fault(path, f"{tool!r} is there twice; remove one of them")
        seen.add(tool)
    for path, pattern in _texts(draft, "approvals"):
        # A pattern that matches nothing guards nothing, and nobody would notice.
        if pattern.startswith(MCP_PREFIX):
            continue
        if not any(fnmatchcase(tool, pattern) for tool in known_tools):
            yield draft.fault(path, f"no tool matches {pattern!r}{nearest(pattern, known_tools)}")
    model = draft.front.values.get("model") if draft.front else None
    if isinstance(model, str) and known_model and (sentence := known_model(model)):
        yield draft.fault("model", " ".join(sentence.split()))


def _texts(draft: _Draft, name: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of a list's items, also where the rest of the file has mistakes."""
    items = draft.front.values.get(name) if draft.front else None
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, str):
            yield f"{name}[{index}]", shorten(item, 60)


def _lines_of_report(drafts: Sequence[_Draft], folders: Sequence[Path]) -> Iterator[RoleMistake]:
    """Check that all lines of report lead to one head."""
    by_name = {draft.name: draft for draft in drafts}
    for draft in drafts:
        superior = draft.reports_to
        if superior is not None and superior not in by_name:
            word = shorten(superior, 40)
            others = sorted(set(by_name) - {draft.name})
            yield draft.mistake(
                draft.fault("reports_to", f"no role {word!r}{nearest(word, others)}")
            )
    yield from _cycles(by_name)
    # Where a file cannot be read, its role may well be the head.
    if all(draft.is_placed for draft in drafts):
        yield from _heads(drafts, folders)


def _heads(drafts: Sequence[_Draft], folders: Sequence[Path]) -> Iterator[RoleMistake]:
    heads = [draft for draft in drafts if draft.reports_to is None]
    if not heads:
        yield _no_head(drafts, folders)
        return
    superiors = [draft.reports_to for draft in drafts]
    # The one most others report to is most likely meant; of equals, the first.
    meant = max(heads, key=lambda draft: superiors.count(draft.name))
    for draft in heads:
        if draft is not meant:
            text = (
                f"{draft.name!r} and {meant.name!r} both report to nobody, one role alone may; "
                f"add `reports_to: {meant.name}` here"
            )
            yield draft.mistake(draft.fault("reports_to", text))


def _no_head(drafts: Sequence[_Draft], folders: Sequence[Path]) -> RoleMistake:
    if drafts:
        text = "no role leads the company: remove `reports_to` from the one that should"
        return RoleMistake(drafts[0].file.parent, None, "", text)
    place = folders[-1] if folders else Path("roles")
    text = "no role files here: add one, `<name>.md`, without `reports_to`: it leads the company"
    return RoleMistake(place, None, "", text)


def _cycles(by_name: Mapping[str, _Draft]) -> Iterator[RoleMistake]:
    settled: set[str] = set()
    for start in by_name:
        path: list[str] = []
        name: str | None = start
        while name is not None and name in by_name and name not in settled and name not in path:
            path.append(name)
            name = by_name[name].reports_to
        if name is not None and name in path:
            ring = path[path.index(name) :]
            text = f"a cycle: {' → '.join([*ring, ring[0]])}; one of them must report elsewhere"
            draft = by_name[ring[0]]
            yield draft.mistake(draft.fault("reports_to", text))
        settled.update(path)


def _digest(drafts: Sequence[_Draft]) -> str:
    digest = hashlib.sha256()
    for draft in drafts:
        content = draft.text.strip().encode()
        # The length keeps the end of one file from passing for the start of the next.
        digest.update(f"{draft.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
