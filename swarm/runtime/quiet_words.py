"""`/quiet`: when a person wants to be left alone, in their own words."""

import re

from swarm.core.errors import InvalidInput
from swarm.runtime.people import Right
from swarm.runtime.phrases import say
from swarm.runtime.quiet import AT_END, DEFAULT_HOURS, OFF, read_hours, read_time, read_zone
from swarm.runtime.quiet_desk import Habit
from swarm.runtime.turn import Turn

_OF_HOURS = re.compile(r"\d.*|[-\u2013\u2014]|to|à|am|pm|h", re.I)
_DIGEST = ("digest", "résumé", "resume")
_ON, _OFF = ("on", "oui", "yes"), ("off", "non", "no", "stop")


def quiet(turn: Turn, words: str) -> None:
    """Show a person's quiet hours, or change them by what they say."""
    turn.need(Right.READ)
    desk = turn.desks.quiet
    assert desk is not None
    person = turn.person
    habit = desk.of(turn.connection, person.channel, person.platform_id)
    said = _said(words.split(), habit, turn.lang)
    if said:
        habit = desk.keep(turn.connection, person.channel, person.platform_id, **said)
    turn.say(described(habit, turn.lang))


def described(habit: Habit, lang: str | None) -> str:
    """Say how a person is left alone."""
    if habit.zone is None:
        return say("quiet_unknown", lang)
    zone = habit.zone.key
    head = (
        say("quiet_on", lang, hours=str(habit.hours), zone=zone)
        if habit.hours is not None
        else say("quiet_off", lang, zone=zone)
    )
    at = habit.digest_at
    tail = say("digest_at", lang, at=f"{at:%H:%M}") if at is not None else say("digest_off", lang)
    return f"{head} {tail}"


def _said(words: list[str], habit: Habit, lang: str | None) -> dict[str, str]:
    """Return what some words change.

    Raises:
        InvalidInput: They name no hours or no zone, or no zone is known at all.
    """
    if not words:
        return {}
    first, rest = words[0].casefold(), words[1:]
    if first in _DIGEST:
        return _digest(" ".join(rest).casefold(), habit, lang)
    if first in _OFF and not rest:
        return {"hours": OFF}
    said: dict[str, str] = {}
    if first in _ON:
        words = rest
        said["hours"] = str(habit.hours) if habit.hours is not None else DEFAULT_HOURS
    span = [word for word in words if _OF_HOURS.fullmatch(word)]
    zone = [word for word in words if not _OF_HOURS.fullmatch(word)]
    if zone:
        said["zone"] = read_zone(" ".join(zone)).key
    if span:
        said["hours"] = str(read_hours(" ".join(span)))
    elif zone and habit.hours is None:
        # Who names their zone wants its nights.
        said["hours"] = DEFAULT_HOURS
    if "zone" not in said and habit.zone is None:
        raise InvalidInput(say("quiet_zone", lang))
    return said


def _digest(word: str, habit: Habit, lang: str | None) -> dict[str, str]:
    if word in _OFF:
        return {"digest": OFF}
    if habit.zone is None:
        raise InvalidInput(say("quiet_zone", lang))
    if word in ("", AT_END, *_ON):
        return {"digest": AT_END}
    return {"digest": f"{read_time(word):%H:%M}"}
