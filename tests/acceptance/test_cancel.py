"""A cancelled order stops before its next step, and keeps what it cost."""

import asyncio

import pytest

from swarm.core.errors import Conflict
from swarm.core.money import from_pico
from swarm.core.order import OrderStatus
from tests.acceptance.at_work import AtWork, kind_of, provider_of, script, task
from tests.acceptance.conftest import Open
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply

PLAN = (task("Build it", "cto"), task("Tell of it", "marketcom"))


async def test_a_cancelled_order_stops_before_its_next_step_and_late_answers_are_charged(
    opened: Open,
) -> None:
    play, working = script(PLAN), asyncio.Event()

    def slow(request: Body) -> Body | Reply:
        if kind_of(request) != "work":
            return play(request)
        working.set()
        return Reply(play(request), delay_s=0.3)

    async with opened(ScriptedProvider(slow)) as company:
        order_id = await company.place()
        await working.wait()
        company.app.office.cancel(order_id, by="ada")
        assert company.app.documents.order(order_id).receipt.unanswered_intents > 0
        await company.until(lambda: not company.app.documents.working(order_id))
        rows = company.ledger(order_id)
        asked = len(company.provider.requests)
        held = company.budgets()[f"order:{order_id}"]
        shown = company.app.documents.order(order_id)
    assert shown.status is OrderStatus.CANCELLED
    assert asked == len(rows) <= 4
    assert {row["state"] for row in rows} == {"used"}
    assert all(row["cost_pico"] > 0 for row in rows)
    assert shown.receipt.model_cost.amount == from_pico(held["spent_pico"])
    assert held["reserved_pico"] == 0


async def test_after_a_cancel_no_model_is_asked_and_nothing_is_delivered(opened: Open) -> None:
    async with opened(provider_of(questions=["Which?"])) as company:
        waiting = await company.work()
        company.app.office.cancel(waiting.id, by="ada")
        with pytest.raises(Conflict):
            company.app.office.answer(waiting.id, "This.", by="ada")
        with pytest.raises(Conflict):
            company.app.office.resume(waiting.id)
        # Another order goes all the way, so the worker had every chance to go on with the first.
        assert (await company.work(is_auto_signed=True)).status is OrderStatus.DELIVERED
        shown = company.app.documents.order(waiting.id)
    assert shown.status is OrderStatus.CANCELLED
    assert shown.reason is not None
    assert "Cancelled by ada" in shown.reason.text
    assert shown.receipt.calls == 1
    assert shown.receipt.model_cost.amount > 0


async def test_what_has_ended_cannot_be_cancelled(company: AtWork) -> None:
    done = await company.deliver()
    with pytest.raises(Conflict, match="already delivered"):
        company.app.office.cancel(done.id, by="ada")
