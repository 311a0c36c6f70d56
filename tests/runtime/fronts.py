"""A company's front without its engine: what is heard is handled, and nothing is worked."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from swarm.app import App
from swarm.channels.base import Capabilities
from swarm.channels.fake import FakeChannel
from swarm.channels.voice.base import Transcriber
from swarm.core.clock import iso
from swarm.core.message import InboundKind, OutboundMessage, SignalKind
from swarm.core.order import (
    Baseline,
    CostBand,
    Forecast,
    Frame,
    HoursBand,
    OrderState,
    OrderStatus,
    Plan,
    PlannedTask,
)
from swarm.runtime.engine import SEGMENT
from swarm.runtime.fake import FakeEngine
from swarm.runtime.people import PersonRole
from swarm.runtime.wording import plan_card
from swarm.settings import load
from swarm.store.tables import asks, inbox, orders, outbox
from tests.acceptance.at_work import settings_of

PHONE = Capabilities(
    is_local=False, has_buttons=True, has_edits=True, has_files=True, file_bytes=10**6
)
ADA, BEN, EVE = "1", "2", "666"


class MovingClock:
    """The machine's clock, set forward by tests."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead.total_seconds()


@dataclass
class Desk:
    """A company whose founder is Ada and whose channel is a phone."""

    app: App
    channel: FakeChannel
    clock: MovingClock
    _clicks: int = 0

    async def hears(self, text: str = "", *, by: str = ADA, **more: Any) -> list[OutboundMessage]:
        """Let somebody say something in their private chat; return what they are told."""
        before = len(self.channel.sent)
        more.setdefault("chat_id", f"c{by}")
        more.setdefault("sender_name", {ADA: "Ada", BEN: "Ben"}.get(by, "Eve"))
        self.channel.say(text, sender_id=by, **more)
        await self.settled()
        return self.channel.sent[before:]

    async def presses(self, label: str, *, by: str = ADA, **more: Any) -> list[OutboundMessage]:
        """Let somebody press the newest button with a label."""
        more.setdefault("chat_id", f"c{by}")
        data = more.pop("data", None) or self.token(label)
        self._clicks = len(self._notes)
        given = {"kind": InboundKind.CALLBACK, "data": data, "click_id": "k", **more}
        return await self.hears(by=by, **given)

    def token(self, label: str) -> str:
        """Return what the newest button with a label sends."""
        for message in reversed(self.channel.sent):
            for row in message.buttons:
                for button in row:
                    if label in button.label:
                        return button.token
        raise AssertionError(f"no button {label!r}")

    async def clicked(self) -> str:
        """Wait for what the last press is answered with: hints come after the commit."""
        await self.until(lambda: len(self._notes) > self._clicks)
        return self._notes[-1]

    @property
    def _notes(self) -> list[str]:
        return [s.text for s in self.channel.signals if s.kind is SignalKind.CLICK]

    async def settled(self) -> None:
        """Wait until all that was said was handled and all that was queued was sent."""
        await self.channel.drained()
        await self.until(
            lambda: (
                all(row["state"] != "new" for row in self.rows(inbox))
                and all(row["state"] not in ("pending", "sending") for row in self.rows(outbox))
            )
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something readable is so."""
        async with asyncio.timeout(15):
            while not is_so():  # noqa: ASYNC110  # what is awaited is a row, which sets no event
                await asyncio.sleep(0.01)

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        found = self.app.store.read(lambda c: c.execute(sa.select(table)).mappings().all())
        return [dict(row) for row in found]

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Return the orders, oldest first."""
        return sorted(self.rows(orders), key=lambda row: str(row["created_at"]))

    def state(self, order_id: str) -> OrderState:
        """Return what is known of an order."""
        (row,) = [row for row in self.orders if row["id"] == order_id]
        return OrderState.model_validate_json(row["state"])

    async def plans(self, order_id: str, *, revision: int = 0) -> str:
        """Let an order come to its plan, as its segment would; return the ask's id."""
        state = self.state(order_id)
        task = PlannedTask(
            id="t1", role="cto", title="Write", brief="b", deliverable="p.md", human_hours="2"
        )
        state = state.model_copy(
            update={
                "frame": Frame(goal="A page", success_criteria=("It is there",), kind="page"),
                "plan": Plan(approach="One task.", tasks=(task,)),
                "revision": revision,
                "baseline": BASELINE,
                "forecast": Forecast(
                    low="0.1", high="1", currency="USD", calls_low=1, calls_high=9
                ),
                "language": "en",
            }
        )
        ask_id = f"q{order_id}{revision}"
        await self.waits(order_id, state, ask_id, kind="approval", text=plan_card(state))
        return ask_id

    async def waits(
        self,
        order_id: str,
        state: OrderState,
        ask_id: str,
        *,
        kind: str,
        text: str,
        options: str = "[]",
    ) -> None:
        """Let an order wait for a person, and the channel tell them."""
        now = iso(self.clock.now())
        values = {"status": OrderStatus.WAITING.value, "state": state.model_dump_json()}

        def work(connection: sa.Connection) -> None:
            connection.execute(orders.update().where(orders.c.id == order_id).values(**values))
            connection.execute(
                asks.insert().values(
                    id=ask_id, order_id=order_id, segment=0, task_id=None, node=ask_id, seq=0,
                    kind=kind, asked_by="ceo", text=text, options=options, state="open",
                    created_at=now,
                )
            )  # fmt: skip
            row = connection.execute(sa.select(orders).where(orders.c.id == order_id)).one()
            connection.execute(
                outbox.insert().values(
                    dedupe_key=f"{order_id}/{ask_id}", order_id=order_id, channel=row.channel,
                    chat_id=row.chat_id, thread_id=row.thread_id, kind="decision", body="plain",
                    state="pending", tries=0, not_before=now, created_at=now, card="waiting",
                )
            )  # fmt: skip

        await self.app.store.awrite(work)
        await self.settled()


BASELINE = Baseline(
    hours=HoursBand(p10="1", p50="2", p90="4"),
    cost=CostBand(p10="50", p50="100", p90="200", currency="USD"),
    method="test",
    sources=(),
    author="ceo",
    frozen_at=None,
)


@contextlib.asynccontextmanager
async def desk(
    home: Path,
    *,
    channel: FakeChannel | None = None,
    has_founder: bool = True,
    transcriber: Transcriber | None = None,
    **settings: str,
) -> AsyncIterator[Desk]:
    """Open a company's front for the length of a block."""
    app = App(load(settings_of(home, "http://127.0.0.1:9/v1", **settings)), clock=MovingClock())
    clock = app.clock
    assert isinstance(clock, MovingClock)
    engine = FakeEngine()
    app.initialise()
    app.__dict__["engine"] = engine
    if transcriber is not None:
        app.__dict__["transcriber"] = transcriber
    channel = channel or FakeChannel(name="phone", clock=clock, capabilities=PHONE)
    if has_founder:
        app.store.write(lambda c: admit(app, c, ADA, PersonRole.FOUNDER))
    front = app.front({channel.name: channel})
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor()
    loop.set_default_executor(threads)
    jobs = [asyncio.create_task(run()) for run in front.jobs()]
    jobs.append(asyncio.create_task(channel.run(front.hear)))
    try:
        yield Desk(app, channel, clock)
    finally:
        for job in jobs:
            job.cancel()
        ends = await asyncio.gather(*jobs, return_exceptions=True)
        # A query that a cancelled job began goes on in its thread, with a connection in its hand.
        threads.shutdown()
        loop.set_default_executor(ThreadPoolExecutor())
        app.close()
        assert [end for end in ends if isinstance(end, Exception)] == []


def admit(app: App, connection: sa.Connection, who: str, role: PersonRole) -> None:
    """Let somebody in, as the operator would."""
    app.people.admit(
        connection,
        channel="phone",
        platform_id=who,
        name={ADA: "Ada", BEN: "Ben"}.get(who, who),
        role=role,
        chat_id=f"c{who}",
        by="test",
    )


__all__ = ["ADA", "BEN", "EVE", "PHONE", "SEGMENT", "Desk", "admit", "desk"]
