"""A tool call passes the policy first, happens at most once, and is told in words if it cannot."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa

from swarm.agents.agent import Agent, Blocked, Done, Failure, Limits
from swarm.agents.hands import Hands, Rules
from swarm.agents.turns import Handed
from swarm.core.chat import Completion, StopReason
from swarm.core.clock import SystemClock
from swarm.core.errors import BadAnswer, LimitExceeded, ToolError
from swarm.core.mark import CLEAN, Mark
from swarm.core.role import Role
from swarm.ledger.effects import Actor, EffectBook
from swarm.ledger.labels import LabelBook
from swarm.store.database import Store
from swarm.store.tables import effects, orders, tasks
from swarm.tools.base import Arguments, AskPerson, Effect, Handoff, ToolContext, ToolResult
from swarm.tools.policy import PolicyConfig
from tests.agents.asked import CALLER, ROLE, Scripted, calls, said, user
from tests.agents.clocks import MovableClock
from tests.store import empty


class Words(Arguments):
    text: str = ""


class Recorder:
    """A tool that does what the test says and counts how often."""

    name: ClassVar[str] = "record"
    description: ClassVar[str] = "Record."
    effect: ClassVar[Effect] = Effect.WRITE_WORKSPACE
    Args: ClassVar[type[Arguments]] = Words

    def __init__(self, made: Any = None) -> None:
        self.made = made or ToolResult("recorded")
        self.texts: list[str] = []

    async def run(self, args: Any, context: ToolContext) -> Any:
        self.texts.append(args.text)
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


class Sender(Recorder):
    """A tool whose effect leaves the company."""

    name: ClassVar[str] = "send"
    effect: ClassVar[Effect] = Effect.MESSAGE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a database with one order at work, in the hands of `CALLER`."""
    store = empty.store(tmp_path)
    order = {
        "id": "o1", "created_at": "", "channel": "c", "account": "", "update_id": "u",
        "chat_id": "", "sender_id": "", "status": "working", "segment": 0, "owner": "r0",
        "is_auto_signed": False, "state": "{}",
    }  # fmt: skip
    task = {"order_id": "o1", "task_id": "t1", "segment": 0, "owner": CALLER.token, "state": "{}"}
    store.write(lambda c: (c.execute(orders.insert(), order), c.execute(tasks.insert(), task)))
    yield store
    store.close()


class Bench:
    """Makes hands and agents that share one database, as two runs of one task do."""

    def __init__(self, store: Store, workspace: Path) -> None:
        self.store = store
        self.workspace = workspace
        self.clock = MovableClock()
        self.labels = LabelBook(store=store, clock=self.clock)
        self.delegated: list[tuple[Handoff, str]] = []
        self.colleagues_mark = CLEAN
        workspace.mkdir()

    def hands(
        self,
        *tools: Any,
        role: Role | None = None,
        answers: Mapping[tuple[str, int], str] | None = None,
        default_answer: str | None = None,
        policy: PolicyConfig | None = None,
        mark: Mark = CLEAN,
        founder_words: str = "",
        max_handoffs: int = 20,
    ) -> Hands:
        async def delegate(handoff: Handoff, node: str, mark: Mark) -> Handed:
            self.delegated.append((handoff, node))
            return Handed("done by a colleague", mark.joined(self.colleagues_mark))

        names = tuple(tool.name for tool in tools)
        return Hands(
            role=role or ROLE.model_copy(update={"tools": names}),
            tools={tool.name: tool for tool in tools},
            context=ToolContext(self.workspace, role="cto", task_id="t1", order_id="o1"),
            node="t1/0.0/w0",
            actor=Actor(CALLER, "console:1", "0" * 64),
            effects=EffectBook(store=self.store, clock=self.clock),
            rules=Rules(policy or PolicyConfig(), self.labels, max_handoffs),
            answers=answers or {},
            delegate=delegate,
            founder_words=founder_words,
            mark=mark,
            default_answer=default_answer,
        )

    def agent(self, scripted: Scripted, hands: Hands, *, steps: int = 8) -> Agent:
        limits = Limits(steps=steps, seconds=60)
        return Agent(mind=scripted.mind, hands=hands, limits=limits, clock=SystemClock())

    def rows(self) -> list[dict[str, Any]]:
        query = sa.select(effects).order_by(effects.c.seq, effects.c.position)
        return [dict(r) for r in self.store.read(lambda c: c.execute(query).mappings().all())]


