"""A company whose founder has a phone and whose customers write on real SDKs, to strict servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.app import App
from swarm.channels.fake import FakeChannel
from swarm.core.order import OrderStatus
from swarm.runtime.fake import FakeEngine
from swarm.runtime.people import PersonRole
from swarm.runtime.segments import run_segment
from swarm.settings import load
from swarm.store.tables import orders
from tests.acceptance.at_work import first, kind_of, prompt_of, script, settings_of
from tests.runtime.fronts import ADA, PHONE, Desk, MovingClock, admit
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, completion

PRICES = "# Prices\n\n## Bread\n\nA loaf of two-day bread costs 6 euros. We bake it each morning.\n"
"""What the company has written down."""


@dataclass
class Counter(Desk):
    """The founder's desk, and the provider that Support asks."""

    provider: ScriptedProvider = None  # type: ignore[assignment]  # dataclasses cannot inherit otherwise

    @property
    def prompts(self) -> list[str]:
        """Return the prompts of all replies so far."""
        return [prompt_of(body) for body in self.provider.bodies if kind_of(body) == "reply"]

    async def card(self, words: str) -> Any:
        """Wait for a message on the founder's phone."""
        await self.until(lambda: any(words in m.text for m in self.channel.sent))
        return next(m for m in reversed(self.channel.sent) if words in m.text)


def knows_bread(request: Body) -> Body | None:
    """Play Support: it answers what the material says, and knows nothing else."""
    if kind_of(request) != "reply":
        return None
    said = prompt_of(request)
    now = said.rpartition("## The customer writes now")[2]
    known = "loaf" in now and "[k1] prices.md > Prices > Bread" in said
    document = {
        "kind": "answer" if known else "unknown",
        "answer": "A loaf costs 6 euros." if known else "",
        "sources": ["k1"] if known else [],
        "reason": "" if known else "The material says nothing about it.",
    }
    return completion(document=document)


@contextlib.asynccontextmanager
async def serving(
    home: Path, answer: Callable[[Body], Body | None] = knows_bread, **settings: str
) -> AsyncIterator[Counter]:
    """Open a company with all customers' channels that the settings give it."""
    (home / "knowledge").mkdir(parents=True)
    (home / "knowledge" / "prices.md").write_text(PRICES, encoding="utf-8")
    async with first(answer, script()) as provider:
        given = {"name": "Levain", "channels": "[]"} | settings
        app = App(load(settings_of(home, provider.url, **given)), clock=MovingClock())
        assert isinstance(app.clock, MovingClock)
        app.initialise()
        app.__dict__["engine"] = FakeEngine()
        own = FakeChannel(name="phone", clock=app.clock, capabilities=PHONE)
        channels = {name: app.channel(name) for name in app.settings.customers.bindings}
        app.store.write(lambda c: admit(app, c, ADA, PersonRole.FOUNDER))
        front = app.front({own.name: own} | channels)
        jobs = [asyncio.create_task(run()) for run in front.jobs()]
        jobs += [asyncio.create_task(ch.run(front.hear)) for ch in (own, *channels.values())]
        jobs.append(asyncio.create_task(_work(app)))
        try:
            yield Counter(app, own, app.clock, provider=provider)
        finally:
            for job in jobs:
                job.cancel()
            ends = await asyncio.gather(*jobs, return_exceptions=True)
            for channel in channels.values():
                await channel.close()
            await app.close_models()
            app.close()
            assert [end for end in ends if isinstance(end, Exception)] == []


async def _work(app: App) -> None:
    """Work what is queued, one after the other, as a worker would."""
    queued = sa.select(orders.c.id, orders.c.segment).where(
        orders.c.status == OrderStatus.QUEUED.value
    )
    while True:
        for row in await app.store.aread(lambda c: c.execute(queued).all()):
            await run_segment(app.company, row.id, row.segment)
        await asyncio.sleep(0.02)
