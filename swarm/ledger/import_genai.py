"""Read prices from the data that `genai-prices` carries, which keeps retired models and old prices.

The package is needed by whoever imports prices and by nobody else; its data is read as it was
installed, nothing is fetched.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from swarm.core.errors import ConfigError
from swarm.core.money import plain
from swarm.ledger.price_lines import EVER, Row, Source, texts

PROVIDERS = {
    "anthropic": "anthropic",
    "aws": "bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "google": "gemini",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "together": "together_ai",
    "x-ai": "xai",
}
"""The ids of `genai-prices`, and the first part of our names for them."""

_FIELDS = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_read": ("cache_read_mtok",),
    "cache_write": ("cache_write_5m_mtok", "cache_write_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok",),
    "audio_input": ("input_audio_mtok",),
    "audio_cache_read": ("cache_audio_read_mtok",),
    "audio_output": ("output_audio_mtok",),
    "image_output": ("output_image_mtok",),
    "reasoning": ("output_reasoning_mtok",),
}
_KNOWN_BESIDES = (
    "web_searches_kcount",
    "storage_searches_kcount",
    "input_image_mtok",
    "input_video_mtok",
    "cache_image_read_mtok",
    "output_video_mtok",
    "input_text_messages_kcount",
)
"""Prices that add to the tokens of a chat only where something else was sent, or is counted."""
_SERVICES = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("speed", "fast"): "fast",
}
_COUNTS_SEARCHES = ("anthropic",)
_NOT_ONLY_TOKENS = re.compile(
    r"search-(api|preview)|deep-research|\bft[:-]|-tts|-embed|-ocr|transcri|-image|realtime|-live|voice"
)
_CUT_DATE = re.compile(r"-20\d\d$|[-@.]$")
"""The end of a pattern that a date follows."""


def source(read: date) -> Source:
    """Return the installed `genai-prices` as a source.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        release = version("genai-prices")
    except PackageNotFoundError as error:
        raise ConfigError(
            "genai-prices is not installed: `pip install 'swarm[prices]'` adds it."
        ) from error
    return Source(
        key=f"genai-prices-{release}",
        title=f"genai-prices {release}",
        url="https://github.com/pydantic/genai-prices",
        license="MIT, Copyright (c) 2025 Pydantic Services Inc.",
        read=read,
    )


def installed_providers() -> Sequence[Any]:
    """Return the providers of the installed package, as its own objects.

    Raises:
        ConfigError: It is not installed.
    """
    source(date.min)
    providers: Sequence[Any] = import_module("genai_prices.data").providers
    return providers


def rows_of(providers: Iterable[Any], origin: Source) -> list[Row]:
    """Turn the package's models into lines of the book, sorted by model and day.

    A model with dated changes has a line for each; the first of them holds since ever. Of prices by
    the hour alone nobody says since when, so the usual ones are taken, with the hours as windows.
    """
    rows: list[Row] = []
    for provider in providers:
        if name := PROVIDERS.get(provider.id):
            for model in _models(provider):
                if not _NOT_ONLY_TOKENS.search(model.id):
                    rows += _rows(f"{name}/{model.id}", model, origin)
    return sorted(rows, key=lambda row: (row["model"], row["valid_from"]))


def aliases_of(providers: Iterable[Any]) -> dict[str, str]:
    """Return other names of models, provider-qualified, that a source gives in so many words.

    Patterns that fit anything are not taken over: a name nobody wrote down is not guessed.
    """
    aliases: dict[str, str] = {}
    for provider in providers:
        if name := PROVIDERS.get(provider.id):
            for model in _models(provider):
                for word in _words(model.match):
                    if word and word != model.id and ("/" not in word or "/" in model.id):
                        aliases.setdefault(f"{name}/{word}", f"{name}/{model.id}")
    return aliases


def _models(provider: Any) -> Iterator[Any]:
    """Return a provider's own models; Google's list has others' too, at the prices of its cloud."""
    return (m for m in provider.models if provider.id != "google" or "claude" not in m.id)


