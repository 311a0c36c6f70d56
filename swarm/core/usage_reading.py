"""Read what a provider says a call used, whichever provider it is."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias

from swarm.core import usage_shapes as shapes
from swarm.core.usage_counts import (
    MAX_COST,
    MAX_COUNT,
    Document,
    Reading,
    Sample,
    UnknownShapeError,
    UsageFaultError,
    agreed,
    amount,
    mapping,
    optional,
)

STANDARD = "standard"

_STANDARD_NAMES = ("", "standard", "default", "on_demand", "on-demand", "ondemand", "normal")
_NOT_STATED = (
    "auto",
    "standard_only",
    "unspecified",
    "service_tier_unspecified",
    "traffic_type_unspecified",
)
_TIER_NAMES = {
    "batches": "batch",
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
    "provisioned_throughput": "provisioned",
}
_NO_REGION = ("", "global", "not_available", "unspecified")

XAI_TICKS_PER_USD = 10**10
"""Source: docs.x.ai, cost tracking: `usage.cost_in_usd_ticks`."""
_MAX_TICKS = MAX_COST * XAI_TICKS_PER_USD

_Reader: TypeAlias = Callable[[Document, str], list[Sample]]

_SHAPES: tuple[tuple[tuple[str, ...], _Reader], ...] = (
    (("promptTokenCount", "candidatesTokenCount", "totalTokenCount"), shapes.read_gemini),
    (("prompt_eval_count", "eval_count"), shapes.read_ollama),
    (("inputTokens", "outputTokens", "inputTokenCount"), shapes.read_bedrock),
    (("billed_units",), shapes.read_cohere),
    (("prompt_tokens", "completion_tokens"), shapes.read_chat),
    (("input_tokens", "output_tokens"), shapes.read_messages),
)
"""By the words a shape is known by; the first that fits."""

_MESSAGES_ONLY = (
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "iterations",
    "inference_geo",
    "speed",
)
_RESPONSES_ONLY = ("input_tokens_details", "input_token_details")

_SNAKE = {
    "prompt_token_count": "promptTokenCount",
    "candidates_token_count": "candidatesTokenCount",
    "response_token_count": "responseTokenCount",
    "total_token_count": "totalTokenCount",
    "cached_content_token_count": "cachedContentTokenCount",
    "thoughts_token_count": "thoughtsTokenCount",
    "tool_use_prompt_token_count": "toolUsePromptTokenCount",
    "prompt_tokens_details": "promptTokensDetails",
    "cache_tokens_details": "cacheTokensDetails",
    "candidates_tokens_details": "candidatesTokensDetails",
    "response_tokens_details": "responseTokensDetails",
    "service_tier": "serviceTier",
    "traffic_type": "trafficType",
    "token_count": "tokenCount",
}
"""Gemini's words as its Python client writes them."""


def read(raw: Any, *, provider: str = "") -> Reading:
    """Read a usage object, or a whole response with one in it.

    Args:
        raw: As the provider sent it, parsed from JSON.
        provider: Tells apart what two providers say with the same words.

    Raises:
        UsageFaultError: There is none, it has no known shape, or its counts cannot be true.
    """
    if not isinstance(raw, Mapping) or not raw:
        raise UsageFaultError("no usage was reported")
    usage, response = _unwrapped(raw)
    samples = _reader(usage, provider)(usage, provider)
    found = Reading(
        samples=tuple(samples),
        units=MappingProxyType(_units(usage)),
        tier=_tier(usage, response),
        region=_region(usage),
    )
    whole = found.usage()
    if max(whole.prompt_tokens, whole.output_tokens) > MAX_COUNT:
        raise UsageFaultError("the turns add up to more than any call can be")
    return found


def has_known_shape(raw: Any) -> bool:
    """Say whether a usage object has the words of a provider that is known, whatever they count."""
    if not isinstance(raw, Mapping) or not raw:
        return False
    usage, _ = _unwrapped(raw)
    return any(usage.get(word) is not None for words, _ in _SHAPES for word in words)


def reported_cost(raw: Any) -> Decimal | None:
    """Return what the provider says the call cost, in USD; None if it is silent.

    `usage.cost` is OpenRouter's (Perplexity's holds a `total_cost`), `cost_in_usd_ticks` is xAI's.
    With a key of one's own, OpenRouter's cost is its fee, and what the provider behind it bills
    stands beside it.
    """
    if not isinstance(raw, Mapping):
        return None
    usage, _ = _unwrapped(raw)
    ticks = usage.get("cost_in_usd_ticks")
    if type(ticks) is int and 0 <= ticks <= _MAX_TICKS:
        return Decimal(ticks) / XAI_TICKS_PER_USD
    cost = usage.get("cost")
    if isinstance(cost, Mapping):
        cost = cost.get("total_cost")
    own = amount(cost)
    details = usage.get("cost_details")
    behind = details.get("upstream_inference_cost") if isinstance(details, Mapping) else None
    upstream = amount(behind)
    if own is None or upstream is None:
        return own
    has_own_key = usage.get("is_byok")
    if has_own_key is None:
        # Only a fee on a key of one's own is less than what it was for.
        has_own_key = upstream > own
    return own + upstream if has_own_key is True else own


