"""What two sources say of prices, joined into one book, and what a person is shown of it."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarm.core.errors import ConfigError
from swarm.ledger import import_genai, import_litellm
from swarm.ledger.price_diff import changes, disagreements, imported_book, write_book
from swarm.ledger.price_lines import EVER, Row, Source, combine, completed, header
from swarm.ledger.price_sources import Imported
from swarm.ledger.prices import PriceBook

READ = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ONE = Source("one-1.0", "one 1.0", "https://example.org/one", "MIT", READ)
TWO = Source("two-2.0", "two 2.0", "https://example.org/two", "MIT", READ)


class Prices(SimpleNamespace):
    """Stands for the package's prices, which answer None for what they do not have."""

    def __getattr__(self, name: str) -> None:
        return None


def model(id: str, prices: Any, *, match: Any = None, variants: Any = None) -> SimpleNamespace:
    return SimpleNamespace(
        id=id, prices=prices, match=match, price_variants=variants, context_window=None
    )


def genai(provider: str, *models: Any) -> list[Row]:
    return import_genai.rows_of([SimpleNamespace(id=provider, models=models)], TWO)


def usual(**more: Any) -> Prices:
    return Prices(input_mtok=Decimal(3), output_mtok=Decimal(15), **more)


def step(prices: Any, **constraint: Any) -> SimpleNamespace:
    bound = SimpleNamespace(**constraint) if constraint else None
    return SimpleNamespace(prices=prices, constraint=bound)


def row(name: str = "acme/one", **more: Any) -> Row:
    return {"model": name, "input": "0.000003", "output": "0.000015"} | more | ONE.stamp()


def book_of(*rows: Row) -> PriceBook:
    sources = {item.key: item.as_json() for item in (ONE, TWO)}
    return PriceBook(
        {**header("test", READ, sources, {}), "prices": list(rows)}, id="test", overrides={}
    )


def test_a_dated_change_makes_two_lines_the_first_since_ever() -> None:
    dearer = Prices(input_mtok=Decimal(6), output_mtok=Decimal(30))
    found = genai("openai", model("m", [step(dearer), step(usual(), start_date=date(2026, 3, 13))]))

    assert [(r["valid_from"], r["input"]) for r in found] == [
        (EVER, "0.000006"),
        ("2026-03-13", "0.000003"),
    ]
    assert all(r["read"] == "2026-11-22" and r["source"] == "two-2.0" for r in found)


def test_tiers_services_hours_and_an_hour_of_cache_are_taken_over() -> None:
    tiered = SimpleNamespace(
        base=Decimal(3), tiers=[SimpleNamespace(start=200_000, price=Decimal(6))]
    )
    prices = Prices(
        input_mtok=tiered,
        output_mtok=Decimal(15),
        cache_write_mtok=Decimal("3.75"),
        cache_write_1h_mtok=Decimal(6),
        input_audio_mtok=Decimal(9),
        web_searches_kcount=Decimal(10),
    )
    batch = SimpleNamespace(
        when={"processing": "batch"},
        prices=Prices(input_mtok=Decimal("1.5"), output_mtok=Decimal("7.5")),
    )
    night = step(usual(), start_time=time(0, 30, tzinfo=UTC), end_time=time(16, 30, tzinfo=UTC))
    (found,) = genai("anthropic", model("m", [step(prices), night], variants=[batch]))

    assert found["tiers"][0] == {
        "above": 200_000,
        "input": "0.000006",
        "output": "0.000015",
        "cache_write": "0.00000375",
        "cache_write_1h": "0.000006",
        "audio_input": "0.000009",
    }
    # What a service leaves out is the usual price, as the package says.
    assert found["services"]["batch"]["cache_write_1h"] == "0.000006"
    assert found["services"]["batch"]["input"] == "0.0000015"
    assert found["units"] == {"web_search": "0.01"}
    assert (found["windows"][0]["from"], found["windows"][0]["to"]) == ("00:30", "16:30")


