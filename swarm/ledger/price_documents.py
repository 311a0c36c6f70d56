"""A price book as a document: its header, its lines, and what one line says."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from swarm.core.errors import ConfigError
from swarm.core.money import CostStatus
from swarm.ledger.price_rates import (
    RATE_FIELDS,
    Price,
    Rates,
    numbers_in,
    rates_in,
    services_in,
    tiers_in,
)


class Line(NamedTuple):
    """One line, and the book it stands in."""

    row: Mapping[str, Any]
    book: "Header"


class Header(NamedTuple):
    """What a book says once for all of its lines."""

    id: str
    currency: str
    sources: Mapping[str, Mapping[str, str]]


def read_book(path: Path) -> tuple[Mapping[str, Any], str]:
    """Return a price book's document, and its name with a digest of its content.

    Raises:
        ConfigError: The file is missing or no price book.
    """
    try:
        data = path.read_bytes()
        document = json.loads(data)
        return document, f"{document['id']}-{hashlib.sha256(data).hexdigest()[:8]}"
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"price book {path}: cannot be read: {error!r}") from error


def price_of(line: Line) -> Price:
    """Return what a line says, at its usual hours."""
    row, book = line
    source = book.sources[row["source"]]
    # Where sound is billed by its length, tokens have no price, and none is ever asked for.
    rates = {"input": Decimal(0), "output": Decimal(0)} | rates_in(row)
    origin = f"{source['title']}, read {source['read']}"
    return Price(
        id=f"{book.id}:{row['model']}@{row['valid_from']}",
        model=row["model"],
        currency=row.get("currency", book.currency),
        status=CostStatus.PAID,
        max_input_tokens=row.get("max_input_tokens"),
        max_output_tokens=row.get("max_output_tokens"),
        tiers=tiers_in(row),
        services=services_in(row),
        units=numbers_in(row, "units"),
        regions=numbers_in(row, "regions"),
        other_hours=tuple(Rates(**rates_in(window)) for window in row.get("windows", ())),
        valid_from=date.fromisoformat(row["valid_from"]),
        source=f"{origin}, {row['page']}" if "page" in row else origin,
        **rates,
    )


def at_hours(price: Price, rates: Rates, index: int) -> Price:
    """Return a line at other hours of the day; the usual ones are then the others."""
    usual = Rates(**{name: getattr(price, name) for name in RATE_FIELDS})
    changed: dict[str, Any] = {name: getattr(rates, name) for name in RATE_FIELDS}
    others = (usual, *price.other_hours)
    return replace(price, id=f"{price.id}#window{index}", other_hours=others, **changed)
