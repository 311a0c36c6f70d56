import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from swarm.core.money import CostStatus
from swarm.ledger import price_sources
from swarm.ledger.import_litellm import main
from swarm.ledger.prices import BOOK, PriceBook, UnknownPrice
from swarm.ledger.pricing import price_usage

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def entry(provider: str = "openai", **fields: Any) -> dict[str, Any]:
    usual = {"mode": "chat", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05}
    return {"litellm_provider": provider} | usual | fields


def read_in(
    folder: Path, models: dict[str, Any], *, read: str = "2026-11-22", version: str = "1.0"
) -> PriceBook:
    listed, book = folder / "map.json", folder / "book.json"
    listed.write_text(json.dumps(models))
    arguments = ["--map", str(listed), "--book", str(book), "--read", read, "--version", version]
    assert main(arguments) == 0
    return PriceBook.load(book)


def test_bare_names_get_their_provider_and_exact_decimal_prices(tmp_path: Path) -> None:
    book = read_in(tmp_path, {"gpt-x": entry(cache_read_input_token_cost=2.8e-08)})

    price = book.find("openai/gpt-x", at=NOW)
    assert (price.input, price.output) == (Decimal("0.000003"), Decimal("0.000015"))
    assert price.cache_read == Decimal("0.000000028")
    assert price.source == "litellm 1.0 model map, read 2026-11-22"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("free", {"input_cost_per_token": 0}),
        ("half", {"output_cost_per_token": 0.0}),
        ("nothing", {"output_cost_per_token": None}),
        ("drawing", {"mode": "image_generation"}),
        ("far", {"litellm_provider": "somebody_else"}),
        ("gpt-x-mini-tts", {"output_cost_per_audio_token": 1e-05}),
        ("gpt-x-search-preview", {}),
        ("ft:gpt-x", {}),
    ],
)
def test_a_model_whose_bill_is_not_its_token_price_is_left_out(
    tmp_path: Path, name: str, fields: dict[str, Any]
) -> None:
    book = read_in(tmp_path, {name: entry(**fields)})

    assert book.models() == []


def test_the_qualified_entry_speaks_where_litellm_has_two(tmp_path: Path) -> None:
    zero = entry("gemini", input_cost_per_token=0, output_cost_per_token=0)
    models = {
        "deepseek/deepseek-x": entry("deepseek", input_cost_per_token=1e-06),
        "deepseek-x": entry("deepseek", input_cost_per_token=9e-06),
        "gemini/gemini-x": zero,
        "gemini-x": entry("gemini"),
    }
    book = read_in(tmp_path, models)

    assert book.find("deepseek/deepseek-x", at=NOW).input == Decimal("0.000001")
    with pytest.raises(UnknownPrice):
        book.find("gemini/gemini-x", at=NOW)


def test_tiers_are_complete_and_rising(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "input_cost_per_token_above_272k_tokens": 9e-06,
        "input_cost_per_token_above_128k_tokens": 6e-06,
        "output_cost_per_token_above_272k_tokens": 3e-05,
        "input_cost_per_token_above_128k_tokens_priority": 7e-05,
    }
    price = read_in(tmp_path, {"gpt-x": entry(**fields)}).find("openai/gpt-x", at=NOW)

    assert [(tier.above, tier.input, tier.output) for tier in price.tiers] == [
        (128_000, Decimal("0.000006"), Decimal("0.000015")),
        (272_000, Decimal("0.000009"), Decimal("0.00003")),
    ]


def test_a_later_import_keeps_retired_models_and_old_prices(tmp_path: Path) -> None:
    read_in(tmp_path, {"kept": entry(), "dearer": entry(), "retired": entry()})
    now = {"kept": entry(max_input_tokens=9), "dearer": entry(input_cost_per_token=4e-06)}
    book = read_in(tmp_path, now, read="2027-02-01", version="1.1")

    after = datetime(2027, 3, 1, tzinfo=UTC)
    assert book.find("openai/retired", at=after).source == "litellm 1.0 model map, read 2026-11-22"
    assert book.find("openai/dearer", at=NOW).input == Decimal("0.000003")
    assert book.find("openai/dearer", at=after).input == Decimal("0.000004")
    assert book.find("openai/kept", at=after).id.endswith("@2026-11-22")


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    one = read_in(tmp_path, {"a": entry(), "b": entry("mistral")})
    two = read_in(tmp_path, {"b": entry("mistral"), "a": entry()})

    assert one.id == two.id


def test_the_book_that_ships_is_what_both_sources_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "book.json"
    copy.write_bytes(BOOK.read_bytes())

    pytest.importorskip("genai_prices")

    assert price_sources.main(["--book", str(copy), "--read", "2026-11-22"]) == 0

    assert capsys.readouterr().out.endswith(", 0 new\n")
    assert copy.read_bytes() == BOOK.read_bytes()


@pytest.mark.parametrize(
    ("name", "fields", "second"),
    [
        ("whisper-x", {"output_cost_per_second": 0.0001}, "0.0001"),
        ("gpt-x", {"output_cost_per_second": 0.0}, "0.0001"),
        ("other", {"output_cost_per_second": 0.0003}, None),
        ("gpt-realtime-x", {}, None),
        ("groq/whisper-x", {"litellm_provider": "groq"}, None),
        ("free", {"input_cost_per_second": 0.0}, None),
        ("chatting", {"mode": "chat"}, None),
    ],
)
def test_who_writes_down_sound_is_priced_by_its_seconds_where_they_are_the_whole_bill(
    tmp_path: Path, name: str, fields: dict[str, Any], second: str | None
) -> None:
    usual = {"litellm_provider": "openai", "mode": "audio_transcription"}
    book = read_in(tmp_path, {name: {**usual, "input_cost_per_second": 0.0001, **fields}})

    found = {model: book.find(model, at=NOW).units for model in book.models()}
    expected = {} if second is None else {f"openai/{name}": {"audio_second": Decimal(second)}}
    assert found == expected


def test_who_writes_down_sound_writes_no_text_for_nothing(tmp_path: Path) -> None:
    entry = {"mode": "audio_transcription", "input_cost_per_second": 0.0001}
    book = read_in(tmp_path, {"whisper-x": {"litellm_provider": "openai", **entry}})
    price = book.find("openai/whisper-x", at=NOW)

    with pytest.raises(UnknownPrice, match="only writes down sound"):
        book.worst_case(price, prompt_bytes=100, max_output_tokens=100)
    told = {"prompt_tokens": 100, "completion_tokens": 20}
    call = price_usage(book, provider="openai", model="whisper-x", usage=told, at=NOW)
    assert call.status is CostStatus.UNPRICED
