"""The traps in which meters are caught, each with an amount computed by hand."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from swarm.core.money import CostStatus
from swarm.ledger.prices import PriceBook, PriceSetting
from swarm.ledger.pricing import PricedCall, price_usage

NOW = datetime(2026, 12, 1, tzinfo=UTC)
BOOK = PriceBook.load()


def priced(name: str, usage: Any, *, book: PriceBook = BOOK, **more: Any) -> PricedCall:
    provider, _, model = name.partition("/")
    call = price_usage(book, provider=provider, model=model, usage=usage, **({"at": NOW} | more))
    known = [part.amount for part in call.parts if part.amount is not None]
    assert sum(known, Decimal(0)) == (call.amount or 0)
    for part in call.parts:
        if part.amount is not None and part.unit_price is not None:
            assert part.amount == part.quantity * part.unit_price
    return call


def quantities(call: PricedCall) -> dict[str, int]:
    return {part.bucket: part.quantity for part in call.parts}


COMPACTED = {
    "input_tokens": 220,
    "output_tokens": 8,
    "iterations": [
        {"type": "compaction", "input_tokens": 54_976, "output_tokens": 150},
        {"type": "message", "input_tokens": 220, "output_tokens": 8},
    ],
}
COMPACTED_CACHE = {
    "input_tokens": 100,
    "output_tokens": 10,
    "cache_read_input_tokens": 0,
    "iterations": [
        {
            "type": "compaction",
            "input_tokens": 3_000,
            "cache_read_input_tokens": 180_000,
            "output_tokens": 3_500,
        },
        {"type": "message", "input_tokens": 100, "output_tokens": 10},
    ],
}
ADVISED = {
    "input_tokens": 412,
    "output_tokens": 531,
    "iterations": [
        {"type": "message", "input_tokens": 412, "output_tokens": 89},
        {
            "type": "advisor_message",
            "model": "claude-opus-4-6",
            "input_tokens": 823,
            "output_tokens": 531,
        },
        {"type": "message", "input_tokens": 1_348, "output_tokens": 442},
    ],
}
FELL_BACK = {
    "input_tokens": 700,
    "output_tokens": 60,
    "iterations": [
        {"type": "message", "input_tokens": 700, "output_tokens": 1},
        {
            "type": "fallback_message",
            "model": "claude-opus-4-8",
            "input_tokens": 700,
            "output_tokens": 60,
        },
    ],
}
CACHED_AN_HOUR = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 3_000,
    "cache_read_input_tokens": 50_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 2_000},
    "output_tokens": 100,
    "service_tier": "standard",
    "inference_geo": "not_available",
}
TOOLS_OF_GEMINI = {
    "promptTokenCount": 100,
    "candidatesTokenCount": 40,
    "thoughtsTokenCount": 60,
    "toolUsePromptTokenCount": 10_000,
    "totalTokenCount": 10_200,
}
SOUND = {
    "promptTokenCount": 1_100,
    "candidatesTokenCount": 10,
    "totalTokenCount": 1_110,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 100},
        {"modality": "AUDIO", "tokenCount": 1_000},
    ],
}
SPOKEN = {
    "prompt_tokens": 120,
    "completion_tokens": 90,
    "total_tokens": 210,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 100},
    "completion_tokens_details": {"audio_tokens": 80, "reasoning_tokens": 0},
}
CHAT = {
    "prompt_tokens": 1_000,
    "completion_tokens": 100,
    "total_tokens": 1_100,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
RESPONSES = {
    "input_tokens": 1_000,
    "input_tokens_details": {"cached_tokens": 400},
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 1_100,
}
DEEPSEEK = {
    "prompt_tokens": 1_000,
    "completion_tokens": 50,
    "total_tokens": 1_050,
    "prompt_cache_hit_tokens": 960,
    "prompt_cache_miss_tokens": 40,
}
BEDROCK = {
    "inputTokens": 10,
    "outputTokens": 20,
    "cacheReadInputTokens": 1_000,
    "cacheWriteInputTokens": 500,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 500}],
    "totalTokens": 1_530,
}
LITELLM_CLAUDE = {
    "prompt_tokens": 1_510,
    "completion_tokens": 20,
    "total_tokens": 1_530,
    "cache_read_input_tokens": 1_000,
    "cache_creation_input_tokens": 500,
    "prompt_tokens_details": {
        "cached_tokens": 1_000,
        "cache_creation_tokens": 500,
        "cache_creation_token_details": {
            "ephemeral_5m_input_tokens": 0,
            "ephemeral_1h_input_tokens": 500,
        },
    },
}
PLAIN = {"prompt_tokens": 1_000, "completion_tokens": 100}
CLAUDE = {"input_tokens": 1_000, "output_tokens": 100}
GEMINI = {"promptTokenCount": 1_000, "candidatesTokenCount": 100, "totalTokenCount": 1_100}
LONG_CLAUDE = {"input_tokens": 200_001, "output_tokens": 1_000}
LONG_GEMINI = {
    "promptTokenCount": 200_001,
    "cachedContentTokenCount": 100_000,
    "candidatesTokenCount": 1_000,
    "totalTokenCount": 201_001,
}

TABLE: list[tuple[str, str, Any, str | None, str]] = [
    # 55,196 in and 158 out at 3 and 15 per million; the top level alone says 0.00078.
    ("compaction", "anthropic/claude-sonnet-4-5", COMPACTED, None, "0.167958"),
    # 3,100 x 3 + 180,000 x 0.3 + 3,510 x 15 per million.
    ("compaction from a cache", "anthropic/claude-sonnet-4-5", COMPACTED_CACHE, None, "0.11595"),
    # Haiku 1 and 5: 1,760 in, 531 out. Opus 5 and 25: 823 in, 531 out.
    ("advisor", "anthropic/claude-haiku-4-5", ADVISED, None, "0.021805"),
    # Opus 4.8, 5 and 25: 700 in, 60 out. The one that declined, 10 and 50: 700 in, 1 out.
    ("fallback", "anthropic/claude-fable-5", FELL_BACK, None, "0.01205"),
    # 10 x 3 + 1,000 x 3.75 + 2,000 x 6 + 50,000 x 0.3 + 100 x 15.
    ("an hour of cache", "anthropic/claude-sonnet-4-5", CACHED_AN_HOUR, None, "0.03228"),
    # 10,100 x 0.3 + 100 x 2.5; without the tool's prompt 0.00028.
    ("tools", "gemini/gemini-2.5-flash", TOOLS_OF_GEMINI, None, "0.00328"),
    # 100 x 0.3 + 1,000 x 1 + 10 x 2.5.
    ("sound in", "gemini/gemini-2.5-flash", SOUND, None, "0.001055"),
    # 20 x 2.5 + 100 x 32 + 10 x 10 + 80 x 64.
    ("sound in and out", "openai/gpt-audio", SPOKEN, None, "0.00847"),
    # 200,001 x 6 + 1,000 x 22.5: the whole call at the tier.
    ("over 200k, Claude", "anthropic/claude-sonnet-4-5", LONG_CLAUDE, None, "1.222506"),
    # 100,001 x 2.5 + 100,000 x 0.25 + 1,000 x 15.
    ("over 200k, Gemini", "gemini/gemini-2.5-pro", LONG_GEMINI, None, "0.2900025"),
    ("batch, gpt-5", "openai/gpt-5", PLAIN, "batch", "0.001125"),
    ("flex, gpt-5", "openai/gpt-5", PLAIN, "flex", "0.001125"),
    ("priority, gpt-5", "openai/gpt-5", PLAIN, "priority", "0.0045"),
    ("batch, Claude", "anthropic/claude-sonnet-4-5", CLAUDE, "batch", "0.00225"),
    ("batch, Gemini", "gemini/gemini-2.5-flash", GEMINI, "batch", "0.000275"),
    ("the default tier", "openai/gpt-5", PLAIN | {"service_tier": "default"}, None, "0.00225"),
    ("a dated snapshot", "openai/gpt-5-2025-08-07", PLAIN, None, "0.00225"),
    ("a retired model", "anthropic/claude-sonnet-4-20250514", CLAUDE, None, "0.0045"),
    ("another retired one", "anthropic/claude-3-opus-20240229", CLAUDE, None, "0.0225"),
    ("a third", "gemini/gemini-2.0-flash-001", GEMINI, None, "0.00014"),
    ("a fourth", "groq/llama-3.3-70b-versatile", PLAIN, None, "0.000669"),
    ("an alias that moved", "mistral/mistral-large-latest", PLAIN, None, "0.00065"),
    ("a cached codestral", "mistral/codestral-latest", CHAT, None, "0.000282"),
    # 600 x 1.25 + 400 x 0.125 + 100 x 10, in both of OpenAI's interfaces.
    ("chat", "openai/gpt-5", CHAT, None, "0.0018"),
    ("responses", "openai/gpt-5", RESPONSES, None, "0.0018"),
    # 40 x 0.28 + 960 x 0.028 + 50 x 0.42.
    ("deepseek", "deepseek/deepseek-chat", DEEPSEEK, None, "0.00005908"),
    # 10 x 3 + 1,000 x 0.3 + 500 x 6 + 20 x 15.
    ("bedrock", "aws/anthropic.claude-sonnet-4-5-20250929-v1:0", BEDROCK, None, "0.00363"),
    ("litellm's words", "anthropic/claude-sonnet-4-5", LITELLM_CLAUDE, None, "0.00363"),
    # 1,000 x 5 + 100 x 25, times 1.1 for inference in the United States.
    ("region", "anthropic/claude-opus-4-8", CLAUDE | {"inference_geo": "us"}, None, "0.00825"),
    ("fast", "anthropic/claude-opus-4-8", CLAUDE | {"speed": "fast"}, None, "0.015"),
    # 0.0045 for the tokens and two searches at 0.01.
    (
        "searches",
        "anthropic/claude-sonnet-4-5",
        CLAUDE | {"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}},
        None,
        "0.0245",
    ),
]


@pytest.mark.parametrize(
    ("name", "usage", "tier", "amount"), [t[1:] for t in TABLE], ids=[t[0] for t in TABLE]
)
def test_a_trap_is_priced_as_computed_by_hand(
    name: str, usage: Any, tier: str | None, amount: str
) -> None:
    call = priced(name, usage, tier=tier)

    assert (call.amount, call.status, call.reason) == (Decimal(amount), CostStatus.PAID, None)
    assert call.listed == call.amount
    assert all(part.price_id for part in call.parts if part.bucket != "web_fetch")


UNPRICED: list[tuple[str, str, Any, str | None, str]] = [
    ("no usage", "openai/gpt-5", None, None, "no usage"),
    ("an empty one", "openai/gpt-5", {}, None, "no usage"),
    ("no known shape", "openai/gpt-5", {"tokens": 12}, None, "no shape"),
    ("unknown tier", "openai/gpt-5", PLAIN, "gold", "gold"),
    ("a tier the model has not", "mistral/mistral-large-latest", PLAIN, "flex", "flex"),
    (
        "two tiers",
        "openai/gpt-5",
        PLAIN | {"service_tier": "flex"},
        "batch",
        "as batch and as flex",
    ),
    ("long flex", "gemini/gemini-2.5-pro", LONG_GEMINI, "flex", "flex"),
    (
        "unknown model",
        "openai/gpt-99",
        PLAIN,
        None,
        "no price is known for the model openai/gpt-99",
    ),
    ("unknown provider", "nobody/gpt-5", PLAIN, None, "nobody/gpt-5"),
    ("negative", "openai/gpt-5", PLAIN | {"completion_tokens": -1}, None, "below zero"),
    ("absurd", "openai/gpt-5", PLAIN | {"prompt_tokens": 10**12}, None, "larger"),
    ("a fraction", "openai/gpt-5", PLAIN | {"prompt_tokens": 1.5}, None, "no whole number"),
    ("a truth", "openai/gpt-5", PLAIN | {"prompt_tokens": True}, None, "no whole number"),
    ("a text", "openai/gpt-5", PLAIN | {"prompt_tokens": "5"}, None, "no whole number"),
    ("no answer", "openai/gpt-5", {"prompt_tokens": 5}, None, "completion_tokens is missing"),
    (
        "more cached than sent",
        "openai/gpt-5",
        PLAIN | {"prompt_tokens_details": {"cached_tokens": 1_001}},
        None,
        "cannot hold 1001 cached",
    ),
    ("a total that is none", "openai/gpt-5", PLAIN | {"total_tokens": 1_200}, None, "total_tokens"),
    (
        "two counts of the cache",
        "deepseek/deepseek-chat",
        DEEPSEEK | {"prompt_tokens_details": {"cached_tokens": 5}},
        None,
        "given as 5 and as 960",
    ),
    (
        "misses",
        "deepseek/deepseek-chat",
        DEEPSEEK | {"prompt_cache_miss_tokens": 41},
        None,
        "not 1000",
    ),
    (
        "writes that do not add up",
        "anthropic/claude-sonnet-4-5",
        CACHED_AN_HOUR | {"cache_creation_input_tokens": 9},
        None,
        "cache writes of 9",
    ),
    (
        "turns less than the whole",
        "anthropic/claude-sonnet-4-5",
        COMPACTED | {"output_tokens": 9_999},
        None,
        "less than the whole call",
    ),
    ("two providers' words", "openai/gpt-5", PLAIN | GEMINI, None, "two providers"),
    (
        "an unknown region",
        "anthropic/claude-opus-4-8",
        CLAUDE | {"inference_geo": "mars"},
        None,
        "mars",
    ),
    ("Gemini's total", "gemini/gemini-2.5-flash", GEMINI | {"totalTokenCount": 9}, None, "total"),
    ("half of Ollama's", "ollama/llama3", {"eval_count": 3}, None, "prompt_eval_count is missing"),
]


@pytest.mark.parametrize(
    ("name", "usage", "tier", "reason"), [u[1:] for u in UNPRICED], ids=[u[0] for u in UNPRICED]
)
def test_what_nobody_can_know_is_unpriced_with_a_reason(
    name: str, usage: Any, tier: str | None, reason: str
) -> None:
    call = priced(name, usage, tier=tier)

    assert (call.amount, call.listed, call.status) == (None, None, CostStatus.UNPRICED)
    assert call.reason is not None
    assert reason in call.reason


def test_one_part_without_a_price_leaves_a_lower_bound() -> None:
    advised = ADVISED | {"iterations": [*ADVISED["iterations"]]}  # type: ignore[misc]
    advised["iterations"][1] = ADVISED["iterations"][1] | {"model": "claude-of-tomorrow"}  # type: ignore[index]

    call = priced("anthropic/claude-haiku-4-5", advised)

    assert call.status is CostStatus.UNPRICED
    # 1,760 in and 531 out at 1 and 5 per million.
    assert call.amount == Decimal("0.004415")
    assert call.listed is None
    assert "claude-of-tomorrow" in str(call.reason)


def test_an_advisor_without_a_name_is_not_priced_as_the_one_it_advised() -> None:
    turn = {"type": "advisor_message", "input_tokens": 5, "output_tokens": 5}
    call = priced("anthropic/claude-haiku-4-5", {**CLAUDE, "iterations": [turn]})

    assert call.status is CostStatus.UNPRICED
    assert call.amount == Decimal("0.0015")


def test_sound_of_a_model_without_a_price_for_it_is_unpriced() -> None:
    call = priced("openai/gpt-5", PLAIN | {"prompt_tokens_details": {"audio_tokens": 10}})

    assert call.status is CostStatus.UNPRICED
    assert call.reason == "openai/gpt-5 has no known price for audio_input"


@pytest.mark.parametrize(
    ("usage", "reported"),
    [
        (PLAIN | {"cost": 0.00014}, "0.00014"),
        (PLAIN | {"cost": "0.25"}, "0.25"),
        # A plugin's fee that no token count shows.
        (PLAIN | {"cost": 0.091, "cost_details": {"upstream_inference_cost": 0.001}}, "0.091"),
        # With a key of one's own the fee of 5 % comes on top of what the provider bills.
        (PLAIN | {"cost": 0.95, "cost_details": {"upstream_inference_cost": 19}}, "19.95"),
        (
            PLAIN
            | {"is_byok": True, "cost": 0, "cost_details": {"upstream_inference_cost": 0.002}},
            "0.002",
        ),
        (
            PLAIN | {"is_byok": False, "cost": 1, "cost_details": {"upstream_inference_cost": 2}},
            "1",
        ),
        (PLAIN | {"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
        ({"prompt_tokens": -5, "cost": 0.5}, "0.5"),
        (PLAIN | {"cost": 0}, "0"),
    ],
)
def test_what_the_provider_says_it_cost_comes_first(usage: Any, reported: str) -> None:
    call = priced("openrouter/openai/gpt-5", usage)

    assert (call.amount, call.reported) == (Decimal(reported), Decimal(reported))
    assert (call.status, call.currency) == (CostStatus.PAID, "USD")
    assert quantities(call) == {"reported": 1}


def test_a_cost_no_call_can_have_is_not_believed() -> None:
    """Its digits would not fit the column, and the answer it came with would be lost."""
    call = priced("openai/gpt-5", CHAT | {"cost": 10_000_000})

    assert (call.reported, call.amount) == (None, Decimal("0.0018"))


def test_a_price_that_makes_a_call_cost_a_fortune_is_unpriced() -> None:
    typo = PriceSetting(input_per_million=Decimal(1_250_000), output_per_million=Decimal(10))
    book = PriceBook.load(overrides={"openai/gpt-5": typo})

    call = priced("openai/gpt-5", {"prompt_tokens": 90_000, "completion_tokens": 1}, book=book)

    assert (call.amount, call.status) == (None, CostStatus.UNPRICED)
    assert "is more than any call can cost" in str(call.reason)


def test_the_list_price_is_kept_beside_a_reported_cost() -> None:
    call = priced("openai/gpt-5", CHAT | {"cost": 0.5})

    assert (call.reported, call.listed) == (Decimal("0.5"), Decimal("0.0018"))
    assert sum(part.amount or 0 for part in call.listed_parts) == call.listed


@pytest.mark.parametrize("cost", [-1, "free", "nan", True, {"total": 1}, 10**13, "1e-99"])
def test_a_cost_that_is_none_is_not_believed(cost: Any) -> None:
    call = priced("openai/gpt-5", PLAIN | {"cost": cost})

    assert (call.amount, call.reported) == (Decimal("0.00225"), None)


def test_a_reported_zero_is_a_zero_and_says_so() -> None:
    call = priced("openai/gpt-5", {"prompt_tokens": 0, "completion_tokens": 0})

    assert (call.amount, call.status) == (Decimal(0), CostStatus.PAID)
    assert call.reason == "the provider reported that nothing was used"


def test_own_hardware_is_notional() -> None:
    call = priced("ollama/llama3", {"prompt_eval_count": 26, "eval_count": 298})

    assert (call.amount, call.status) == (Decimal(0), CostStatus.NOTIONAL)
    assert quantities(call) == {"input": 26, "output": 298}


def test_a_subscription_is_notional_at_the_stated_price() -> None:
    stated = PriceSetting.model_validate(
        {"input_per_million": 3, "output_per_million": 15, "status": "notional"}
    )
    book = PriceBook.load(overrides={"anthropic/claude-sonnet-4-5": stated})

    call = priced("anthropic/claude-sonnet-4-5", CACHED_AN_HOUR, book=book)

    # Cache writes and reads at the input price, as nobody stated another.
    assert call.amount == Decimal("0.16053")
    assert call.status is CostStatus.NOTIONAL


def test_two_currencies_in_one_call_are_never_added() -> None:
    stated = PriceSetting.model_validate(
        {"input_per_million": 5, "output_per_million": 25, "currency": "EUR"}
    )
    book = PriceBook.load(overrides={"anthropic/claude-opus-4-6": stated})

    call = priced("anthropic/claude-haiku-4-5", ADVISED, book=book)

    assert (call.status, call.currency) == (CostStatus.UNPRICED, "USD")
    assert call.amount == Decimal("0.004415")
    assert "EUR" in str(call.reason)


@pytest.mark.parametrize("provider", ["google", "gemini", "google-gla", "GCP.Gemini"])
def test_a_provider_is_known_by_its_usual_names(provider: str) -> None:
    call = price_usage(
        BOOK, provider=provider, model="models/gemini-2.5-flash", usage=GEMINI, at=NOW
    )

    assert call.amount == Decimal("0.00055")


def test_a_model_that_names_its_provider_needs_none_beside_it() -> None:
    call = price_usage(BOOK, provider="", model="openai/gpt-5", usage=PLAIN, at=NOW)
    bare = price_usage(BOOK, provider="", model="gpt-5", usage=PLAIN, at=NOW)

    assert call.amount == bare.amount == Decimal("0.00225")


def test_a_declined_turn_before_a_fallback_was_the_asked_models() -> None:
    call = priced("anthropic/claude-opus-4-8", FELL_BACK, asked="claude-fable-5")

    assert call.amount == Decimal("0.01205")
    assert call.parts[0].model == "anthropic/claude-fable-5"


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        # Before 2026-03-13 a long prompt cost twice as much, afterwards it did not.
        (datetime(2026, 3, 12, 23, 59, tzinfo=UTC), "2.03751"),
        (datetime(2026, 3, 13, tzinfo=UTC), "1.025005"),
        (datetime(2026, 12, 1, tzinfo=UTC), "1.025005"),
    ],
)
def test_an_old_call_keeps_the_price_of_its_day(at: datetime, amount: str) -> None:
    assert priced("anthropic/claude-opus-4-6", LONG_CLAUDE, at=at).amount == Decimal(amount)


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        (datetime(2026, 12, 1, 2, tzinfo=UTC), "0.00042"),
        (datetime(2026, 12, 1, 12, tzinfo=UTC), "0.00021"),
        (datetime(2026, 12, 1, 0, 59, tzinfo=UTC), "0.00021"),
        # A Saturday is cheap all day.
        (datetime(2026, 12, 5, 2, tzinfo=UTC), "0.00021"),
    ],
)
def test_the_hour_of_the_call_counts_where_the_provider_says_so(at: datetime, amount: str) -> None:
    assert priced("deepseek/deepseek-v4-flash", PLAIN, at=at).amount == Decimal(amount)
