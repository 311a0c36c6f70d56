"""Bills and prices of rented machines."""

import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from swarm.cli.terminal import say, show_json
from swarm.core.clock import SystemClock, iso
from swarm.core.errors import InvalidInput, NotFound
from swarm.core.money import CostStatus, plain
from swarm.core.registry import nearest
from swarm.ledger.hosting.billing import Bill, BillLine
from swarm.ledger.hosting.billing import bill as work_out
from swarm.ledger.hosting.events import Event, read_events
from swarm.ledger.hosting.prices import PROVIDERS, HostPrice, HostPrices

MOST_BYTES = 64 * 1024 * 1024
AHEAD = timedelta(days=366)
"""An event may lie so far ahead of this machine's clock; the bill then ends with it."""


def bill(
    *,
    source: str,
    provider: str | None,
    until: str | None,
    prices: str | None,
    tax: str,
    as_json: bool,
) -> int | None:
    """Print the bill of a file of events.

    Raises:
        InvalidInput: No such provider, no time, or nothing in the file can be read as an event.
        NotFound: There is no such file.
    """
    _check_provider(provider)
    listed = _listed(prices, tax)
    reading = read_events(_read(source))
    if not reading.events:
        first = f": {reading.refused[0].reason}" if reading.refused else ""
        raise InvalidInput(f"There is no event in {_named(source)}{first}.")
    end = _end(until, reading.events)
    made = work_out(
        reading.events,
        listed,
        until=end,
        provider=provider,
        refused=reading.refused,
        notes=reading.notes,
    )
    if as_json:
        show_json(_document(made, provider))
    else:
        say("\n".join(_lines(made)))
    return None


def prices(*, provider: str | None, prices: str | None, tax: str, as_json: bool) -> int | None:
    """Print the price list.

    Raises:
        InvalidInput: No such provider, or the file is no price list.
    """
    _check_provider(provider)
    rows = [row for row in _listed(prices, tax).rows if provider in (None, row.provider)]
    if as_json:
        show_json([_row(row) for row in rows])
    else:
        say("\n".join(_row_line(row) for row in rows) or "The list has no such prices.")
    return None


def _check_provider(provider: str | None) -> None:
    if provider is not None and provider not in PROVIDERS:
        raise InvalidInput(f"There are no rules for {provider!r}{nearest(provider, PROVIDERS)}")


def _listed(path: str | None, tax: str) -> HostPrices:
    base = HostPrices.load()
    return base if path is None else HostPrices.parse(_read(path), name=path, tax=tax).over(base)


def _named(source: str) -> str:
    return "standard input" if source == "-" else source


def _read(source: str) -> str:
    try:
        if source == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {source}.") from error
    except OSError as error:
        raise InvalidInput(f"{source} cannot be read: {error.strerror}.") from error
    if len(data) > MOST_BYTES:
        raise InvalidInput(
            f"{_named(source)} is larger than {MOST_BYTES // 1024**2} MiB: split it by month."
        )
    return data.decode("utf-8-sig", errors="replace")


def _end(until: str | None, events: tuple[Event, ...]) -> datetime:
    """Return the end of the bill: as asked, else now, or the last event where that is later."""
    now = SystemClock().now()
    if until is None:
        near = [event.at for event in events if event.at <= now + AHEAD]
        return max([now, *near])
    try:
        if len(until.strip()) == 10:
            return datetime.combine(date.fromisoformat(until.strip()), time(0), UTC)
        moment = datetime.fromisoformat(until.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{until!r} is no time: write 2026-06-01 or 2026-06-01T00:00:00Z."
        ) from error


def _document(made: Bill, provider: str | None) -> dict[str, Any]:
    one = made.totals[0] if len(made.totals) == 1 else None
    return {
        "provider": provider,
        "until": iso(made.until),
        "status": made.status.value,
        "total": None if one is None else plain(one.amount),
        "currency": None if one is None else one.currency,
        "tax": None if one is None else one.tax,
        "is_at_least": made.is_at_least,
        "totals": [
            {"amount": plain(t.amount), "currency": t.currency, "tax": t.tax} for t in made.totals
        ],
        "lines": [_line(line) for line in made.lines],
        "refused": [{"line": r.line, "event": r.event, "reason": r.reason} for r in made.refused],
        "notes": list(made.notes),
    }


def _line(line: BillLine) -> dict[str, Any]:
    return {
        "resource": line.resource,
        "kind": line.kind,
        "type": line.type,
        "location": line.location,
        "provider": line.provider or None,
        "month": line.month,
        "begins_at": iso(line.begins_at),
        "ends_at": iso(line.ends_at),
        "quantity": plain(line.quantity),
        "unit": line.unit,
        "unit_price": _plain(line.unit_price),
        "cap": _plain(line.cap),
        "is_capped": line.is_capped,
        "amount": _plain(line.amount),
        "currency": line.currency,
        "tax": line.tax,
        "status": line.status.value,
        "price_id": line.price_id,
        "reason": line.reason,
    }


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _lines(made: Bill) -> list[str]:
    found = [_line_words(line) for line in made.lines]
    least = "at least " if made.is_at_least else ""
    totals = " and ".join(f"{plain(t.amount)} {t.currency} {t.tax}" for t in made.totals)
    notional = ", notional: own hardware" if made.status is CostStatus.NOTIONAL else ""
    found.append(
        f"Total until {iso(made.until)[:19]}Z: {least}{totals or 'nothing priced'}{notional}"
    )
    found += [f"Not counted: {item.reason}." for item in made.refused]
    return found + [f"Note: {note}." for note in made.notes]


def _line_words(line: BillLine) -> str:
    what = " ".join(part for part in (line.kind, line.type, line.location) if part)
    used = f"{plain(line.quantity)} {line.unit}{'s' if line.quantity != 1 and line.unit != 'TB' else ''}"
    if line.amount is None:
        return f"{line.month}  {line.resource:16} {what:24} {used:>16}  unpriced: {line.reason}"
    rate = f"at {_plain(line.unit_price)}"
    capped = f", capped at {_plain(line.cap)}" if line.is_capped else ""
    return (
        f"{line.month}  {line.resource:16} {what:24} {used:>16} {rate:>12}  "
        f"{plain(line.amount):>10} {line.currency} {line.tax}{capped}"
    )


def _row(row: HostPrice) -> dict[str, Any]:
    amounts = ("hourly", "monthly", "per_unit", "percent", "included", "vcpus", "memory_gib")
    document = {"id": row.id, **row.model_dump(mode="json")}
    return document | {name: _plain(getattr(row, name)) for name in amounts}


def _row_line(row: HostPrice) -> str:
    prices = [
        f"{plain(value)} {words}"
        for value, words in (
            (
                row.hourly,
                f"per {row.billed_per}" if row.billed_per == "hour" else "per hour, by the minute",
            ),
            (row.monthly, "a month"),
            (row.per_unit, f"per TB over {plain(row.included)}"),
            (row.percent, "percent of the server"),
        )
        if value is not None
    ]
    held = [
        f"{words} {day}"
        for day, words in (
            (row.used_from, "from"),
            (row.used_until, "until"),
            (row.ordered_from, "for orders from"),
            (row.ordered_until, "for orders before"),
        )
        if day is not None
    ]
    name = f"{row.provider} {row.kind} {row.type}".strip()
    places = ",".join(row.locations) or "everywhere"
    when = f"  {', '.join(held)}" if held else ""
    return (
        f"{name:40} {', '.join(prices)} {row.currency} {row.tax}  {places}{when}  "
        f"(read {row.read}: {row.source})"
    )
