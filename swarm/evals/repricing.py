"""Say what a recorded order would have cost at other prices. No call is made, nothing is played."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from swarm.core.clock import parse_iso
from swarm.core.document import CostDocument
from swarm.core.errors import InvalidInput
from swarm.core.money import CostStatus, worst_status
from swarm.evals.cassette import Cassette
from swarm.evals.lanes import Entry
from swarm.ledger.price_names import canonical
from swarm.ledger.prices import PriceBook, UnknownPrice
from swarm.ledger.pricing import price_usage
from swarm.ledger.reports.shock import FOUNDER, HOSTING, Factors, parse


@dataclass(slots=True)
class _Total:
    amount: Decimal = Decimal(0)
    status: CostStatus | None = None

    def add(self, amount: Decimal, status: CostStatus) -> None:
        self.amount += amount
        self.status = status if self.status is None else worst_status([self.status, status])


@dataclass(frozen=True, slots=True)
class Repriced:
    """A recorded order's model cost, as it was and as it would have been."""

    recorded: list[CostDocument]
    """One for each currency; never added up."""
    repriced: list[CostDocument]
    by_model: dict[str, dict[str, list[CostDocument]]] = field(default_factory=dict)
    unpriced: list[str] = field(default_factory=list)
    """Models that have no price there."""

    def as_document(self) -> dict[str, Any]:
        """Return it as programs read it."""
        return {
            "recorded": _dumped(self.recorded),
            "repriced": _dumped(self.repriced),
            "by_model": {
                model: {side: _dumped(costs) for side, costs in sides.items()}
                for model, sides in self.by_model.items()
            },
            "unpriced": self.unpriced,
        }


def _dumped(costs: Sequence[CostDocument]) -> list[dict[str, Any]]:
    return [cost.model_dump(mode="json") for cost in costs]


@dataclass(frozen=True, slots=True)
class Prices:
    """Other prices: of another book, of another model, times a factor; at least one of them."""

    book: Path | None = None
    model: str | None = None
    shock: str | None = None


def repriced(cassette: Cassette, prices: Prices) -> Repriced:
    """Price each recorded attempt again.

    An attempt that failed keeps what it cost, times the factor of its model.

    Raises:
        InvalidInput: A factor that makes no sense, or a model without a price in the book.
        ConfigError: The book cannot be read.
    """
    # The package's book where another model is asked for: a cassette holds the lines of its own.
    is_other = prices.book is not None or prices.model is not None
    if prices.book is not None and not prices.book.is_file():
        raise InvalidInput(f"--reprice {prices.book}: there is no such file.")
    book = PriceBook.load(prices.book) if is_other else None
    entries = cassette.lane("model")
    factors = _factors(prices.shock, entries)
    if prices.model is not None and book is not None:
        _check_model(book, prices.model, entries)
    sides: dict[str, dict[str, _Total]] = {"recorded": {}, "repriced": {}}
    by_model: dict[str, dict[str, dict[str, _Total]]] = {}
    unpriced: set[str] = set()
    for entry in entries:
        asked = entry["request"].get("model", entry["model"])
        group = by_model.setdefault(asked, {"recorded": {}, "repriced": {}})
        for side, (amount, currency, status) in _costs(entry, asked, book, prices.model, factors):
            for totals in (sides[side], group[side]):
                totals.setdefault(currency, _Total()).add(amount, status)
            if side == "repriced" and status is CostStatus.UNPRICED:
                unpriced.add(prices.model or asked)
    return Repriced(
        _documents(sides["recorded"]),
        _documents(sides["repriced"]),
        {
            model: {side: _documents(totals) for side, totals in found.items()}
            for model, found in sorted(by_model.items())
        },
        sorted(unpriced),
    )


_Cost = tuple[Decimal, str, CostStatus]


def _costs(
    entry: Entry, asked: str, book: PriceBook | None, model: str | None, factors: Factors
) -> Iterator[tuple[str, _Cost]]:
    charge = entry["charge"]
    was: _Cost = (Decimal(charge["cost"]), charge["currency"], CostStatus(charge["status"]))
    yield "recorded", was
    amount, currency, status = was
    if book is not None and "answer" in entry:
        amount, currency, status = _priced(entry, asked, book, model)
    yield "repriced", (amount * factors.of(model or asked), currency, status)


def _priced(entry: Entry, asked: str, book: PriceBook, model: str | None) -> _Cost:
    charge = entry["charge"]
    if model is None:
        call = price_usage(
            book,
            provider=charge["provider"] or asked.partition("/")[0],
            model=entry["model"],
            usage=entry.get("raw_usage") or _neutral(entry),
            at=parse_iso(entry["started_at"]),
            tier=charge["tier"],
            asked=asked,
        )
        if call.listed is not None:
            # What a provider reported knows nothing of another book.
            return call.listed, call.listed_currency or call.currency, CostStatus(charge["status"])
    else:
        call = price_usage(
            book,
            provider=book.provider_of(canonical(model)),
            model=model,
            usage=_neutral(entry),
            at=parse_iso(entry["started_at"]),
            tier=None,
            asked=model,
        )
    return call.amount or Decimal(0), call.currency, call.status


def _neutral(entry: Entry) -> dict[str, Any]:
    """Return an attempt's counts in words that mean the same whoever is asked."""
    counts: Mapping[str, int] | None = entry.get("usage")
    if counts is None:
        return {}
    get = counts.get
    short, long = get("cache_write_tokens", 0), get("cache_write_1h_tokens", 0)
    return {
        "input_tokens": get("input_tokens", 0) + get("audio_tokens", 0) + get("tool_tokens", 0),
        "cache_read_input_tokens": get("cache_read_tokens", 0),
        "cache_creation_input_tokens": short + long,
        "cache_creation": {
            "ephemeral_5m_input_tokens": short,
            "ephemeral_1h_input_tokens": long,
        },
        "output_tokens": get("output_tokens", 0),
        "output_tokens_details": {"thinking_tokens": get("reasoning_tokens", 0)},
    }


def _factors(shock: str | None, entries: Sequence[Entry]) -> Factors:
    if shock is None:
        return Factors()
    models = {entry["request"].get("model", entry["model"]) for entry in entries}
    factors = parse(shock, providers={model.partition("/")[0] for model in models})
    if factors.hosting != 1 or factors.founder != 1:
        raise InvalidInput(
            f"--price-shock: a recording holds model calls alone, no {HOSTING} and no {FOUNDER} "
            "time: write llm=10, or a provider's name."
        )
    return factors


def _check_model(book: PriceBook, model: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        try:
            book.find(model, at=parse_iso(entry["started_at"]))
        except UnknownPrice as error:
            raise InvalidInput(
                f"--model {model[:80]!r}: no price of it is known for {entry['started_at'][:10]}: "
                "`swarm prices list` shows the names that have one; --reprice BOOK takes others."
            ) from error
        return


def _documents(totals: Mapping[str, _Total]) -> list[CostDocument]:
    return [
        CostDocument(amount=total.amount, currency=currency, status=total.status)
        for currency, total in sorted(totals.items())
        if total.status is not None
    ]
