"""A person's night: by their own wall, over midnight, over changes of the clock; and what waits for its end."""

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from swarm.core.clock import iso
from swarm.core.errors import ConfigError, InvalidInput
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.runtime.outbox import put
from swarm.runtime.quiet import Hours, QuietConfig, moment_of, read_hours, read_time, read_zone
from swarm.settings import load
from swarm.store.tables import outbox, quiet_hours
from tests.acceptance.at_work import settings_of
from tests.runtime.fronts import ADA, Desk, desk

PARIS, KOLKATA = ZoneInfo("Europe/Paris"), ZoneInfo("Asia/Kolkata")
ZONES = sorted(available_timezones() - {"localtime"})
zones = st.sampled_from(ZONES).map(ZoneInfo)
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
spans = st.builds(Hours, times, times).filter(lambda h: h.start != h.end)
moments = st.integers(946_684_800, 2_114_380_800).map(lambda s: datetime.fromtimestamp(s, UTC))


def at(text: str, zone: ZoneInfo = PARIS, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def is_on_wall(hours: Hours, moment: datetime, zone: ZoneInfo) -> bool:
    """Say by the clock on the wall alone whether a moment is quiet."""
    shown = moment.astimezone(zone).time()
    if hours.start < hours.end:
        return hours.start <= shown < hours.end
    return shown >= hours.start or shown < hours.end


def is_steady(moment: datetime, zone: ZoneInfo) -> bool:
    """Say whether no clock is changed within two days of a moment."""
    near = [moment + timedelta(hours=h) for h in range(-50, 51, 2)]
    return len({m.astimezone(zone).utcoffset() for m in near}) == 1


@given(hours=spans, moment=moments, zone=zones)
@example(Hours(time(22), time(7, 30)), at("2026-03-29T02:30"), PARIS)
@example(Hours(time(2, 15), time(2, 45)), at("2026-10-25T02:30", fold=1), PARIS)
@example(
    Hours(time(22), time(6)),
    at("2011-12-30T23:00", ZoneInfo("Pacific/Apia")),
    ZoneInfo("Pacific/Apia"),
)
@example(Hours(time(2), time(1, 59)), at("2026-10-04T02:10", ZoneInfo("Australia/Lord_Howe")), ZoneInfo("Australia/Lord_Howe"))  # fmt: skip
def test_what_is_held_is_let_go_later_soon_and_for_good(
    hours: Hours, moment: datetime, zone: ZoneInfo
) -> None:
    until = hours.until(moment, zone)
    if until is None:
        return
    assert until.tzinfo is UTC
    assert moment < until <= moment + timedelta(days=2, hours=2)
    assert hours.until(until, zone) is None, "what was let go is held again at once"


@given(hours=spans, moment=moments, zone=zones)
def test_away_from_changes_of_the_clock_the_wall_says_what_is_quiet(
    hours: Hours, moment: datetime, zone: ZoneInfo
) -> None:
    if not is_steady(moment, zone):
        return
    until = hours.until(moment, zone)
    assert (until is not None) == is_on_wall(hours, moment, zone)
    if until is not None:
        assert until.astimezone(zone).time() == hours.end


@given(hours=spans, moment=moments, zone=zones, ahead=st.integers(1, 600))
def test_quiet_is_one_stretch(hours: Hours, moment: datetime, zone: ZoneInfo, ahead: int) -> None:
    until = hours.until(moment, zone)
    later = moment + timedelta(minutes=ahead)
    if until is not None and later < until:
        found = hours.until(later, zone)
        assert found is not None
        assert found >= until


NIGHT = Hours(time(22), time(7, 30))


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        (at("2026-11-24T21:59"), None),
        (at("2026-11-24T22:00"), at("2026-11-25T07:30")),
        (at("2026-11-25T00:00"), at("2026-11-25T07:30")),
        (at("2026-11-25T07:29"), at("2026-11-25T07:30")),
        (at("2026-11-25T07:30"), None),
        # The night that loses an hour, and the one that has one more.
        (at("2026-03-28T23:00"), datetime(2026, 3, 29, 5, 30, tzinfo=UTC)),
        (at("2026-10-24T23:00"), datetime(2026, 10, 25, 6, 30, tzinfo=UTC)),
    ],
)
def test_a_night_in_paris(moment: datetime, end: datetime | None) -> None:
    assert NIGHT.until(moment, PARIS) == end


def test_a_zone_of_half_an_hour_keeps_its_own_midnight() -> None:
    end = NIGHT.until(datetime(2026, 11, 24, 17, 0, tzinfo=UTC), KOLKATA)
    assert end == datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
    assert NIGHT.until(datetime(2026, 11, 24, 16, 29, tzinfo=UTC), KOLKATA) is None


