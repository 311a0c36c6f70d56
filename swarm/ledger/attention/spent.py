"""The founder's time added up: per order, per week, in minutes and in money."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TypeVar

from sqlalchemy.engine import Connection

from swarm.core.money import PICO, Money
from swarm.ledger.attention import actions as log
from swarm.ledger.attention import corrections as words
from swarm.ledger.attention.actions import Action, ActionKind
from swarm.ledger.attention.corrections import Correction, CorrectionKind
from swarm.ledger.attention.gaps import FounderTimeConfig, Gap, clock_faults, gaps, rule

T = TypeVar("T")

WEEK = timedelta(days=7)
_MICRO = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Minutes:
    """One stretch of time that counts: a measured gap as corrected, or time that was added."""

    key: str
    what: str
    """The action that ended the gap, or the note of what was added."""
    order_id: str | None
    end: datetime
    measured: timedelta
    counted: timedelta
    correction: str | None = None
    """Id of the correction that changed or added it."""
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FounderTime:
    """What one order, or the company as a whole, took of the founder's time."""

    seconds: Decimal
    """Counted time, corrections included; exact to the microsecond."""
    touches: int
    """Own actions about it, the placing included."""
    decisions: int
    """Questions answered, options chosen, signatures given or refused, results taken or not."""
    options_shown: int
    options_refused: int
    """Options passed over in a choice, and plans, calls and results that were turned down."""
    reversals: int
    """Results sent back after delivery, and orders cancelled after a signature."""
    corrections: int
    """Corrections by the founder that count."""
    cost: Money | None
    """At the rate per hour, exact to 1e-12; None without a rate."""
    rule: str
    measured_seconds: Decimal = Decimal(0)
    """What the rule alone gives."""
    flags: tuple[str, ...] = ()
    """Sentences about clocks that jumped."""
    last_at: datetime | None = None
    """The newest row that went into it."""


@dataclass(frozen=True, slots=True)
class FounderWeek:
    """One week of the founder's, Monday to Sunday in UTC."""

    start: datetime
    end: datetime
    seconds: Decimal
    limit_seconds: Decimal | None
    by_order: Mapping[str | None, FounderTime]
    """None holds what was about no single order."""
    cost: Money | None
    rule: str
    flags: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Return whether the weekly budget is passed."""
        return self.limit_seconds is not None and self.seconds > self.limit_seconds


def founder_time(
    connection: Connection,
    order_id: str,
    *,
    config: FounderTimeConfig | None = None,
    currency: str = "USD",
) -> FounderTime:
    """Return what an order took of the founder's time, all of it, as of the rows that are there.

    Args:
        connection: Only read from.
        order_id: An order without any row has taken no time.
        config: Cap and rate; the defaults where None.
        currency: Of the rate, where `config` names none.
    """
    config = config or FounderTimeConfig()
    own = log.of_order(connection, order_id)
    lines = minutes_of(connection, order_id, config=config)
    said = words.live(words.all_of(connection, order_id))
    return _sum(own, lines, said, config=config, currency=currency)


def minutes_of(
    connection: Connection, order_id: str, *, config: FounderTimeConfig
) -> list[Minutes]:
    """Return an order's stretches of time, the oldest first."""
    own = [a for a in log.of_order(connection, order_id) if a.is_own]
    spans = log.merged((a.at for a in own), reach=config.cap)
    # Gaps begin at whatever was done before, for any order; nothing older can shorten them.
    around = log.between(connection, spans)
    found = _gaps(connection, around, config)
    said = words.live(words.all_of(connection, order_id))
    return _lines([gap for gap in found if gap.order_id == order_id], said)


def minutes_between(
    connection: Connection, start: datetime, end: datetime, *, config: FounderTimeConfig
) -> list[Minutes]:
    """Return all stretches that ended within a span of time, its end excluded."""
    _, lines, _ = _within(connection, start, end, config)
    return lines


def founder_times(
    connection: Connection,
    start: datetime,
    end: datetime,
    *,
    config: FounderTimeConfig | None = None,
    currency: str = "USD",
) -> dict[str | None, FounderTime]:
    """Return what each order took of the founder's time within a span, in one pass over the log.

    The key None holds what was about no single order. All values together are the whole time.
    """
    config = config or FounderTimeConfig()
    return _by_order(*_within(connection, start, end, config), config=config, currency=currency)


def founder_week(
    connection: Connection,
    at: datetime,
    *,
    config: FounderTimeConfig | None = None,
    currency: str = "USD",
) -> FounderWeek:
    """Return the week that a moment lies in, with what each order took of it."""
    config = config or FounderTimeConfig()
    start = week_of(at)
    done, lines, said = _within(connection, start, start + WEEK, config)
    seconds = _seconds(line.counted for line in lines)
    return FounderWeek(
        start=start,
        end=start + WEEK,
        seconds=seconds,
        limit_seconds=None if config.weekly_hours is None else config.weekly_hours * 3600,
        by_order=_by_order(done, lines, said, config=config, currency=currency),
        cost=price(seconds, config=config, currency=currency),
        rule=rule(config),
        flags=tuple(dict.fromkeys(clock_faults(done))),
    )


