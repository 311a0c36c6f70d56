"""Scorers of what an order left: status, files, words."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, field_validator, model_validator

from swarm.core.errors import InvalidInput, SwarmError
from swarm.core.language import detect
from swarm.core.order import OrderStatus
from swarm.evals.evidence import Evidence, OrderEvidence
from swarm.evals.scorers import Mark, ScorerArgs, mark, order_of
from swarm.tools.workspace import reading

MAX_BYTES = 4 * 1024 * 1024
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


class TextArgs(ScorerArgs):
    """What a text must and must not say."""

    contains: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    """Regular expressions; each is found somewhere, with `.` over line ends."""
    language: str | None = None
    """ISO 639-1 code."""
    min_words: int | None = Field(default=None, ge=0)
    max_words: int | None = Field(default=None, ge=0)

    @field_validator("contains", "lacks", "matches", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("matches")
    @classmethod
    def _compiles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                _compiled(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return value


def _compiled(pattern: str) -> Any:
    # Linear in the text: a scenario from a stranger cannot hang the run.
    import re2  # type: ignore[import-untyped]  # it has no stubs

    try:
        return re2.compile(f"(?s){pattern}")
    except re2.error as error:
        raise re.error(str(error)) from error


def faults_of(text: str, args: TextArgs) -> Iterator[str]:
    """Give what is wrong with a text."""
    for wanted in args.contains:
        if wanted not in text:
            yield f"does not contain {wanted!r}"
    for unwanted in args.lacks:
        if unwanted in text:
            yield f"contains {unwanted!r}"
    for pattern in args.matches:
        if not _compiled(pattern).search(text):
            yield f"does not match {pattern!r}"
    words = len(_WORD.findall(text))
    if args.min_words is not None and words < args.min_words:
        yield f"has {words} words, fewer than {args.min_words}"
    if args.max_words is not None and words > args.max_words:
        yield f"has {words} words, more than {args.max_words}"
    if args.language is not None and (found := detect(text)) != args.language:
        yield f"is written in {found or 'an unknown language'}, not {args.language}"


def judged(what: str, text: str, args: TextArgs) -> Mark:
    """Return the mark of a text, with its first fault."""
    faults = list(faults_of(text, args))
    return mark(not faults, f"{what} {faults[0]}" if faults else f"{what}: {len(text)} characters")


class StatusArgs(ScorerArgs):
    """Where the order must stand."""

    SHORT: ClassVar[str] = "is_"
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    is_: OrderStatus = Field(alias="is")
    reason: str | None = None
    """What its reason must contain."""


class Status:
    """Whether the order ended as it should."""

    name: ClassVar[str] = "status"
    Args: ClassVar[type[ScorerArgs]] = StatusArgs

    async def score(self, evidence: Evidence, args: StatusArgs) -> Mark:
        """Compare the status, and the reason where one is asked for."""
        document = order_of(evidence, args).document
        reason = document.reason.text if document.reason else ""
        said = f"the order is {document.status.value}" + (f": {reason}" if reason else "")
        is_met = document.status is args.is_ and (args.reason or "") in reason
        return mark(is_met, said)


class ArtifactArgs(TextArgs):
    """A deliverable, and what it must say."""

    SHORT: ClassVar[str] = "path"
    path: str
    min_bytes: int = Field(default=1, ge=0)


class Artifact:
    """Whether a file was delivered, and says what it should."""

    name: ClassVar[str] = "artifact"
    Args: ClassVar[type[ScorerArgs]] = ArtifactArgs

    async def score(self, evidence: Evidence, args: ArtifactArgs) -> Mark:
        """Look for the file among the deliverables, then read it."""
        order = order_of(evidence, args)
        delivered = {file.path: file for file in order.document.artifacts}
        if args.path not in delivered:
            known = ", ".join(delivered) or "nothing"
            return mark(False, f"{args.path} was not delivered; delivered: {known}")
        if delivered[args.path].bytes < args.min_bytes:
            return mark(False, f"{args.path} has {delivered[args.path].bytes} bytes")
        return judged(args.path, read_file(order, args.path), args)


class JsonArgs(ScorerArgs):
    """A value in a JSON file of the workspace."""

    path: str
    at: str = ""
    """Where in it, such as `totals.net` or `rows[0].name`; empty is all of it."""
    equals: Any = None
    at_least: float | None = None
    at_most: float | None = None


class Json:
    """Whether a JSON file holds a value."""

    name: ClassVar[str] = "json"
    Args: ClassVar[type[ScorerArgs]] = JsonArgs

    async def score(self, evidence: Evidence, args: JsonArgs) -> Mark:
        """Read the file, walk to the place, compare."""
        text = read_file(order_of(evidence, args), args.path)
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            return mark(False, f"{args.path} is no JSON: {error}")
        return compared(f"{args.path} {args.at}".strip(), document, args.at, args)


class AnswerArgs(TextArgs):
    """What the final answer must say."""

    SHORT: ClassVar[str] = "contains"


class Answer:
    """Whether the final answer says what it should."""

    name: ClassVar[str] = "answer"
    Args: ClassVar[type[ScorerArgs]] = AnswerArgs

    async def score(self, evidence: Evidence, args: AnswerArgs) -> Mark:
        """Read the answer."""
        text = order_of(evidence, args).document.answer
        return mark(False, "there is no answer") if text is None else judged("answer", text, args)


class AskedArgs(TextArgs):
    """What the company must have asked a person."""

    SHORT: ClassVar[str] = "contains"
    kind: str | None = Field(default=None, pattern="^(question|choice|approval|signature)$")
    options: int | None = None


class Asked:
    """Whether somebody was asked."""

    name: ClassVar[str] = "asked"
    Args: ClassVar[type[ScorerArgs]] = AskedArgs

    async def score(self, evidence: Evidence, args: AskedArgs) -> Mark:
        """Look for one such question."""
        rows = order_of(evidence, args).asks
        for row in rows:
            is_kind = args.kind in (None, row["kind"])
            is_many = args.options in (None, len(json.loads(row["options"])))
            if is_kind and is_many and not list(faults_of(row["text"], args)):
                return mark(True, f"{row['asked_by']} asked: {row['text'][:200]}")
        return mark(False, f"nobody was asked that; {len(rows)} things were asked")


class MessageArgs(TextArgs):
    """What one of the company's messages must say."""

    SHORT: ClassVar[str] = "contains"


