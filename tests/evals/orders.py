"""Orders that the tests of cassettes record."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from swarm.core.message import InboundMessage
from swarm.core.order import OrderStatus
from swarm.core.origin import Origin
from swarm.evals.cassette import Cassette
from swarm.evals.homes import furnish
from swarm.evals.recording import record
from swarm.ledger.approvals import Signer
from swarm.runtime.intake import Wish
from tests.acceptance.at_work import (
    AtWork,
    called,
    first,
    kind_of,
    provider_of,
    role_of,
    script,
    task,
)
from tests.acceptance.at_work import at_work as plainly_at_work
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply, completion, error
from tests.tools.mcp_shop import Shop
from tests.tools.sites import Site, answer, serving

ADA = Signer("telegram:42", "Ada")


@contextlib.asynccontextmanager
async def at_work(
    folder: Path, provider: ScriptedProvider, **settings: Any
) -> AsyncIterator[AtWork]:
    """Open a company in a folder that is made by copying an empty one."""
    furnish(folder)
    async with plainly_at_work(folder, provider, **settings) as company:
        yield company


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


def _once(name: str, arguments: Mapping[str, Any], *, by: str = "cto") -> ScriptedProvider:
    """Return a company one of whose roles first makes a tool call."""

    def play(request: Body) -> Body | None:
        if kind_of(request) != "work" or role_of(request) != by or name in called(request):
            return None
        return completion(tool_calls=[(name, dict(arguments))], model="gpt-4o-mini")

    return first(play, script((task("Write the page", "cto"),)))


PAGE = b"<html><title>Rates</title><p>Four percent.</p></html>"


async def with_a_signature(folder: Path) -> Cassette:
    """Record a look at a page that the founder signed."""
    site = Site({"/rates": answer(PAGE, Content_Type="text/html")})
    async with serving(site):
        host = f"127.0.0.1:{site.port}"
        provider = _once("web_fetch", {"url": f"http://{host}/rates"})
        settings = {"web__allow_private": f"['{host}']"}
        async with at_work(folder, provider, **settings) as company:
            waiting = await company.work()
            (ask,) = company.app.office.inbox(waiting.id)
            company.app.office.approve(ask.id, by="Ada", signer=ADA)
            done = await company.halt(waiting.id)
            assert done.status is OrderStatus.DELIVERED
            return record(company.app, done.id)


async def with_a_choice(folder: Path) -> Cassette:
    """Record an order in which the founder chose between two ways."""
    options = [
        {"name": name, "what": "A page.", "cost": "Little.", "risk": "None."}
        for name in ("Plain", "Bold")
    ]
    provider = _once("propose_options", {"question": "Which one?", "options": options})
    async with at_work(folder, provider) as company:
        waiting = await company.work()
        (ask,) = company.app.office.inbox(waiting.id)
        company.app.office.choose(ask.id, 2, by="ada", reason="it is ours")
        done = await company.halt(waiting.id)
        assert done.status is OrderStatus.DELIVERED
        return record(company.app, done.id)


async def with_a_colleague(folder: Path) -> Cassette:
    """Record an order in which the engineer gave a part of the work away."""
    words = {"role": "marketcom", "title": "Count", "brief": "Count the words."}
    async with at_work(folder, _once("delegate", words)) as company:
        done = await company.deliver()
        return record(company.app, done.id)


async def over_its_budget(folder: Path) -> Cassette:
    """Record an order that its budget stopped in the middle."""
    async with at_work(folder, provider_of()) as company:
        parked = await company.work(budget="0.0095")
        assert parked.status is OrderStatus.PARKED
        assert parked.receipt.calls > 0
        return record(company.app, parked.id)


async def resumed(folder: Path) -> Cassette:
    """Record an order whose key was refused once, until somebody mended that."""
    provider = provider_of()
    provider.faults = {2: Reply(error("No."), status=401)}
    async with at_work(folder, provider) as company:
        parked = await company.work()
        assert parked.status is OrderStatus.PARKED
        company.app.office.resume(parked.id)
        done = await company.halt(parked.id)
        assert done.status is OrderStatus.DELIVERED
        return record(company.app, done.id)


CACHED = {
    "prompt_tokens": 2_000,
    "completion_tokens": 300,
    "prompt_tokens_details": {"cached_tokens": 1_500, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 120},
}


async def with_many_buckets(folder: Path) -> Cassette:
    """Record an order whose calls were partly cached and partly reasoning."""
    play = script()

    def counted(request: Body) -> Body:
        made = dict(play(request))
        return made | {"usage": CACHED, "service_tier": "default"}

    async with at_work(folder, ScriptedProvider(counted)) as company:
        done = await company.deliver()
        return record(company.app, done.id)


def _plainly(made: Body | Reply) -> ScriptedProvider:
    """Return a company whose engineer's first answer is what is given."""
    spent: list[int] = []

    def play(request: Body) -> Any:
        if kind_of(request) != "work" or spent:
            return None
        spent.append(1)
        return made

    return first(play, script((task("Write the page", "cto"),)))


CONTROLS: dict[str, Body | Reply] = {
    "an empty answer": completion(text="", model="gpt-4o-mini"),
    "a refusal": completion(refusal="I will not.", model="gpt-4o-mini"),
    "no tokens left": completion(text="Half a", stop="length", model="gpt-4o-mini"),
    "an unknown tool": completion(tool_calls=[("no_such", {})], model="gpt-4o-mini"),
    "a cut answer": Reply(completion(text="x" * 400, model="gpt-4o-mini"), cut_after=60),
    "too many requests": Reply(error("Slow down."), status=429),
    "an empty body": Reply(b""),
    "a bad key": Reply(error("No."), status=401),
}


async def gone_wrong(folder: Path, made: Body | Reply) -> Cassette:
    """Record an order in which one answer was no good, however it ended."""
    async with at_work(folder, _plainly(made)) as company:
        done = await company.work()
        return record(company.app, done.id)


def page_of(cassette: Cassette) -> str:
    """Return a cassette as the lines that a reviewer reads."""
    return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in cassette.entries)


async def of_a_customer(folder: Path) -> Cassette:
    """Record an order that a customer gave, which reads no other customer's memory."""
    async with at_work(folder, provider_of()) as company:
        message = InboundMessage(
            channel="telegram",
            account="test",
            update_id="c1",
            chat_id="c",
            thread_id=None,
            sender_id="77",
            text="Where is my bread?",
            received_at=datetime.now(UTC),
            origin=Origin.CUSTOMER,
            customer="77",
        )
        order_id = await asyncio.to_thread(company.app.intake.place, message, Wish())
        await company.halt(order_id)
        return record(company.app, order_id)


MCP_ROLE = """---
title: Engineer
reports_to: ceo
tools: [write_file, read_file, deliver, mcp_shop_echo]
---
You are the company's engineer. Use the shop's tools where they help.
"""


async def with_a_foreign_tool(folder: Path) -> Cassette:
    """Record an order in which the engineer called a tool of an MCP server, without a signature."""
    furnish(folder)
    shop = Shop(folder)
    shop.pin()
    text = f"{shop.company_yaml()}      effect: read\n"
    (folder / "company.yaml").write_text(text, encoding="utf-8")
    provider = _once("mcp_shop_echo", {"text": "bread"})
    async with at_work(folder, provider, roles={"cto": MCP_ROLE}) as company:
        done = await company.work()
        assert done.status is OrderStatus.DELIVERED, done.reason
        return record(company.app, done.id)
