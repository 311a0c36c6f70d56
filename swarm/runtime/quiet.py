"""When a person sleeps, by the clock on their own wall: hours, zones, and how people write them."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from swarm.core.errors import InvalidInput
from swarm.core.registry import nearest

DEFAULT_HOURS = "22:00-07:30"
AT_END, OFF = "end", "off"
"""When the digest comes, besides a time of day: as quiet hours end, or never."""
_CLOCK = re.compile(r"(\d{1,2})(?:\s*[:h.]\s*(\d{2})|\s*h)?\s*(am|pm)?", re.I)
_SPAN = re.compile(r"(.+?)\s*(?:-|\u2013|\u2014|\bto\b|\bà\b)\s*(.+)", re.I)


@dataclass(frozen=True, slots=True)
class Hours:
    """A span of each day, by the clock on a wall; it may pass midnight."""

    start: time
    end: time

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def until(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        """Return when the quiet that a moment lies in ends, in UTC; None where it lies in none.

        A span begins at the first moment that the wall shows its start and ends at the last that it
        shows its end, so that an hour which comes twice does not wake anybody in between. A time
        that the clock leaves out is the moment it would have been, had the clock not been changed.
        """
        today = at.astimezone(zone).date()
        moment = at
        # Where days are left out, spans of two of them may meet.
        for ahead in (-2, -1, 0, 1):
            begin, end = self._span(_day(today, ahead), zone)
            if begin <= moment < end:
                moment = end
        return moment if moment > at else None

    def _span(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
        last = day if self.start < self.end else _day(day, 1)
        return moment_of(day, self.start, zone), moment_of(last, self.end, zone, is_last=True)


def moment_of(day: date, at: time, zone: ZoneInfo, *, is_last: bool = False) -> datetime:
    """Return the moment, in UTC, at which a wall in a zone shows a time of a day.

    Of two the first, unless `is_last`; of none, the moment as if the clock were not changed.
    """
    first = datetime.combine(day, at, zone).astimezone(UTC)
    if not is_last or first.astimezone(zone).replace(tzinfo=None) != datetime.combine(day, at):
        return first
    return datetime.combine(day, at, zone).replace(fold=1).astimezone(UTC)


def _day(day: date, ahead: int) -> date:
    return day + timedelta(days=ahead)


def read_time(text: str) -> time:
    """Read a time of day: `7`, `07:30`, `7h30`, `10pm`.

    Raises:
        InvalidInput: It is none.
    """
    match = _CLOCK.fullmatch(text.strip())
    hour, minute = (int(match[1]), int(match[2] or 0)) if match else (99, 0)
    half = match[3].lower() if match and match[3] else ""
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
    elif half:
        hour = 99
    if hour == 24 and minute == 0:
        hour = 0
    if hour > 23 or minute > 59:
        raise InvalidInput(f"{text.strip()[:40]!r} is no time of day: write it as 22:00 or 7:30.")
    return time(hour, minute)


def read_hours(text: str) -> Hours:
    """Read a span of the day: `22-7`, `22:00-07:30`, `22h30 - 7h`.

    Raises:
        InvalidInput: It is none, or it has no length.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text.strip()[:40]!r} are no hours: write them as 22:00-07:30.")
    hours = Hours(read_time(match[1]), read_time(match[2]))
    if hours.start == hours.end:
        raise InvalidInput(
            "Quiet hours that end when they begin would be all day or never: give two times, such "
            "as 22:00-07:30."
        )
    return hours


def read_zone(text: str) -> ZoneInfo:
    """Read a time zone by its IANA name, in any case, or by its city alone where that is enough.

    Raises:
        InvalidInput: No such zone is known; the nearest is named.
    """
    name = text.strip().replace(" ", "_")
    zone = _zone(name)
    if zone is not None:
        return zone
    folded = name.casefold()
    known = sorted(available_timezones())
    same = [z for z in known if z.casefold() == folded]
    found = same or [z for z in known if z.casefold().rpartition("/")[2] == folded]
    zone = _zone(found[0]) if len(found) == 1 else None
    if zone is not None:
        return zone
    if len(found) > 1:
        raise InvalidInput(f"{text[:40]!r} may be {' or '.join(found)}: write which.")
    places = [z for z in known if "/" in z]
    raise InvalidInput(
        f"There is no time zone {text[:40]!r}: write a region and a city of the IANA list, such as "
        f"Europe/Paris{_near(name, places)}"
    )


def _near(name: str, known: list[str]) -> str:
    close = nearest(name, known)
    return close if close.startswith("; did") else "."


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name and name != "localtime" else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A folder of the list, such as `Europe`, is an OSError.
        return None


def _written(value: Any) -> Any:
    """Undo what YAML makes of `7:30` (a number of minutes) and of `off` (a falsehood)."""
    if isinstance(value, bool):
        return AT_END if value else OFF
    if isinstance(value, int) and 24 < value < 24 * 60:
        return f"{value // 60}:{value % 60:02}"
    return str(value) if isinstance(value, int) else value


def _hours(value: str) -> str:
    return value if value == OFF else str(_sure(read_hours, value))


def _digest(value: str) -> str:
    return value if value in (AT_END, OFF, "") else f"{_sure(read_time, value):%H:%M}"


def _named_zone(value: str) -> str:
    return _sure(read_zone, value).key if value else ""


def _sure(read: Any, value: str) -> Any:
    try:
        return read(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from error


Zone = Annotated[str, AfterValidator(_named_zone)]
Span = Annotated[str, BeforeValidator(_written), AfterValidator(_hours)]
DigestTime = Annotated[str, BeforeValidator(_written), AfterValidator(_digest)]


class PersonHours(BaseModel):
    """What is different for one person; what is left out is as the company has it."""

    model_config = ConfigDict(extra="forbid")

    zone: Zone = ""
    hours: Span | None = None
    digest: DigestTime = ""


class QuietConfig(BaseModel):
    """When people are left alone, and when the digest comes. Environment: `SWARM_QUIET_HOURS__<FIELD>`.

    A person's own word (`/quiet` in a chat) wins over it.
    """

    model_config = ConfigDict(extra="forbid")

    zone: Zone = ""
    """IANA zone of the founder, such as Europe/Paris. While it is empty nobody's night is known: all
    is sent at once, and there is no digest."""
    hours: Span = DEFAULT_HOURS
    """What is held back then comes as they end; a decision that blocks work comes at once. `off`
    holds nothing back."""
    digest: DigestTime = AT_END
    """When the daily digest comes: `end` of the quiet hours, a time such as `08:00`, or `off`."""
    people: dict[str, PersonHours] = Field(default_factory=dict)
    """What is different for one person, by `channel:id`, such as `telegram:4711`."""
