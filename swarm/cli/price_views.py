"""Show prices, compare them with their sources, and import them with a person's consent."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from swarm.cli import exits
from swarm.cli.price_costs import company_book
from swarm.cli.terminal import say, show_json
from swarm.cli.wording import counted
from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.core.money import plain
from swarm.ledger.price_diff import (
    Change,
    Disagreement,
    changes,
    current_line,
    disagreements,
    imported_book,
    write_book,
)
from swarm.ledger.price_lines import flat
from swarm.ledger.price_rates import AUDIO_SECOND, Price
from swarm.ledger.price_sources import NAMES, Imported, imported
from swarm.ledger.prices import PriceBook, UnknownPrice
from swarm.settings import load, make_home

PIECES = ("units.", "regions.")
"""Facts that are no price per token."""


def list_prices(*, word: str, at: str | None, as_json: bool) -> None:
    """List models and their usual prices: per million tokens, or per minute of sound."""
    book, moment = company_book(), _moment(at)
    found = [model for model in book.models() if word.lower() in model.lower()]
    if as_json:
        show_json([_entry(book, model, moment) for model in found])
        return
    if not found:
        raise NotFound(f"No model's name has {word!r} in it.")
    say(f"Per million tokens, {moment:%Y-%m-%d}; the book is {book.id}.")
    for model in found:
        price = book.lookup(model, at=moment)
        if price is not None:
            each = _usually(price)
            services = f"; also {', '.join(sorted(price.services))}" if price.services else ""
            say(f"  {model}: {each}{services}")


def _usually(price: Price) -> str:
    if price.is_by_second:
        return f"{plain(price.units[AUDIO_SECOND] * 60)} {price.currency} a minute of sound"
    return f"in {_per_million(price.input)}, out {_per_million(price.output)} {price.currency}"


def _entry(book: PriceBook, model: str, at: datetime) -> dict[str, Any]:
    price = book.lookup(model, at=at)
    line = current_line(book, model, at)
    if price is None:
        return {"model": model, "prices": None}
    usual = {"input": plain(price.input), "output": plain(price.output)}
    if price.is_by_second:
        usual = {f"units.{AUDIO_SECOND}": plain(price.units[AUDIO_SECOND])}
    return {
        "model": model,
        "id": price.id,
        "currency": price.currency,
        "status": price.status.value,
        "prices": flat(line) if line is not None else usual,
        "source": price.source,
        "valid_from": price.valid_from.isoformat(),
    }


def show(*, model: str, at: str | None, as_json: bool) -> None:
    """Show all that the book says of one model.

    Raises:
        UnknownPrice: It says nothing.
    """
    book, moment = company_book(), _moment(at)
    try:
        price = book.find(model, at=moment)
    except UnknownPrice as error:
        raise NotFound(str(error)) from error
    lines = book.lines(price.model)
    if as_json:
        history = [{**line, "prices": flat(line)} for line in lines]
        aliases = book.aliases_of(price.model)
        show_json({**_entry(book, price.model, moment), "aliases": aliases, "lines": history})
        return
    each = "second of sound" if price.is_by_second else "million tokens"
    say(f"{price.model}, {price.status.value}, in {price.currency} per {each}")
    say(f"  {price.id}: {price.source}")
    if names := book.aliases_of(price.model):
        say(f"  also called {', '.join(names)}")
    for line in lines or [{"valid_from": "always", **_usual(book, price.model, moment)}]:
        since = "as far back as known" if line["valid_from"] == "1970-01-01" else line["valid_from"]
        say(f"  from {since}")
        for fact, text in flat(line).items():
            say(f"    {fact}: {_shown(fact, text)}")


def _usual(book: PriceBook, model: str, at: datetime) -> dict[str, Any]:
    found: dict[str, Any] = _entry(book, model, at)["prices"] or {}
    return found


def check(*, as_json: bool) -> None:
    """List where the book and its sources disagree."""
    book, now = company_book(), datetime.now(UTC)
    sources, missing = _sources(now)
    found = disagreements(book, sources, at=now)
    if as_json:
        show_json(
            {
                "book": book.id,
                "sources": {name: item.source.key for name, item in sources.items()},
                "missing": missing,
                "disagreements": [_disagreement(item) for item in found],
            }
        )
        return
    for sentence in missing:
        say(sentence)
    for item in found:
        values = ", ".join(
            f"{name} {'-' if text is None else _shown(item.fact, text)}"
            for name, text in item.said.items()
        )
        say(f"{item.model}: {item.fact}: {values}")
    models = len({item.model for item in found})
    say(f"{counted(len(found), 'disagreement')} about {counted(models, 'model')}.")


def _sources(now: datetime) -> tuple[dict[str, Imported], list[str]]:
    found: dict[str, Imported] = {}
    missing: list[str] = []
    for name in NAMES:
        try:
            found[name] = imported(name, now.date())
        except ConfigError as error:
            missing.append(str(error))
    return found, missing


def _disagreement(item: Disagreement) -> dict[str, Any]:
    return {"model": item.model, "fact": item.fact, "said": dict(item.said)}


def diff(*, source: str, as_json: bool) -> None:
    """Show what an import would change."""
    now = datetime.now(UTC)
    found = imported(source, now.date())
    listed = changes(company_book(), found, at=now)
    if as_json:
        show_json({"source": found.source.key, "changes": [_change(item) for item in listed]})
        return
    _say_changes(listed, found)


def import_prices(*, source: str, only: str, is_agreed: bool) -> int:
    """Write what a source says otherwise into the company's own book, after a person's consent.

    Raises:
        ConfigError: The home cannot be written.
    """
    now = datetime.now(UTC)
    found = imported(source, now.date())
    listed = [c for c in changes(company_book(), found, at=now) if fnmatchcase(c.model, only)]
    chosen = [change for change in listed if change.row is not None]
    _say_changes(listed, found)
    if not chosen:
        say("Nothing to import.")
        return exits.DONE
    if not is_agreed and not _asked(len(chosen)):
        say("Nothing was written.")
        return exits.DONE
    home = load().home
    make_home(home)
    path = home / "prices" / f"{found.source.key}-{now:%Y-%m-%d}.json"
    write_book(path, *imported_book(path, chosen, found, read=now.date()))
    say(f"{counted(len(chosen), 'line')} written to {path}. To undo it, delete that file.")
    return exits.DONE


def _asked(count: int) -> bool:
    try:
        answer = input(f"Write {counted(count, 'line')} into the company's own book? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _say_changes(listed: Sequence[Change], found: Imported) -> None:
    signs = {"new": "+", "changed": "~", "gone": "-"}
    for change in listed:
        if change.kind == "gone":
            say(f"- {change.model}: no more in {found.source.title}; the book keeps its prices")
            continue
        said = ", ".join(_fact(name, values) for name, values in change.facts.items())
        say(f"{signs[change.kind]} {change.model}: {said}")
    kinds = {kind: sum(change.kind == kind for change in listed) for kind in signs}
    say(
        f"{found.source.title}, per million tokens: {kinds['new']} new, "
        f"{kinds['changed']} changed, {kinds['gone']} gone."
    )


def _fact(name: str, values: tuple[str | None, str | None]) -> str:
    ours, theirs = values
    new = "-" if theirs is None else _shown(name, theirs)
    return f"{name} {new}" if ours is None else f"{name} {_shown(name, ours)} -> {new}"


def _change(change: Change) -> dict[str, Any]:
    said: Mapping[str, tuple[str | None, str | None]] = change.facts
    return {
        "model": change.model,
        "kind": change.kind,
        "facts": {name: {"book": ours, "source": new} for name, (ours, new) in said.items()},
    }


def _shown(fact: str, text: str) -> str:
    return text if fact.startswith(PIECES) else _per_million(Decimal(text))


def _per_million(price: Decimal) -> str:
    return plain(price * 1_000_000)


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{text!r} is no time in ISO 8601, as in 2026-11-22.") from error
