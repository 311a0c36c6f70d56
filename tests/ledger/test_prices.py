import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from swarm.core.errors import ConfigError
from swarm.core.money import CostStatus, Money
from swarm.core.usage import Usage
from swarm.ledger.prices import BOOK, PriceBook, PriceSetting, UnknownPrice

NOW = datetime(2026, 12, 1, tzinfo=UTC)
SHIPPED = PriceBook.load()
COUNTS = st.integers(min_value=0, max_value=2_000_000)
LINES = st.sampled_from(SHIPPED.models()).map(lambda model: SHIPPED.find(model, at=NOW))


def setting(**fields: Any) -> PriceSetting:
    return PriceSetting.model_validate(
        {"input_per_million": 1.0, "output_per_million": 2.0} | fields
    )


def line(model: str, **fields: Any) -> dict[str, Any]:
    usual = {"input": "0.000001", "output": "0.000002", "valid_from": "2026-11-22", "source": "x"}
    return {"model": model} | usual | fields


def book_of(tmp_path: Path, *lines: dict[str, Any], **overrides: PriceSetting) -> PriceBook:
    path = tmp_path / "book.json"
    header = {"format": 1, "id": "test", "date": "2026-11-22", "currency": "USD"}
    sources = {"x": {"title": "a hand-made list", "read": "2026-11-22"}}
    path.write_text(json.dumps(header | {"sources": sources, "prices": lines}))
    return PriceBook.load(path, overrides)


def test_a_line_names_its_book_its_source_and_the_day_it_was_read() -> None:
    price = SHIPPED.find("anthropic/claude-sonnet-4-5", at=NOW)

    assert price.id == f"{SHIPPED.id}:anthropic/claude-sonnet-4-5@2026-11-22"
    assert price.source.startswith("litellm 1.106.2 model map, read 2026-11-22, https://")
    assert (price.currency, price.status) == ("USD", CostStatus.PAID)
    assert price.valid_from == date(2026, 11, 22)
    assert (price.input, price.output) == (Decimal("0.000003"), Decimal("0.000015"))
    assert (price.cache_read, price.cache_write) == (Decimal("3e-7"), Decimal("0.00000375"))
    assert (price.max_input_tokens, price.max_output_tokens) == (200_000, 64_000)


def test_a_call_is_priced_by_hand_computed_buckets() -> None:
    price = SHIPPED.find("anthropic/claude-sonnet-4-5", at=NOW)
    usage = Usage(
        input_tokens=1_000,
        cache_read_tokens=20_000,
        cache_write_tokens=4_000,
        output_tokens=500,
        reasoning_tokens=300,
    )

    # 0.003 + 0.006 + 0.015 + 0.0075; reasoning is part of the output and costs nothing more.
    assert SHIPPED.cost(usage, price) == Money(Decimal("0.0315"), "USD")


def test_a_prompt_above_a_tier_makes_the_whole_call_dearer() -> None:
    price = SHIPPED.find("gemini/gemini-2.5-pro", at=NOW)
    at_the_edge = Usage(input_tokens=150_000, cache_read_tokens=50_000, output_tokens=1_000)
    above = Usage(input_tokens=150_001, cache_read_tokens=50_000, output_tokens=1_000)

    assert SHIPPED.cost(at_the_edge, price).amount == Decimal("0.20375")
    assert SHIPPED.cost(above, price).amount == Decimal("0.4025025")


def test_a_cache_bucket_without_its_own_price_costs_what_input_costs(tmp_path: Path) -> None:
    book = book_of(tmp_path, line("acme/one", cache_read="0", tiers=[]))
    price = book.find("acme/one", at=NOW)

    usage = Usage(cache_read_tokens=1_000, cache_write_tokens=1_000)
    assert book.cost(usage, price).amount == Decimal("0.002")


def test_a_count_below_zero_is_refused_and_never_a_refund() -> None:
    price = SHIPPED.find("openai/gpt-5", at=NOW)

    with pytest.raises(ValueError, match="below zero"):
        SHIPPED.cost(Usage(input_tokens=10, output_tokens=-1), price)


@given(price=LINES, counts=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS))
def test_the_parts_of_a_cost_add_up_to_the_last_digit(
    price: Any, counts: tuple[int, int, int, int]
) -> None:
    fresh, read, write, output = counts
    rates = price.rates(fresh + read + write)
    read_rate = rates.input if rates.cache_read is None else rates.cache_read
    write_rate = rates.input if rates.cache_write is None else rates.cache_write

    parts = fresh * rates.input + read * read_rate + write * write_rate + output * rates.output

    assert SHIPPED.cost(Usage(fresh, read, write, output), price).amount == parts


