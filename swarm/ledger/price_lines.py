"""Lines of a price book as they are written: compared, completed, added to, and put on disk."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from swarm.core.money import plain
from swarm.ledger.price_names import spellings
from swarm.ledger.price_rates import RATE_FIELDS
from swarm.ledger.prices import FORMAT

Row: TypeAlias = dict[str, Any]

CURRENCY = "USD"
EVER = "1970-01-01"
"""The first day of a price that a source gives without one, before a dated change."""

_NESTED = ("tiers", "services", "units", "regions", "windows")
FACTS = (*RATE_FIELDS, *_NESTED)
"""What a line says about money; a moved page or limit alone makes no new line."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where lines come from."""

    key: str
    """Its name and version, as each line names it."""
    title: str
    url: str
    license: str
    read: date

    def as_json(self) -> dict[str, str]:
        """Return what a book says of a source once for all of its lines."""
        return {
            "title": self.title,
            "url": self.url,
            "license": self.license,
            "read": self.read.isoformat(),
        }

    def stamp(self, valid_from: date | str | None = None) -> Row:
        """Return what a line says of its source."""
        day = valid_from or self.read
        return {
            "valid_from": day if isinstance(day, str) else day.isoformat(),
            "source": self.key,
            "read": self.read.isoformat(),
        }


def texts(prices: Mapping[str, Decimal | None]) -> dict[str, str]:
    """Write prices per token as plain texts, in the book's order; what is not known is left out."""
    return {n: plain(price) for n in RATE_FIELDS if (price := prices.get(n)) is not None}


def order(row: Mapping[str, Any]) -> tuple[str, str]:
    """Sort lines by model and day."""
    return row["model"], row["valid_from"]


def facts(row: Mapping[str, Any]) -> Row:
    """Return what a line says about money."""
    return {key: row[key] for key in FACTS if key in row}


def flat(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the same one by one, under names such as `services.batch.input`."""
    found = {name: row[name] for name in RATE_FIELDS if name in row}
    for tier in row.get("tiers", ()):
        found |= {f"tiers.{tier['above']}.{k}": v for k, v in flat(tier).items()}
    for name, table in row.get("services", {}).items():
        found |= {f"services.{name}.{k}": v for k, v in flat(table).items()}
    for window in row.get("windows", ()):
        days = "".join(map(str, window.get("weekdays", ()))) or "daily"
        place = f"windows.{days}@{window['from']}-{window['to']}"
        found |= {f"{place}.{k}": v for k, v in flat(window).items()}
    for kind in ("units", "regions"):
        found |= {f"{kind}.{name}": text for name, text in row.get(kind, {}).items()}
    return found


def merge(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Add the new lines that say something new, and keep every old one; sorted by model and day.

    A new line replaces an old one of the same model and day.
    """
    latest = {row["model"]: row for row in sorted(old, key=order)}
    added = [row for row in new if facts(row) != facts(latest.get(row["model"], {}))]
    return sorted({order(row): row for row in (*old, *added)}.values(), key=order)


def completed(row: Row, other: Mapping[str, Any]) -> Row:
    """Add to a line what another source knows besides, where both agree on the usual prices.

    What is added is named under `also`, with its source. Where the usual prices differ, one of the
    sources is out of date, and nothing of the other is taken over.
    """
    if any(row.get(name) != other.get(name) for name in ("input", "output")):
        return row
    fuller = _filled(row, other, (*RATE_FIELDS, "tiers", "units"))
    services = dict(row.get("services", {}))
    for name, table in other.get("services", {}).items():
        mine = services.get(name, table)
        if all(mine.get(rate) == table.get(rate) for rate in ("input", "output")):
            services[name] = _filled(mine, table, (*RATE_FIELDS, "tiers"))
    if services:
        fuller["services"] = services
    new = sorted({_facet(name) for name in flat(fuller).keys() - flat(row).keys()})
    return _in_order(fuller | {"also": {other["source"]: new}}) if new else row


def _facet(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first == "services" else first


def _filled(row: Mapping[str, Any], other: Mapping[str, Any], names: Iterable[str]) -> Row:
    return dict(row) | {name: other[name] for name in names if name in other and name not in row}


_ORDER = ("model", *FACTS, "max_input_tokens", "max_output_tokens", "page", "valid_from")


def _in_order(row: Row) -> Row:
    """Return a line with its keys in the usual order."""
    return {key: row[key] for key in (*_ORDER, *row) if key in row}


def combine(
    first: Sequence[Row], second: Sequence[Row], *, aliases: Mapping[str, str], read: date
) -> list[Row]:
    """Join what two sources say on one day.

    The first speaks for today, completed by the second. The second adds models that the first has
    no more, and the dated past of those that both have, be it under another name.
    """
    others: dict[str, list[Row]] = {}
    for row in sorted(second, key=order):
        others.setdefault(row["model"], []).append(row)
    rows: list[Row] = []
    for row in first:
        name = _named(row["model"], others, aliases)
        past = [old | {"model": row["model"]} for old in others.get(name, ())]
        rows += _joined(row, past, today=read.isoformat())
    known = {row["model"] for row in first}
    snapshots = _snapshots(first)
    rest = (
        completed(row, snapshots.get(row["model"], row))
        for row in second
        if row["model"] not in known
    )
    return sorted([*rows, *rest], key=order)


def _snapshots(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the newest snapshot of each model, by the name without its day.

    One source may list only snapshots where the other has the name that points to the newest.
    """
    found: dict[str, Row] = {}
    for row in sorted(rows, key=order):
        *_, name = spellings(row["model"])
        if name != row["model"]:
            found[name] = row
    return found


def _named(model: str, others: Mapping[str, object], aliases: Mapping[str, str]) -> str:
    """Return the name under which the other source has a model."""
    for name in spellings(model):
        meant = name if name in others else aliases.get(name, "")
        if meant in others:
            return meant
    return model


def _joined(row: Row, past: Sequence[Row], *, today: str) -> list[Row]:
    """Return a model's dated past and its present."""
    if not past:
        return [row]
    current = completed(row, past[-1])
    history = [old for old in past if old["valid_from"] < today]
    if not history:
        return [current]
    history[-1] = completed(history[-1], row)
    return history if facts(history[-1]) == facts(current) else [*history, current]


def header(id: str, read: date, sources: Mapping[str, Any], aliases: Mapping[str, str]) -> Row:
    """Return what a book says before its lines."""
    return {
        "format": FORMAT,
        "id": id,
        "date": read.isoformat(),
        "currency": CURRENCY,
        "unit": "per token; tiers hold for the whole call once its prompt has more tokens",
        "sources": dict(sources),
        "aliases": dict(sorted(aliases.items())),
    }


def write(path: Path, head: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write a book, one line per row, so that a change of a price is a change of a line."""
    start = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f'{start},\n "prices": [\n{lines}\n]}}\n', encoding="utf-8")
