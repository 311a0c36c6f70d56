"""Read prices from the model map that litellm carries. Run by hand, never in production.

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
from typing import Any

from swarm.core.money import plain
from swarm.ledger.price_lines import Row, Source, header, merge, texts, write
from swarm.ledger.price_rates import AUDIO_SECOND
from swarm.ledger.prices import BOOK

MAP = "model_prices_and_context_window_backup.json"
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
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "audio_input": "input_cost_per_audio_token",
    "audio_cache_read": "cache_read_input_audio_token_cost",
    "audio_output": "output_cost_per_audio_token",
    "image_output": "output_cost_per_image_token",
    "reasoning": "output_cost_per_reasoning_token",
}
_SERVICES = {
    "batch": "_batches",
    "flex": "_flex",
    "priority": "_priority",
    "ultrafast": "_ultrafast",
}
_TIER = re.compile(r"_above_(\d+)k_tokens$")
_NOT_ONLY_TOKENS = re.compile(r"search-(api|preview)|deep-research|^ft:|-tts")
"""Models that also bill searches or training; their token price would be a silent part."""
_MODES = ("chat", "responses", "audio_transcription")
_NOT_BY_LENGTH_ALONE = re.compile(r"^groq/|realtime|-live")
"""Notes that no line tells the price of: Groq bills ten seconds for the shortest one, and of sound
that is listened to live nobody knows the length beforehand."""
_SPEEDS = ("fast",)
_COUNTS_SEARCHES = ("anthropic",)
"""Providers whose usage says how often they searched."""


def source(release: str | None, read: date) -> Source:
    """Return litellm as a source; the installed release where none is named."""
    release = release or version("litellm")
    return Source(
        key=f"litellm-{release}",
        title=f"litellm {release} model map",
        url="https://github.com/BerriAI/litellm",
        license="MIT, Copyright (c) 2023 Berri AI",
        read=read,
    )


def installed_map() -> Mapping[str, Mapping[str, Any]]:
    """Return the map of the installed litellm, its numbers as `Decimal`."""
    spec = find_spec("litellm")
    assert spec is not None, "litellm is a dependency"
    assert spec.origin is not None, "litellm is a package on disk"
    return read_map(Path(spec.origin).with_name(MAP))


def read_map(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return a map, its numbers as `Decimal`."""
    models: Mapping[str, Mapping[str, Any]] = json.loads(
        path.read_text("utf-8"), parse_float=Decimal
    )
    return models


