"""What a recorded order would have cost elsewhere, without a call."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError, InvalidInput
from swarm.core.money import CostStatus
from swarm.evals import faults
from swarm.evals.cassette import Cassette
from swarm.evals.repricing import Prices, repriced
from swarm.ledger.prices import BOOK
from tests.evals import orders
from tests.evals.shelf import recorded


@pytest.fixture
async def cassette(tmp_path: Path) -> Cassette:
    return await recorded(orders.with_a_question, tmp_path)


def book_of(folder: Path, **rates: str) -> Path:
    """Return the package's book with other rates for the recorded model."""
    document = json.loads(BOOK.read_text(encoding="utf-8"))
    for line in document["prices"]:
        if line["model"] == "openai/gpt-4o-mini":
            line.update(rates)
    path = folder / "book.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_book_of_the_day_gives_the_recorded_cost(cassette: Cassette) -> None:
    found = repriced(cassette, Prices(book=BOOK))
    assert found.repriced == found.recorded
    assert found.recorded[0].amount > 0


def test_another_book_changes_the_cost_alone(cassette: Cassette, tmp_path: Path) -> None:
    model = next(iter(cassette.manifest.models))
    line = next(
        line
        for book in cassette.manifest.books
        for line in book.document["prices"]
        if line["model"] == model
    )
    doubled = {
        name: str(Decimal(str(line[name])) * 2)
        for name in ("input", "output", "cache_read")
        if name in line
    }
    found = repriced(cassette, Prices(book=book_of(tmp_path, **doubled)))
    assert found.repriced[0].amount == 2 * found.recorded[0].amount


@pytest.mark.parametrize("factor", [2, 10])
def test_a_shock_multiplies(cassette: Cassette, factor: int) -> None:
    found = repriced(cassette, Prices(shock=f"llm={factor}"))
    assert found.repriced[0].amount == factor * found.recorded[0].amount
    assert repriced(cassette, Prices(shock=f"openai={factor}")).repriced == found.repriced


def test_another_model_is_priced_by_what_was_used(cassette: Cassette) -> None:
    found = repriced(cassette, Prices(model="anthropic/claude-sonnet-4-5"))
    assert found.repriced[0].amount > found.recorded[0].amount
    assert found.repriced[0].status is CostStatus.PAID


@pytest.mark.parametrize(
    "prices",
    [
        Prices(shock="llm"),
        Prices(shock="hosting=2"),
        Prices(shock="acme=2"),
        Prices(shock="llm=-1"),
        Prices(model="acme/none"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(cassette: Cassette, prices: Prices) -> None:
    with pytest.raises(InvalidInput):
        repriced(cassette, prices)


def test_a_book_that_is_none_is_refused(cassette: Cassette, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(ConfigError):
        repriced(cassette, Prices(book=tmp_path / "none.json"))
    with pytest.raises(InvalidInput, match="there is no such file"):
        repriced(cassette, Prices(book=tmp_path / "missing.json"))


def test_faults_are_read_by_the_number_of_their_call() -> None:
    assert faults.parse("429@3, timeout@5,cut@3") == {3: ["429", "cut"], 5: ["timeout"]}


@pytest.mark.parametrize("text", ["", "429", "418@1", "429@0", "429@x", "429@-1", "429@²", "@3"])
def test_a_fault_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="--faults"):
        faults.parse(text)
