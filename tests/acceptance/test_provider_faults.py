"""Whatever a provider does, an order ends in a defined state and goes on once the fault is gone."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarm.core.document import OrderDocument
from swarm.core.money import CostStatus
from swarm.core.order import OrderStatus, ReasonKind
from tests.acceptance.at_work import AtWork, kind_of, provider_of, script
from tests.acceptance.conftest import Open
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply, completion, error

MODEL = "gpt-4o-mini"
QUIET = {"llm__max_attempts": "5", "llm__backoff_s": "0"}


class Faulty:
    """A company's script that answers one kind of request wrongly until it is mended."""

    def __init__(self, kind: str, wrong: Callable[[Body], Body | Reply]) -> None:
        self.is_mended = False
        self._kind = kind
        self._wrong = wrong
        self._play = script()

    def __call__(self, request: Body) -> Body | Reply:
        if not self.is_mended and kind_of(request) == self._kind:
            return self._wrong(request)
        return self._play(request)


async def after_resume(company: AtWork, halted: OrderDocument) -> OrderDocument:
    play = company.provider.script
    assert isinstance(play, Faulty)
    play.is_mended = True
    company.app.office.resume(halted.id)
    return await company.halt(halted.id)


@pytest.mark.parametrize("kind", ["frame", "work"])
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_of_key_rights_or_model_parks_until_somebody_mends_it(
    opened: Open, status: int, kind: str
) -> None:
    faulty = Faulty(kind, lambda _: Reply(error("No."), status=status))
    async with opened(ScriptedProvider(faulty)) as company:
        parked = await company.work()
        asked = len(company.asked(kind))
        done = await after_resume(company, parked)
    assert parked.status is OrderStatus.PARKED
    assert parked.reason is not None
    assert parked.reason.kind is ReasonKind.CONFIG
    assert "swarm resume" in parked.reason.text
    assert asked == 1
    assert done.status is OrderStatus.DELIVERED


async def test_a_provider_that_asks_for_a_pause_gets_it_and_the_order_goes_on(
    opened: Open,
) -> None:
    provider = provider_of()
    provider.faults = {1: Reply(error("Slow down."), status=429, headers={"Retry-After": "0.3"})}
    loop = asyncio.get_running_loop()
    times: list[float] = []
    play = provider.script

    def timed(request: Body) -> Body | Reply:
        times.append(loop.time())
        return play(request)

    provider.script = timed
    async with opened(provider) as company:
        started = loop.time()
        done = await company.deliver()
        rows = [r for r in company.ledger(done.id) if r["node"].startswith("frame")]
    assert [(r["attempt"], r["state"], r["error_kind"]) for r in rows] == [
        (1, "failed", "rate_limited"),
        (2, "used", None),
    ]
    assert times[0] - started >= 0.3
    assert done.receipt.calls == 8
    assert done.receipt.model_cost.status is CostStatus.PAID


async def test_a_pause_longer_than_allowed_parks_the_order(opened: Open) -> None:
    wait = Reply(error("Tomorrow."), status=429, headers={"Retry-After": "86400"})
    async with opened(ScriptedProvider(Faulty("work", lambda _: wait))) as company:
        parked = await company.work()
        asked = len(company.asked("work"))
        done = await after_resume(company, parked)
    assert parked.status is OrderStatus.PARKED
    assert parked.reason is not None
    assert parked.reason.kind is ReasonKind.PROVIDER
    assert asked == 1
    assert done.status is OrderStatus.DELIVERED


@pytest.mark.parametrize("kind", ["plan", "work", "review", "delivery"])
async def test_a_provider_that_fails_five_times_parks_the_order_and_resume_goes_on(
    opened: Open, kind: str
) -> None:
    faulty = Faulty(kind, lambda _: Reply(error("Oops."), status=500))
    async with opened(ScriptedProvider(faulty), **QUIET) as company:
        parked = await company.work()
        failed = [r for r in company.ledger(parked.id) if r["state"] == "failed"]
        before = [r for r in company.ledger(parked.id) if r["state"] == "used"]
        done = await after_resume(company, parked)
        used = [r for r in company.ledger(parked.id) if r["state"] == "used"]
    assert parked.status is OrderStatus.PARKED
    assert parked.reason is not None
    assert parked.reason.kind is ReasonKind.PROVIDER
    assert [(r["attempt"], r["error_kind"]) for r in failed] == [
        (n, "server_error") for n in range(1, 6)
    ]
    assert done.status is OrderStatus.DELIVERED
    # What was answered before the fault was not asked again.
    assert used[: len(before)] == before
    assert len(used) == 7


