"""Orders that the tests of cassettes record."""

from pathlib import Path
from typing import Any

from swarm.core.order import OrderStatus
from swarm.evals.cassette import Cassette
from swarm.evals.recording import record
from tests.acceptance.at_work import at_work, called, first, kind_of, provider_of, script, task
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply, completion


async def with_a_question(folder: Path) -> Cassette:
    """Record an order that was asked back, answered and accepted by name."""
    async with at_work(folder, provider_of(questions=["Which bakery?"])) as company:
        waiting = await company.work()
        company.app.office.answer(waiting.id, "The bakery in Pantin.", by="ada")
        done = await company.halt(waiting.id)
        company.app.office.accept(done.id, by="ada", sign="Ada Lovelace")
        return record(company.app, done.id)


PLAN = (
    task("Write the page", "cto"),
    task("Write the post", "marketcom"),
    task("Write the answers", "support", 1),
)


async def side_by_side(folder: Path) -> Cassette:
    """Record three roles, two of them at once, one result sent back by the founder."""
    async with at_work(folder, provider_of(PLAN, verdicts=["rework"])) as company:
        done = await company.deliver()
        company.app.office.reject(done.id, "Say where it is.", by="ada")
        done = await company.halt(done.id)
        assert done.status is OrderStatus.DELIVERED
        return record(company.app, done.id)


def _commands(request: Body) -> Body | None:
    """Let the engineer make a file by a command, look at it, change it by a command, deliver it."""
    if kind_of(request) != "work":
        return None
    script_one = "import random\nopen('made.txt', 'w').write(str(random.random()))\nprint('made')"
    script_two = "open('made.txt', 'a').write(' more')\nopen('bytes', 'wb').write(b'\\xff\\x00')"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("python", {"script": script_one}),
        ("read_file", {"path": "made.txt"}),
        ("python", {"script": script_two}),
        ("read_file", {"path": "made.txt"}),
        ("deliver", {"path": "made.txt", "summary": "A number."}),
    ]
    done = len(called(request))
    if done >= len(calls):
        return completion(text="Delivered.", model="gpt-4o-mini")
    return completion(tool_calls=[calls[done]], model="gpt-4o-mini")


async def with_commands(folder: Path) -> Cassette:
    """Record an order whose files come from commands that never do the same twice."""
    provider = first(_commands, script((task("Draw a number", "cto"),)))
    async with at_work(folder, provider) as company:
        done = await company.deliver()
        return record(company.app, done.id)


async def with_faults(folder: Path) -> Cassette:
    """Record an order whose provider is overloaded, slow down, and cut off, once each."""
    provider: ScriptedProvider = provider_of()
    busy = Reply({"error": {"message": "busy"}}, status=503)
    provider.faults = {2: busy, 4: Reply({"error": {"message": "slow down"}}, status=429)}
    async with at_work(folder, provider) as company:
        done = await company.deliver()
        return record(company.app, done.id)


async def with_a_failure(folder: Path) -> Cassette:
    """Record an order that failed: the plan never fitted its schema."""
    async with at_work(folder, provider_of(answers={"plan": {"nonsense": 1}})) as company:
        failed = await company.work()
        assert failed.status is OrderStatus.FAILED
        return record(company.app, failed.id)
