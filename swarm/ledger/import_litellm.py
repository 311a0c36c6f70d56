"""Fill the price book from the model map that litellm carries. Run by hand, never in production.

`python -m swarm.ledger.import_litellm --read 2026-11-22` reads the map of the installed litellm
as a file (litellm itself is not imported, nothing is fetched) and adds what is new to
`pricebook.json`. Lines are only ever added: litellm deletes retired models and overwrites old
prices, and without the old lines a past call could not be priced again.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from swarm.core.money import plain
from swarm.ledger.prices import BOOK, FORMAT

Row: TypeAlias = dict[str, Any]

MAP = "model_prices_and_context_window_backup.json"
CURRENCY = "USD"
PROVIDERS = {
    "anthropic": "anthropic",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "deepseek": "deepseek",
    "gemini": "gemini",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "together_ai": "together_ai",
    "xai": "xai",
}
"""litellm's `litellm_provider`, and the first part of our names for it."""

_FIELDS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
}
_TIER = re.compile(r"_above_(\d+)k_tokens$")
_NOT_ONLY_TOKENS = re.compile(r"search-(api|preview)|deep-research|^ft:|-audio|-tts")
"""Models that also bill searches, audio or training; their token price would be a silent part."""


def rows_of(models: Mapping[str, Mapping[str, Any]], *, source: str, valid_from: date) -> list[Row]:
    """Turn litellm's map into lines of the book, sorted by model.

    Models without both prices above zero are left out, because a zero there means free for now,
    billed otherwise, or not known. Where litellm has a model both with its provider's name and
    without, the qualified entry speaks.

    Args:
        models: The map, its numbers as `Decimal`.
        source: Key of the source in the book's header.
        valid_from: The day the map was read.
    """
    named: dict[str, Mapping[str, Any]] = {}
    for key, entry in models.items():
        provider = PROVIDERS.get(str(entry.get("litellm_provider")))
        if provider is None or entry.get("mode") not in ("chat", "responses"):
            continue
        is_qualified = key.startswith(f"{provider}/")
        name = key if is_qualified else f"{provider}/{key}"
        if is_qualified or name not in models:
            named[name] = entry
    rows = (_row(name, entry) for name, entry in sorted(named.items()))
    stamp = {"valid_from": valid_from.isoformat(), "source": source}
    return [row | stamp for row in rows if row is not None]


def merge(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Add the new lines that say something new, and keep every old one; sorted by model and day."""
    latest = {row["model"]: row for row in sorted(old, key=_order)}
    added = [row for row in new if _facts(row) != _facts(latest.get(row["model"], {}))]
    return sorted({_order(row): row for row in (*old, *added)}.values(), key=_order)


def write(path: Path, header: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write the book, one line per row, so that a change of a price is a change of a line."""
    head = json.dumps(header, indent=1, ensure_ascii=False)[:-2]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f'{head},\n "prices": [\n{lines}\n]}}\n', encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Add litellm's present prices to the book and say how many lines that were."""
    parser = argparse.ArgumentParser(prog="python -m swarm.ledger.import_litellm")
    parser.add_argument("--map", type=Path, default=None, help="litellm's map; the installed one")
    parser.add_argument("--version", default=None, help="of that map; the installed litellm's")
    parser.add_argument("--book", type=Path, default=BOOK, help="the book to add to")
    parser.add_argument("--read", type=date.fromisoformat, required=True, help="today")
    options = parser.parse_args(arguments)

    release = options.version or version("litellm")
    source = f"litellm-{release}"
    models = json.loads((options.map or _installed_map()).read_text("utf-8"), parse_float=Decimal)
    old = json.loads(options.book.read_text("utf-8")) if options.book.exists() else {}
    before: list[Row] = old.get("prices", [])
    rows = merge(before, rows_of(models, source=source, valid_from=options.read))
    sources = old.get("sources", {}) | {source: _source(release, options.read)}
    write(options.book, _header(options.read, sources), rows)
    sys.stdout.write(f"{options.book}: {len(rows)} lines, {len(rows) - len(before)} new\n")
    return 0


def _installed_map() -> Path:
    spec = find_spec("litellm")
    assert spec is not None, "litellm is a dependency"
    assert spec.origin is not None, "litellm is a package on disk"
    return Path(spec.origin).with_name(MAP)


def _header(read: date, sources: Mapping[str, Any]) -> Row:
    return {
        "format": FORMAT,
        "id": f"swarm-{read}",
        "date": read.isoformat(),
        "currency": CURRENCY,
        "unit": "per token; tiers hold for the whole call once its prompt has more tokens",
        "sources": dict(sources),
    }


def _source(release: str, read: date) -> dict[str, str]:
    return {
        "title": f"litellm {release} model map",
        "url": "https://github.com/BerriAI/litellm",
        "license": "MIT, Copyright (c) 2023 Berri AI",
        "read": read.isoformat(),
    }


def _row(name: str, entry: Mapping[str, Any]) -> Row | None:
    prices = {field: _price(entry.get(key)) for field, key in _FIELDS.items()}
    is_more_than_text = "output_cost_per_audio_token" in entry or _NOT_ONLY_TOKENS.search(
        name.partition("/")[2]
    )
    if prices["input"] is None or prices["output"] is None or is_more_than_text:
        return None
    row: Row = {"model": name} | _texts(prices)
    if tiers := _tiers(entry, prices):
        row["tiers"] = tiers
    for limit in ("max_input_tokens", "max_output_tokens"):
        if isinstance(entry.get(limit), int):
            row[limit] = entry[limit]
    if entry.get("source"):
        row["page"] = entry["source"]
    return row


def _tiers(entry: Mapping[str, Any], base: Mapping[str, Decimal | None]) -> list[Row]:
    """Return the tiers by prompt size, complete: a rate litellm leaves out is the usual one.

    Cache prices are not completed: a bucket without its own costs the tier's input price.
    """
    matches = (_TIER.search(key) for key in entry if not key.startswith("cache_creation"))
    tiers: list[Row] = []
    for size in sorted({int(match[1]) for match in matches if match}):
        rates = {f: _price(entry.get(f"{key}_above_{size}k_tokens")) for f, key in _FIELDS.items()}
        for field in ("input", "output"):
            rates[field] = rates[field] or base[field]
        tiers.append({"above": size * 1000} | _texts(rates))
    return tiers


def _price(number: Any) -> Decimal | None:
    price = Decimal(str(number)) if isinstance(number, int | Decimal) else None
    return price if price else None


def _texts(prices: Mapping[str, Decimal | None]) -> dict[str, str]:
    return {field: plain(price) for field, price in prices.items() if price is not None}


def _order(row: Row) -> tuple[str, str]:
    return row["model"], row["valid_from"]


def _facts(row: Row) -> Row:
    """Return what a line says about money; a moved page or limit alone makes no new line."""
    return {key: row[key] for key in (*_FIELDS, "tiers") if key in row}


if __name__ == "__main__":
    sys.exit(main())
