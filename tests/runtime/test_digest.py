"""The daily digest: once a day, at an hour of one's own, and never for nothing."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.core.clock import iso, parse_iso
from swarm.core.money import to_pico
from swarm.runtime.digest import Digest
from swarm.runtime.digest_text import DigestText
from swarm.runtime.people import Person, PersonRole
from swarm.settings import load
from swarm.store.tables import ledger, orders, outbox
from tests.acceptance.at_work import settings_of
from tests.runtime.fronts import ADA, BEN, admit, desk

MORNING = datetime(2026, 11, 25, 6, 30, tzinfo=UTC)
"""Half past seven in Paris."""
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()


def happened(connection: Connection, person: Person, since: datetime, now: datetime) -> str | None:
    """Tell the span."""
    return f"{since:%d %H:%M} to {now:%d %H:%M}"


def nothing(connection: Connection, person: Person, since: datetime, now: datetime) -> str | None:
    """Tell nothing."""
    return None


class Office:
    """A company's digests without its channels."""

    def __init__(self, home: Path, now: datetime, **settings: str) -> None:
        settings.setdefault("quiet_hours__zone", "Europe/Paris")
        self.clock = SetClock(now)
        env = load(settings_of(home, "http://127.0.0.1:9/v1", **settings))
        self.app = App(env, clock=self.clock)
        self.app.store.write(lambda c: admit(self.app, c, ADA, PersonRole.FOUNDER))

    def digest(self, summary: Callable[..., str | None] = happened) -> Digest:
        app = self.app
        return Digest(
            store=app.store, clock=app.clock, people=app.people, quiet=app.quiet,
            channels=["phone"], summary=summary, queued=asyncio.Event(),
        )  # fmt: skip

    async def at(self, now: datetime, summary: Callable[..., str | None] = happened) -> float:
        """Look as a process that starts at a moment would; return how long it would sleep."""
        self.clock.moment = now
        return await self.digest(summary).look()

    def told(self) -> list[str]:
        is_told = (outbox.c.state != "void", outbox.c.dedupe_key.startswith("digest/"))
        query = sa.select(outbox.c.body).where(*is_told).order_by(outbox.c.id)
        return list(self.app.store.read(lambda c: c.execute(query).scalars().all()))

    def fill(self, table: sa.Table, **values: Any) -> None:
        self.app.store.write(lambda c: c.execute(table.insert().values(**values)))


def keep(office: Office, connection: Connection, **said: str) -> None:
    """Let the founder say something of their hours."""
    office.app.quiet.keep(connection, "phone", ADA, **said)


@pytest.fixture
def office(home: Path) -> Any:
    found = Office(home, MORNING)
    yield found
    found.app.close()


async def test_it_comes_at_the_end_of_the_quiet_hours_and_the_timer_sleeps_until_then(
    office: Office,
) -> None:
    assert await office.at(MORNING - 5 * MINUTE) == 300
    assert office.told() == []
    assert await office.at(MORNING) == 900, "a clock set anew is noticed within a quarter"
    assert office.told() == ["24 06:30 to 25 06:30"]


async def test_restarts_and_jumps_of_the_clock_make_one_a_day(office: Office) -> None:
    for ahead in (0, 0, 30, -120, 5, 600, -30):
        await office.at(MORNING + ahead * MINUTE)
    assert len(office.told()) == 1
    for _ in range(3):
        await office.at(MORNING + DAY)
        await office.at(MORNING - DAY)
    assert office.told() == ["24 06:30 to 25 06:30", "25 06:30 to 26 06:30"]


async def test_a_leap_over_days_is_one_digest_that_tells_of_all_of_them(office: Office) -> None:
    await office.at(MORNING)
    await office.at(MORNING + 3 * DAY + MINUTE)
    assert office.told()[1:] == ["25 06:30 to 28 06:31"]


async def test_two_processes_at_once_make_one(office: Office) -> None:
    digests = [office.digest() for _ in range(4)]
    await asyncio.gather(*(one.look() for one in digests))
    assert len(office.told()) == 1


async def test_what_happens_after_an_empty_one_waits_for_the_next_day(office: Office) -> None:
    await office.at(MORNING, nothing)
    await office.at(MORNING + HOUR)
    assert office.told() == []
    await office.at(MORNING + DAY)
    assert office.told() == ["25 06:30 to 26 06:30"]