async def test_the_fallback_model_takes_over_where_the_first_one_fails(opened: Open) -> None:
    play = script()

    def fall(request: Body) -> Body | Reply:
        is_down = request["model"] == MODEL
        return Reply(error("Oops."), status=500) if is_down else play(request)

    async with opened(
        ScriptedProvider(fall), llm__fallback="openai/gpt-4.1-mini", llm__max_attempts="2"
    ) as company:
        done = await company.deliver()
        rows = company.ledger(done.id)
    used = [r for r in rows if r["state"] == "used"]
    assert {r["model"] for r in used} == {"openai/gpt-4.1-mini"}
    assert {r["price_id"] for r in used} == {used[0]["price_id"]}
    assert "4.1-mini" in used[0]["price_id"]
    assert len([r for r in rows if r["state"] == "failed"]) == 2 * len(used) == 14


@dataclass(frozen=True)
class Case:
    """A way to answer that is of no use, and how the order must stand then."""

    kind: str
    wrong: Callable[[Body], Body | Reply]
    status: OrderStatus
    reason: ReasonKind
    asked: int
    """How often the model is asked before the order halts."""


def writes(path: str, *, content: str = "Half.", **more: str) -> Body:
    words = {"path": path, "content": content}
    return completion(tool_calls=[("write_file", words)], model=MODEL, **more)


def half_a_call(_: Body) -> Body:
    cut = '{"path": "half.md", "content": "Hal'
    return completion(tool_calls=[("write_file", cut)], model=MODEL, stop="length")


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