@given(price=LINES, counts=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS), spare=COUNTS)
def test_the_worst_case_covers_every_usage_within_its_bounds(
    price: Any, counts: tuple[int, int, int, int], spare: int
) -> None:
    fresh, read, write, output = counts

    worst = SHIPPED.worst_case(
        price, prompt_bytes=fresh + read + write + spare, max_output_tokens=output + spare
    )

    assert worst.amount >= SHIPPED.cost(Usage(fresh, read, write, output), price).amount


RATES = st.fixed_dictionaries(
    {"input": st.integers(1, 99), "output": st.integers(1, 99)},
    optional={"cache_read": st.integers(1, 99), "cache_write": st.integers(1, 99)},
).map(lambda rates: {name: f"0.{rate:06}" for name, rate in rates.items()})
TOKENS = st.integers(min_value=0, max_value=40_000)
CHEAP = {"input": "0.000001", "output": "0.000001"}
DEAR = {"input": "0.000099", "output": "0.000099"}


@given(
    usual=RATES,
    tiers=st.dictionaries(st.sampled_from([10_000, 20_000, 50_000]), RATES),
    counts=st.tuples(TOKENS, TOKENS, TOKENS, TOKENS),
)
@example(usual=DEAR, tiers={10_000: CHEAP}, counts=(10_004, 0, 0, 40_000))
@example(usual=CHEAP, tiers={10_000: CHEAP | {"output": "0.000099"}}, counts=(12_000, 0, 0, 40_000))
@example(usual=CHEAP, tiers={10_000: CHEAP | {"cache_write": "0.000099"}}, counts=(0, 0, 12_000, 0))
def test_the_worst_case_covers_tiers_that_rise_and_tiers_that_fall(
    usual: dict[str, str], tiers: dict[int, dict[str, str]], counts: tuple[int, int, int, int]
) -> None:
    listed = [{"above": above} | tiers[above] for above in sorted(tiers)]
    document = {
        "format": 1,
        "date": "2026-11-22",
        "currency": "USD",
        "sources": {"x": {"title": "a hand-made list", "read": "2026-11-22"}},
        "prices": [line("acme/one", tiers=listed) | usual],
    }
    book = PriceBook(document, id="test", overrides={})
    price = book.find("acme/one", at=NOW)
    longest = sum(counts[:3])

    worst = book.worst_case(price, prompt_bytes=longest, max_output_tokens=counts[3])

    # A prompt of those bytes may have any smaller number of tokens, at another tier's prices.
    for share in (1, 2, 4):
        fresh, read, write, _ = (count // share for count in counts)
        usage = Usage(fresh, read, write, counts[3])
        assert worst.amount >= book.cost(usage, price).amount


def test_the_worst_case_covers_the_words_a_provider_adds_to_a_short_prompt() -> None:
    price = SHIPPED.find("anthropic/claude-sonnet-4-5", at=NOW)

    worst = SHIPPED.worst_case(price, prompt_bytes=200, max_output_tokens=16)

    tool_preamble = 346
    usage = Usage(input_tokens=60 + tool_preamble, output_tokens=16)
    assert worst.amount >= SHIPPED.cost(usage, price).amount


@given(price=LINES, counts=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS).filter(any))
def test_tokens_of_a_model_in_the_book_are_never_free(
    price: Any, counts: tuple[int, int, int, int]
) -> None:
    assert price.status is CostStatus.PAID
    assert SHIPPED.cost(Usage(*counts), price).amount > 0


@pytest.mark.parametrize(
    "gap", [{"input": None}, {"output": None}, {"input": "0"}, {"output": "0.0"}]
)
def test_a_line_without_both_prices_is_no_line(tmp_path: Path, gap: dict[str, Any]) -> None:
    book = book_of(tmp_path, line("acme/one", **gap))

    with pytest.raises(UnknownPrice):
        book.find("acme/one", at=NOW)


@given(model=st.text(min_size=1, max_size=40))
def test_no_made_up_name_has_a_price(model: str) -> None:
    with pytest.raises(UnknownPrice):
        SHIPPED.find(f"nobody/{model}", at=NOW)


def test_an_unknown_model_is_named_with_both_ways_on() -> None:
    with pytest.raises(UnknownPrice) as caught:
        SHIPPED.find("openai/gpt5", at=NOW)

    text = str(caught.value)
    assert caught.value.model == "openai/gpt5"
    assert "did you mean 'openai/gpt-5'?" in text
    assert "company.yaml" in text
    assert "`prices:`" in text
    assert "SWARM_LLM__ALLOW_UNPRICED=true" in text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5-20250929"),
        ("gpt-5-2025-08-07", "openai/gpt-5-2025-08-07"),
        ("gpt-5", "openai/gpt-5"),
        ("openai/gpt-5-2031-02-03", "openai/gpt-5"),
        ("claude-sonnet-4-5-20310203", "anthropic/claude-sonnet-4-5"),
        ("mistral-large-latest", "mistral/mistral-large-latest"),
        ("cohere_chat/command-r-08-2024", "cohere/command-r-08-2024"),
    ],
)
def test_a_name_as_a_provider_writes_it_finds_the_line(asked: str, found: str) -> None:
    assert SHIPPED.find(asked, at=NOW).model == found


