"""Price recorded calls from a file or a pipe."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from swarm.cli.terminal import say
from swarm.cli.wording import brief_cost
from swarm.core.errors import InvalidInput, NotFound
from swarm.core.money import CostStatus, plain
from swarm.ledger.prices import PriceBook
from swarm.ledger.pricing import PricedCall, price_usage
from swarm.settings import load

BATCH = 500
"""Lines written at once."""


def cost(*, file: str, as_json: bool) -> None:
    """Price a file of calls, line by line.

    Raises:
        NotFound, InvalidInput: The file cannot be read.
    """
    book = company_book()
    batch: list[str] = []
    with _opened(file) as stream:
        for number, line in enumerate(stream, start=1):
            call = priced(book, line, number)
            batch.append(json.dumps(as_document(call)) if as_json else _sentence(number, call))
            if len(batch) >= BATCH:
                say("\n".join(batch))
                batch.clear()
    if batch:
        say("\n".join(batch))


def company_book() -> PriceBook:
    """Return the price book with the company's own prices, where there is a company."""
    environment = load()
    overrides = environment.settings.prices
    return PriceBook.load(overrides=overrides, folder=environment.home / "prices")


def priced(book: PriceBook, line: bytes, number: int) -> PricedCall:
    """Price one line; a broken one is unpriced, and says where it stands and what is wrong."""
    try:
        document = _document(line)
        return price_usage(
            book,
            provider=_text(document, "provider") or "",
            model=_text(document, "model") or "",
            usage=document.get("usage"),
            at=_moment(document.get("at")),
            tier=_text(document, "tier"),
        )
    except (InvalidInput, ArithmeticError) as error:
        reason = f"line {number}: {error}"
        return PricedCall(None, book.currency, CostStatus.UNPRICED, (), None, None, reason)


def as_document(call: PricedCall) -> dict[str, Any]:
    """Return a priced call for programs; amounts are texts."""
    document: dict[str, Any] = {
        "amount": None if call.amount is None else plain(call.amount),
        "currency": call.currency,
        "status": call.status.value,
        "parts": [_part(part.as_json()) for part in call.parts],
    }
    if call.reported is not None:
        document["reported"] = plain(call.reported)
        document["listed"] = None if call.listed is None else plain(call.listed)
        document["listed_currency"] = call.listed_currency
    if call.service_tier is not None:
        document["tier"] = call.service_tier
    if call.reason:
        document["reason"] = call.reason
    return document


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    money = ("unit_price", "amount")
    return {k: plain(Decimal(v)) if k in money and v is not None else v for k, v in part.items()}


def _document(line: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(line.decode("utf-8-sig"), parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise InvalidInput("this is no JSON") from error
    if not isinstance(document, dict):
        raise InvalidInput("this is no JSON object with provider, model and usage")
    return document


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{key} is no text")
    return value


def _moment(value: Any) -> datetime:
    """Return when a call was made; now where nobody says, and UTC where no offset is given."""
    if value is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput("at is no time in ISO 8601, as in 2026-11-22T08:30:00Z") from error


def _sentence(number: int, call: PricedCall) -> str:
    text = brief_cost(call.amount or Decimal(0), call.currency, call.status)
    buckets = ", ".join(f"{part.bucket} {part.quantity:,}" for part in call.parts)
    because = f" ({call.reason})" if call.reason else ""
    return f"{number}: {text}  {buckets}{because}".rstrip()


@contextmanager
def _opened(file: str) -> Iterator[Iterable[bytes]]:
    if file == "-":
        stream: BinaryIO = sys.stdin.buffer
        yield stream
        return
    try:
        with Path(file).open("rb") as lines:
            yield lines
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {file}; - reads standard input.") from error
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from error
