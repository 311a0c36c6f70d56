"""Where orders are worked, and how many are let in at once."""

import asyncio
import threading
import time

import pytest

from swarm.runtime import admission
from swarm.runtime.admission import Admission
from swarm.runtime.workshop import Here, Workshop


async def test_a_busy_workshop_keeps_nobody_waiting_who_talks_to_people() -> None:
    async def busy() -> str:
        time.sleep(0.4)  # noqa: ASYNC251  # the point of the test
        return threading.current_thread().name

    async with Workshop("swarm-test") as place:
        work = asyncio.create_task(place.run(busy))
        longest, at = 0.0, time.monotonic()
        while not work.done():
            await asyncio.sleep(0.005)
            now = time.monotonic()
            longest, at = max(longest, now - at), now
        assert await work == "swarm-test"
    assert longest < 0.3


async def test_a_workshop_hands_on_results_errors_and_cancels() -> None:
    began, ended = threading.Event(), threading.Event()

    async def fails() -> None:
        raise ValueError("no")

    async def hangs() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Workshop("swarm-test") as place:
        with pytest.raises(ValueError, match="no"):
            await place.run(fails)
        job = asyncio.create_task(place.run(hangs))
        assert await asyncio.to_thread(began.wait, 5)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert await asyncio.to_thread(ended.wait, 5)
    assert "swarm-test" not in {thread.name for thread in threading.enumerate()}


async def test_a_worker_that_talks_to_nobody_works_where_it_is() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async with Here() as place:
        assert await place.run(loop) is asyncio.get_running_loop()
        assert place.rested_s() is None


class Shop:
    """A loop of which the test says how busy it is, and orders that end when the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admission, "TICK_S", 0.01)
        monkeypatch.setattr(admission, "SMOOTH", 1.0)
        self.is_busy = True
        self._rested, self._at = 0.0, time.monotonic()
        self.admission = Admission(self.rested_s)
        self.began: list[str] = []
        self.end = asyncio.Event()
        self.work = self.admission.held(self._work)

    def rested_s(self) -> float | None:
        now = time.monotonic()
        if not self.is_busy:
            self._rested += now - self._at
        self._at = now
        return self._rested

    async def _work(self, order_id: str, segment: int) -> None:
        self.began.append(order_id)
        await self.end.wait()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.began) < count:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.005)


async def test_a_busy_loop_works_few_orders_and_the_others_come_in_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(monkeypatch)
    watch = asyncio.create_task(shop.admission.run())
    names = [f"o{number}" for number in range(12)]
    jobs = [asyncio.ensure_future(shop.work(name, 0)) for name in names]
    await asyncio.sleep(0.1)
    assert shop.began == names[: admission.LEAST]
    assert shop.admission.waiting == 12 - admission.LEAST
    # Who goes on after a person's word was let in before.
    jobs.append(asyncio.ensure_future(shop.work("answered", 1)))
    await shop.until(admission.LEAST + 1)
    assert shop.began[-1] == "answered"
    # A stop gives up what waits: it takes nobody's place.
    jobs[admission.LEAST].cancel()
    shop.is_busy = False
    await shop.until(12)
    assert [o for o in shop.began if o != "answered"] == [n for n in names if n != "o4"]
    shop.end.set()
    await asyncio.gather(*jobs, return_exceptions=True)
    watch.cancel()


async def test_where_nobody_measures_all_orders_come_in() -> None:
    began = []

    async def work(order_id: str, segment: int) -> None:
        began.append(order_id)

    held = Admission(lambda: None).held(work)
    for number in range(20):
        await held(f"o{number}", 0)
    assert len(began) == 20
