"""What an hour of human work costs: by country, by kind of contract, dated, with sources."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from swarm.core.errors import InvalidInput
from swarm.core.registry import nearest
from swarm.ledger.baseline.config import ANY_CONTRACT, BaselineConfig
from swarm.ledger.baseline.spread import Spread, between

DEFAULT_COUNTRY = "EU"
MAX_CODE = 2
_OWN_WIDTH = Decimal("1.15")
"""A rate that was given is still not one number: raises, seniority and hours that are not billed
move it by x/÷1.15 (our assumption)."""


@dataclass(frozen=True, slots=True)
class HourlyRate:
    """The price of an hour: 10, 50 and 90 % quantiles."""

    p10: Decimal
    p50: Decimal
    p90: Decimal
    currency: str
    country: str
    contract: str
    year: int | None
    source: str

    @property
    def spread(self) -> Spread:
        """Return all quantiles."""
        return between(float(self.p10), float(self.p50), float(self.p90))

    @property
    def words(self) -> str:
        """Say whose hour it is."""
        whose = "your own rate" if self.year is None else f"{self.contract} in {self.country}"
        when = "" if self.year is None else f", {self.year}"
        return f"{self.p10} / {self.p50} / {self.p90} {self.currency} per hour ({whose}{when})"


def find_rate(country: str = "", contract: str = "") -> HourlyRate:
    """Return the rate of a country (`EU` where it is empty) and a kind of contract.

    Raises:
        InvalidInput: The table has no such country or contract; the nearest one is named.
    """
    table = _table()
    place = _named(country or DEFAULT_COUNTRY, table["countries"], "country", str.upper)
    kind = _named(contract or ANY_CONTRACT, table["contracts"], "contract", str.casefold)
    land, terms = table["countries"][place], table["contracts"][kind]
    labour_cost = Decimal(land["labour_cost"])
    p10, p50, p90 = (_cents(labour_cost * Decimal(terms[name])) for name in ("p10", "p50", "p90"))
    return HourlyRate(
        p10,
        p50,
        p90,
        currency=land["currency"],
        country=place,
        contract=kind,
        year=land["year"],
        source=(
            f"Rate: labour cost of {labour_cost} {land['currency']} an hour in {place}, "
            f"{land['year']} ({land['source']}; read {table['read']}), times "
            f"{terms['p10']} / {terms['p50']} / {terms['p90']} for {kind} work: {terms['source']}."
        ),
    )


def own_rate(rate: Decimal, currency: str) -> HourlyRate:
    """Return a rate that was given, as the narrow band it is."""
    return HourlyRate(
        _cents(rate / _OWN_WIDTH),
        rate,
        _cents(rate * _OWN_WIDTH),
        currency=currency,
        country="",
        contract="own",
        year=None,
        source=f"Rate: {rate} {currency} an hour as set in the company's settings, x/÷1.15.",
    )


def rate_of(config: BaselineConfig, *, company_currency: str) -> HourlyRate:
    """Return the rate a company compares with.

    Raises:
        InvalidInput: The settings name a country or contract that the table does not have.
    """
    if config.rate is not None:
        return own_rate(config.rate, config.currency or company_currency)
    if config.country:
        return find_rate(config.country, config.contract)
    countries = _table()["countries"]
    # The first with the company's money: the EU for euros, and the largest country elsewhere.
    same = [name for name, land in countries.items() if land["currency"] == company_currency]
    return find_rate(same[0] if same else DEFAULT_COUNTRY, config.contract)


@cache
def _table() -> dict[str, Any]:
    text = files(__package__).joinpath("rates.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def _named(word: str, rows: Mapping[str, Any], what: str, fold: Any) -> str:
    said = fold(word.strip())
    if said in rows:
        return str(said)
    plain = " ".join(word.casefold().replace("-", " ").replace("_", " ").split())
    names = {other.strip(): name for name, row in rows.items() for other in row["names"].split(";")}
    if plain in names:
        return names[plain]
    # A code has two letters, of which one is always near; a longer word is meant as a name.
    known = rows if len(said) <= MAX_CODE else [*rows, *names]
    hint = nearest(said if len(said) <= MAX_CODE else plain, known)
    if "did you mean" not in hint:
        hint = nearest("", rows)
    raise InvalidInput(f"{what}: the rate table has no {word[:40]!r}{hint}")


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))
