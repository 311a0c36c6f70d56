"""A scenario: orders with the founder's words, what the company starts with, and what is checked.

It is one YAML file. Each order is answered either by a cassette, which is played strictly, or by
answers that a person wrote into the scenario (`authored.py`); `swarm eval --author` plays those
once and writes the cassette.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from swarm.core.errors import InvalidInput
from swarm.core.origin import Origin
from swarm.core.registry import nearest
from swarm.evals.authored import Fault, Turn

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 4 * 1024 * 1024
CASSETTES = (".jsonl", ".jsonl.zst")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _inside(name: str) -> str:
    """Hold a name to a plain path below a folder."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise ValueError("write a path below the folder, without `..`")
    return name


InnerPath = Annotated[str, AfterValidator(_inside)]


class Remembered(_Part):
    """Something the company knows before the order comes."""

    text: str = Field(min_length=1)
    kind: Literal["episode", "preference", "lesson", "fact"] = "fact"
    origin: Origin = Origin.FOUNDER
    customer: str | None = None
    """Whom it is about; no order of another customer sees it."""


class Fixtures(_Part):
    """What the company is before the first order."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """As in `company.yaml`."""
    roles: dict[str, str] = Field(default_factory=dict)
    """Texts of role files, by name."""
    memories: tuple[Remembered, ...] = ()
    pages: dict[str, str] = Field(default_factory=dict)
    """What the web says, by address; a page that is not here cannot be reached."""
    own_hardware: bool = False
    """The model runs on the company's own machine."""


class Word(_Part):
    """One thing a person says or does; exactly one act."""

    answer: str | None = None
    """To all questions that are open."""
    choose: int | None = Field(default=None, ge=1)
    because: str = ""
    approve: Literal[True] | None = None
    reject: str | None = None
    """Refuses what is open, or sends a delivered result back."""
    accept: Literal[True] | None = None
    sign: str = ""
    """With `accept`: who takes responsibility, by name."""
    cancel: Literal[True] | None = None
    when: str | None = None
    """With `cancel`: the place whose first model call is under way, such as `t1 work`."""
    resume: Literal[True] | None = None
    budget: Decimal | None = Field(default=None, gt=0)
    """A new limit for the order."""
    deploy: Literal[True] | None = None
    """Stop the worker in good order, and start a new one on the same home."""
    by: str = "ada"
    after_s: float = Field(default=60, ge=0)
    """How long the person took."""

    @property
    def act(self) -> str:
        """Return which act it is."""
        return next(name for name in _ACTS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _is_one(self) -> "Word":
        acts = [name for name in _ACTS if getattr(self, name) is not None]
        if len(acts) != 1:
            raise ValueError(
                f"one act for each word, of {', '.join(_ACTS)}; here: {acts or 'none'}"
            )
        if self.when is not None and acts != ["cancel"]:
            raise ValueError("`when` goes with `cancel` alone")
        return self


_ACTS = (
    "answer",
    "choose",
    "approve",
    "reject",
    "accept",
    "cancel",
    "resume",
    "budget",
    "deploy",
)


class OrderScript(_Part):
    """One order, whatever is said about it, and who answers for the models."""

    text: str = Field(min_length=1)
    origin: Origin = Origin.FOUNDER
    customer: str | None = None
    budget: Decimal | None = Field(default=None, gt=0)
    auto_signed: bool = False
    """Ordered with `--yes`."""
    files: dict[InnerPath, str] = Field(default_factory=dict)
    """Lie in the order's workspace before it begins."""
    after: int | None = Field(default=None, ge=1)
    """Placed once that earlier order, counted from 1, has ended; None places it at once."""
    words: tuple[Word, ...] = ()
    answers: dict[str, tuple[Turn, ...]] = Field(default_factory=dict)
    """By place: `frame`, `plan`, `t1 work`, `t1 review`, `t1 help`, `deliver`; in order of use."""
    faults: dict[str, tuple[Fault, ...]] = Field(default_factory=dict)
    """What the provider does, by place, before it gives the first of the answers there."""
    answers_from: InnerPath | None = None
    """A neighbouring YAML file that holds `answers`."""
    cassette: InnerPath | None = None
    """A neighbouring cassette; it is played strictly, and `answers` only say where it came from."""

    @property
    def turns(self) -> dict[str, tuple[Turn, ...]]:
        """Return the answers with the provider's faults before them."""
        places = dict.fromkeys([*self.answers, *self.faults])
        return {
            place: (
                *(Turn(fault=f) for f in self.faults.get(place, ())),
                *self.answers.get(place, ()),
            )
            for place in places
        }

    @property
    def is_authored(self) -> bool:
        """Whether a person wrote the answers down."""
        return bool(self.answers)


class Thresholds(_Part):
    """What a run of the scenario has to reach; otherwise `swarm eval` ends with exit code 4."""

    pass_at_1: float = Field(default=1.0, ge=0, le=1)
    """Share of the repetitions in which every check held."""
    pass_k: float = Field(default=1.0, ge=0, le=1)
    """1 where all repetitions have to hold; see `results.pass_hat_k`."""
    cost: Decimal | None = Field(default=None, ge=0)
    """Most that the dearest repetition may cost, in the company's currency."""
    wall_s: float | None = Field(default=None, gt=0)
    """Longest that a repetition may take here, in seconds."""
    founder_minutes: float | None = Field(default=None, ge=0)


class Scenario(_Part):
    """One case of an evaluation."""

    name: str = Field(min_length=1, max_length=120)
    about: str = ""
    author: str = ""
    """Who wrote the answers."""
    tags: tuple[str, ...] = ()
    company: Fixtures = Fixtures()
    orders: tuple[OrderScript, ...] = Field(min_length=1, max_length=20)
    crashes: Literal["every call"] | None = None
    """Lets the whole process die at each model call in turn, and start again on the same home."""
    checks: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Each names one scorer with its arguments: `- status: delivered`."""
    thresholds: Thresholds = Thresholds()

    @model_validator(mode="after")
    def _fits(self) -> "Scenario":
        for number, order in enumerate(self.orders, start=1):
            if order.after is not None and order.after >= number:
                raise ValueError(f"orders.{number - 1}.after: names no earlier order")
            if not (order.cassette or order.answers or order.answers_from):
                raise ValueError(
                    f"orders.{number - 1}: nobody answers: give `cassette`, or `answers`"
                )
        return self

    @property
    def is_replayable(self) -> bool:
        """Whether one strict replay is all there is to it."""
        (only, *more) = self.orders
        return not more and self.crashes is None and "deploy" not in {w.act for w in only.words}

    @property
    def is_played(self) -> bool:
        """Whether recordings are all there is to it: of its order, or of several that know no other.

        The questions of one customer are such: each recording holds what was said before it.
        """
        if not all(order.cassette for order in self.orders):
            return False
        told = [order.words or order.answers or order.after for order in self.orders]
        return self.is_replayable or (self.crashes is None and not any(told))


def load(path: Path) -> Scenario:
    """Read a scenario; nothing of it is run.

    Raises:
        InvalidInput: The file, the line and what to write instead.
    """
    document, lines = read_yaml(path)
    if isinstance(document, dict):
        _take_in_answers(path, document)
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInput(_said(path, lines, first)) from error


def find(paths: Sequence[Path]) -> list[Path]:
    """Return the scenario files that paths name; folders are searched.

    Raises:
        InvalidInput: A path that is missing, or a folder without any.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if _is_scenario(file)]
            if not inside:
                raise InvalidInput(f"{path}: holds no scenario (a file ending in .yaml).")
            found |= dict.fromkeys(inside)
        elif not path.exists():
            raise InvalidInput(f"{path}: there is no such file or folder.")
        else:
            found[path] = None
    return list(found)


