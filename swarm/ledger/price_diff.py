"""What a source of prices says otherwise than the book, for a person to read before it counts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from swarm.ledger.price_lines import Row, completed, facts, flat, header, merge, write
from swarm.ledger.price_names import spellings
from swarm.ledger.price_sources import Imported
from swarm.ledger.prices import PriceBook


@dataclass(frozen=True, slots=True)
class Change:
    """One model that a source has otherwise than the book."""

    model: str
    kind: str
    """`new` in the source, `changed`, or `gone` from the source that the book has it from."""
    facts: Mapping[str, tuple[str | None, str | None]]
    """What differs: the book's price per token and the source's; None where one is silent."""
    row: Row | None
    """The line that an import would add; None where nothing would be."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One fact on which the book and its sources do not agree."""

    model: str
    fact: str
    said: Mapping[str, str | None]
    """By `book` and by the name of each source; None where it says nothing."""


def changes(book: PriceBook, found: Imported, *, at: datetime) -> list[Change]:
    """Compare a source's present prices with the book's, by model, whatever the source calls it."""
    latest = _latest(found.rows)
    for model in book.models():
        if model not in latest and (row := _line_of(model, latest, found.aliases)):
            latest[model] = row | {"model": model}
    listed: list[Change] = []
    for model, row in sorted(latest.items()):
        current = current_line(book, model, at)
        if current is None:
            listed.append(Change(model, "new", {k: (None, v) for k, v in flat(row).items()}, row))
            continue
        ours, theirs = flat(current), flat(row)
        differing = {k: (ours.get(k), v) for k, v in theirs.items() if ours.get(k) != v}
        if differing:
            new = _today(completed(row, current), at)
            listed.append(Change(model, "changed", differing, new))
    gone = _models_of(book, found.source.key.partition("-")[0], at) - latest.keys()
    listed += [Change(model, "gone", {}, None) for model in sorted(gone)]
    return listed


def disagreements(
    book: PriceBook, sources: Mapping[str, Imported], *, at: datetime
) -> list[Disagreement]:
    """List where the book and its sources name different prices for the same thing.

    A source that says nothing of a tier, a service or a bucket disagrees with nobody.
    """
    found: list[Disagreement] = []
    lists = {name: _latest(item.rows) for name, item in sources.items()}
    aliases = {name: item.aliases for name, item in sources.items()}
    for model in book.models():
        current = current_line(book, model, at)
        if current is None:
            continue
        said = {"book": flat(current)}
        for name, rows in lists.items():
            said[name] = flat(_line_of(model, rows, aliases[name]))
        for fact in sorted({fact for facts_ in said.values() for fact in facts_}):
            values = {name: facts_.get(fact) for name, facts_ in said.items()}
            if len({value for value in values.values() if value is not None}) > 1:
                found.append(Disagreement(model, fact, values))
    return found


def imported_book(
    path: Path, chosen: Iterable[Change], found: Imported, *, read: date
) -> tuple[Row, list[Row]]:
    """Return the header and lines of the company's own book after an import.

    What the file at `path` had stays; a line of the same model and day is replaced.
    """
    old: Mapping[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    rows = [change.row for change in chosen if change.row is not None]
    models = {row["model"] for row in rows}
    aliases = {alias: meant for alias, meant in found.aliases.items() if meant in models}
    merged = merge(old.get("prices", []), rows)
    # A line completed by the book names the book's sources too.
    named = {row["source"] for row in merged}
    sources = {found.source.key: found.source.as_json()} | dict(old.get("sources", {}))
    kept = {key: value for key, value in sources.items() if key in named}
    head = header(path.stem, read, kept, dict(old.get("aliases", {})) | aliases)
    return head, merged


def write_book(path: Path, head: Row, rows: Sequence[Row]) -> None:
    """Write the company's own book, whole or not at all.

    Raises:
        ConfigError: What would be written is no price book.
    """
    PriceBook({**head, "prices": list(rows)}, id=path.stem, overrides={})
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    write(temporary, head, rows)
    temporary.replace(path)


def current_line(book: PriceBook, model: str, at: datetime) -> Row | None:
    """Return the line of a model that counts at a moment."""
    lines = [dict(line) for line in book.lines(model)]
    day = at.astimezone(UTC).date().isoformat()
    valid = [line for line in lines if line["valid_from"] <= day]
    return valid[-1] if valid else (lines[0] if lines else None)


def _latest(rows: Iterable[Row]) -> dict[str, Row]:
    return {row["model"]: row for row in sorted(rows, key=lambda row: str(row["valid_from"]))}


def _line_of(model: str, rows: Mapping[str, Row], aliases: Mapping[str, str]) -> Row:
    for name in spellings(model):
        if row := rows.get(name) or rows.get(aliases.get(name, "")):
            return row
    return {}


def _models_of(book: PriceBook, family: str, at: datetime) -> set[str]:
    """Return the models whose present line the book has from any release of a source."""
    found = set()
    for model in book.models():
        line = current_line(book, model, at)
        if line is not None and line["source"].startswith(f"{family}-"):
            found.add(model)
    return found


def _today(row: Row, at: datetime) -> Row:
    """Return a changed line as of the day it was read: nobody says since when it holds."""
    kept = facts(row)
    rest = {key: value for key, value in row.items() if key not in kept}
    return {**rest, **kept, "valid_from": at.astimezone(UTC).date().isoformat()}