class Message:
    """Whether the company sent a message."""

    name: ClassVar[str] = "message"
    Args: ClassVar[type[ScorerArgs]] = MessageArgs

    async def score(self, evidence: Evidence, args: MessageArgs) -> Mark:
        """Look for one such message."""
        rows = order_of(evidence, args).messages
        is_met = any(not list(faults_of(row["body"], args)) for row in rows)
        return mark(is_met, f"{len(rows)} messages, {'one' if is_met else 'none'} of them so")


class DocumentArgs(ScorerArgs):
    """A value in the order's document, as `swarm show --json` prints it."""

    at: str
    equals: Any = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _compares(self) -> "DocumentArgs":
        if {"equals", "at_least", "at_most"} & self.model_fields_set:
            return self
        raise ValueError("give `equals`, `at_least` or `at_most`")


class Document:
    """Whether the order's document holds a value."""

    name: ClassVar[str] = "document"
    Args: ClassVar[type[ScorerArgs]] = DocumentArgs

    async def score(self, evidence: Evidence, args: DocumentArgs) -> Mark:
        """Walk to the place and compare."""
        document = order_of(evidence, args).document.model_dump(mode="json")
        return compared(args.at, document, args.at, args)


_NOTHING = object()
_PART = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")


def walk(document: Any, place: str) -> Any:
    """Return what stands at a place such as `rows[0].name`; `_NOTHING` where nothing does."""
    node = document
    for name, index in _PART.findall(place):
        if name and isinstance(node, dict) and name in node:
            node = node[name]
        elif index and isinstance(node, list) and -len(node) <= int(index) < len(node):
            node = node[int(index)]
        else:
            return _NOTHING
    return node


def compared(what: str, document: Any, place: str, args: Any) -> Mark:
    """Compare what stands at a place with what an `equals`, `at_least` and `at_most` want."""
    found = walk(document, place)
    if found is _NOTHING:
        return mark(False, f"{what} is not there")
    said = f"{what} is {json.dumps(found, ensure_ascii=False)[:200]}"
    if "equals" in args.model_fields_set and found != args.equals:
        return mark(False, f"{said}, not {json.dumps(args.equals, ensure_ascii=False)[:200]}")
    if args.at_least is None and args.at_most is None:
        return mark(True, said)
    try:
        number = float(found)
    except (TypeError, ValueError):
        return mark(False, f"{said}, which is no number")
    low, high = args.at_least, args.at_most
    is_met = (low is None or number >= low) and (high is None or number <= high)
    return mark(is_met, said)


def read_file(order: OrderEvidence, path: str) -> str:
    """Read a file of an order's workspace as text.

    Raises:
        InvalidInput: It is missing, too large, or no plain file below the workspace.
    """
    try:
        with reading(order.workspace, path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as f:
            data = f.read(MAX_BYTES + 1)
    except (SwarmError, OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{path} is larger than {MAX_BYTES // 2**20} MiB")
    return data.decode("utf-8", "replace")
