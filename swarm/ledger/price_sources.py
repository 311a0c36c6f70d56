"""Where prices are imported from, and how the book in the package is made of them.

`python -m swarm.ledger.price_sources --read 2026-11-22` joins what litellm's map and
`genai-prices` say, as they are installed, and adds what is new to `pricebook.json`. Both are read
as data; nothing is fetched. litellm speaks for the present, because it is the larger and the
fresher list; `genai-prices` completes it, keeps retired models and dated changes, and knows other
names. Where the two disagree on the usual prices, `swarm prices check` says so.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from swarm.core.errors import NotFound
from swarm.core.registry import nearest
from swarm.ledger import import_genai, import_litellm
from swarm.ledger.price_lines import Row, Source, combine, header, merge, write
from swarm.ledger.prices import BOOK

NAMES = ("litellm", "genai")


@dataclass(frozen=True, slots=True)
class Imported:
    """What one source says on one day."""

    source: Source
    rows: Sequence[Row]
    aliases: Mapping[str, str] = field(default_factory=dict)


def imported(name: str, read: date) -> Imported:
    """Read a source as it is installed.

    Raises:
        NotFound: There is no source of that name.
        ConfigError: Its package is not installed.
    """
    if name == "litellm":
        origin = import_litellm.source(None, read)
        return Imported(origin, import_litellm.rows_of(import_litellm.installed_map(), origin))
    if name == "genai":
        origin = import_genai.source(read)
        providers = import_genai.installed_providers()
        rows = import_genai.rows_of(providers, origin)
        return Imported(origin, rows, import_genai.aliases_of(providers))
    raise NotFound(f"There is no source of prices {name!r}{nearest(name, NAMES)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the book of the package anew and say how many lines are new."""
    parser = argparse.ArgumentParser(prog="python -m swarm.ledger.price_sources")
    parser.add_argument("--book", type=Path, default=BOOK, help="the book to add to")
    parser.add_argument("--read", type=date.fromisoformat, required=True, help="today")
    options = parser.parse_args(arguments)
    first, second = (imported(name, options.read) for name in NAMES)
    old = json.loads(options.book.read_text("utf-8")) if options.book.exists() else {}
    before: list[Row] = old.get("prices", [])
    today = combine(first.rows, second.rows, aliases=second.aliases, read=options.read)
    rows = _added(before, today)
    named = {row["model"] for row in rows}
    aliases = {a: m for a, m in second.aliases.items() if m in named and a not in named}
    sources = {item.source.key: item.source.as_json() for item in (first, second)}
    head = header(
        f"swarm-{options.read}",
        options.read,
        old.get("sources", {}) | sources,
        old.get("aliases", {}) | aliases,
    )
    write(options.book, head, rows)
    sys.stdout.write(f"{options.book}: {len(rows)} lines, {len(rows) - len(before)} new\n")
    return 0


def _added(before: Sequence[Row], today: Sequence[Row]) -> list[Row]:
    """Add the present to the book, and the past where the book says nothing of it."""
    latest = {row["model"]: row for row in today}
    known = {row["model"]: row["valid_from"] for row in sorted(before, key=_newest_first)}
    past = [
        row
        for row in today
        if row is not latest[row["model"]]
        and row["valid_from"] < known.get(row["model"], "9999-12-31")
    ]
    present = merge([*past, *before], [*latest.values()])
    return present


def _newest_first(row: Row) -> tuple[str, int]:
    return row["model"], -int(row["valid_from"].replace("-", ""))


if __name__ == "__main__":
    sys.exit(main())
