"""What must hold of every usage object, in whichever shape and however odd."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swarm.core.money import CostStatus
from swarm.ledger.prices import PriceBook, PriceSetting
from swarm.ledger.pricing import PricedCall, price_usage

NOW = datetime(2026, 12, 1, tzinfo=UTC)
BOOK = PriceBook.load()
DEAR = PriceSetting(input_per_million=Decimal(77), output_per_million=Decimal("999.123456789"))
NAMES = {
    "openai": "gpt-5",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "mistral": "mistral-large-latest",
    "openrouter": "openai/gpt-4o",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "deepseek": "deepseek-chat",
    "xai": "grok-4",
    "ollama": "llama3",
}
OTHER = PriceBook.load(overrides={f"{p}/{m}": DEAR for p, m in NAMES.items() if p != "ollama"})

COUNT = st.integers(min_value=0, max_value=2_000_000)
ODD = st.one_of(
    st.none(),
    st.integers(min_value=-10, max_value=10**15),
    st.floats(),
    st.booleans(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
MAYBE = st.one_of(COUNT, COUNT, ODD)
SEARCHES = st.fixed_dictionaries({}, optional={"web_search_requests": MAYBE})
WRITES = st.fixed_dictionaries(
    {}, optional={"ephemeral_5m_input_tokens": MAYBE, "ephemeral_1h_input_tokens": MAYBE}
)
DETAILS = st.fixed_dictionaries(
    {}, optional={"cached_tokens": MAYBE, "audio_tokens": MAYBE, "cache_write_tokens": MAYBE}
)
SPENT = st.fixed_dictionaries({}, optional={"reasoning_tokens": MAYBE, "audio_tokens": MAYBE})
MODALITIES = st.lists(
    st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "AUDIO"]), "tokenCount": MAYBE}),
    max_size=2,
)
TIERS = st.sampled_from(["default", "standard", "batch", "flex", "priority", "gold", "", 3, None])
MESSAGE = {
    "input_tokens": MAYBE,
    "output_tokens": MAYBE,
}
MESSAGE_MORE = {
    "cache_read_input_tokens": MAYBE,
    "cache_creation_input_tokens": MAYBE,
    "cache_creation": WRITES,
}
TURN = st.fixed_dictionaries(
    MESSAGE,
    optional={
        **MESSAGE_MORE,
        "type": st.sampled_from(["message", "compaction", "advisor_message", "new", 5]),
        "model": st.sampled_from(["claude-opus-4-6", "unheard-of", "", 3]),
    },
)
CHAT = st.fixed_dictionaries(
    {"prompt_tokens": MAYBE, "completion_tokens": MAYBE},
    optional={
        "total_tokens": MAYBE,
        "prompt_tokens_details": st.one_of(DETAILS, ODD),
        "completion_tokens_details": st.one_of(SPENT, ODD),
        "prompt_cache_hit_tokens": MAYBE,
        "prompt_cache_miss_tokens": MAYBE,
        "cost": ODD,
        "cost_details": ODD,
        "cost_in_usd_ticks": ODD,
        "is_byok": ODD,
        "service_tier": TIERS,
        "num_sources_used": MAYBE,
    },
)
SHAPES = st.one_of(
    CHAT,
    st.fixed_dictionaries(
        MESSAGE,
        optional={
            **MESSAGE_MORE,
            "iterations": st.one_of(st.lists(TURN, max_size=3), ODD),
            "server_tool_use": st.one_of(SEARCHES, ODD),
            "service_tier": TIERS,
            "inference_geo": st.sampled_from(["us", "global", "mars", 1]),
            "speed": st.sampled_from(["fast", "standard", 1]),
        },
    ),
    st.fixed_dictionaries(
        MESSAGE,
        optional={
            "input_tokens_details": st.one_of(DETAILS, ODD),
            "output_tokens_details": st.one_of(SPENT, ODD),
            "total_tokens": MAYBE,
        },
    ),
    st.fixed_dictionaries(
        {"promptTokenCount": MAYBE},
        optional={
            "candidatesTokenCount": MAYBE,
            "thoughtsTokenCount": MAYBE,
            "toolUsePromptTokenCount": MAYBE,
            "cachedContentTokenCount": MAYBE,
            "totalTokenCount": MAYBE,
            "promptTokensDetails": st.one_of(MODALITIES, ODD),
            "trafficType": st.sampled_from(["ON_DEMAND", "PROVISIONED_THROUGHPUT", 4]),
        },
    ),
    st.fixed_dictionaries(
        {"inputTokens": MAYBE, "outputTokens": MAYBE},
        optional={
            "cacheReadInputTokens": MAYBE,
            "cacheWriteInputTokens": MAYBE,
            "totalTokens": MAYBE,
            "cacheDetails": ODD,
        },
    ),
    st.fixed_dictionaries({}, optional={"prompt_eval_count": MAYBE, "eval_count": MAYBE}),
    st.dictionaries(st.text(max_size=5), ODD, max_size=3),
    ODD,
)
PROVIDERS = st.sampled_from(sorted(NAMES))


def price(provider: str, usage: Any, book: PriceBook = BOOK, **more: Any) -> PricedCall:
    model = NAMES[provider]
    return price_usage(book, provider=provider, model=model, usage=usage, at=NOW, **more)


def counts_in(node: Any) -> int:
    """Add up every whole number in a usage object."""
    if isinstance(node, dict):
        return sum(counts_in(value) for value in node.values())
    if isinstance(node, list):
        return sum(counts_in(item) for item in node)
    return abs(node) if type(node) is int else 0


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(provider=PROVIDERS, usage=SHAPES, tier=st.sampled_from([None, "batch", "flex", "gold"]))
@example("anthropic", {"input_tokens": 0, "output_tokens": 0, "total_tokens": 1}, None)
def test_no_usage_however_odd_is_a_silent_zero_or_an_error(
    provider: str, usage: Any, tier: str | None
) -> None:
    call = price(provider, usage, tier=tier)

    known = [part.amount for part in call.parts if part.amount is not None]
    assert sum(known, Decimal(0)) == (call.amount or 0)
    for part in call.parts:
        assert part.quantity >= 0
        if part.amount is not None:
            assert part.unit_price is not None
            assert part.amount == part.quantity * part.unit_price
            assert part.amount >= 0
    if call.status is CostStatus.UNPRICED:
        assert call.reason
        assert call.amount is None or call.amount > 0
    elif call.amount == 0:
        assert call.reason
        is_free = call.status is CostStatus.NOTIONAL or call.reported == 0
        assert is_free or counts_in(usage) == 0
    # What is written for programs is JSON, whatever came in.
    json.dumps([part.as_json() for part in call.parts])


@settings(max_examples=150, deadline=None)
@given(
    provider=PROVIDERS,
    fresh=COUNT,
    cached=COUNT,
    output=COUNT,
    reasoning=COUNT,
)
def test_the_same_tokens_cost_the_same_in_every_shape(
    provider: str, fresh: int, cached: int, output: int, reasoning: int
) -> None:
    """Cached input is part of the prompt in one shape and beside it in the other."""
    reasoning = min(reasoning, output)
    chat = {
        "prompt_tokens": fresh + cached,
        "completion_tokens": output,
        "total_tokens": fresh + cached + output,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    messages = {
        "input_tokens": fresh,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": reasoning},
    }
    gemini = {
        "promptTokenCount": fresh + cached,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": output - reasoning,
        "thoughtsTokenCount": reasoning,
        "totalTokenCount": fresh + cached + output,
    }
    bedrock = {"inputTokens": fresh, "cacheReadInputTokens": cached, "outputTokens": output}

    calls = [price(provider, usage) for usage in (chat, messages, gemini, bedrock)]

    assert len({call.amount for call in calls}) == 1
    assert {call.usage.prompt_tokens for call in calls if call.usage} == {fresh + cached}
    assert {call.usage.output_tokens for call in calls if call.usage} == {output}


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(provider=PROVIDERS, usage=SHAPES)
def test_pricing_again_under_another_book_is_exact_and_reversible(
    provider: str, usage: Any
) -> None:
    first = price(provider, usage)
    price(provider, usage, OTHER)
    again = price(provider, usage)

    assert again == first
    stored = json.loads(json.dumps(usage, default=str)) if isinstance(usage, dict) else usage
    if stored == usage:
        assert price(provider, stored) == first


@settings(max_examples=150, deadline=None)
@given(
    provider=st.sampled_from(["openai", "anthropic", "gemini", "deepseek"]),
    prompt=st.integers(min_value=0, max_value=400_000),
    short=st.integers(min_value=0, max_value=400_000),
    long=st.integers(min_value=0, max_value=400_000),
    output=st.integers(min_value=0, max_value=100_000),
    tier=st.sampled_from(["standard", "batch", "flex", "priority", "fast"]),
    region=st.sampled_from(["global", "us"]),
    hour=st.integers(min_value=0, max_value=23),
)
def test_the_worst_case_covers_every_tier_cache_region_and_hour(
    provider: str,
    prompt: int,
    short: int,
    long: int,
    output: int,
    tier: str,
    region: str,
    hour: int,
) -> None:
    model = {"anthropic": "claude-opus-4-8", "deepseek": "deepseek-v4-flash"}.get(
        provider, NAMES[provider]
    )
    usage = {
        "input_tokens": prompt,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": output,
        "inference_geo": region,
    }
    asked_at = NOW.replace(hour=12)
    line = BOOK.find(f"{provider}/{model}", at=asked_at)

    worst = BOOK.worst_case(
        line,
        prompt_bytes=prompt + short + long,
        max_output_tokens=output,
        has_sound=False,
    )
    call = price_usage(
        BOOK,
        provider=provider,
        model=model,
        usage=usage,
        at=NOW.replace(hour=hour),
        tier=tier,
    )

    assert worst.amount >= (call.amount or 0)