async def test_a_digest_that_would_come_in_the_night_is_left_out(office: Office) -> None:
    await office.at(MORNING - DAY + timedelta(hours=11))
    assert len(office.told()) == 1
    await office.at(MORNING + timedelta(hours=15))
    assert len(office.told()) == 1


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Paris", datetime(2026, 3, 29, tzinfo=UTC)),
        ("Europe/Paris", datetime(2026, 10, 25, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 11, 24, tzinfo=UTC)),
        ("Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("hour", ["02:30", "00:00", "23:45"])
async def test_over_a_change_of_the_clock_it_comes_once_for_each_day(
    home: Path, zone: str, day: datetime, hour: str
) -> None:
    office = Office(home, day, quiet_hours__zone=zone, quiet_hours__digest=hour)
    for look in range(4 * 32):
        await office.at(day - 2 * DAY + look * 45 * MINUTE)
    query = sa.select(outbox.c.created_at).order_by(outbox.c.id)
    sent = [parse_iso(t) for t in office.app.store.read(lambda c: c.execute(query).scalars().all())]
    office.app.close()
    # Whatever was due just before the first look comes late; a day left out by the zone has none.
    gaps = [later - sooner for sooner, later in pairwise(sent)][1:]
    assert len(sent) in (4, 5)
    assert all(timedelta(hours=22) < gap < timedelta(hours=26) for gap in gaps)


async def test_people_who_move_get_no_second_one(office: Office) -> None:
    await office.at(MORNING)
    for zone in ("America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Europe/Paris"):
        office.app.store.write(partial(keep, office, zone=zone))
        office.clock.moment += HOUR
        await office.at(office.clock.moment)
    assert len(office.told()) == 1


async def test_only_founders_get_one_and_who_said_off_gets_none(office: Office) -> None:
    store, app = office.app.store, office.app
    store.write(lambda c: admit(app, c, BEN, PersonRole.TEAM))
    store.write(lambda c: app.quiet.keep(c, "phone", ADA, digest="off"))
    assert await office.at(MORNING + DAY) == 900
    assert office.told() == []


async def test_without_a_zone_there_is_none(home: Path) -> None:
    office = Office(home, MORNING, quiet_hours__zone="")
    await office.at(MORNING)
    assert office.told() == []
    office.app.close()


async def test_it_adds_up_what_was_done_what_waits_what_failed_and_what_it_cost(
    office: Office,
) -> None:
    now = MORNING
    base = dict.fromkeys(("channel", "account", "chat_id", "sender_id"), "x")
    for number, (status, delivered) in enumerate(
        [("delivered", now - HOUR), ("accepted", now - 2 * DAY), ("waiting", None),
         ("failed", None), ("working", None)]
    ):  # fmt: skip
        office.fill(
            orders, **base, id=f"o{number}", created_at=iso(now - 3 * DAY), thread_id=None,
            update_id=str(number), status=status, state=f'{{"text": "Write **page** {number}"}}',
            delivered_at=iso(delivered) if delivered else None,
        )  # fmt: skip
    customers = base | {"channel": "telegram_customers", "origin": "customer", "thread_id": None}
    office.fill(
        orders, **customers, id="c1", created_at=iso(now - HOUR), update_id="c1", status="delivered",
        state='{"text": "What is a loaf?"}', delivered_at=iso(now - HOUR),
    )  # fmt: skip
    office.fill(
        outbox, dedupe_key="o3/0/failed", order_id="o3", channel="x", chat_id="x", thread_id=None,
        kind="answer", body="", not_before=iso(now), created_at=iso(now - HOUR), card="failed",
        state="sent",
    )  # fmt: skip
    for number, (cost, status, ago) in enumerate(
        [("1.25", "paid", HOUR), ("0.003", "unpriced", 3 * DAY), ("9", "paid", 8 * DAY)]
    ):
        office.fill(
            ledger, order_id="o0", task_id=None, node="n", seq=number, attempt=1, state="used",
            role="ceo", model="m", digest="d", prompt="{}", reserved_pico=0, cost_pico=to_pico(Decimal(cost)),
            currency="USD", cost_status=status, started_at=iso(now - ago),
        )  # fmt: skip
    write = _text(office)
    await office.at(now, write)
    (text,) = office.told()
    assert "Done: 1" in text
    assert "o0" in text
    assert "o1" not in text
    assert "Waiting for you: 1" in text
    assert "Failed: 1" in text
    assert "o4" not in text
    assert "Write page 0" in text, "a model's words format nothing"
    assert re.search(r"Spent: 1\.25 USD in 24 h \(budget 50 USD a day\)", text)
    assert "≥ 1.25 USD in 7 days (budget 350 USD)" in text, text
    assert "Your time this week: 0 of 840 min" in text


async def test_nothing_happened_is_no_digest_and_what_waits_is_something(office: Office) -> None:
    write = _text(office)
    await office.at(MORNING, write)
    assert office.told() == []
    office.fill(
        orders, id="o1", created_at=iso(MORNING - 9 * DAY), channel="x", account="x", chat_id="x",
        sender_id="x", thread_id=None, update_id="1", status="waiting", state='{"text": "t"}',
    )  # fmt: skip
    await office.at(MORNING + DAY, write)
    assert len(office.told()) == 1


def _text(office: Office) -> Callable[..., str | None]:
    settings = office.app.settings
    return DigestText(
        quiet=office.app.quiet, budgets=settings.budget, founder_time=settings.founder_time,
        currency="USD",
    ).write  # fmt: skip


async def test_a_word_in_the_chat_moves_it_and_it_arrives(home: Path) -> None:
    async with desk(home) as company:
        company.app.store.write(lambda c: admit(company.app, c, BEN, PersonRole.FOUNDER))
        await company.hears("Write a page about bread.")
        now = company.clock.now()
        soon = now + timedelta(minutes=1, seconds=30)
        await company.hears("/quiet 22-7 UTC")
        (said,) = await company.hears(f"/quiet digest {soon:%H:%M}")
        assert f"{soon:%H:%M}" in said.text
        await company.plans(company.orders[0]["id"])
        company.clock.ahead += timedelta(seconds=95)
        # The timer sleeps by the machine's clock; somebody's word wakes it.
        await company.hears("/quiet 23-7 Asia/Tokyo", by=BEN)
        async with asyncio.timeout(15):
            while not any("Your day" in m.text for m in company.channel.sent):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        (told,) = [m.text for m in company.channel.sent if "Your day" in m.text]
        assert "Waiting for you: 1" in told
