"""Write the ledger as JSON lines, a row each: amounts as decimal texts, documents as they came."""

import json
from collections.abc import Iterable
from typing import Any, TextIO

from swarm.core.money import from_pico, plain

DOCUMENTS = ("raw_usage", "parts", "prompt", "answer")
"""Columns that hold JSON; what is not is left a text."""


def write(rows: Iterable[Any], out: TextIO) -> int:
    """Write rows and return how many there were."""
    count = 0
    for row in rows:
        out.write(json.dumps(entry(row._mapping), ensure_ascii=False) + "\n")
        count += 1
    return count


def entry(row: Any) -> dict[str, Any]:
    """Return one row as JSON knows it; nothing of it is left out."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith("_pico"):
            found[_amount_name(name)] = None if value is None else plain(from_pico(value))
        elif name in DOCUMENTS and value is not None:
            found[name] = _document(value)
        else:
            found[name] = value
    return found


def _amount_name(column: str) -> str:
    name = column.removesuffix("_pico")
    return {"cost": "amount"}.get(name, name)


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
