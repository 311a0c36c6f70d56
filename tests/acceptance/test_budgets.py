"""Spend never passes a budget, and raising one goes on; what has no price is refused."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from swarm.core.errors import InvalidInput
from swarm.core.money import CostStatus, from_pico
from swarm.core.order import OrderStatus, ReasonKind
from tests.acceptance.at_work import AtWork, kind_of, provider_of, script, task
from tests.acceptance.conftest import Open
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body

TOO_SMALL = "0.001"
"""Less than the worst case of one call, which is about 0.005."""


async def test_an_order_s_budget_too_small_parks_it_before_any_call_and_raising_it_goes_on(
    company: AtWork,
) -> None:
    parked = await company.work(budget=TOO_SMALL)
    assert parked.status is OrderStatus.PARKED
    assert parked.reason is not None
    assert parked.reason.kind is ReasonKind.LIMIT
    assert f"swarm budget {parked.id} AMOUNT" in parked.reason.text
    assert company.provider.requests == []
    assert company.app.office.set_budget(parked.id, Decimal(5)) == [parked.id]
    done = await company.halt(parked.id)
    assert done.status is OrderStatus.DELIVERED
    assert done.budget is not None
    assert done.budget.amount == 5


async def test_a_budget_that_ends_in_the_middle_keeps_what_was_done(company: AtWork) -> None:
    parked = await company.work(budget="0.0095")
    assert parked.status is OrderStatus.PARKED
    before = len(company.provider.requests)
    assert before > 2
    assert parked.receipt.model_cost.amount <= Decimal("0.0095")
    company.app.office.set_budget(parked.id, Decimal(5))
    done = await company.halt(parked.id)
    assert done.status is OrderStatus.DELIVERED
    assert done.receipt.calls == len(company.provider.requests) == 7


@pytest.mark.parametrize("scope", ["day", "month", "company"])
async def test_the_budgets_of_the_day_the_month_and_the_company_park_and_go_on(
    opened: Open, scope: str
) -> None:
    settings = {f"budget__{scope}": TOO_SMALL}
    async with opened(provider_of(), **settings) as company:
        one, two = await company.work(), await company.work()
        assert [d.status for d in (one, two)] == [OrderStatus.PARKED] * 2
        assert one.reason is not None
        assert f"swarm budget {scope} AMOUNT" in one.reason.text
        assert company.provider.requests == []
        moved = company.app.office.set_budget(scope, Decimal(5))
        assert sorted(moved) == sorted([one.id, two.id])
        for order_id in moved:
            assert (await company.halt(order_id)).status is OrderStatus.DELIVERED


async def test_raising_one_order_s_budget_moves_no_other(company: AtWork) -> None:
    one, two = await company.work(budget=TOO_SMALL), await company.work(budget=TOO_SMALL)
    assert company.app.office.set_budget(one.id, Decimal(5)) == [one.id]
    await company.halt(one.id)
    assert company.app.documents.status(two.id) is OrderStatus.PARKED


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity", "1e9"])
async def test_a_budget_that_is_no_amount_is_refused(company: AtWork, amount: str) -> None:
    with pytest.raises(InvalidInput):
        company.app.office.set_budget("company", Decimal(amount))
    with pytest.raises(InvalidInput):
        await company.place(budget=amount)


async def test_twenty_orders_side_by_side_never_pass_the_company_s_budget(opened: Open) -> None:
    play, seen = script(), list[tuple[Decimal, Decimal]]()

    def watched(request: Body) -> Body:
        budget = company.budgets()["company"]
        held = from_pico(budget["reserved_pico"])
        seen.append((from_pico(budget["spent_pico"]) + held, held))
        return play(request)

    async with opened(
        ScriptedProvider(watched), budget__company="0.03", budget__day="1000"
    ) as company:
        placed = await asyncio.gather(*(company.place() for _ in range(20)))
        halted = [await company.halt(order_id) for order_id in placed]
        spent = sum(d.receipt.model_cost.amount for d in halted)
        budget = company.budgets()["company"]
    parked = [d for d in halted if d.status is OrderStatus.PARKED]
    assert parked
    assert all(d.status in (OrderStatus.PARKED, OrderStatus.DELIVERED) for d in halted)
    assert max(total for total, _ in seen) <= Decimal("0.03")
    # The worst case of each open call is held, so several were open and none was free.
    assert max(held for _, held in seen) > Decimal("0.006")
    assert from_pico(budget["spent_pico"]) == spent <= Decimal("0.03")
    assert budget["reserved_pico"] == 0


async def test_a_role_s_own_budget_stops_its_task(opened: Open) -> None:
    role = """\