@pytest.fixture
def bench(store: Store, tmp_path: Path) -> Bench:
    return Bench(store, tmp_path / "workspace")


def one(arguments: str = '{"text": "a"}', name: str = "record") -> Completion:
    return calls((name, arguments))


async def test_a_call_on_the_books_is_never_made_again(bench: Bench) -> None:
    tool = Recorder()
    first = await bench.hands(tool).act(0, one().tool_calls)
    second = await bench.hands(tool).act(0, one().tool_calls)
    assert tool.texts == ["a"]
    assert first.results == second.results
    assert len(bench.rows()) == 1


async def test_the_same_words_at_another_step_are_another_call(bench: Bench) -> None:
    tool = Recorder()
    hands = bench.hands(tool)
    await hands.act(0, calls(("record", '{"text": "a"}'), ("record", '{"text": "a"}')).tool_calls)
    await hands.act(1, one().tool_calls)
    assert tool.texts == ["a"] * 3


async def test_an_effect_that_leaves_the_company_does_not_happen_without_leave(
    bench: Bench,
) -> None:
    tool = Sender()
    turn = await bench.hands(tool).act(0, one(name="send").tool_calls)
    assert tool.texts == []
    assert [r.position for r in turn.requests] == [0]
    assert bench.rows() == []


async def test_a_tool_that_the_role_does_not_declare_is_denied(bench: Bench) -> None:
    tool = Recorder()
    hands = bench.hands(tool, role=ROLE)
    turn = await hands.act(0, one().tool_calls)
    assert tool.texts == []
    assert turn.has_fault
    assert bench.rows()[0]["decision"] == "deny"


@pytest.mark.parametrize(
    "completion",
    [one(name="recrod"), one("no json"), one("[]"), one('{"txt": "a"}'), one('{"text": 1}')],
)
async def test_a_call_that_fits_no_tool_is_told_and_does_nothing(
    bench: Bench, completion: Completion
) -> None:
    tool = Recorder()
    turn = await bench.hands(tool).act(0, completion.tool_calls)
    assert tool.texts == []
    assert turn.has_fault
    assert turn.results[0].content


async def test_what_a_tool_refuses_is_told_in_its_own_words(bench: Bench) -> None:
    turn = await bench.hands(Recorder(ToolError("too long"))).act(0, one().tool_calls)
    assert [r.content for r in turn.results] == ["too long"]
    assert turn.has_fault


async def test_calls_after_a_question_wait_with_it(bench: Bench) -> None:
    ask, tool = Recorder(AskPerson("Which?")), Sender()
    ask_role = ROLE.model_copy(update={"tools": ("record", "send")})
    both = calls(("record", "{}"), ("send", "{}")).tool_calls
    turn = await bench.hands(ask, tool, role=ask_role).act(0, both)
    assert turn.blocked == AskPerson("Which?")
    assert bench.rows() == []
    answers = {(turn.ask_node, 0): "This."}
    again = await bench.hands(ask, tool, role=ask_role, answers=answers).act(0, both)
    assert again.blocked is None
    assert [r.position for r in again.requests] == [1]
    assert [row["tool"] for row in bench.rows()] == ["record"]
    assert "The founder answered: This." in bench.rows()[0]["result"]


async def test_where_nobody_may_be_asked_the_default_answers(bench: Bench) -> None:
    hands = bench.hands(Recorder(AskPerson("Which?")), default_answer="Decide yourself.")
    turn = await hands.act(0, one().tool_calls)
    assert [r.content for r in turn.results] == ["Decide yourself."]


async def test_a_hand_over_goes_to_the_colleague_under_a_name_of_its_own(bench: Bench) -> None:
    hands = bench.hands(Recorder(Handoff("support", "Count", "Count all.")))
    turn = await hands.act(3, one().tool_calls)
    assert [r.content for r in turn.results] == ["done by a colleague"]
    assert [node for _, node in bench.delegated] == ["t1/0.0/w0/d3.0"]


async def test_an_agent_ends_with_what_it_declared_delivered(bench: Bench) -> None:
    (bench.workspace / "page.md").write_text("x")
    tool = Recorder(ToolResult("delivered it", delivered=("page.md",)))
    scripted = Scripted([one(), said("Done.")])
    outcome = await bench.agent(scripted, bench.hands(tool)).run(user("Go."), title="Page")
    assert outcome == Done(summary="Done.", files=("page.md",))


