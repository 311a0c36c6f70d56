"""What was heard is on disk first, and is acted on once."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.channels.fake import FakeChannel
from swarm.core.message import InboundFile, InboundMessage
from swarm.runtime import inbox as box
from swarm.runtime.inbox import Inbox
from swarm.runtime.incoming import safe_name
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import inbox, order_notes
from tests.runtime.fronts import MovingClock, desk

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SAID = InboundMessage(
    channel="phone", account="1", update_id="9", chat_id="c", thread_id=None, sender_id="1",
    text="Write\ud800 it \U0001f600", received_at=NOW, raw=b'{"update_id":9}', message_id="4",
    files=(InboundFile("f", "a.txt", 3),),
)  # fmt: skip


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    found = Store(sqlite_url(home / "swarm.db"))
    yield found
    found.close()


def rows(store: Store) -> list[Any]:
    return list(store.read(lambda c: c.execute(sa.select(inbox)).all()))


async def test_an_update_is_kept_whole_and_read_again_as_it_was(store: Store) -> None:
    kept = Inbox(store=store, clock=MovingClock())
    assert await kept.take(SAID)
    (row,) = rows(store)
    assert row.raw == SAID.raw
    assert box.read(row) == SAID


async def test_the_same_update_is_kept_once_of_another_account_too(store: Store) -> None:
    kept = Inbox(store=store, clock=MovingClock())
    assert await kept.take(SAID)
    assert not await kept.take(SAID)
    assert not await kept.take(replace(SAID, text="forged", raw=b"other"))
    assert await kept.take(replace(SAID, account="2"))
    assert [row.account for row in rows(store)] == ["1", "2"]


async def test_a_number_that_begins_anew_after_a_week_is_another_update(store: Store) -> None:
    kept = Inbox(store=store, clock=MovingClock())
    later = replace(SAID, received_at=NOW + timedelta(days=8))
    assert await kept.take(SAID)
    assert not await kept.take(later)
    fresh = replace(later, text="new", raw=b"new")
    assert await kept.take(fresh)
    assert not await kept.take(fresh)
    assert len({row.update_id for row in rows(store)}) == 2


async def test_twenty_at_once_are_one(store: Store) -> None:
    kept = Inbox(store=store, clock=MovingClock())
    taken = await asyncio.gather(*(kept.take(SAID) for _ in range(20)))
    assert sum(taken) == 1


async def test_a_restart_goes_on_with_what_was_stored(home: Path) -> None:
    store = Store(sqlite_url(home / "swarm.db"))
    heard = replace(
        SAID, chat_id="c1", text="Write a page.", files=(), received_at=datetime.now(UTC)
    )
    assert await Inbox(store=store, clock=MovingClock()).take(heard)
    store.close()
    async with desk(home) as company:
        await company.settled()
        await company.until(lambda: bool(company.channel.sent))
        assert [row["update_id"] for row in company.orders] == ["9"]
        assert "is taken" in company.channel.sent[0].text


async def test_what_breaks_halfway_leaves_nothing_and_is_tried_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.runtime.hearing.RETRY_S", 0.01)
    async with desk(home) as company:
        finish, failures = Inbox.finish, [3]

        def breaking(self: Inbox, connection: Any, row_id: int, **more: Any) -> None:
            if failures[0]:
                failures[0] -= 1
                raise RuntimeError("torn")
            finish(self, connection, row_id, **more)

        monkeypatch.setattr(Inbox, "finish", breaking)
        await company.hears("Write a page.")
        assert failures == [0]
        assert len(company.orders) == 1
        assert len(company.channel.sent) == 1


async def test_a_reader_that_sees_old_rows_acts_on_none_of_them_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def stale(self: Inbox, connection: Any, **_: Any) -> Any:
        looks.append(1)
        return connection.execute(sa.select(inbox).order_by(inbox.c.id)).all()

    monkeypatch.setattr(Inbox, "waiting", stale)
    monkeypatch.setattr("swarm.runtime.hearing.POLL_S", 0.01)
    async with desk(home) as company:
        await company.hears("Write a page.")
        await company.hears("Make it blue", reply_to="phone-1")
        seen = len(looks)
        await company.until(lambda: len(looks) > seen + 20)
        assert len(company.channel.sent) == 2
        assert [note["text"] for note in company.rows(order_notes)] == ["Make it blue"]


async def test_what_always_breaks_is_told_and_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.runtime.hearing.RETRY_S", 0.001)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("always")

    monkeypatch.setattr("swarm.runtime.turn.Turn.place", broken)
    async with desk(home) as company:
        told = await company.hears("Write a page.")
        assert "Something inside broke" in told[0].text
        assert company.rows(inbox)[0]["state"] == "failed"
        assert "is taken" not in "".join(m.text for m in company.channel.sent)
        assert await company.hears("/help")


async def test_a_line_at_the_terminal_is_an_order_of_this_machines_user(home: Path) -> None:
    local = FakeChannel(name="console")
    async with desk(home, channel=local, has_founder=False) as company:
        await company.hears("Write a page.", chat_id="console")
        await company.hears("   ", chat_id="console")
        (order,) = company.orders
        assert order["channel"] == "console"
        assert [m.text for m in local.sent] == ["The order is empty: write what you want done."]


async def test_old_rows_are_thrown_away_but_never_unhandled_ones(store: Store) -> None:
    kept = Inbox(store=store, clock=MovingClock())
    old = datetime.now(UTC) - timedelta(days=40)
    for number, state in (("1", "done"), ("2", "new"), ("3", "failed")):
        await kept.take(replace(SAID, update_id=number, received_at=old))
        change = inbox.update().where(inbox.c.update_id == number).values(state=state)
        store.write(partial(sa.Connection.execute, statement=change))
    await kept.take(replace(SAID, update_id="4", received_at=datetime.now(UTC)))
    store.write(kept.prune)
    assert {row.update_id for row in rows(store)} == {"2", "4"}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("R\u00e9sum\u00e9 final.PDF", "resume-final.pdf"),
        ("\u202etxt.exe", "txt.exe"),
        ("", "result"),
        ("." * 300, "result.result"),
        ("a" * 500 + ".txt", "a" * 60 + ".txt"),
    ],
)
def test_a_strangers_file_name_stays_one_file_in_one_folder(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert "/" not in safe_name(name)


async def test_updates_five_times_each_in_any_order_are_each_acted_on_once(
    home: Path,
) -> None:
    rng = random.Random(7)
    async with desk(home) as company:
        numbers = [n for n in range(60) for _ in range(5)]
        rng.shuffle(numbers)
        for number in numbers:
            company.channel.say(
                f"Order number {number}", update_id=str(number), chat_id=f"c1-{number % 7}"
            )
        await company.settled()
        assert len(company.rows(inbox)) == 60
        assert len(company.orders) == 60
        assert sorted(m.text for m in company.channel.sent) == sorted(
            f"Order {row['id']} is taken." for row in company.orders
        )