def test_an_hour_that_comes_twice_wakes_nobody_in_between() -> None:
    hours = Hours(time(22), time(2, 30))
    first, second = at("2026-10-25T02:30"), at("2026-10-25T02:30", fold=1)
    assert second - first == timedelta(hours=1)
    assert hours.until(first, PARIS) == second
    assert hours.until(at("2026-10-25T02:10", fold=1), PARIS) == second


def test_a_time_that_the_clock_leaves_out_is_the_moment_it_would_have_been() -> None:
    assert moment_of(date(2026, 3, 29), time(2, 30), PARIS) == at("2026-03-29T03:30")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("22-7", "22:00-07:00"), ("22:00-07:30", "22:00-07:30"), ("22h30 - 7h", "22:30-07:00"),
        ("10pm-7am", "22:00-07:00"), ("22:00 \u2013 7:30", "22:00-07:30"),
        ("22 à 7", "22:00-07:00"), ("12am to 6 am", "00:00-06:00"), ("20-24", "20:00-00:00"),
    ],
)  # fmt: skip
def test_hours_are_read_as_people_write_them(text: str, span: str) -> None:
    assert str(read_hours(text)) == span


@pytest.mark.parametrize(
    "text", ["", "22", "25-7", "22:60-7", "7-7", "noon-7", "13pm-7", "-", "a-b"]
)
def test_what_are_no_hours_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"[.]$"):
        read_hours(text)


@given(st.text(max_size=60))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (read_hours, read_time, read_zone):
        with suppress(InvalidInput):
            read(text)


@given(times, times)
def test_written_hours_are_read_back(start: time, end: time) -> None:
    if start != end:
        assert read_hours(str(Hours(start, end))) == Hours(start, end)


def test_a_zone_is_known_in_any_case_and_by_its_city() -> None:
    assert read_zone("europe/paris").key == "Europe/Paris"
    assert read_zone("New York").key == "America/New_York"
    assert read_zone("paris").key == "Europe/Paris"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/Pari", "Europe/Paris"), ("Mars/Olympus", "IANA"), ("../etc/passwd", "IANA"),
        ("Europe", "IANA"), ("/etc/localtime", "IANA"), ("\0", "IANA"), ("", "IANA"),
    ],
)  # fmt: skip
def test_a_zone_that_nobody_knows_is_refused_with_a_sentence(name: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint):
        read_zone(name)


def test_the_settings_say_what_is_wrong_with_a_zone_and_with_hours(tmp_path: Path) -> None:
    for key, value, hint in (
        ("quiet_hours__zone", "Europe/Pariss", "did you mean 'Europe/Paris'"),
        ("quiet_hours__hours", "7-7", "all day or never"),
        ("quiet_hours__digest", "25:00", "no time of day"),
    ):
        with pytest.raises(ConfigError, match=hint):
            load(settings_of(tmp_path / "home", "http://127.0.0.1:9/v1", **{key: value}))


def test_what_yaml_makes_of_times_is_undone() -> None:
    # `digest: 7:30` is 450 to YAML 1.1, and `digest: off` is false.
    config = QuietConfig.model_validate({"zone": "Europe/Paris", "digest": 450})
    assert config.digest == "07:30"
    assert QuietConfig.model_validate({"digest": False, "hours": False}).digest == "off"


# --- what waits for morning ---


def queue(company: Desk, key: str, text: str, kind: str = "answer", **more: Any) -> None:
    """Queue what the company tells by itself."""
    values: dict[str, Any] = {"chat_id": "c1", "thread_id": None, **more}
    message = OutboundMessage(channel="phone", kind=OutboundKind(kind), text=text, **values)
    now = iso(company.clock.now())
    company.app.store.write(lambda c: put(c, dedupe_key=key, message=message, now=now))


def texts(company: Desk) -> list[str]:
    return [message.text for message in company.channel.sent]


def state_of(company: Desk, key: str) -> tuple[str, bool]:
    (row,) = [row for row in company.rows(outbox) if row["dedupe_key"] == key]
    return row["state"], row["held_until"] is not None


def night(company: Desk) -> str:
    """Return hours, in UTC, that began an hour ago and end in two."""
    now = company.clock.now()
    return f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"


