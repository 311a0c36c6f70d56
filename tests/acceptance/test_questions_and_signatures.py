"""Where the founder is asked: questions, signatures, refusals; each acts once."""

import pytest

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.order import OrderStatus
from tests.acceptance.at_work import (
    AtWork,
    called,
    first,
    kind_of,
    prompt_of,
    provider_of,
    results,
    role_of,
    script,
    task,
)
from tests.acceptance.conftest import Open
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, completion

ASKS = ["Which bakery?", "Who reads it?"]
CHEAP_TO_SIGN = {"budget__sign_above": "0.001"}
"""Every plan's forecast is above it."""


async def test_an_order_with_questions_waits_and_the_answers_reach_the_plan(opened: Open) -> None:
    async with opened(provider_of(questions=ASKS)) as company:
        waiting = await company.work()
        assert waiting.status is OrderStatus.WAITING
        assert [(q.text, q.answer) for q in waiting.questions] == [(text, None) for text in ASKS]
        assert company.asked("plan") == []
        company.app.office.answer(waiting.id, "The one in Pantin.", by="ada")
        done = await company.halt(waiting.id)
        plan = prompt_of(company.asked("plan")[0])
    assert done.status is OrderStatus.DELIVERED
    assert [q.answer for q in done.questions] == ["The one in Pantin."] * 2
    assert "Which bakery?\n  Answer: The one in Pantin." in plan


async def test_an_order_waits_until_its_last_question_is_answered(opened: Open) -> None:
    async with opened(provider_of(questions=ASKS)) as company:
        waiting = await company.work()
        one, two = waiting.questions
        company.app.office.answer(one.id, "Pantin.", by="ada")
        assert company.app.documents.status(waiting.id) is OrderStatus.WAITING
        company.app.office.answer(two.id, "Neighbours.", by="ada")
        done = await company.halt(waiting.id)
    assert done.status is OrderStatus.DELIVERED
    assert [q.answer for q in done.questions] == ["Pantin.", "Neighbours."]


async def test_a_question_is_answered_once(opened: Open) -> None:
    async with opened(provider_of(questions=ASKS)) as company:
        waiting = await company.work()
        question = waiting.questions[0].id
        company.app.office.answer(question, "Pantin.", by="ada")
        with pytest.raises(Conflict, match="already answered"):
            company.app.office.answer(question, "Lyon.", by="bob")
        shown = company.app.documents.order(waiting.id)
    assert shown.questions[0].answer == "Pantin."


async def test_an_empty_answer_or_one_to_nothing_changes_nothing(opened: Open) -> None:
    async with opened(provider_of(questions=ASKS)) as company:
        waiting = await company.work()
        with pytest.raises(InvalidInput):
            company.app.office.answer(waiting.id, " \n\t", by="ada")
        with pytest.raises(NotFound):
            company.app.office.answer("o-never", "Pantin.", by="ada")
        with pytest.raises(Conflict):
            company.app.office.approve(waiting.id, by="ada")
        assert company.app.documents.order(waiting.id).questions == waiting.questions


async def test_ordered_with_yes_nobody_is_asked(opened: Open) -> None:
    async with opened(provider_of(questions=ASKS), **CHEAP_TO_SIGN) as company:
        done = await company.deliver(is_auto_signed=True)
        plan = prompt_of(company.asked("plan")[0])
        assert company.app.office.inbox() == []
    assert "decide yourself" in plan
    assert done.receipt.founder_s == 0


async def test_a_plan_above_the_threshold_waits_for_a_signature_and_goes_on_with_it(
    opened: Open,
) -> None:
    async with opened(provider_of(), **CHEAP_TO_SIGN) as company:
        waiting = await company.work()
        assert waiting.status is OrderStatus.WAITING
        assert company.asked("work") == []
        (ask,) = company.app.office.inbox()
        assert (ask.kind, ask.asked_by, ask.order_id) == ("approval", "ceo", waiting.id)
        assert "t1 cto: Write the page" in ask.text
        company.app.office.approve(waiting.id, by="ada")
        done = await company.halt(waiting.id)
        requests = len(company.provider.requests)
        assert company.app.office.inbox() == []
    assert done.status is OrderStatus.DELIVERED
    assert done.receipt.calls == requests == 7
    assert done.receipt.founder_s > 0


async def test_a_plan_below_the_threshold_asks_nobody(opened: Open) -> None:
    async with opened(provider_of(), budget__sign_above="5") as company:
        await company.deliver()
        assert company.app.office.inbox() == []


async def test_a_rejected_plan_is_made_anew_with_the_reason_in_its_prompt(opened: Open) -> None:
    async with opened(provider_of(), **CHEAP_TO_SIGN) as company:
        waiting = await company.work()
        company.app.office.reject(waiting.id, "No page: a poster.", by="ada")
        again = await company.halt(waiting.id)
        one, two = company.asked("plan")
        assert company.asked("work") == []
        assert len(company.asked("frame")) == 1
    assert again.status is OrderStatus.WAITING
    assert again.plan is not None
    assert again.plan.revision == 1
    assert "No page: a poster." not in prompt_of(one)
    assert "No page: a poster." in prompt_of(two)


