"""Nobody reviews their own work; work is sent back at most twice; colleagues help each other."""

from swarm.core.order import OrderStatus, TaskStatus
from tests.acceptance.at_work import (
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

OBJECTION = "The second criterion is not met."


async def test_work_sent_back_is_done_again_with_the_reasons(opened: Open) -> None:
    async with opened(provider_of(verdicts=["rework"])) as company:
        done = await company.deliver()
        bodies = company.asked("work")
    assert done.plan is not None
    (worked,) = done.plan.tasks
    assert (worked.status, worked.attempts) == (TaskStatus.ACCEPTED, 2)
    firsts = [prompt_of(b) for b in bodies if not called(b)]
    assert [OBJECTION in text for text in firsts] == [False, True]


async def test_the_third_objection_delivers_the_work_with_the_objection_told(opened: Open) -> None:
    async with opened(provider_of(verdicts=["rework"] * 9)) as company:
        done = await company.deliver()
        reviews, (delivery,) = company.asked("review"), company.asked("delivery")
    assert done.plan is not None
    (worked,) = done.plan.tasks
    assert (worked.status, worked.attempts) == (TaskStatus.REJECTED, 3)
    assert worked.review is not None
    assert worked.review.reasons == [OBJECTION]
    assert len(reviews) == 3
    assert f"rejected; open objections: {OBJECTION}" in prompt_of(delivery)


async def test_what_was_rejected_still_serves_the_tasks_that_need_it(opened: Open) -> None:
    plan = (task("Build it", "cto"), task("Tell of it", "marketcom", 1))
    async with opened(provider_of(plan, verdicts=["rework"] * 3)) as company:
        done = await company.deliver()
    assert done.plan is not None
    assert [t.status for t in done.plan.tasks] == [TaskStatus.REJECTED, TaskStatus.ACCEPTED]


async def test_nobody_reviews_their_own_work_not_even_the_head(opened: Open) -> None:
    plan = [task(f"Part of {role}", role) for role in ("ceo", "cto", "marketcom", "support")]
    async with opened(provider_of(plan)) as company:
        done = await company.deliver()
        reviewers = sorted(role_of(body) for body in company.asked("review"))
    assert done.plan is not None
    for worked in done.plan.tasks:
        assert worked.review is not None
        assert worked.review.reviewer != worked.role
    assert reviewers == ["ceo", "ceo", "ceo", "cto"]


async def test_the_reviewer_reads_the_deliverable_itself(opened: Open) -> None:
    provider = provider_of(content=lambda _: "Fresh bread from six in the morning.")
    async with opened(provider) as company:
        await company.deliver()
        (review,) = company.asked("review")
    assert "Fresh bread from six in the morning." in prompt_of(review)


def handing_over(*, roles: dict[str, str]) -> ScriptedProvider:
    """Return a company in which each of `roles` first gives a sub-task to its colleague."""

    def hand_over(request: Body) -> Body | None:
        colleague = roles.get(role_of(request))
        if kind_of(request) != "work" or colleague is None or "delegate" in called(request):
            return None
        words = {"role": colleague, "title": "Count", "brief": f"Count for {role_of(request)}."}
        return completion(tool_calls=[("delegate", words)], model="gpt-4o-mini")

    return first(hand_over, script())


async def test_a_colleague_does_a_sub_task_and_its_result_comes_back(opened: Open) -> None:
    async with opened(handing_over(roles={"cto": "marketcom"})) as company:
        done = await company.deliver()
        worked = company.asked("work")
        rows = company.ledger(done.id)
    colleague = [b for b in worked if role_of(b) == "marketcom"]
    assert "Count for cto." in prompt_of(colleague[0])
    back = next(b for b in worked if role_of(b) == "cto" and called(b) == ["delegate"])
    (told,) = results(back)
    assert told.startswith("marketcom is done.")
    assert "Files: result-" in told
    assert {r["role"] for r in rows if r["task_id"] == "t1"} == {"ceo", "cto", "marketcom"}


async def test_hand_overs_end_at_the_depth_limit_and_the_work_is_done_all_the_same(
    opened: Open,
) -> None:
    provider = handing_over(roles={"cto": "marketcom", "marketcom": "cto"})
    async with opened(provider, limits__depth="2") as company:
        done = await company.deliver()
        nodes = {row["node"] for row in company.ledger(done.id) if row["task_id"]}
        told = [text for b in company.asked("work") for text in results(b)]
    assert max(node.count("/d") for node in nodes) == 2
    assert any("hand-overs nest at most 2 deep" in text for text in told)


async def test_hand_overs_end_at_their_number(opened: Open) -> None:
    provider = handing_over(roles={"cto": "marketcom", "marketcom": "support"})
    async with opened(provider, limits__delegations="1") as company:
        await company.deliver()
        roles = [role_of(b) for b in company.asked("work")]
    assert "support" not in roles
    assert "marketcom" in roles


async def test_a_colleague_s_question_waits_as_the_task_s_own(opened: Open) -> None:
    def ask(request: Body) -> Body | None:
        if role_of(request) != "marketcom" or called(request):
            return None
        return completion(tool_calls=[("ask_founder", {"question": "Whom?"})], model="gpt-4o-mini")

    provider = first(ask, handing_over(roles={"cto": "marketcom"}).script)
    async with opened(provider) as company:
        waiting = await company.work()
        assert [(q.text, q.asked_by) for q in waiting.questions] == [("Whom?", "marketcom")]
        company.app.office.answer(waiting.id, "Neighbours.", by="ada")
        done = await company.halt(waiting.id)
        bodies = company.provider.bodies
    assert done.status is OrderStatus.DELIVERED
    assert len({str(body) for body in bodies}) == len(bodies)