async def test_at_night_a_result_waits_and_a_decision_and_an_answer_come_through(
    home: Path,
) -> None:
    async with desk(home) as company:
        (said,) = await company.hears(f"/quiet {night(company)} UTC")
        assert "UTC" in said.text
        queue(company, "o1/0/delivered", "a result")
        await company.until(lambda: state_of(company, "o1/0/delivered")[1])
        queue(company, "doubt/1/1", "did it arrive?", "decision")
        queue(company, "o1/1/waiting", "sign here", "decision")
        await company.until(lambda: "sign here" in texts(company))
        await company.until(lambda: state_of(company, "doubt/1/1")[1])
        before = len(company.channel.sent)
        company.channel.say("/quiet", sender_id=ADA, chat_id="c1")
        await company.until(lambda: len(company.channel.sent) > before)
        assert "a result" not in texts(company)
        company.clock.ahead += timedelta(hours=3)
        await company.settled()
        assert texts(company)[-2:] == ["a result", "did it arrive?"]


async def test_progress_at_night_edits_what_is_there_and_begins_nothing(home: Path) -> None:
    async with desk(home) as company:
        queue(company, "p1", "half", "progress", slot="s1")
        await company.settled()
        await company.hears(f"/quiet {night(company)} UTC")
        queue(company, "p2", "three quarters", "progress", slot="s1")
        queue(company, "p3", "another", "progress", slot="s2")
        queue(company, "p4", "a milestone", "progress")
        await company.settled()
        assert "three quarters" in texts(company)
        assert state_of(company, "p3") == state_of(company, "p4") == ("void", False)
        company.clock.ahead += timedelta(hours=3)
        await company.settled()
        assert not {"another", "a milestone"} & set(texts(company))


async def test_quiet_off_lets_go_of_what_is_held(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(f"/quiet {night(company)} UTC")
        queue(company, "k", "a result")
        await company.until(lambda: state_of(company, "k")[1])
        company.channel.say("/quiet off", sender_id=ADA, chat_id="c1")
        await company.settled()
        assert "a result" in texts(company)


async def test_the_company_has_hours_and_one_persons_word_wins(home: Path) -> None:
    now = datetime.now(UTC)
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    async with desk(home, quiet_hours__zone="UTC", quiet_hours__hours=hours) as company:
        queue(company, "k", "a result")
        queue(company, "stranger", "elsewhere", chat_id="c9")
        await company.until(lambda: state_of(company, "k")[1])
        await company.until(lambda: "elsewhere" in texts(company))
        company.channel.say("/quiet off", sender_id=ADA, chat_id="c1")
        await company.settled()
        assert "a result" in texts(company)
        assert "UTC" in (await company.hears("/status"))[0].text


async def test_in_a_group_the_hours_are_of_who_ordered(home: Path) -> None:
    async with desk(home) as company:
        await company.hears("Write a page about bread.")
        (order,) = company.orders
        await company.hears(f"/quiet {night(company)} UTC")
        queue(company, "k", "a result", chat_id="-100", order_id=order["id"])
        queue(company, "other", "news", chat_id="-100")
        await company.until(lambda: state_of(company, "k")[1])
        await company.until(lambda: "news" in texts(company))


async def test_a_zone_nobody_knows_and_no_zone_at_all_change_nothing(home: Path) -> None:
    async with desk(home) as company:
        assert "Europe/Paris" in (await company.hears("/quiet 22-7"))[0].text
        assert "did you mean" in (await company.hears("/quiet 22-7 Europe/Pariss"))[0].text
        assert "no time of day" in (await company.hears("/quiet 22-99 Europe/Paris"))[0].text
        assert company.rows(quiet_hours) == []
        (said,) = await company.hears("/quiet 22:30 - 7h New York")
        assert "22:30-07:00 (America/New_York)" in said.text
        assert "Daily digest at 07:00" in said.text
        assert "Daily digest at 08:15" in (await company.hears("/quiet digest 8h15"))[0].text
        assert "No daily digest" in (await company.hears("/quiet digest off"))[0].text
        assert "/quiet" in (await company.hears("/help"))[0].text


async def test_what_was_held_when_the_worker_died_is_held_by_the_next(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(f"/quiet {night(company)} UTC")
        queue(company, "k", "a result")
        await company.until(lambda: state_of(company, "k")[1])
    async with desk(home, has_founder=False) as company:
        queue(company, "k2", "sign here", "decision")
        await company.until(lambda: "sign here" in texts(company))
        await company.until(lambda: state_of(company, "k")[1])
        assert "a result" not in texts(company)
        company.app.store.write(lambda c: c.execute(sa.delete(quiet_hours)))
    async with desk(home, has_founder=False) as company:
        await company.settled()
        assert texts(company) == ["a result"]