async def test_only_the_newest_revision_of_a_plan_can_be_approved(opened: Open) -> None:
    async with opened(provider_of(), **CHEAP_TO_SIGN) as company:
        office = company.app.office
        waiting = await company.work()
        (old,) = office.inbox()
        office.reject(waiting.id, "No page: a poster.", by="ada")
        await company.halt(waiting.id)
        with pytest.raises(Conflict, match="nothing was changed"):
            office.approve(old.id, by="bob")
        assert company.app.documents.status(waiting.id) is OrderStatus.WAITING
        assert company.asked("work") == []
        (new,) = office.inbox()
        assert "revision 2" in new.text
        office.approve(new.id, by="ada")
        done = await company.halt(waiting.id)
    assert done.status is OrderStatus.DELIVERED


async def test_a_signature_given_twice_acts_once(opened: Open) -> None:
    async with opened(provider_of(), **CHEAP_TO_SIGN) as company:
        waiting = await company.work()
        (ask,) = company.app.office.inbox()
        company.app.office.approve(ask.id, by="ada")
        with pytest.raises(Conflict):
            company.app.office.approve(ask.id, by="ada")
        done = await company.halt(waiting.id)
        assert len(company.provider.requests) == done.receipt.calls == 7


async def test_a_rejection_needs_a_reason(opened: Open) -> None:
    async with opened(provider_of(), **CHEAP_TO_SIGN) as company:
        waiting = await company.work()
        with pytest.raises(InvalidInput, match="why"):
            company.app.office.reject(waiting.id, "  ", by="ada")
        assert company.app.documents.status(waiting.id) is OrderStatus.WAITING


async def test_a_rejected_delivery_is_worked_again_under_the_correction(company: AtWork) -> None:
    done = await company.deliver()
    company.app.office.reject(done.id, "Too long.", by="ada")
    again = await company.halt(done.id)
    assert again.status is OrderStatus.DELIVERED
    assert again.plan is not None
    assert again.plan.revision == 1
    assert "Too long." in prompt_of(company.asked("work")[-1])
    assert again.receipt.calls == len(company.provider.requests) == 13


async def test_a_delivered_order_is_accepted_once_and_by_name(company: AtWork) -> None:
    done = await company.deliver()
    company.app.office.accept(done.id, by="ada")
    assert company.app.documents.order(done.id).accepted_by == "ada"
    with pytest.raises(Conflict, match="already accepted by ada"):
        company.app.office.accept(done.id, by="bob")


def asking(*, options: tuple[str, ...] = ()) -> ScriptedProvider:
    """Return a company in which the CTO asks the founder once before the work."""

    def ask(request: Body) -> Body | None:
        if kind_of(request) != "work" or role_of(request) != "cto" or called(request):
            return None
        words = {"question": "Which colour?", "options": list(options)}
        return completion(tool_calls=[("ask_founder", words)], model="gpt-4o-mini")

    return first(ask, script((task("Draw it", "cto"), task("Announce it", "marketcom"))))


async def test_a_question_within_a_task_parks_that_task_alone(opened: Open) -> None:
    async with opened(asking()) as company:
        waiting = await company.work()
    assert waiting.status is OrderStatus.WAITING
    assert waiting.plan is not None
    assert [t.status for t in waiting.plan.tasks] == ["waiting", "accepted"]
    assert [(q.text, q.asked_by) for q in waiting.questions] == [("Which colour?", "cto")]


async def test_the_answer_resumes_the_task_and_repeats_no_model_call(opened: Open) -> None:
    async with opened(asking()) as company:
        waiting = await company.work()
        before = len(company.provider.requests)
        company.app.office.answer(waiting.questions[0].id, "Ochre.", by="ada")
        done = await company.halt(waiting.id)
        bodies, rows = company.provider.bodies, company.ledger(waiting.id)
    drawn = [b for b in bodies if kind_of(b) == "work" and role_of(b) == "cto"]
    assert done.status is OrderStatus.DELIVERED
    # Write, deliver, say so; review; the final answer.
    assert len(bodies) - before == 5
    assert len({str(body) for body in bodies}) == len(bodies)
    assert {row["attempt"] for row in rows} == {1}
    assert results(drawn[1]) == ["The founder answered: Ochre."]


async def test_the_founder_chooses_one_of_the_options(opened: Open) -> None:
    async with opened(asking(options=("Ochre", "Teal"))) as company:
        waiting = await company.work()
        question = waiting.questions[0]
        assert question.options == ["Ochre", "Teal"]
        with pytest.raises(InvalidInput, match="choose 1 to 2"):
            company.app.office.choose(question.id, 3, by="ada")
        company.app.office.choose(question.id, 2, by="ada")
        done = await company.halt(waiting.id)
    assert done.status is OrderStatus.DELIVERED
    assert done.questions[0].answer == "Teal"


async def test_ordered_with_yes_a_task_asks_nobody_either(opened: Open) -> None:
    async with opened(asking()) as company:
        await company.deliver(is_auto_signed=True)
        assert company.app.office.inbox() == []
        drawn = [b for b in company.asked("work") if role_of(b) == "cto"]
    assert "decide yourself" in results(drawn[1])[0]
