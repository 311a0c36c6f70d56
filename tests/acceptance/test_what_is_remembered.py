"""Later orders know of earlier ones, and of what the founder corrected."""

from swarm.core.order import OrderStatus
from tests.acceptance.at_work import AtWork, prompt_of, provider_of
from tests.acceptance.conftest import Open
from tests.servers.replies import Reply, completion

POSTER = "Write a poster for the bakery in Pantin."


async def test_a_later_order_is_framed_with_the_earlier_one_and_the_founder_s_correction(
    company: AtWork,
) -> None:
    one = await company.deliver("Write a launch page for the bakery.")
    company.app.office.reject(one.id, "Never call our bakery artisanal.", by="ada")
    assert (await company.halt(one.id)).status is OrderStatus.DELIVERED
    await company.deliver(POSTER)
    frames = company.asked("frame")
    framed, planned = prompt_of(frames[-1]), prompt_of(company.asked("plan")[-1])
    assert len(frames) == 2
    assert 'Order "Write a launch page for the bakery."' in framed
    assert "Never call our bakery artisanal." in framed
    assert "Never call our bakery artisanal." in planned
    assert "What the company remembers" not in prompt_of(frames[0])


async def test_an_answer_and_a_choice_of_the_founder_are_remembered(opened: Open) -> None:
    async with opened(provider_of(questions=["Which bakery?"])) as company:
        waiting = await company.work()
        company.app.office.answer(waiting.id, "The bakery in Pantin.", by="ada")
        await company.halt(waiting.id)
        await company.work(POSTER)
        framed = prompt_of(company.asked("frame")[-1])
    assert "Asked, the founder answered: The bakery in Pantin." in framed


async def test_what_was_forgotten_is_not_recalled(company: AtWork) -> None:
    await company.deliver("Write a launch page for the bakery.")
    for item in company.app.memory.list():
        company.app.memory.forget(item.id)
    await company.deliver(POSTER)
    assert "What the company remembers" not in prompt_of(company.asked("frame")[-1])


async def test_an_order_does_not_remember_itself(opened: Open) -> None:
    provider = provider_of()
    provider.faults = {n: Reply(completion(document={}, model="gpt-4o-mini")) for n in (1, 2)}
    async with opened(provider) as company:
        failed = await company.work(POSTER)
        assert failed.status is OrderStatus.FAILED
        assert [m.order_id for m in company.app.memory.list()] == [failed.id]
        company.app.office.resume(failed.id)
        await company.halt(failed.id)
        framed = prompt_of(company.asked("frame")[-1])
    assert "What the company remembers" not in framed
