"""A company at work in a test: a real home, a real worker, and a provider on loopback.

Everything goes the way it goes in production; only what the provider answers is written by the
test.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa

from swarm.app import App
from swarm.core.clock import Clock
from swarm.core.document import OrderDocument
from swarm.core.message import InboundMessage
from swarm.core.order import OrderStatus
from swarm.runtime.intake import Wish
from swarm.settings import load
from swarm.store.tables import budgets, effects
from tests.servers.company import CompanyScript, PlannedTask
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply

Row: TypeAlias = dict[str, Any]

MODEL = "openai/gpt-4o-mini"
BRIEF = "Write a launch page for the bakery that opens in May."
HALT_S = 90.0
"""Longest wait for an order's halt; a test that needs it all has failed."""
LOOK_S = 0.04
"""How often a test looks at an order. Nothing tells a reader in another process either."""


def settings_of(home: Path, url: str, **more: str) -> dict[str, str]:
    """Return the environment of a company; `budget__order="1"` sets `SWARM_BUDGET__ORDER`."""
    environment = {
        "SWARM_HOME": str(home),
        "SWARM_LLM__API_BASE": url,
        "SWARM_LLM__MODEL": MODEL,
        "SWARM_LLM__BACKOFF_S": "0",
        "SWARM_LLM__TIMEOUT_S": "20",
        "SWARM_LLM__IDLE_TIMEOUT_S": "10",
        "SWARM_LIMITS__POLL_S": "0.05",
        "USER": "ada",
    }
    return environment | {f"SWARM_{name.upper()}": value for name, value in more.items()}


@dataclass
class AtWork:
    """A company with its worker running, and the provider it asks."""

    app: App
    provider: ScriptedProvider
    _placed: int = field(default=0)

    async def place(
        self,
        text: str = BRIEF,
        *,
        budget: str | None = None,
        is_auto_signed: bool = False,
        update_id: str | None = None,
    ) -> str:
        """Place an order as the founder at the terminal does; return its id."""
        self._placed += 1
        message = InboundMessage(
            channel="terminal",
            account="test",
            update_id=update_id or f"u{self._placed}",
            chat_id="c",
            thread_id=None,
            sender_id="1000",
            text=text,
            received_at=datetime.now(UTC),
        )
        wish = Wish(budget=Decimal(budget) if budget else None, is_auto_signed=is_auto_signed)
        return await asyncio.to_thread(self.app.intake.place, message, wish)

    async def halt(self, order_id: str) -> OrderDocument:
        """Wait until an order waits, is parked or ends, and return it whole."""
        await self.until(lambda: not self.app.documents.status(order_id).is_moving)
        return await asyncio.to_thread(self.app.documents.order, order_id)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something readable is so."""
        async with asyncio.timeout(HALT_S):
            while not is_so():  # noqa: ASYNC110  # what is awaited is a row, which sets no event
                await asyncio.sleep(LOOK_S)

    async def work(self, text: str = BRIEF, **wish: Any) -> OrderDocument:
        """Place an order and return it at its first halt."""
        return await self.halt(await self.place(text, **wish))

    async def deliver(self, text: str = BRIEF, **wish: Any) -> OrderDocument:
        """Place an order that is to be delivered without anybody's word."""
        done = await self.work(text, **wish)
        assert done.status is OrderStatus.DELIVERED, done.reason
        return done

    def ledger(self, order_id: str | None = None) -> list[Row]:
        """Return the ledger's lines."""
        return self.app.documents.ledger(order_id, limit=1_000_000)

    def effects(self, order_id: str) -> list[Row]:
        """Return the rows of an order's tool calls, as they were made."""
        query = sa.select(effects).where(effects.c.order_id == order_id).order_by(effects.c.at)
        rows = self.app.store.read(lambda c: c.execute(query).mappings().all())
        return [dict(row) for row in rows]

    def budgets(self) -> dict[str, Row]:
        """Return all budgets by scope."""
        rows = self.app.store.read(lambda c: c.execute(sa.select(budgets)).mappings().all())
        return {row["scope"]: dict(row) for row in rows}

    def asked(self, name: str) -> list[Body]:
        """Return the requests for one kind of decision, or for `work`, in order of arrival."""
        return [body for body in self.provider.bodies if kind_of(body) == name]


