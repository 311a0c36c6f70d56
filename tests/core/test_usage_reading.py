from typing import Any

import pytest

from swarm.core.usage import Usage
from swarm.core.usage_counts import UnknownShapeError, UsageFaultError
from swarm.core.usage_reading import has_known_shape, read, reported_cost, tier_name

CHAT = {"prompt_tokens": 100, "completion_tokens": 50}
WRITES = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 30}


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"usage": CHAT, "model": "x"}, Usage(100, 0, 0, 50)),
        ({"usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}}, Usage(7)),
        (
            {
                "prompt_token_count": 7,
                "candidates_token_count": 2,
                "tool_use_prompt_token_count": 5,
                "total_token_count": 14,
            },
            Usage(7, 0, 0, 2, tool_tokens=5),
        ),
        # An embedding has no answer, and says so by its total.
        ({"prompt_tokens": 9, "total_tokens": 9}, Usage(9)),
        (CHAT | {"input_tokens": 100, "output_tokens": 50}, Usage(100, 0, 0, 50)),
        (
            {"billed_units": {"input_tokens": 5.0, "output_tokens": 2.0}, "tokens": {}},
            Usage(5, 0, 0, 2),
        ),
        # Reasoning beside the answer, as the total shows.
        (
            CHAT | {"total_tokens": 180, "completion_tokens_details": {"reasoning_tokens": 30}},
            Usage(100, 0, 0, 80, 30),
        ),
        (
            {
                "input_tokens": 1,
                "output_tokens": 1,
                "cache_creation_input_tokens": 30,
                "cache_creation": WRITES,
                "iterations": [
                    {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 30}
                ],
            },
            Usage(1, 0, 0, 1, 0, 30),
        ),
        (
            CHAT
            | {
                "iterations": [
                    {"type": "compaction", "input_tokens": 900, "output_tokens": 9},
                    {"type": "message", "input_tokens": 100, "output_tokens": 50},
                ]
            },
            Usage(1_000, 0, 0, 59),
        ),
    ],
)
def test_a_shape_is_read_into_disjoint_buckets(raw: Any, usage: Usage) -> None:
    assert read(raw).usage() == usage


@pytest.mark.parametrize("raw", [None, {}, [], 5, "usage", {"usage": {}}, {"usage": None}])
def test_no_usage_is_said_aloud(raw: Any) -> None:
    with pytest.raises(UsageFaultError):
        read(raw)


def test_words_that_nobody_knows_are_told_apart_from_wrong_counts() -> None:
    with pytest.raises(UnknownShapeError):
        read({"units": 4})


@pytest.mark.parametrize(
    ("raw", "is_known"),
    [
        (CHAT, True),
        ({"usage": {"prompt_tokens": -1}}, True),
        ({"prompt_tokens": 1, "promptTokenCount": 1}, True),
        ({"total_token_count": 3}, True),
        ({"units": 4}, False),
        ({"prompt_tokens": None}, False),
        ({}, False),
        (None, False),
    ],
)
def test_the_words_of_a_usage_are_known_or_not_whatever_they_count(
    raw: Any, is_known: bool
) -> None:
    assert has_known_shape(raw) is is_known


def test_the_same_words_mean_two_things_at_two_providers() -> None:
    aside = {"prompt_tokens": 1, "completion_tokens": 2}
    aside["reasoning_tokens"] = 1

    assert read(aside, provider="xai").usage().output_tokens == 3
    assert read(aside, provider="openai").usage().output_tokens == 2


@pytest.mark.parametrize(
    ("word", "name"),
    [
        (None, None),
        ("auto", None),
        ("Default", "standard"),
        ("ON_DEMAND", "standard"),
        ("ON_DEMAND_PRIORITY", "priority"),
        ("PROVISIONED_THROUGHPUT", "provisioned"),
        ("batches", "batch"),
        ("gold", "gold"),
    ],
)
def test_a_service_tier_is_known_by_its_usual_names(word: str | None, name: str | None) -> None:
    assert tier_name(word) == name


@pytest.mark.parametrize("usage", [{"cost": "1e999999999"}, {"cost_in_usd_ticks": 10**400}])
def test_a_cost_too_large_to_be_one_is_none(usage: dict[str, Any]) -> None:
    assert reported_cost(usage) is None