def _words(clause: Any) -> Iterator[str]:
    """Return the whole names in a rule of the package."""
    for kind in ("equals", "starts_with", "ends_with"):
        word = getattr(clause, kind, None)
        if isinstance(word, str) and not (kind != "equals" and _CUT_DATE.search(word)):
            yield word
    for item in getattr(clause, "or_", None) or ():
        yield from _words(item)


def _rows(name: str, model: Any, origin: Source) -> list[Row]:
    """Return the dated lines of one model; none where its tokens are not the whole bill."""
    listed = model.prices if isinstance(model.prices, list) else None
    if listed is None:
        steps: list[tuple[str | None, Any]] = [(None, model.prices)]
    else:
        starts = [
            (getattr(c.constraint, "start_date", None), c.prices) for c in listed if not _hours(c)
        ]
        steps = [(day and day.isoformat(), prices) for day, prices in starts]
    is_dated = any(day for day, _ in steps)
    rows: list[Row] = []
    for index, (day, prices) in enumerate(steps):
        row = _row(name, prices)
        if row is None:
            continue
        is_last = index == len(steps) - 1
        if is_last:
            row |= _current(name, model, prices)
        since = (day or EVER) if is_dated else None
        rows.append(row | origin.stamp(since))
    return rows


def _hours(conditional: Any) -> bool:
    return getattr(conditional.constraint, "start_time", None) is not None


def _current(name: str, model: Any, prices: Any) -> Row:
    """Return what is known of today alone: service tiers, hours and the size of the prompt."""
    extra: Row = {}
    if services := _services(model, prices):
        extra["services"] = services
    if name.partition("/")[0] in _COUNTS_SEARCHES and (each := prices.web_searches_kcount):
        extra["units"] = {"web_search": plain(each / 1000)}
    windows = [
        {
            "from": f"{c.constraint.start_time:%H:%M}",
            "to": f"{c.constraint.end_time:%H:%M}",
            **texts(_rates(c.prices, None)),
        }
        for c in (model.prices if isinstance(model.prices, list) else ())
        if _hours(c)
    ]
    if windows:
        extra["windows"] = windows
    if model.context_window:
        extra["max_input_tokens"] = model.context_window
    return extra


def _row(name: str, prices: Any) -> Row | None:
    table = _table(prices)
    named = {key for key, value in prices.__dict__.items() if value is not None}
    known = {key for keys in _FIELDS.values() for key in keys}
    if table is None or named - known - set(_KNOWN_BESIDES):
        return None
    return {"model": name} | table


def _table(prices: Any) -> Row | None:
    """Return the prices with their tiers; None without both prices above zero."""
    base = _rates(prices, None)
    if not base["input"] or not base["output"]:
        return None
    table: Row = texts(base)
    sizes = {
        tier.start for value in prices.__dict__.values() for tier in getattr(value, "tiers", ())
    }
    if sizes:
        tiers = [{"above": size} | texts(_rates(prices, size)) for size in sorted(sizes)]
        table["tiers"] = tiers
    return table


def _rates(prices: Any, above: int | None) -> dict[str, Decimal | None]:
    """Return the prices per token of a prompt of just over so many tokens, or of a short one."""
    found: dict[str, Decimal | None] = {}
    for field, keys in _FIELDS.items():
        values = (prices.__dict__.get(key) for key in keys)
        value: Any = next((value for value in values if value is not None), None)
        if hasattr(value, "tiers"):
            reached = [t.price for t in value.tiers if above is not None and t.start <= above]
            value = reached[-1] if reached else value.base
        found[field] = value / 1_000_000 if value else None
    return found


def _services(model: Any, standard: Any) -> Row:
    """Return the service tiers; a price one leaves out is the usual one, as the package has it."""
    services: Row = {}
    for variant in model.price_variants or ():
        name = _SERVICES.get(next(iter(variant.when.items()))) if len(variant.when) == 1 else None
        if name is None or name in services:
            continue
        resolved = type(standard)(**_resolved(standard, variant.prices))
        if table := _table(resolved):
            services[name] = table
    return services


def _resolved(standard: Any, variant: Any) -> Mapping[str, Any]:
    own = {key: value for key, value in variant.__dict__.items() if value is not None}
    return dict(standard.__dict__) | own