@pytest.mark.parametrize("model", ["mistral/mistral-large-9912", "openai/gpt-4-9999"])
def test_a_generation_number_is_no_date_to_strip(model: str) -> None:
    with pytest.raises(UnknownPrice):
        SHIPPED.find(model, at=NOW)


def test_one_provider_never_lends_its_price_to_another(tmp_path: Path) -> None:
    book = book_of(tmp_path, line("groq/openai/oss"), line("openai/gpt"))

    with pytest.raises(UnknownPrice):
        book.find("openai/oss", at=NOW)


def test_a_bare_name_of_two_providers_is_not_guessed(tmp_path: Path) -> None:
    book = book_of(tmp_path, line("groq/oss"), line("together_ai/oss"))

    with pytest.raises(UnknownPrice, match="which of groq/oss, together_ai/oss"):
        book.find("oss", at=NOW)


@pytest.mark.parametrize(
    ("asked", "answered", "billed"),
    [
        ("groq/openai/gpt-oss-120b", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("openai/gpt-5", "gpt-5-2025-08-07", "openai/gpt-5-2025-08-07"),
        ("openai/gpt-5", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini-2024-07-18"),
        ("gpt-5", "gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai/gpt-5", "openai/gpt-5", "openai/gpt-5"),
        ("ollama/qwen3", "qwen3", "ollama/qwen3"),
        ("local/gemma3-270m", "gemma-3-270m.gguf", "local/gemma-3-270m.gguf"),
    ],
)
def test_the_model_that_answered_bills_at_the_provider_that_was_asked(
    asked: str, answered: str, billed: str
) -> None:
    assert SHIPPED.find_answer(asked=asked, answered=answered, at=NOW).model == billed


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("azure/my-deployment", "gpt-5"),
        ("groq/openai/gpt-oss-120b", "gpt-5"),
        ("openai/gpt-5", "x"),
    ],
)
def test_an_answer_from_a_model_without_a_line_is_not_priced_by_another_list(
    asked: str, answered: str
) -> None:
    with pytest.raises(UnknownPrice):
        SHIPPED.find_answer(asked=asked, answered=answered, at=NOW)


@pytest.mark.parametrize(
    "model", ["local/gemma3-270m", "ollama/qwen3:8b", "ollama_chat/x", "fake/a"]
)
def test_own_hardware_costs_nothing_and_says_that_it_is_notional(model: str) -> None:
    price = SHIPPED.find(model, at=NOW)

    assert price.status is CostStatus.NOTIONAL
    assert price.source == "runs on your own hardware"
    assert SHIPPED.cost(Usage(10, 20, 30, 40), price) == Money(Decimal(0), "USD")
    worst = SHIPPED.worst_case(price, prompt_bytes=1_000, max_output_tokens=1_000)
    assert worst.amount == 0


def test_a_cloud_model_of_ollama_is_not_own_hardware() -> None:
    with pytest.raises(UnknownPrice):
        SHIPPED.find("ollama/gpt-oss:120b-cloud", at=NOW)


def test_the_price_valid_at_the_call_is_used(tmp_path: Path) -> None:
    later = line("acme/one", input="0.000005", valid_from="2026-12-10")
    book = book_of(tmp_path, later, line("acme/one"))

    def input_at(*day: int) -> Decimal:
        return book.find("acme/one", at=datetime(*day, tzinfo=UTC)).input  # type: ignore[arg-type, misc]

    assert input_at(2026, 12, 9, 23, 59) == Decimal("0.000001")
    assert input_at(2026, 12, 10) == Decimal("0.000005")
    assert input_at(2020, 1, 1) == Decimal("0.000001"), "the first line prices earlier calls too"


def test_a_price_the_company_states_wins_over_the_book() -> None:
    terms = setting(cache_read_per_million="0.1", currency="EUR")
    book = PriceBook.load(overrides={"openai/gpt-5": terms})

    price = book.find("openai/gpt-5", at=NOW)
    assert price.source == "company.yaml: prices"
    assert (price.input, price.output) == (Decimal("0.000001"), Decimal("0.000002"))
    assert (price.cache_read, price.cache_write) == (Decimal("1e-7"), None)
    assert price.currency == "EUR"
    assert book.find("gpt-5-2025-08-07", at=NOW) == price
    assert book.find_answer(asked="openai/gpt-5", answered="gpt-5-2025-08-07", at=NOW) == price
    assert book.find("openai/gpt-5-mini", at=NOW).currency == "USD"