def _is_scenario(path: Path) -> bool:
    return path.is_file() and path.suffix in SUFFIXES and not path.stem.endswith(".answers")


def read_yaml(path: Path) -> tuple[Any, "Lines"]:
    """Read a YAML file, and where in it each part stands.

    Raises:
        InvalidInput: It cannot be read, or is no YAML.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{path}: is larger than {MAX_BYTES // 2**20} MiB: no scenario.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InvalidInput(f"{path}: cannot be read: {why}.") from error
    try:
        # An anchor can name itself a million times over: scenarios need none.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise InvalidInput(f"{path}: uses a YAML alias (*name); write the text out.")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return yaml.safe_load(text), Lines(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or type(error).__name__
        raise InvalidInput(f"{path}{line}: not valid YAML: {why}.") from error


class Lines:
    """Where in a YAML file each part stands."""

    def __init__(self, root: "yaml.Node | None") -> None:
        """Take the file's root."""
        self._root = root

    def of(self, place: Sequence[str | int]) -> int:
        """Return the line, from 1, of the deepest part of a place that stands in the file."""
        node, line = self._root, 1
        for part in place:
            found = self._child(node, part)
            if found is None:
                break
            line, node = found
        return line

    @staticmethod
    def _child(node: "yaml.Node | None", part: str | int) -> "tuple[int, yaml.Node] | None":
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part < len(node.value):
                item = node.value[part]
                return item.start_mark.line + 1, item
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    return key.start_mark.line + 1, value
        return None


def _take_in_answers(path: Path, document: dict[str, Any]) -> None:
    """Put the answers of neighbouring files where the orders name them."""
    orders = document.get("orders")
    for order in orders if isinstance(orders, list) else []:
        name = order.get("answers_from") if isinstance(order, dict) else None
        if isinstance(name, str) and not order.get("answers"):
            order["answers"], _ = read_yaml(path.parent / _inside_or_refuse(path, name))


def _inside_or_refuse(path: Path, name: str) -> str:
    try:
        return _inside(name)
    except ValueError as error:
        raise InvalidInput(f"{path}: answers_from: {error}.") from error


def _said(path: Path, lines: Lines, fault: Any) -> str:
    """Say a fault of a scenario: file, line, place, and what helps."""
    place = [part for part in fault["loc"] if not (isinstance(part, str) and "[" in part)]
    where = ".".join(map(str, place)) or "the file"
    if fault["type"] == "extra_forbidden":
        known = sorted(_fields(place[:-1]))
        what = f"there is no key {str(place[-1])!r}{nearest(str(place[-1]), known)}"
    elif fault["type"] == "missing":
        what = f"add `{place[-1]}:`"
    else:
        what = str(fault["msg"]).removeprefix("Value error, ")
    return f"{path}:{lines.of(place)}: {where}: {what.rstrip('.')}."


def _fields(place: Sequence[str | int]) -> Iterator[str]:
    """Give the keys that are known at a place of a scenario."""
    parts: dict[str, type[BaseModel]] = {
        "company": Fixtures,
        "memories": Remembered,
        "orders": OrderScript,
        "words": Word,
        "answers": Turn,
        "thresholds": Thresholds,
    }
    names = [part for part in place if part in parts]
    yield from (parts[str(names[-1])] if names else Scenario).model_fields
