"""Memories as JSON: one record a line, and the digest that stays of a forgotten one."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from swarm.core.clock import iso
from swarm.core.errors import InvalidInput
from swarm.core.origin import Origin
from swarm.core.text import clean_text
from swarm.memory.base import Detail, MemoryItem, MemoryKind, Scope

MAX_LINE_BYTES = 1024 * 1024
MAX_TEXT_CHARS = 100_000
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class Record(BaseModel):
    """One memory as exported; a hand-written one needs `text` alone."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] | None = None
    kind: MemoryKind = MemoryKind.FACT
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    origin: Origin = Origin.FOUNDER
    order_id: _Name | None = None
    key: _Name | None = None
    subject: _Name | None = None
    scope: Scope = Scope.COMPANY
    scope_id: _Name | None = None
    audience: list[str] = []
    source: str | None = None
    observed_at: AwareDatetime | None = None
    observed_by: _Name | None = None
    is_flow: bool = False
    valid_until: AwareDatetime | None = None
    half_life_days: int | None = None
    confidence: float = 1.0
    importance: float = 0.5
    is_quarantined: bool = False
    confirmed_by: _Name | None = None
    superseded_by: _Name | None = None

    def detail(self) -> Detail:
        """Return what `Detail` checks.

        Raises:
            InvalidInput: It makes no sense.
        """
        values = {part.name: getattr(self, part.name) for part in fields(Detail)}
        return Detail(**values | {"audience": tuple(self.audience)})


@dataclass(frozen=True, slots=True)
class Line:
    """One good line of an import."""

    number: int
    """Counted from 1."""
    record: Record


@dataclass(frozen=True, slots=True)
class ReadLines:
    """What the lines of a file hold."""

    good: list[Line] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    """The reason, by number of the line."""


def read_lines(lines: Iterable[bytes]) -> ReadLines:
    """Read JSON lines: the good ones are records, each bad one has its reason; empty ones pass."""
    result = ReadLines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            result.good.append(Line(number, read(line)))
        except InvalidInput as error:
            result.bad[number] = str(error)
    return result


def read(line: bytes) -> Record:
    """Read one record.

    Raises:
        InvalidInput: The reason, in words for who wrote the file.
    """
    if len(line) > MAX_LINE_BYTES:
        raise InvalidInput(f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        record = Record.model_validate(json.loads(line))
    except UnicodeDecodeError as error:
        raise InvalidInput("not UTF-8") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{place}: {first['msg']}" if place else "not a JSON object") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error
    record.text = clean_text(record.text).strip()
    if not record.text:
        raise InvalidInput("text: no words are left of it")
    record.detail()
    return record


def item_of(record: Record, memory_id: str, now: Any) -> MemoryItem:
    """Return the memory of a record; a stranger's words leave their quarantine by a name only."""
    values = record.model_dump() | {
        "id": record.id or memory_id,
        "audience": tuple(sorted(set(record.audience))),
        "observed_at": record.observed_at or now,
        "is_quarantined": record.is_quarantined
        or not (record.origin.is_trusted or record.confirmed_by),
    }
    return MemoryItem(**values)


def record_of(item: MemoryItem) -> dict[str, Any]:
    """Return a memory as the JSON object that `read` reads again."""
    values = {part.name: getattr(item, part.name) for part in fields(MemoryItem)}
    return values | {
        "kind": item.kind.value,
        "origin": item.origin.value,
        "scope": item.scope.value,
        "audience": list(item.audience),
        "observed_at": iso(item.observed_at),
        "valid_until": None if item.valid_until is None else iso(item.valid_until),
    }


def digest(item: MemoryItem) -> str:
    """Return the SHA-256 of the whole record in canonical JSON (RFC 8785), in hexadecimal.

    Over all fields, the moment to the microsecond among them: a digest of the text alone would
    let anybody confirm a guess at a forgotten phone number.
    """
    import rfc8785

    return hashlib.sha256(rfc8785.dumps(record_of(item))).hexdigest()
