"""Make memories: from what a caller says, from an older wording, from a recall."""

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from swarm.core.errors import InvalidInput, NotFound
from swarm.core.origin import Origin
from swarm.core.text import clean_text
from swarm.memory import rules
from swarm.memory.base import Detail, MemoryItem, MemoryKind, Recalled

_FIELDS = tuple(field.name for field in fields(MemoryItem))


def made(
    memory_id: str,
    text: str,
    detail: Detail,
    *,
    kind: MemoryKind,
    origin: Origin,
    now: datetime,
    order_id: str | None,
    key: str | None,
    subject: str | None,
) -> MemoryItem:
    """Return a new memory; a stranger's words enter the quarantine.

    Raises:
        InvalidInput: It was observed in the future.
    """
    said: dict[str, Any] = {field.name: getattr(detail, field.name) for field in fields(Detail)}
    said["observed_at"] = rules.observed_at(detail.observed_at, now)
    said["audience"] = tuple(sorted(set(detail.audience)))
    return MemoryItem(
        id=memory_id,
        kind=kind,
        text=clean_text(text),
        origin=origin,
        order_id=order_id,
        key=key,
        subject=None if subject is None else clean_text(subject).strip() or None,
        is_quarantined=not origin.is_trusted,
        **said,
    )


def revised(old: MemoryItem, memory_id: str, text: str, *, by: str) -> MemoryItem:
    """Return a person's new wording of a memory; when it was seen stays as it was.

    Raises:
        InvalidInput: Nobody is named, or no words are left.
    """
    cleaned = clean_text(text).strip()
    if not cleaned:
        raise InvalidInput("A memory needs words; `swarm memory forget` deletes one.")
    return replace(
        old,
        id=memory_id,
        text=cleaned,
        origin=Origin.FOUNDER,
        source=f"edited by {named(by)}",
        key=None,
        is_quarantined=False,
        confirmed_by=None,
    )


def confirmed(old: MemoryItem, *, by: str) -> MemoryItem:
    """Return a memory out of its quarantine, with the person who vouches for it.

    Raises:
        InvalidInput: Nobody is named.
    """
    return replace(old, is_quarantined=False, confirmed_by=named(by))


def named(by: str) -> str:
    """Return the person's id.

    Raises:
        InvalidInput: It is empty: what is done in nobody's name is not done.
    """
    if not by.strip():
        raise InvalidInput("Only a person, by name, may say that.")
    return by.strip()


def found(item: MemoryItem | None, memory_id: str) -> MemoryItem:
    """Return the item.

    Raises:
        NotFound: There is none.
    """
    if item is None:
        raise NotFound(f"There is no memory {memory_id!r}; `swarm memory list` shows them.")
    return item


def recalled(item: MemoryItem, *, score: float, age: str) -> Recalled:
    """Return the item as the answer to a recall."""
    values = {name: getattr(item, name) for name in _FIELDS}
    return Recalled(**values, score=score, age=age)


def fitting(items: Iterable[Recalled], *, limit: int, max_tokens: int | None) -> list[Recalled]:
    """Return the best items that fit; one too long for what is left makes room for the next."""
    kept: list[Recalled] = []
    left = max_tokens
    for item in items:
        if len(kept) == limit:
            break
        size = rules.tokens(item.text)
        if left is not None and size > left:
            continue
        left = None if left is None else left - size
        kept.append(item)
    return kept