---
title: Thrifty
reports_to: ceo
summary: Spends little.
budget: 0.001
tools: [write_file, deliver]
---
You spend little.
"""
    plan = (task("Save", "thrifty"), task("Write", "marketcom"))
    async with opened(provider_of(plan), roles={"thrifty": role}) as company:
        parked = await company.work()
        rows = company.ledger(parked.id)
    assert parked.status is OrderStatus.PARKED
    assert parked.reason is not None
    assert parked.reason.kind is ReasonKind.LIMIT
    assert "in the role's file" in parked.reason.text
    assert "thrifty" not in {row["role"] for row in rows}
    assert parked.plan is not None
    assert [t.status for t in parked.plan.tasks] == ["planned", "accepted"]


async def test_a_role_s_budget_raised_in_its_file_lets_the_order_go_on(opened: Open) -> None:
    def role(amount: str) -> dict[str, str]:
        head = f"title: Thrifty\nreports_to: ceo\nsummary: Saves.\nbudget: {amount}\n"
        return {"thrifty": f"---\n{head}tools: [write_file, deliver]\n---\nYou spend little.\n"}

    provider = provider_of((task("Save", "thrifty"),))
    # Enough for the task's first call, not for its second.
    async with opened(provider, roles=role("0.0048")) as company:
        parked = await company.work()
        assert [b for b in company.provider.bodies if kind_of(b) == "work"]
        assert parked.status is OrderStatus.PARKED
    async with opened(provider, roles=role("2")) as company:
        company.app.office.resume(parked.id)
        done = await company.halt(parked.id)
    assert done.status is OrderStatus.DELIVERED


async def test_a_model_without_a_price_elsewhere_is_refused(opened: Open) -> None:
    # 192.0.2.0/24 is nobody's; a call to it would be seen as `unreachable`, not as `config`.
    settings = {"llm__model": "openai/house-7", "llm__api_base": "http://192.0.2.1:9/v1"}
    async with opened(**settings) as company:
        parked = await company.work()
    assert parked.status is OrderStatus.PARKED
    assert parked.reason is not None
    assert parked.reason.kind is ReasonKind.CONFIG
    assert "house-7" in parked.reason.text
    assert parked.receipt.calls == 0


async def test_a_model_without_a_price_that_is_allowed_is_unpriced_and_never_zero(
    opened: Open,
) -> None:
    async with opened(llm__allow_unpriced="true", llm__model="openai/house-7") as company:
        company.app.choice = replace(company.app.choice, is_own_hardware=False)
        done = await company.deliver(is_auto_signed=True)
    assert done.receipt.model_cost.status is CostStatus.UNPRICED
    assert done.receipt.calls == 7
    assert done.forecast is not None
    assert done.forecast.high is None


async def test_an_unpriced_plan_on_somebody_else_s_machine_needs_a_signature(opened: Open) -> None:
    async with opened(llm__allow_unpriced="true", llm__model="openai/house-7") as company:
        company.app.choice = replace(company.app.choice, is_own_hardware=False)
        waiting = await company.work()
        (ask,) = company.app.office.inbox()
    assert waiting.status is OrderStatus.WAITING
    assert "Model cost: unpriced" in ask.text


async def test_a_server_of_one_s_own_needs_no_price_and_no_leave(opened: Open) -> None:
    async with opened(provider_of(), llm__model="openai/house-7") as company:
        done = await company.deliver()
    assert done.receipt.model_cost.status is CostStatus.UNPRICED
