"""Show the founder's minutes, and take their word on them."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

from swarm.app import App
from swarm.cli.opened import opened
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json
from swarm.cli.wording import amount, duration, week_warning
from swarm.core.clock import iso
from swarm.core.errors import InvalidInput
from swarm.core.money import Money, plain
from swarm.core.text import clean_text
from swarm.ledger.attention import FounderTime, FounderWeek, Minutes, corrections, rule
from swarm.ledger.attention.correct import Word
from swarm.ledger.attention.correct import add as add_time
from swarm.ledger.attention.correct import away as take_away
from swarm.ledger.attention.correct import revoke as revoke_correction
from swarm.ledger.attention.corrections import Correction, CorrectionKind

_UNITS = {"h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(h|m|s)")
_NAMES = re.compile(r"(?<=[0-9])\s*(hours?|hrs?|minutes?|mins?|seconds?|secs?)(?![a-z])")


def listed(*, order_id: str | None, as_json: bool) -> None:
    """List what counts, of one order or of this week.

    Raises:
        NotFound: No such order.
    """
    with opened() as app:
        found, said = _found(app, order_id)
    if as_json:
        show_json(
            {
                "order": order_id,
                "rule": rule(app.settings.founder_time),
                "seconds": plain(_sum(found)),
                "minutes": [_minutes_entry(line) for line in found],
                "corrections": [_entry(c, said) for c in said],
            }
        )
        return
    lines = [*map(_minutes_line, found), *(_correction_line(c, said) for c in said)]
    total = f"{duration(float(_sum(found)))} in all: {rule(app.settings.founder_time)}."
    say("\n".join([*lines, total]) if lines else "No time of yours is on the books yet.")


def _found(app: App, order_id: str | None) -> tuple[list[Minutes], list[Correction]]:
    if order_id is not None:
        return app.documents.minutes(order_id), app.store.read(
            lambda c: corrections.all_of(c, order_id)
        )
    week = app.documents.week()
    said = app.store.read(corrections.all_of)
    mine = [c for c in said if week.start <= c.at < week.end or week.start <= c.about_at < week.end]
    return app.documents.minutes_of_week(), mine


def week(*, day: str | None, as_json: bool) -> None:
    """Show one week by order.

    Raises:
        InvalidInput: No such day.
    """
    moment = _moment(day)
    with opened() as app:
        found = app.documents.week(moment)
    if as_json:
        show_json(week_entry(found))
    else:
        say("\n".join(_week_lines(found)))


def away(*, target: str, counted: str, note: str, as_json: bool) -> None:
    """Count a gap as nothing, or as stated.

    Raises:
        NotFound, Conflict, InvalidInput: Nothing was changed.
    """
    seconds = seconds_of(counted)
    with opened() as app:
        word, config = _word(app, note), app.settings.founder_time
        _store(
            app,
            lambda c: take_away(c, target, seconds, word=word, config=config),
            as_json=as_json,
        )


def add(*, order_id: str, duration: str, note: str, day: str | None, as_json: bool) -> None:
    """Add time that nobody measured.

    Raises:
        NotFound, InvalidInput: Nothing was changed.
    """
    seconds, moment = seconds_of(duration), _moment(day)
    with opened() as app:
        word = _word(app, note)
        _store(
            app,
            lambda c: add_time(c, order_id, seconds, word=word, about_at=moment or word.at),
            as_json=as_json,
        )


def revoke(*, correction_id: str, as_json: bool) -> None:
    """Let a correction count no longer.

    Raises:
        NotFound, Conflict: Nothing was changed.
    """
    with opened() as app:
        word = _word(app, "")
        _store(app, lambda c: revoke_correction(c, correction_id, word=word), as_json=as_json)


def _store(app: App, write: Any, *, as_json: bool) -> None:
    """Write a correction and its place in the audit chain together, and say what it did."""
    signer = terminal_signer(app.environment)

    def work(connection: Any) -> Correction:
        made: Correction = write(connection)
        body = {**_entry(made, [made]), "gaps": dict(made.gaps), "name": signer.name}
        app.signatures.note(
            connection,
            kind="time_corrected",
            order_id=made.order_id,
            signer=signer,
            body=body,
        )
        return made

    made = app.store.write(work)
    spent = None if made.order_id is None else app.documents.founder_time(made.order_id)
    if as_json:
        seconds = None if spent is None else plain(spent.seconds)
        show_json({**_entry(made, [made]), "gaps": sorted(made.gaps), "order_seconds": seconds})
        return
    say(_correction_line(made, [made]))
    if spent is not None:
        say(f"Your time on {made.order_id} is now {duration(float(spent.seconds))}.")
    if made.kind is not CorrectionKind.REVOKE:
        say(f"`swarm time revoke {made.id}` takes it back.")


def _word(app: App, note: str) -> Word:
    who = terminal_signer(app.environment).identity
    return Word(app.ids.new("c"), app.clock.now(), who, clean_text(note).strip())


def seconds_of(text: str) -> int:
    """Read a duration: `15m`, `+15m`, `1h30m`, `1.5h`, `90s`, `2 hours 5 min`; `0` is none.

    Raises:
        InvalidInput: No duration, or one that is not in whole seconds.
    """
    folded = clean_text(text).strip().lower().removeprefix("+").strip()
    if folded == "0":
        return 0
    packed = "".join(_NAMES.sub(lambda match: match[1][0], folded).split())
    parts = _PART.findall(packed)
    units = [unit for _, unit in parts]
    is_whole = "".join(number + unit for number, unit in parts) == packed
    if not parts or not is_whole or units != sorted(set(units), key="hms".index):
        raise InvalidInput(f"{text!r} is no duration: write it as 15m, 1h30m or 90s.")
    seconds = sum((Decimal(number) * _UNITS[unit] for number, unit in parts), Decimal(0))
    if seconds != seconds.to_integral_value():
        raise InvalidInput(f"{text!r} is no whole number of seconds: write it as 15m or 90s.")
    return int(seconds)


def _moment(day: str | None) -> datetime | None:
    """Read a day, as its noon in UTC; None stays None.

    Raises:
        InvalidInput: No such day.
    """
    if day is None:
        return None
    try:
        found = date.fromisoformat(day)
    except ValueError as error:
        raise InvalidInput(f"{day!r} is no day: write it as 2026-03-21.") from error
    return datetime.combine(found, time_of_day(0), UTC)


def _sum(lines: Sequence[Minutes]) -> Decimal:
    return sum((_seconds(line.counted) for line in lines), Decimal(0))


def _seconds(span: Any) -> Decimal:
    return Decimal(round(span.total_seconds() * 1_000_000)) / 1_000_000


def _minutes_entry(line: Minutes) -> dict[str, Any]:
    return {
        "gap": line.key,
        "order": line.order_id,
        "what": line.what,
        "asks": list(line.asks),
        "ended_at": iso(line.end),
        "measured_seconds": plain(_seconds(line.measured)),
        "counted_seconds": plain(_seconds(line.counted)),
        "correction": line.correction,
    }


def _minutes_line(line: Minutes) -> str:
    counted = duration(line.counted.total_seconds())
    changed = ""
    if line.correction is not None and line.measured:
        changed = f"  (measured {duration(line.measured.total_seconds())}, {line.correction})"
    whose = line.order_id or "(company)"
    return f"{line.end:%Y-%m-%d %H:%M:%S}Z  {whose:10} {line.key:12} {counted:>12}  {line.what}{changed}"


def _entry(correction: Correction, known: Sequence[Correction]) -> dict[str, Any]:
    return {
        "id": correction.id,
        "at": iso(correction.at),
        "who": correction.who,
        "kind": correction.kind.value,
        "order": correction.order_id,
        "seconds": correction.seconds,
        "about_at": iso(correction.about_at),
        "note": correction.note,
        "revokes": correction.revokes,
        "is_counted": correction in corrections.live(known),
    }


def _correction_line(correction: Correction, known: Sequence[Correction]) -> str:
    what = {
        CorrectionKind.AWAY: f"elsewhere: {len(correction.gaps)} gap"
        f"{'' if len(correction.gaps) == 1 else 's'} counted as {duration(correction.seconds)}",
        CorrectionKind.ADD: f"{duration(correction.seconds)} added",
        CorrectionKind.REVOKE: f"{correction.revokes} revoked",
    }[correction.kind]
    is_gone = correction.kind is not CorrectionKind.REVOKE and correction not in corrections.live(
        known
    )
    note = f": {correction.note}" if correction.note else ""
    gone = "  (revoked)" if is_gone else ""
    return f"{correction.id}  {correction.order_id or '(company)'}  {what}{note}{gone}"


def week_entry(found: FounderWeek) -> dict[str, Any]:
    """Return a week as programs see it."""
    return {
        "start": iso(found.start),
        "end": iso(found.end),
        "seconds": plain(found.seconds),
        "limit_seconds": None if found.limit_seconds is None else plain(found.limit_seconds),
        "is_over": found.is_over,
        **_money_entry(found.cost),
        "rule": found.rule,
        "flags": list(found.flags),
        "orders": [
            {
                "order": order_id,
                "seconds": plain(spent.seconds),
                **_money_entry(spent.cost),
                "touches": spent.touches,
                "decisions": spent.decisions,
                "corrections": spent.corrections,
            }
            for order_id, spent in found.by_order.items()
        ],
    }


def _money_entry(cost: Money | None) -> dict[str, str | None]:
    return {
        "amount": None if cost is None else plain(cost.amount),
        "currency": None if cost is None else cost.currency,
    }


def _week_lines(found: FounderWeek) -> list[str]:
    lines = [
        f"Week of {found.start:%Y-%m-%d}: {duration(float(found.seconds))}{_worth(found.cost)}"
    ]
    for order_id, spent in found.by_order.items():
        lines.append(f"  {order_id or 'no single order':16}{_week_line(spent)}")
    if found.limit_seconds is not None:
        lines.append(f"Weekly budget: {duration(float(found.limit_seconds))}")
    warning = week_warning(found)
    return [*lines, *([warning] if warning else []), f"Counted: {found.rule}.", *found.flags]


def _week_line(spent: FounderTime) -> str:
    touches = "touch" if spent.touches == 1 else "touches"
    decisions = "decision" if spent.decisions == 1 else "decisions"
    return (
        f"{duration(float(spent.seconds)):>12}{_worth(spent.cost)}, {spent.touches} {touches}, "
        f"{spent.decisions} {decisions}"
    )


def _worth(cost: Money | None) -> str:
    return f", worth {amount(cost.amount, cost.currency)}" if cost else ""