async def test_words_alone_become_the_deliverable(bench: Bench) -> None:
    scripted = Scripted([said("Fresh bread.")])
    outcome = await bench.agent(scripted, bench.hands(Recorder())).run(user("Go."), title="A page")
    assert outcome == Done(summary="Fresh bread.", files=("t1-a-page.md",))
    assert (bench.workspace / "t1-a-page.md").read_text() == "Fresh bread.\n"


async def test_calls_of_a_cut_answer_are_not_carried_out(bench: Bench) -> None:
    tool = Recorder()
    cut = calls(("record", '{"text": "ha'), stop=StopReason.LENGTH)
    whole = calls(("record", '{"text": "half"}'), stop=StopReason.LENGTH)
    outcome = await bench.agent(Scripted([cut, whole]), bench.hands(tool)).run(
        user("Go."), title="x"
    )
    assert isinstance(outcome, Failure)
    assert tool.texts == []
    assert bench.rows() == []


@pytest.mark.parametrize("stop", [StopReason.REFUSAL, StopReason.CONTENT_FILTER])
async def test_calls_beside_a_refusal_are_not_carried_out(bench: Bench, stop: StopReason) -> None:
    tool = Recorder()
    refused = calls(("record", '{"text": "a"}'), stop=stop)
    outcome = await bench.agent(Scripted([refused]), bench.hands(tool)).run(user("Go."), title="x")
    assert isinstance(outcome, Failure)
    assert tool.texts == []


async def test_a_fault_is_told_once_and_the_second_in_a_row_ends_the_attempt(bench: Bench) -> None:
    bad, good = one("no json"), one()
    mended = Scripted([bad, good, bad, said("Done.")])
    outcome = await bench.agent(mended, bench.hands(Recorder())).run(user("Go."), title="x")
    assert isinstance(outcome, Done)
    bench.store.write(lambda c: c.execute(effects.delete()))
    ended = await bench.agent(Scripted([bad, bad]), bench.hands(Recorder())).run(
        user("Go."), title="x"
    )
    assert isinstance(ended, Failure)
    assert "twice in a row" in ended.reason


async def test_the_same_call_with_the_same_result_three_times_is_a_loop(bench: Bench) -> None:
    scripted = Scripted([one()] * 8)
    outcome = await bench.agent(scripted, bench.hands(Recorder())).run(user("Go."), title="x")
    assert outcome == Failure("stopped in a loop: record gave the same result 3 times")
    assert len(scripted.asked) == 3


async def test_an_attempt_ends_at_its_steps(bench: Bench) -> None:
    scripted = Scripted([one(f'{{"text": "{n}"}}') for n in range(9)])
    with pytest.raises(LimitExceeded) as caught:
        await bench.agent(scripted, bench.hands(Recorder()), steps=5).run(user("Go."), title="x")
    assert caught.value.limit == "steps"
    assert len(scripted.asked) == 5


async def test_an_attempt_ends_where_it_asks(bench: Bench) -> None:
    hands = bench.hands(Recorder(AskPerson("Which?")))
    outcome = await bench.agent(Scripted([one()]), hands).run(user("Go."), title="x")
    assert outcome == Blocked(AskPerson("Which?"), "t1/0.0/w0#0", 0, "cto")


async def test_bytes_that_are_no_answer_end_the_attempt_at_the_second_time(bench: Bench) -> None:
    unreadable = BadAnswer("no message", kind="malformed")
    hands = bench.hands(Recorder())
    mended = Scripted([unreadable, said("Done.")])
    assert isinstance(await bench.agent(mended, hands).run(user("Go."), title="x"), Done)
    lost = Scripted([unreadable, unreadable])
    assert isinstance(await bench.agent(lost, hands).run(user("Go."), title="x"), Failure)


async def test_a_second_run_sees_the_same_conversation(bench: Bench) -> None:
    script = [one('{"text": "1"}'), one('{"text": "2"}'), said("Done.")]
    tool = Recorder()
    runs = [Scripted(script), Scripted(script)]
    for scripted in runs:
        await bench.agent(scripted, bench.hands(tool)).run(user("Go."), title="x")
    assert runs[0].asked == runs[1].asked
    assert tool.texts == ["1", "2"]


async def test_two_runs_at_once_leave_one_row_for_each_call(bench: Bench) -> None:
    tool = Recorder()
    turns = await asyncio.gather(*(bench.hands(tool).act(0, one().tool_calls) for _ in range(5)))
    assert len({turn.results for turn in turns}) == 1
    assert len(bench.rows()) == 1