@contextlib.asynccontextmanager
async def at_work(
    home: Path,
    provider: ScriptedProvider,
    *,
    roles: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    **settings: str,
) -> AsyncIterator[AtWork]:
    """Open a company with a worker for the length of a block.

    Args:
        home: Its folder; created and brought up to the schema where needed.
        provider: Started and stopped here, unless it already listens.
        roles: Texts of role files by name, put into the home.
        clock: Tells the company the time; the machine's by default.
        **settings: As for `settings_of`.
    """
    async with contextlib.AsyncExitStack() as stack:
        if provider.loop is None:
            await stack.enter_async_context(provider)
        for name, text in (roles or {}).items():
            (home / "roles").mkdir(parents=True, exist_ok=True)
            (home / "roles" / f"{name}.md").write_text(text, encoding="utf-8")
        app = App(load(settings_of(home, provider.url, **settings)), clock=clock)
        stack.callback(app.close)
        app.initialise()
        await stack.enter_async_context(running(app))
        yield AtWork(app, provider)


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """Run an app's worker for the length of a block; its failure is the test's."""
    until, ready = asyncio.Event(), asyncio.Event()
    job = asyncio.create_task(app.worker().run(until, ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({job, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not job.done():
            yield
    finally:
        until.set()
        await job


def kind_of(body: Body) -> str:
    """Return what a request asks for: the name of its schema, or `work`."""
    shape = body.get("response_format") or {}
    return str(shape.get("json_schema", {}).get("name", "work"))


def prompt_of(body: Body) -> str:
    """Return all that a request says, as one text."""
    return "\n".join(str(m.get("content")) for m in body["messages"])


def system_of(body: Body) -> str:
    """Return a request's system prompt."""
    return str(body["messages"][0]["content"])


def role_of(body: Body) -> str:
    """Return which of the built-in roles a request comes from, by its prompt."""
    text = system_of(body)
    marks = {
        "You lead a company": "ceo",
        "You are the company's engineer": "cto",
        "a busy stranger understands": "marketcom",
        "You speak to the company's customers": "support",
    }
    return next((role for mark, role in marks.items() if mark in text), "other")


def task(title: str, role: str, *depends_on: int, **more: Any) -> PlannedTask:
    """Return a task of a plan; `depends_on` are numbers of earlier ones, from 1."""
    words = {"brief": f"Do this: {title}.", "deliverable": f"{title}.md", **more}
    return PlannedTask(title, role, depends_on=depends_on, **words)


ONE_TASK = (task("Write the page", "cto"),)


def script(plan: Iterable[PlannedTask] = ONE_TASK, **options: Any) -> CompanyScript:
    """Return a company's script for a plan, by default of a single task."""
    return CompanyScript(tuple(plan), **options)


def provider_of(plan: Iterable[PlannedTask] = ONE_TASK, **options: Any) -> ScriptedProvider:
    """Return a provider that plays a sensible company with that plan."""
    return ScriptedProvider(script(plan, **options))


Answer: TypeAlias = Callable[[Body], Body | Reply | None]


def first(answer: Answer, otherwise: Callable[[Body], Body | Reply]) -> ScriptedProvider:
    """Return a provider that answers by `answer`, and by `otherwise` where that has no word."""

    def play(request: Body) -> Body | Reply:
        made = answer(request)
        return otherwise(request) if made is None else made

    return ScriptedProvider(play)


def called(body: Body) -> list[str]:
    """Return the names of the tools that a conversation has called so far."""
    return [
        call["function"]["name"]
        for message in body["messages"]
        for call in message.get("tool_calls") or []
    ]


def results(body: Body) -> list[str]:
    """Return what the tools of a conversation said."""
    return [str(m["content"]) for m in body["messages"] if m["role"] == "tool"]
