"""Nobody looks into a database that nobody wrote to."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.fake import FakeChannel
from swarm.core.clock import SystemClock, iso
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.runtime import outbox as box
from swarm.runtime import pausing, sender
from swarm.runtime.news import News
from swarm.runtime.pausing import Pause
from swarm.runtime.progress import Progress
from swarm.runtime.sender import Sender
from swarm.store.database import Store, sqlite_url
from tests.runtime.fronts import PHONE

CLOCK = SystemClock()


@pytest.fixture
def store(fresh_home: Path, home: Path) -> Iterator[Store]:
    found = Store(sqlite_url(home / "swarm.db"))
    yield found
    found.close()


def counted(store: Store) -> list[str]:
    """Return what gathers the statements from now on."""
    said: list[str] = []
    sa.event.listen(
        store.engine, "before_cursor_execute", lambda _1, _2, text, *_: said.append(text)
    )
    return said


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_so():  # noqa: ASYNC110  # what is awaited sets no event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(work: Any) -> Any:
    job = asyncio.create_task(work)
    try:
        yield
    finally:
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job


async def test_a_look_is_due_when_its_time_came_and_there_was_news_since_the_last() -> None:
    news, ends = News(), list[str]()

    async def wait(name: str, **how: Any) -> None:
        await news.until_due(**how)
        ends.append(name)

    await wait("untold", seen=news.number, poll_s=0.001)
    news.is_told = True
    await wait("something is left", seen=None, poll_s=0.001)
    wake = asyncio.Event()
    jobs = [
        asyncio.create_task(wait("news", seen=news.number, poll_s=0.001)),
        asyncio.create_task(wait("woken", seen=news.number, poll_s=30, wake=wake)),
        asyncio.create_task(wait("net", seen=news.number, poll_s=0.001, longest_s=0.05)),
    ]
    await jobs[2]
    wake.set()
    await jobs[1]
    before = news.number
    news.tell()
    await jobs[0]
    await wait("told before", seen=before, poll_s=0.001)
    told = ["untold", "something is left", "net", "woken", "news", "told before"]
    assert ends == told


async def test_a_button_that_nobody_waits_for_is_not_looked_at_and_a_press_is_heeded_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pausing, "LOOK_S", 0.02)
    pause, elsewhere = Pause(store), Store(store.url)
    looks: list[int] = []
    is_set = pause.is_set

    def looking(connection: Connection) -> bool:
        looks.append(1)
        return is_set(connection)

    monkeypatch.setattr(pause, "is_set", looking)
    async with running(pause.watch()):
        await asyncio.sleep(0.1)
        assert looks == []
        await pause.until_open()
        elsewhere.write(lambda c: Pause(elsewhere).press(c, by="phone:ada"))
        await asyncio.sleep(0.03)
        held = asyncio.create_task(pause.until_open())
        await until(lambda: len(looks) > 4)
        assert not held.done()
        elsewhere.write(Pause(elsewhere).release)
        await asyncio.wait_for(held, 5)
        await asyncio.sleep(0.05)
        seen = len(looks)
        await asyncio.sleep(0.1)
        assert len(looks) == seen
    elsewhere.close()


def queue(store: Store, text: str, *, in_s: float = 0) -> None:
    message = OutboundMessage("phone", "c1", None, OutboundKind.ANSWER, text)
    due = iso(CLOCK.now() + timedelta(seconds=in_s))
    store.write(lambda c: box.put(c, dedupe_key=text, message=message, now=due))


async def test_who_sends_rests_until_news_or_until_something_is_due(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "CALM_LOOKS", 2)
    monkeypatch.setattr(sender, "CALM_POLL_S", 0.02)
    news, channel = News(), FakeChannel(name="phone", capabilities=PHONE)
    news.is_told = True
    out = Sender(store=store, clock=CLOCK, channels={"phone": channel}, poll_s=0.01, news=news)
    looks: list[int] = []
    take = out.take

    def taking(connection: Connection, *about: Any) -> Any:
        looks.append(1)
        return take(connection, *about)

    monkeypatch.setattr(out, "take", taking)
    async with running(out.run()):
        await until(lambda: len(looks) > 2)
        await asyncio.sleep(0.1)
        seen = len(looks)
        await asyncio.sleep(0.2)
        assert len(looks) == seen, "it looked where nothing was queued"
        queue(store, "now")
        news.tell()
        await until(lambda: len(channel.sent) == 1)
        queued_at = time.monotonic()
        queue(store, "later", in_s=0.4)
        news.tell()
        await until(lambda: len(channel.sent) == 2)
        assert 0.3 < time.monotonic() - queued_at < 5


async def test_progress_is_looked_for_when_there_is_news_and_not_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.runtime.progress.LOOK_S", 0.01)
    news, channel = News(), FakeChannel(name="phone", capabilities=PHONE)
    news.is_told = True
    progress = Progress(
        store=store, clock=CLOCK, channels={"phone": channel}, queued=asyncio.Event(), news=news
    )
    said = counted(store)
    async with running(progress.run()):
        await until(lambda: len(said) > 0)
        await asyncio.sleep(0.1)
        looks = len(said)
        assert looks <= 2
        news.tell()
        await until(lambda: len(said) > looks)