def test_a_company_may_price_a_model_and_a_provider_the_book_does_not_know() -> None:
    book = PriceBook.load(overrides={"azure/my-deployment": setting()})

    assert book.find("azure/my-deployment", at=NOW).model == "azure/my-deployment"
    answer = book.find_answer(asked="azure/my-deployment", answered="my-deployment", at=NOW)
    assert answer.model == "azure/my-deployment"


@pytest.mark.parametrize("model", ["gpt-5", "/gpt-5", "openai/"])
def test_a_stated_price_without_a_provider_is_refused_because_it_would_never_apply(
    model: str,
) -> None:
    with pytest.raises(ConfigError, match=r"company\.yaml: prices: .* provider/model"):
        PriceBook.load(overrides={model: setting()})


def test_another_stated_price_is_another_line_id() -> None:
    first = PriceBook.load(overrides={"a/b": setting()}).find("a/b", at=NOW)
    again = PriceBook.load(overrides={"a/b": setting()}).find("a/b", at=NOW)
    other = PriceBook.load(overrides={"a/b": setting(output_per_million=3)}).find("a/b", at=NOW)

    assert first.id == again.id
    assert first.id != other.id


@pytest.mark.parametrize(
    "fields",
    [
        {"input_per_million": 0},
        {"output_per_million": 0},
        {"cache_read_per_million": 0},
        {"input_per_million": -1},
        {"output_per_million": "NaN"},
        {"currency": "dollars"},
        {"inputs_per_million": 1},
    ],
)
def test_a_stated_price_that_hides_a_cost_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        setting(**fields)


def test_a_subscription_may_state_a_notional_price_of_zero() -> None:
    free = setting(input_per_million=0, output_per_million=0, status="notional")
    price = PriceBook.load(overrides={"plan/x": free}).find("plan/x", at=NOW)

    assert price.status is CostStatus.NOTIONAL


def test_the_id_of_the_book_follows_its_content(tmp_path: Path) -> None:
    one = book_of(tmp_path, line("acme/one"))
    two = book_of(tmp_path, line("acme/one", input="0.000003"))

    assert one.id.startswith("test-")
    assert one.id != two.id


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"id": "x", "format": 9}'])
def test_a_file_that_is_no_price_book_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "book.json"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"book|format"):
        PriceBook.load(path)


def test_every_line_that_ships_can_be_read_and_is_dated() -> None:
    document = json.loads(BOOK.read_text())

    assert BOOK.stat().st_size < 800_000
    assert len({row["model"] for row in document["prices"]}) == len(SHIPPED.models()) > 1500
    for row in document["prices"]:
        assert date.fromisoformat(row["read"]) >= date(2026, 11, 22)
        assert row["source"] in document["sources"]
    for model in SHIPPED.models():
        price = SHIPPED.find(model, at=NOW)
        assert price.model == model
        assert [tier.above for tier in price.tiers] == sorted(tier.above for tier in price.tiers)


def test_reading_the_book_imports_no_model_library() -> None:
    program = (
        "import sys; from swarm.ledger.prices import PriceBook; PriceBook.load();"
        "sys.exit(any(name in sys.modules for name in ('litellm', 'sqlmodel', 'langgraph')))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("dear", "bucket"),
    [
        ({"cache_write_1h": "0.00001"}, {"cache_write_1h_tokens": 100_000}),
        ({"audio_input": "0.00001"}, {"audio_tokens": 100_000}),
        ({"cache_read": "0.00001"}, {"cache_read_tokens": 100_000}),
    ],
)
def test_the_worst_case_covers_a_bucket_dearer_than_all_others(
    tmp_path: Path, dear: dict[str, str], bucket: dict[str, int]
) -> None:
    book = book_of(tmp_path, line("acme/one", **dear))
    price = book.find("acme/one", at=NOW)

    worst = book.worst_case(price, prompt_bytes=100_000, max_output_tokens=0)

    assert worst.amount >= book.cost(Usage(**bucket), price).amount == 1


def test_text_alone_is_not_bounded_by_the_price_of_sound(tmp_path: Path) -> None:
    book = book_of(tmp_path, line("acme/one", audio_input="0.00001"))
    price = book.find("acme/one", at=NOW)

    text = book.worst_case(price, prompt_bytes=1_000, max_output_tokens=0, has_sound=False)

    assert text.amount == Decimal("0.001512")


def test_a_bucket_without_a_price_is_no_zero(tmp_path: Path) -> None:
    book = book_of(tmp_path, line("acme/one", cache_write="0.000002"))

    with pytest.raises(ValueError, match="no price for cache_write_1h"):
        book.cost(Usage(cache_write_1h_tokens=1), book.find("acme/one", at=NOW))