def week_of(at: datetime) -> datetime:
    """Return the Monday, midnight in UTC, of the week that a moment lies in."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def price(seconds: Decimal, *, config: FounderTimeConfig, currency: str) -> Money | None:
    """Return what some time costs at the rate, to 1e-12, halves to even; None without a rate."""
    if config.rate_per_hour is None:
        return None
    with localcontext() as context:
        context.prec = 60
        amount = (seconds * config.rate_per_hour / 3600).quantize(PICO, ROUND_HALF_EVEN)
    return Money(amount, config.currency or currency)


def _within(
    connection: Connection, start: datetime, end: datetime, config: FounderTimeConfig
) -> tuple[list[Action], list[Minutes], list[Correction]]:
    around = log.between(connection, [(start - config.cap, end)])
    found = _gaps(connection, around, config)
    ended = [gap for gap in found if start <= gap.end < end]
    theirs = {gap.order_id for gap in ended if gap.order_id is not None}
    said = words.live(words.about(connection, start, end, theirs))
    added = [c for c in said if c.kind is CorrectionKind.ADD and start <= c.about_at < end]
    changed = [c for c in said if c.kind is CorrectionKind.AWAY]
    done = [action for action in around if start <= action.at < end]
    return done, _lines(ended, [*changed, *added]), [*changed, *added]


def _gaps(connection: Connection, around: list[Action], config: FounderTimeConfig) -> list[Gap]:
    began_at, odd = log.began_at(connection), log.misplaced(connection, around)
    return gaps(around, cap=config.cap, began_at=began_at, misplaced=odd)


def _by_order(
    done: Sequence[Action],
    lines: Sequence[Minutes],
    said: Sequence[Correction],
    *,
    config: FounderTimeConfig,
    currency: str,
) -> dict[str | None, FounderTime]:
    acts, stretches, corrected = (
        _grouped(done, lambda a: a.charged_to),
        _grouped(lines, lambda line: line.order_id),
        _grouped(said, lambda c: c.order_id),
    )
    return {
        key: _sum(
            acts.get(key, []),
            stretches.get(key, []),
            corrected.get(key, []),
            config=config,
            currency=currency,
        )
        for key in sorted({*acts, *stretches}, key=lambda k: k or "")
    }


def _grouped(items: Iterable[T], key: Callable[[T], str | None]) -> dict[str | None, list[T]]:
    groups: dict[str | None, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _lines(measured: Sequence[Gap], said: Sequence[Correction]) -> list[Minutes]:
    changed = {key: c for c in said for key in c.gaps}
    lines = [_line(gap, changed.get(gap.key)) for gap in measured]
    lines += [_added(c) for c in said if c.kind is CorrectionKind.ADD]
    return sorted(lines, key=lambda line: (line.end, line.key))


def _line(gap: Gap, correction: Correction | None) -> Minutes:
    counted = gap.length
    if correction is not None:
        counted = min(counted, timedelta(microseconds=correction.gaps[gap.key]))
    return Minutes(
        key=gap.key,
        what=gap.kind.value,
        order_id=gap.order_id,
        end=gap.end,
        measured=gap.length,
        counted=counted,
        correction=correction.id if correction else None,
        asks=gap.asks,
    )


def _added(correction: Correction) -> Minutes:
    return Minutes(
        key=correction.id,
        what=correction.note or "added",
        order_id=correction.order_id,
        end=correction.about_at,
        measured=timedelta(),
        counted=timedelta(seconds=correction.seconds),
        correction=correction.id,
    )


def _sum(
    done: Sequence[Action],
    lines: Sequence[Minutes],
    said: Sequence[Correction],
    *,
    config: FounderTimeConfig,
    currency: str,
) -> FounderTime:
    own = [a for a in done if a.is_own and a.kind is not ActionKind.BOOKS]
    seconds = _seconds(line.counted for line in lines)
    moments = [*(a.at for a in own), *(c.at for c in said)]
    return FounderTime(
        seconds=seconds,
        touches=len(own),
        decisions=sum(max(len(a.asks), 1) for a in own if a.kind.is_decision),
        options_shown=_options(done),
        options_refused=sum(a.refused for a in own),
        reversals=_reversals(own),
        corrections=len(said),
        cost=price(seconds, config=config, currency=currency),
        rule=rule(config),
        measured_seconds=_seconds(line.measured for line in lines),
        flags=tuple(dict.fromkeys(clock_faults(done))),
        last_at=max(moments, default=None),
    )


def _options(done: Iterable[Action]) -> int:
    """Return how many options were shown, those of one ask once."""
    seen = {a.asks: a.options for a in done if a.kind is ActionKind.SHOWN and a.options}
    return sum(seen.values())


def _reversals(own: Iterable[Action]) -> int:
    count, is_approved = 0, False
    for action in sorted(own, key=lambda a: a.at):
        is_approved = is_approved or action.kind is ActionKind.APPROVED
        is_late_end = action.kind is ActionKind.CANCELLED and is_approved
        count += action.kind is ActionKind.REWORK or is_late_end
    return count


def _seconds(spans: Iterable[timedelta]) -> Decimal:
    return Decimal(sum((span // _MICRO for span in spans), 0)) / 1_000_000
