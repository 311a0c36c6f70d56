"""The dated price list of a vendor in `deployments/`: what is wanted first, and what it cost then.

Prices come from the vendor's API. The list is for what no API says, and for when none answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from swarm.core.errors import ConfigError
from swarm.farm.base import Price
from swarm.farm.cloud.machines import Offer
from swarm.farm.cloud.user_data import deployment


class _Amounts(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hourly: Decimal | None = None
    monthly: Decimal | None = None


class _Type(_Amounts):
    name: str
    cores: int
    memory_gib: int
    architecture: str = "x86"


class _Location(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    country: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str
    read: date
    note: str = ""
    currency: str
    tax: str
    locations: list[_Location]
    types: list[_Type]
    extras: dict[str, _Amounts]


@dataclass(frozen=True, slots=True)
class PriceList:
    """One vendor's list."""

    types: tuple[str, ...]
    """In the order in which they are tried."""
    locations: tuple[str, ...]
    offers: tuple[Offer, ...]
    """Each type in each location, with the price of then."""
    extras: Mapping[str, Price]
    """What is made for each server besides, by its name in the list."""


@cache
def price_list(vendor: str) -> PriceList:
    """Return a vendor's list. Raises ConfigError."""
    path = deployment(vendor, "prices.yaml")
    try:
        file = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error

    def price(amounts: Any) -> Price:
        return Price(
            amounts.hourly, amounts.monthly, file.currency, tax=file.tax, source=file.source,
            read=file.read,
        )  # fmt: skip

    return PriceList(
        tuple(row.name for row in file.types), tuple(row.name for row in file.locations),
        tuple(
            Offer(
                row.name, place.name, place.country, row.cores, row.memory_gib * 1024,
                row.architecture, price(row),
            )
            for row in file.types for place in file.locations
        ),
        {name: price(amounts) for name, amounts in file.extras.items()},
    )  # fmt: skip