def rows_of(models: Mapping[str, Mapping[str, Any]], origin: Source) -> list[Row]:
    """Turn litellm's map into lines of the book, sorted by model.

    Models without both prices above zero are left out, because a zero there means free for now,
    billed otherwise, or not known; but for those that write down sound, where a second has a price. Where litellm has a model both with its provider's name and
    without, the qualified entry speaks.

    Args:
        models: The map, its numbers as `Decimal`.
        origin: The release it is of, and the day it was read.
    """
    named: dict[str, Mapping[str, Any]] = {}
    for key, entry in models.items():
        provider = PROVIDERS.get(str(entry.get("litellm_provider")))
        if provider is None or entry.get("mode") not in _MODES:
            continue
        is_qualified = key.startswith(f"{provider}/")
        name = key if is_qualified else f"{provider}/{key}"
        if is_qualified or name not in models:
            named[name] = entry
    rows = (_row(name, entry) for name, entry in sorted(named.items()))
    return [row | origin.stamp() for row in rows if row is not None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Add litellm's present prices to the book and say how many lines that were."""
    parser = argparse.ArgumentParser(prog="python -m swarm.ledger.import_litellm")
    parser.add_argument("--map", type=Path, default=None, help="litellm's map; the installed one")
    parser.add_argument("--version", default=None, help="of that map; the installed litellm's")
    parser.add_argument("--book", type=Path, default=BOOK, help="the book to add to")
    parser.add_argument("--read", type=date.fromisoformat, required=True, help="today")
    options = parser.parse_args(arguments)

    origin = source(options.version, options.read)
    models = read_map(options.map) if options.map else installed_map()
    old = json.loads(options.book.read_text("utf-8")) if options.book.exists() else {}
    before: list[Row] = old.get("prices", [])
    rows = merge(before, rows_of(models, origin))
    sources = old.get("sources", {}) | {origin.key: origin.as_json()}
    head = header(f"swarm-{options.read}", options.read, sources, old.get("aliases", {}))
    write(options.book, head, rows)
    sys.stdout.write(f"{options.book}: {len(rows)} lines, {len(rows) - len(before)} new\n")
    return 0


def _row(name: str, entry: Mapping[str, Any]) -> Row | None:
    prices = _prices(entry, "")
    is_more_than_text = _NOT_ONLY_TOKENS.search(name.partition("/")[2])
    if prices["input"] is None or prices["output"] is None or is_more_than_text:
        return _heard(name, entry)
    row: Row = {"model": name} | texts(prices)
    if tiers := _tiers(entry, prices, ""):
        row["tiers"] = tiers
    if services := _services(entry, row):
        row["services"] = services
    row |= _extras(name, entry)
    for limit in ("max_input_tokens", "max_output_tokens"):
        if isinstance(entry.get(limit), int):
            row[limit] = entry[limit]
    if entry.get("source"):
        row["page"] = entry["source"]
    return row


def _heard(name: str, entry: Mapping[str, Any]) -> Row | None:
    """Return the line of a model that writes down sound and is billed by its length."""
    second = _price(entry.get("input_cost_per_second"))
    if entry["mode"] != "audio_transcription" or second is None:
        return None
    # The same price stands on both sides of some; another one would be for something else.
    is_else = _price(entry.get("output_cost_per_second")) not in (None, second)
    if is_else or _NOT_BY_LENGTH_ALONE.search(name):
        return None
    row: Row = {"model": name, "units": {AUDIO_SECOND: plain(second)}}
    return row | ({"page": entry["source"]} if entry.get("source") else {})


def _prices(entry: Mapping[str, Any], suffix: str) -> dict[str, Decimal | None]:
    return {field: _price(entry.get(f"{key}{suffix}")) for field, key in _FIELDS.items()}


def _tiers(entry: Mapping[str, Any], base: Mapping[str, Decimal | None], suffix: str) -> list[Row]:
    """Return the tiers by prompt size, complete: a rate litellm leaves out is the usual one.

    Cache prices are not completed: a bucket without its own costs the tier's input price.
    """
    ends = (key.removesuffix(suffix) for key in entry if key.endswith(suffix))
    matches = (_TIER.search(key) for key in ends if not key.startswith("cache_creation"))
    tiers: list[Row] = []
    for size in sorted({int(match[1]) for match in matches if match}):
        rates = _prices(entry, f"_above_{size}k_tokens{suffix}")
        for field in ("input", "output"):
            rates[field] = rates[field] or base[field]
        tiers.append({"above": size * 1000} | texts(rates))
    return tiers


def _services(entry: Mapping[str, Any], row: Row) -> Row:
    """Return the service tiers that have both prices."""
    services: Row = {}
    for name, suffix in _SERVICES.items():
        prices = _prices(entry, suffix)
        if prices["input"] is None or prices["output"] is None:
            continue
        services[name] = texts(prices)
        if tiers := _tiers(entry, prices, suffix):
            services[name]["tiers"] = tiers
    factors = entry.get("provider_specific_entry") or {}
    for name in _SPEEDS:
        if factor := _price(factors.get(name)):
            services[name] = _times(row, factor)
    return services


def _times(row: Row, factor: Decimal) -> Row:
    """Return all prices of a line times a factor."""
    table = {field: plain(Decimal(row[field]) * factor) for field in _FIELDS if field in row}
    if "tiers" not in row:
        return table
    tiers = [{"above": tier["above"]} | _times(tier, factor) for tier in row["tiers"]]
    return table | {"tiers": tiers}


def _extras(name: str, entry: Mapping[str, Any]) -> Row:
    """Return what is billed by the piece, by the region and by the hour."""
    extras: Row = {}
    search = (entry.get("search_context_cost_per_query") or {}).get("search_context_size_medium")
    if (price := _price(search)) and name.partition("/")[0] in _COUNTS_SEARCHES:
        extras["units"] = {"web_search": plain(price)}
    factors = entry.get("provider_specific_entry") or {}
    if factor := _price(factors.get("us")):
        extras["regions"] = {"us": plain(factor)}
    if windows := _windows(entry.get("off_peak_pricing") or {}):
        extras["windows"] = windows
    return extras


def _windows(cheap: Mapping[str, Any]) -> list[Row]:
    """Return the hours at which a model costs less, in UTC."""
    prices = texts(_prices(cheap, ""))
    windows: list[Row] = []
    for window in cheap.get("windows", ()):
        hours = window["hours_utc"]
        for span in [hours] if isinstance(hours, str) else hours:
            start, _, end = span.partition("-")
            days = {"weekdays": window["weekdays"]} if "weekdays" in window else {}
            windows.append({"from": start, "to": end} | days | prices)
    return windows


def _price(number: Any) -> Decimal | None:
    price = Decimal(str(number)) if isinstance(number, int | Decimal) else None
    return price if price else None


if __name__ == "__main__":
    sys.exit(main())
