"""Look at what the company remembers, and let it forget."""

from typing import Any

from swarm.cli.opened import opened
from swarm.cli.terminal import say, show_json
from swarm.core.clock import iso
from swarm.memory.base import MemoryItem


def listed(*, limit: int, as_json: bool) -> None:
    """List the newest memories."""
    with opened() as app:
        items = app.memory.list(limit=limit)
    _show(items, as_json=as_json, nothing="The company remembers nothing yet.")


def search(*, query: str, limit: int, as_json: bool) -> None:
    """List the memories nearest to some words."""
    with opened() as app:
        items = app.memory.recall(query, limit=limit)
    _show(items, as_json=as_json, nothing="Nothing like that is remembered.")


def forget(*, memory_id: str, as_json: bool) -> None:
    """Delete a memory.

    Raises:
        NotFound: No such memory.
    """
    with opened() as app:
        app.memory.forget(memory_id)
    if as_json:
        show_json({"forgotten": memory_id})
    else:
        say(f"{memory_id} is forgotten.")


def _show(items: list[MemoryItem], *, as_json: bool, nothing: str) -> None:
    if as_json:
        show_json([_entry(item) for item in items])
    else:
        say("\n".join(map(_line, items)) or nothing)


def _entry(item: MemoryItem) -> dict[str, Any]:
    return {
        "id": item.id,
        "kind": item.kind.value,
        "text": item.text,
        "origin": item.origin.value,
        "order": item.order_id,
        "observed_at": iso(item.observed_at),
    }


def _line(item: MemoryItem) -> str:
    return (
        f"{item.id}  {item.observed_at:%Y-%m-%d}  {item.kind.value:10}  from {item.origin.value}: "
        f"{item.text}"
    )