FAILED = OrderStatus.FAILED
WORK = ReasonKind.WORK
CASES = {
    "frame: bytes that are no JSON": Case(
        "frame", lambda _: Reply(b"<html>gateway</html>"), FAILED, WORK, 2
    ),
    "frame: no choices": Case("frame", lambda _: {"choices": [], "model": MODEL}, FAILED, WORK, 2),
    "frame: empty": Case("frame", lambda _: completion(text="", model=MODEL), FAILED, WORK, 2),
    "frame: words": Case("frame", lambda _: completion(text="Sure!", model=MODEL), FAILED, WORK, 2),
    "frame: another schema": Case(
        "frame", lambda _: completion(document={"aim": 1}, model=MODEL), FAILED, WORK, 2
    ),
    "frame: a list": Case(
        "frame", lambda _: completion(document=[1], model=MODEL), FAILED, WORK, 2
    ),
    "frame: cut at the token limit": Case(
        "frame", lambda _: completion(text='{"goal": "A', stop="length", model=MODEL), FAILED, WORK, 2
    ),
    "frame: refusal": Case(
        "frame", lambda _: completion(refusal="I cannot.", model=MODEL), FAILED, WORK, 1
    ),
    "frame: content filter": Case(
        "frame", lambda _: completion(text="", stop="content_filter", model=MODEL), FAILED, WORK, 1
    ),
    "plan: nobody has that role": Case(
        "plan",
        lambda _: completion(
            document={
                "approach": "A.",
                "tasks": [
                    {"title": "T", "role": "cfo", "brief": "B", "depends_on": [],
                     "deliverable": "D", "human_hours": 1}
                ],
            },
            model=MODEL,
        ),
        FAILED, WORK, 2,
    ),
    "plan: no task": Case(
        "plan",
        lambda _: completion(document={"approach": "A.", "tasks": []}, model=MODEL),
        FAILED, WORK, 2,
    ),
    "work: bytes that are no JSON": Case("work", lambda _: Reply(b"{"), FAILED, WORK, 2),
    "work: empty": Case("work", lambda _: completion(text="", model=MODEL), FAILED, WORK, 2),
    "work: refusal": Case(
        "work", lambda _: completion(refusal="I cannot.", model=MODEL), FAILED, WORK, 1
    ),
    "work: content filter": Case(
        "work", lambda _: completion(text="", stop="content_filter", model=MODEL), FAILED, WORK, 1
    ),
    "work: half a call": Case("work", half_a_call, FAILED, WORK, 2),
    "work: a whole call in a cut answer": Case(
        "work", lambda _: writes("half.md", stop="length"), FAILED, WORK, 2
    ),
    "work: a tool that does not exist": Case(
        "work", lambda _: completion(tool_calls=[("shel", {"run": "ls"})], model=MODEL), FAILED, WORK, 2
    ),
    "work: arguments that are no JSON": Case(
        "work", lambda _: completion(tool_calls=[("write_file", "path=a")], model=MODEL), FAILED, WORK, 2
    ),
    "work: arguments of another schema": Case(
        "work", lambda _: completion(tool_calls=[("write_file", {"file": 1})], model=MODEL), FAILED, WORK, 2
    ),
    "work: a path out of the workspace": Case(
        "work", lambda _: writes("../../escaped.md"), FAILED, WORK, 2
    ),
    "review: words": Case("review", lambda _: completion(text="Good.", model=MODEL), FAILED, WORK, 2),
    "review: objection without a reason": Case(
        "review",
        lambda _: completion(document={"verdict": "rework", "reasons": []}, model=MODEL),
        FAILED, WORK, 2,
    ),
    "delivery: refusal": Case(
        "delivery", lambda _: completion(refusal="I cannot.", model=MODEL), FAILED, WORK, 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_an_unusable_answer_stops_the_order_in_a_defined_state_and_loses_nothing(
    opened: Open, name: str
) -> None:
    case = CASES[name]
    faulty = Faulty(case.kind, case.wrong)
    async with opened(ScriptedProvider(faulty)) as company:
        halted = await company.work()
        asked, rows = len(company.asked(case.kind)), company.ledger(halted.id)
        written = files_below(Path(halted.workspace).parents[2])
        done = await after_resume(company, halted)
    assert (halted.status, halted.reason and halted.reason.kind) == (case.status, case.reason)
    assert asked == case.asked
    assert len(rows) == halted.receipt.calls
    assert not {"half.md", "escaped.md"} & written
    assert done.status is OrderStatus.DELIVERED
    assert done.receipt.calls > halted.receipt.calls


@pytest.mark.parametrize("size", [1_000_000, 6_000_000])
async def test_arguments_of_a_megabyte_are_written_or_refused_in_words(
    opened: Open, size: int
) -> None:
    huge = "x" * size

    def write(request: Body) -> Body | Reply:
        is_new = not any(m["role"] == "tool" for m in request["messages"])
        return writes("huge.md", content=huge) if is_new else script()(request)

    async with opened(ScriptedProvider(Faulty("work", write)), budget__order="1000") as company:
        halted = await company.work(is_auto_signed=True)
    assert halted.status in (OrderStatus.DELIVERED, OrderStatus.FAILED, OrderStatus.PARKED)
    assert halted.reason is None or halted.reason.text


async def test_one_unusable_answer_is_told_to_the_model_and_mended(opened: Open) -> None:
    provider = provider_of()
    provider.faults = {
        1: Reply(completion(document={"aim": 1}, model=MODEL)),
        5: Reply(completion(tool_calls=[("shel", {})], model=MODEL)),
    }
    async with opened(provider) as company:
        done = await company.deliver()
        bodies = company.provider.bodies
    assert "not a valid frame document" in str(bodies[1]["messages"][-1]["content"])
    assert "there is no tool 'shel'" in str(bodies[5]["messages"][-1]["content"])
    assert done.receipt.calls == 9


async def test_an_answer_without_usage_is_unpriced_and_never_zero(opened: Open) -> None:
    play = script()

    def silent(request: Body) -> Body:
        answer = play(request)
        if kind_of(request) == "work":
            del answer["usage"]
        return answer

    async with opened(ScriptedProvider(silent)) as company:
        done = await company.deliver()
        rows = [r for r in company.ledger(done.id) if r["task_id"] and r["role"] == "cto"]
    assert {r["cost_status"] for r in rows} == {"unpriced"}
    assert {r["input_tokens"] for r in rows} == {None}
    assert done.receipt.model_cost.status is CostStatus.UNPRICED
    assert done.receipt.model_cost.amount > 0
    lines = {line.role: line.status for line in done.receipt.by_role}
    assert lines == {"ceo": CostStatus.PAID, "cto": CostStatus.UNPRICED}


async def test_a_cut_answer_may_be_billed_so_the_total_is_a_lower_bound(opened: Open) -> None:
    provider = provider_of()
    provider.faults = {3: Reply(cut_after=40)}
    async with opened(provider) as company:
        done = await company.deliver()
        (failed,) = (r for r in company.ledger(done.id) if r["state"] == "failed")
        budget = company.budgets()[f"order:{done.id}"]
    assert failed["error_kind"] == "cut"
    assert failed["cost_status"] == "unpriced"
    assert done.receipt.model_cost.status is CostStatus.UNPRICED
    assert budget["reserved_pico"] == 0


async def test_a_provider_nobody_answers_for_parks_the_order(opened: Open) -> None:
    provider = provider_of()
    async with opened(provider, llm__max_attempts="2") as company:
        await provider.stop()
        parked = await company.work()
        await provider.start()
        company.app.office.resume(parked.id)
        done = await company.halt(parked.id)
    assert parked.status is OrderStatus.PARKED
    assert parked.reason is not None
    assert parked.reason.kind is ReasonKind.PROVIDER
    assert done.status is OrderStatus.DELIVERED


async def test_a_silent_provider_parks_the_order(opened: Open) -> None:
    stall = Faulty("frame", lambda _: Reply(completion(text="x"), stall_after=5))
    settings = {"llm__idle_timeout_s": "0.2", "llm__max_attempts": "2"}
    async with opened(ScriptedProvider(stall), **settings) as company:
        parked = await company.work()
        done = await after_resume(company, parked)
    assert parked.status is OrderStatus.PARKED
    assert parked.reason is not None
    assert parked.reason.kind is ReasonKind.PROVIDER
    assert done.status is OrderStatus.DELIVERED
