"""Orders that did not go straight on, or leant on what only their company had, recorded."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.core.order import OrderStatus
from swarm.core.origin import Origin
from swarm.evals.cassette import Cassette
from swarm.evals.recording import record
from swarm.memory.base import MemoryKind
from swarm.store.tables import ledger
from swarm.tools.skill_lock import SkillLock
from tests.acceptance import test_a_day_on_the_phone as a_day
from tests.acceptance.at_work import AtWork, called, first, kind_of, provider_of, script, task
from tests.acceptance.test_remembered_by_sense import EMBEDDER, ORDER, TEA, with_vectors
from tests.channels.telegram.chats import chatting
from tests.evals.orders import PLAN, at_work
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply, completion


async def on_the_phone(folder: Path) -> Cassette:
    """Record a founder's day on Telegram: answers, buttons, refusals, a look at the cost."""
    provider, ids = a_day.unhurried(), a_day.SteadyIds()
    async with chatting(folder, provider, ids=ids, budget__sign_above="0") as company:
        await a_day.the_day(company)
        return record(company.app, str(company.orders[0]["id"]))


async def waiting(folder: Path) -> Cassette:
    """Record an order that still waits for one of two answers."""
    questions = ["Which bakery?", "Which street?"]
    async with at_work(folder, provider_of(questions=questions)) as company:
        halted = await company.work()
        ask, _ = company.app.office.inbox(halted.id)
        company.app.office.answer(ask.id, "The one in Pantin.", by="ada")
        assert company.app.documents.status(halted.id) is OrderStatus.WAITING
        return record(company.app, halted.id)


async def cancelled_while_it_waited(folder: Path) -> Cassette:
    """Record an order that its founder cancelled instead of answering."""
    async with at_work(folder, provider_of(questions=["Which bakery?"])) as company:
        halted = await company.work()
        company.app.office.cancel(halted.id, by="ada")
        return record(company.app, halted.id)


async def cancelled_at_work(folder: Path) -> Cassette:
    """Record an order that was cancelled while two roles waited for the model."""
    scripted = script(PLAN)

    def slowly(request: Body) -> Body | Reply:
        is_work = kind_of(request) == "work"
        made = scripted(request)
        return Reply(made, delay_s=0.5) if is_work and not isinstance(made, Reply) else made

    async with at_work(folder, ScriptedProvider(slowly)) as company:
        order_id = await company.place()
        await company.until(lambda: count(company, order_id, "t%", "intent") == 2)
        company.app.office.cancel(order_id, by="ada")
        await company.until(lambda: not company.app.company.meter.is_working)
        return record(company.app, order_id)


async def cancelled_between_calls(folder: Path) -> Cassette:
    """Record an order that was cancelled while a command of its engineer ran."""
    wait = "import time, pathlib\npathlib.Path('begun').touch()\ntime.sleep(1.0)"

    def play(request: Body) -> Body | None:
        if kind_of(request) != "work" or called(request):
            return None
        return completion(tool_calls=[("python", {"script": wait})], model="gpt-4o-mini")

    provider = first(play, script((task("Draw a number", "cto"),)))
    async with at_work(folder, provider) as company:
        order_id = await company.place()
        begun = folder / "workspace" / order_id / "begun"
        await company.until(begun.exists)
        company.app.office.cancel(order_id, by="ada")
        await company.until(lambda: not company.app.company.meter.is_working)
        return record(company.app, order_id)


def count(company: AtWork, order_id: str, node: str, state: str) -> int:
    """Count the calls of an order's nodes that are in a state."""
    meant = (ledger.c.order_id == order_id, ledger.c.node.like(node), ledger.c.state == state)
    query = sa.select(sa.func.count()).select_from(ledger).where(*meant)
    return int(company.app.store.read(lambda c: c.execute(query).scalar()) or 0)


async def with_more_budget(folder: Path) -> Cassette:
    """Record an order that its budget stopped, until the founder gave it more."""
    async with at_work(folder, provider_of()) as company:
        parked = await company.work(budget="0.0095")
        assert parked.status is OrderStatus.PARKED
        company.app.office.set_budget(parked.id, Decimal(1))
        done = await company.halt(parked.id)
        assert done.status is OrderStatus.DELIVERED, done.reason
        return record(company.app, done.id)


SKILL = """---
name: bread-facts
description: What our bakery says about its bread.
---
Say that the dough rests for two days.
"""


async def with_a_skill(folder: Path) -> Cassette:
    """Record an order whose engineer loaded a skill of the company's own."""

    def play(request: Body) -> Body | None:
        if kind_of(request) != "work" or "use_skill" in called(request):
            return None
        return completion(tool_calls=[("use_skill", {"name": "bread-facts"})], model="gpt-4o-mini")

    provider = first(play, script((task("Write the page", "cto"),)))
    async with at_work(folder, provider) as company:
        home = company.app.home
        (home / "skills" / "bread-facts").mkdir(parents=True)
        (home / "skills" / "bread-facts" / "SKILL.md").write_text(SKILL, encoding="utf-8")
        skill = company.app.skills.look("bread-facts")
        SkillLock(home).approve(skill, by="ada", by_id="1000", clock=company.app.clock)
        done = await company.deliver()
        return record(company.app, done.id)


async def with_vectors_of_memories(folder: Path) -> Cassette:
    """Record an order that found a memory by its sense, and paid for the vectors."""
    provider = with_vectors(provider_of())
    async with at_work(folder, provider, memory__embedding_model=EMBEDDER) as company:
        company.app.memory.remember(TEA, kind=MemoryKind.FACT, origin=Origin.FOUNDER)
        done = await company.deliver(ORDER)
        return record(company.app, done.id)


ALL: tuple[Callable[[Path], Any], ...] = (
    waiting,
    cancelled_while_it_waited,
    cancelled_at_work,
    cancelled_between_calls,
    with_more_budget,
    with_a_skill,
    with_vectors_of_memories,
)