@pytest.mark.parametrize(
    "prices",
    [
        Prices(input_mtok=Decimal(1)),
        Prices(input_mtok=Decimal(0), output_mtok=Decimal(0)),
        usual(requests_kcount=Decimal(5)),
        usual(audio_hours=Decimal(1)),
    ],
)
def test_a_model_whose_tokens_are_not_the_bill_is_left_out(prices: Prices) -> None:
    assert genai("openai", model("m", prices)) == []


def test_only_names_that_were_written_down_become_aliases() -> None:
    match = SimpleNamespace(
        or_=[
            SimpleNamespace(equals="m-latest"),
            SimpleNamespace(starts_with="m-4"),
            SimpleNamespace(starts_with="m-4-2025"),
            SimpleNamespace(contains="anything"),
            SimpleNamespace(regex="^.*$"),
        ]
    )
    listed = SimpleNamespace(id="openai", models=[model("m", usual(), match=match)])

    assert import_genai.aliases_of([listed]) == {
        "openai/m-latest": "openai/m",
        "openai/m-4": "openai/m",
    }


def test_litellm_names_its_services_hours_regions_and_speeds() -> None:
    entry: dict[str, Any] = {
        "litellm_provider": "anthropic",
        "mode": "chat",
        "input_cost_per_token": Decimal("0.000003"),
        "output_cost_per_token": Decimal("0.000015"),
        "cache_creation_input_token_cost_above_1hr": Decimal("0.000006"),
        "input_cost_per_token_batches": Decimal("0.0000015"),
        "output_cost_per_token_batches": Decimal("0.0000075"),
        "input_cost_per_token_flex": Decimal("0.000001"),
        "input_cost_per_token_above_200k_tokens_batches": Decimal("0.000003"),
        "provider_specific_entry": {"us": Decimal("1.1"), "fast": Decimal(2)},
        "search_context_cost_per_query": {"search_context_size_medium": Decimal("0.01")},
        "off_peak_pricing": {
            "input_cost_per_token": Decimal("0.000001"),
            "output_cost_per_token": Decimal("0.000002"),
            "windows": [{"hours_utc": ["10:00-00:00"], "weekdays": [1]}],
        },
    }
    (found,) = import_litellm.rows_of({"m": entry}, ONE)

    assert found["cache_write_1h"] == "0.000006"
    # Half of a table is no table.
    assert set(found["services"]) == {"batch", "fast"}
    assert found["services"]["batch"]["tiers"][0]["input"] == "0.000003"
    assert found["services"]["fast"]["cache_write_1h"] == "0.000012"
    assert (found["regions"], found["units"]) == ({"us": "1.1"}, {"web_search": "0.01"})
    assert found["windows"][0] == {
        "from": "10:00",
        "to": "00:00",
        "weekdays": [1],
        "input": "0.000001",
        "output": "0.000002",
    }


def test_a_line_is_completed_only_by_who_agrees_on_its_usual_prices() -> None:
    fuller = row(cache_write_1h="0.000006") | TWO.stamp()
    stale = fuller | {"input": "0.000009"}

    assert completed(row(), stale) == row()
    joined = completed(row(), fuller)
    assert joined["cache_write_1h"] == "0.000006"
    assert joined["also"] == {"two-2.0": ["cache_write_1h"]}
    assert joined["source"] == "one-1.0"


def test_two_sources_make_one_book_with_the_past_and_the_retired() -> None:
    past = row("acme/one", input="0.000009") | TWO.stamp(EVER)
    since = row("acme/one") | TWO.stamp("2026-03-13")
    retired = row("acme/old") | TWO.stamp()

    rows = combine(
        [row("acme/one", input="0.000004"), row("acme/one-20260101")],
        [past, since, retired],
        aliases={},
        read=READ,
    )

    assert [(r["model"], r["valid_from"], r["input"]) for r in rows] == [
        ("acme/old", "2026-11-22", "0.000003"),
        ("acme/one", EVER, "0.000009"),
        ("acme/one", "2026-03-13", "0.000003"),
        ("acme/one", "2026-11-22", "0.000004"),
        ("acme/one-20260101", EVER, "0.000009"),
        ("acme/one-20260101", "2026-03-13", "0.000003"),
    ]


