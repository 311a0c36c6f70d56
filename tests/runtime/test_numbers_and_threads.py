"""What platforms without edits, toasts or flat chats need of the company's front."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from swarm.channels.fake import FakeChannel
from swarm.core.clock import iso
from swarm.core.errors import Transient
from swarm.core.message import SignalKind
from swarm.runtime.station import DatabaseStation
from swarm.store.tables import asks, inbox, orders, outbox
from tests.runtime.fronts import PHONE, Desk, desk

ORDER = "Write a launch page for the bakery that opens in May."


def outcome(company: Desk) -> str:
    return str(company.rows(inbox)[-1]["outcome"])


async def test_a_number_presses_the_button_of_the_newest_card(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(ORDER)
        await company.plans(company.orders[0]["id"])
        (offer,) = await company.hears("Translate our menu into Italian.")
        labels = [button.label for row in offer.buttons for button in row]
        assert labels == ["Change the plan", "New order"]
        await company.hears("2")
        assert outcome(company) == "a button, by its number"
        assert [o["status"] for o in company.orders] == ["waiting", "queued"]


@pytest.mark.parametrize("said", ["3", "0", "12", "2 because it is nicer"])
async def test_a_number_that_no_button_has_presses_nothing(home: Path, said: str) -> None:
    async with desk(home) as company:
        await company.hears(ORDER)
        await company.plans(company.orders[0]["id"])
        await company.hears("Translate our menu into Italian.")
        await company.hears(said)
        assert "by its number" not in outcome(company)


async def test_a_number_after_a_settled_card_is_about_something_else(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(ORDER)
        await company.plans(company.orders[0]["id"])
        await company.hears("Translate our menu into Italian.")
        await company.presses("New order")
        await company.hears("2")
        # It is the second way of the plan that still waits.
        assert outcome(company) == "a no, asked why"
        assert len(company.orders) == 2


async def test_what_was_asked_in_a_thread_may_be_answered_beside_it(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(ORDER, message_id="m1", thread_id="m1")
        await company.plans(company.orders[0]["id"])
        await company.presses("Edit", thread_id="m1")
        await company.hears("Two pages, not one", message_id="m2", thread_id="m2")
        assert outcome(company) == "the words for edit"
        assert len(company.orders) == 1


async def test_words_in_another_orders_thread_answer_nothing_of_this_one(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(ORDER, message_id="m1", thread_id="m1")
        await company.plans(company.orders[0]["id"])
        await company.hears(
            "Translate the menu. It is a new order.", message_id="m2", thread_id="m2"
        )
        await company.presses("New order", thread_id="m2")
        await company.presses("Edit", thread_id="m1")
        # Said within the other thread, not beside it.
        await company.hears("It should be Italian.", message_id="m3", thread_id="m2")
        assert outcome(company) != "the words for edit"


@pytest.mark.parametrize("said", ["yes", "no", "1"])
async def test_a_word_on_what_was_not_shown_yet_decides_nothing(home: Path, said: str) -> None:
    async with desk(home) as company:
        await company.hears(ORDER)
        await company.plans(company.orders[0]["id"])
        company.app.store.write(lambda c: c.execute(asks.update().values(shown_at=None)))
        company.app.store.write(
            lambda c: c.execute(outbox.update().where(outbox.c.buttons != "[]").values(state="x"))
        )
        await company.hears(said)
        assert outcome(company) == "a word on what was not shown yet"
        assert company.orders[0]["segment"] == 0
        assert len(company.orders) == 1


async def test_a_refused_press_says_so_and_a_good_one_does_not(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(ORDER)
        await company.plans(company.orders[0]["id"])
        await company.presses("Approve")
        await company.clicked()
        await company.presses("Approve")
        await company.clicked()
        clicks = [s for s in company.channel.signals if s.kind is SignalKind.CLICK]
        assert [s.is_refusal for s in clicks] == [False, True]


async def test_a_card_that_did_not_arrive_was_not_asked(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(ORDER)
        await company.plans(company.orders[0]["id"])
        (card,) = [row for row in company.rows(outbox) if row["buttons"] != "[]"]
        assert company.rows(asks)[0]["shown_at"]
        station = DatabaseStation(store=company.app.store, clock=company.clock)
        await station.undelivered("phone", card["sent_id"], why="131026 gone", is_late=False)
        assert company.rows(asks)[0]["shown_at"] is None
        (row,) = [r for r in company.rows(outbox) if r["id"] == card["id"]]
        assert (row["state"], row["error"]) == ("refused", "131026 gone")
        # Told twice, it is the same.
        await station.undelivered("phone", card["sent_id"], why="again", is_late=True)
        (row,) = [r for r in company.rows(outbox) if r["id"] == card["id"]]
        assert row["state"] == "refused"


async def test_a_card_that_came_too_late_is_sent_again(home: Path) -> None:
    async with desk(home) as company:
        await company.hears(ORDER)
        await company.plans(company.orders[0]["id"])
        (card,) = [row for row in company.rows(outbox) if row["buttons"] != "[]"]
        shown = len(company.channel.sent)
        station = DatabaseStation(store=company.app.store, clock=company.clock)
        await station.undelivered("phone", card["sent_id"], why="131047 late", is_late=True)
        await company.settled()
        assert len(company.channel.sent) == shown + 1
        assert company.rows(asks)[0]["shown_at"]


async def test_the_station_knows_who_wrote_when(home: Path) -> None:
    async with desk(home) as company:
        station = DatabaseStation(store=company.app.store, clock=company.clock)
        assert await station.last_heard("phone", "c1") is None
        await company.hears(ORDER)
        heard = await station.last_heard("phone", "c1")
        assert heard is not None
        assert datetime.now(UTC) - heard < timedelta(minutes=1)
        assert await station.last_heard("phone", "c2") is None


async def test_where_nothing_can_be_edited_milestones_are_told_once_each(home: Path) -> None:
    channel = FakeChannel(name="phone", capabilities=replace(PHONE, has_edits=False))
    async with desk(home, channel=channel) as company:
        await company.hears(ORDER)
        order_id = company.orders[0]["id"]
        await company.plans(order_id)
        company.app.store.write(lambda c: c.execute(sa.update(orders).values(status="working")))
        await company.until(lambda: any(m.text.startswith("⏳") for m in channel.sent))
        keys = [r["dedupe_key"] for r in company.rows(outbox) if "milestone" in r["dedupe_key"]]
        assert keys == [f"milestone/{order_id}/{company.orders[0]['segment']}/0"]


async def test_a_chat_that_must_wait_keeps_its_order(home: Path) -> None:
    async with desk(home) as company:
        company.channel.fail_at(1, Transient("not now", kind="window", retry_after_s=0.2))
        await company.hears(ORDER)
        await company.hears("/team")
        assert "is taken" in company.channel.sent[0].text
        assert iso(company.clock.now()) > str(company.rows(outbox)[0]["not_before"])
