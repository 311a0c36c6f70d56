"""A company whose founder has a phone and whose customers have a channel of their own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.app import App
from swarm.channels.bound import BoundChannel
from swarm.channels.fake import FakeChannel
from swarm.core.message import OutboundMessage
from swarm.core.order import OrderStatus
from swarm.runtime.fake import FakeEngine
from swarm.runtime.people import PersonRole
from swarm.settings import load
from swarm.store.tables import metadata, orders
from tests.acceptance.at_work import settings_of
from tests.runtime.fronts import ADA, EVE, PHONE, Desk, MovingClock, admit

SUPPORT = "phone_customers"


@dataclass
class Counter(Desk):
    """The founder's desk, and the counter at which customers stand."""

    shop: FakeChannel = None  # type: ignore[assignment]  # dataclasses cannot inherit otherwise

    async def asks(self, text: str = "", *, by: str = EVE, **more: Any) -> list[OutboundMessage]:
        """Let a customer write; return what they are told."""
        before = len(self.shop.sent)
        self.tries(text, by=by, **{"sender_name": "Eve"} | more)
        await self.settled()
        return self.shop.sent[before:]

    def tries(self, text: str = "", *, by: str = EVE, **more: Any) -> None:
        """Let a customer who calls themselves Ada do something, without waiting for what comes of it."""
        more.setdefault("chat_id", f"c{by}")
        more.setdefault("sender_name", "Ada")
        self.shop.say(text, sender_id=by, **more)

    async def settled(self) -> None:
        """Wait until all that was said was handled and all that was queued was sent."""
        await self.shop.drained()
        await super().settled()

    def ended(self, order_id: str) -> None:
        """Let an order be over, as its segment would."""
        values = {"status": OrderStatus.DELIVERED.value}
        self.app.store.write(
            lambda c: c.execute(orders.update().where(orders.c.id == order_id).values(**values))
        )

    def everything(self) -> dict[str, list[Mapping[str, Any]]]:
        """Return every row of every table."""

        def read(connection: sa.Connection) -> dict[str, list[Mapping[str, Any]]]:
            return {
                name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for name, table in metadata.tables.items()
                if sa.inspect(connection).has_table(name)
            }

        return self.app.store.read(read)


@contextlib.asynccontextmanager
async def counter(
    home: Path, *, url: str = "http://127.0.0.1:9/v1", **settings: str
) -> AsyncIterator[Counter]:
    """Open a company's front, its founder and its customers; nothing is worked by itself."""
    given = {"name": "Levain"} | settings
    app = App(load(settings_of(home, url, **given)), clock=MovingClock())
    assert isinstance(app.clock, MovingClock)
    app.initialise()
    app.__dict__["engine"] = FakeEngine()
    own = FakeChannel(name="phone", clock=app.clock, capabilities=PHONE)
    shop = FakeChannel(name="phone", clock=app.clock, capabilities=PHONE)
    bound = BoundChannel(shop, SUPPORT)
    app.store.write(lambda c: admit(app, c, ADA, PersonRole.FOUNDER))
    front = app.front({own.name: own, bound.name: bound})
    jobs = [asyncio.create_task(run()) for run in front.jobs()]
    jobs += [asyncio.create_task(channel.run(front.hear)) for channel in (own, bound)]
    try:
        yield Counter(app, own, app.clock, shop=shop)
    finally:
        for job in jobs:
            job.cancel()
        ends = await asyncio.gather(*jobs, return_exceptions=True)
        app.close()
        assert [end for end in ends if isinstance(end, Exception)] == []


__all__ = ["SUPPORT", "Counter", "counter"]