def test_a_diff_names_what_is_new_changed_and_gone() -> None:
    book = book_of(row("acme/kept"), row("acme/dearer"), row("acme/gone"))
    found = Imported(ONE, [row("acme/kept"), row("acme/dearer", input="0.000005"), row("acme/new")])

    listed = {change.model: change for change in changes(book, found, at=NOW)}

    assert {m: c.kind for m, c in listed.items()} == {
        "acme/dearer": "changed",
        "acme/gone": "gone",
        "acme/new": "new",
    }
    assert listed["acme/dearer"].facts == {"input": ("0.000003", "0.000005")}
    assert listed["acme/gone"].row is None


def test_a_disagreement_is_listed_and_silence_is_none() -> None:
    book = book_of(row(cache_read="0.0000003"))
    sources = {
        "one": Imported(ONE, [row()]),
        "two": Imported(TWO, [row(input="0.000004")]),
    }

    (found,) = disagreements(book, sources, at=NOW)

    assert (found.model, found.fact) == ("acme/one", "input")
    assert found.said == {"book": "0.000003", "one": "0.000003", "two": "0.000004"}


def test_an_import_lies_over_the_book_from_its_day_on(tmp_path: Path) -> None:
    book = book_of(row())
    found = Imported(TWO, [row(input="0.000005") | TWO.stamp(), row("acme/new") | TWO.stamp()])
    path = tmp_path / "prices" / "two.json"
    write_book(path, *imported_book(path, changes(book, found, at=NOW), found, read=READ))

    shipped = tmp_path / "book.json"
    lines = [row() | {"valid_from": "2026-01-01"}]
    sources = {ONE.key: ONE.as_json()}
    shipped.write_text(json.dumps({**header("b", READ, sources, {}), "prices": lines}))
    laid = PriceBook.load(shipped, folder=tmp_path / "prices")

    assert laid.find("acme/one", at=NOW).input == Decimal("0.000005")
    assert laid.find("acme/one", at=NOW).id.startswith("two-")
    assert laid.find("acme/one", at=datetime(2026, 6, 1, tzinfo=UTC)).input == Decimal("0.000003")
    assert laid.find("acme/new", at=NOW).input == Decimal("0.000003")


def test_a_company_s_own_book_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")

    with pytest.raises(ConfigError, match=r"mine\.json"):
        PriceBook.load(folder=tmp_path)


def test_a_line_with_an_end_prices_nothing_after_it() -> None:
    book = book_of(row(valid_until="2026-11-01"))

    assert book.lookup("acme/one", at=NOW) is None
    assert book.lookup("acme/one", at=datetime(2026, 10, 31, tzinfo=UTC)) is not None


def test_a_name_that_only_one_source_has_is_completed_by_the_other_s_newest_snapshot() -> None:
    day = {"valid_from": "2026-01-01", "read": "2026-01-01"}
    snapshots = [
        {
            "model": f"openai/talk-{when}",
            "input": "1",
            "output": "2",
            "source": "one",
            **day,
            **more,
        }
        for when, more in (
            ("2025-01-01", {"audio_input": "7"}),
            ("2025-06-01", {"audio_input": "9"}),
        )
    ]
    bare = {"model": "openai/talk", "input": "1", "output": "2", "source": "two", **day}
    other = bare | {"model": "openai/other"}
    rows = combine(snapshots, [bare, other], aliases={}, read=date(2026, 1, 1))
    found = {row["model"]: row for row in rows}
    assert found["openai/talk"]["audio_input"] == "9"
    assert found["openai/talk"]["also"] == {"one": ["audio_input"]}
    assert "audio_input" not in found["openai/other"]