def tier_name(word: str | None) -> str | None:
    """Return our name for a service tier; None where the word leaves it open."""
    if word is None or word.strip().lower() in _NOT_STATED:
        return None
    name = word.strip().lower()
    return STANDARD if name in _STANDARD_NAMES else _TIER_NAMES.get(name, name)


def _unwrapped(raw: Document) -> tuple[Document, Document]:
    """Return the usage and the response around it, which is empty where there is none."""
    for key in ("usage", "usageMetadata", "usage_metadata"):
        inner = raw.get(key)
        if isinstance(inner, Mapping):
            return _camel(inner), raw
    return _camel(raw), {}


def _camel(raw: Document) -> Document:
    if "prompt_token_count" not in raw and "total_token_count" not in raw:
        return raw
    return {
        _SNAKE.get(key, key): [_camel_item(item) for item in value]
        if isinstance(value, list)
        else value
        for key, value in raw.items()
    }


def _camel_item(item: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    return {_SNAKE.get(key, key): value for key, value in item.items()}


def _reader(usage: Document, provider: str) -> _Reader:
    fitting = [reader for words, reader in _SHAPES if any(usage.get(w) is not None for w in words)]
    if not fitting:
        raise UnknownShapeError("the usage has no shape that is known")
    if fitting == [shapes.read_chat, shapes.read_messages]:
        return _chat_beside_messages(usage)
    if len(fitting) > 1:
        raise UsageFaultError("the usage mixes the words of two providers")
    if fitting[0] is not shapes.read_messages:
        return fitting[0]
    return _messages_or_responses(usage, provider)


def _messages_or_responses(usage: Document, provider: str) -> _Reader:
    """Tell Anthropic's words from OpenAI's, whose input includes what was cached."""
    is_messages = any(usage.get(word) is not None for word in _MESSAGES_ONLY)
    is_responses = any(usage.get(word) is not None for word in _RESPONSES_ONLY)
    if is_messages and is_responses:
        raise UsageFaultError("the usage mixes the words of two providers")
    if is_responses or (provider == "openai" and not is_messages):
        return shapes.read_responses
    return shapes.read_messages


def _chat_beside_messages(usage: Document) -> _Reader:
    """Accept one count under two names, as some gateways write it."""
    pairs = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    for one, other in pairs:
        if usage.get(other) is not None and usage.get(one) != usage.get(other):
            raise UsageFaultError(f"{one} and {other} differ")
    return shapes.read_chat


def _units(usage: Document) -> dict[str, int]:
    """Return what is billed by the piece, beside the tokens."""
    tools = mapping(usage, "server_tool_use")
    units = {
        key.removesuffix("_requests"): number
        for key in tools
        if isinstance(key, str) and key.endswith("_requests") and (number := optional(tools, key))
    }
    details = usage.get("prompt_tokens_details")
    if isinstance(details, Mapping) and details.get("web_search_requests") is not None:
        found = agreed(
            "web searches", (tools, "web_search_requests"), (details, "web_search_requests")
        )
        units |= {"web_search": found} if found else {}
    for key, name in _PIECES.items():
        holder = mapping(usage, "billed_units") if key == "search_units" else usage
        if isinstance(holder.get(key), int | float) and holder[key]:
            units[name] = optional(holder, key) or 0
    return units


_PIECES = {
    "num_search_queries": "search_query",
    "citation_tokens": "citation_token",
    "num_sources_used": "source",
    "prompt_audio_seconds": "audio_second",
    "search_units": "search_unit",
}


def _tier(usage: Document, response: Document) -> str | None:
    words = [
        holder.get(key)
        for holder in (usage, response)
        for key in ("service_tier", "serviceTier", "trafficType")
    ]
    if any(word is not None and not isinstance(word, str) for word in words):
        raise UsageFaultError("the service tier is no text")
    named = {name for word in words if (name := tier_name(word))}
    # A provisioned or dearer road says more than the plain name that stands beside it.
    special = sorted(named - {STANDARD})
    speed = usage.get("speed")
    if speed is not None and tier_name(str(speed)) not in (STANDARD, None):
        special.append(str(speed).lower())
    if special:
        return "+".join(special)
    return STANDARD if named else None


def _region(usage: Document) -> str | None:
    region = usage.get("inference_geo")
    if region is not None and not isinstance(region, str):
        raise UsageFaultError("inference_geo is no text")
    return None if region is None or region.lower() in _NO_REGION else region.lower()
