"""A provider's limit holds over a whole company at work, on one worker and on several."""

import random
import time
from pathlib import Path

import pytest

from tests.chaos.audit import check_all
from tests.chaos.script import CALLS, KeyedCompany, jitter
from tests.chaos.site import Ground
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply

MOST, WINDOW_S = 10, 2.0
LIMITED = {"SWARM_WORKER__RATES": f'{{"openai": "{MOST}/{WINDOW_S:g}s"}}'}
ORDERS = 3


class Timed(KeyedCompany):
    """A company that notes when each request arrived."""

    def __init__(self) -> None:
        super().__init__(jitter(random.Random(10), 0.0, 0.02))
        self.at: list[float] = []

    def __call__(self, request: Body) -> Reply:
        self.at.append(time.monotonic())
        return super().__call__(request)


@pytest.mark.chaos
async def test_no_stretch_of_time_sees_more_calls_than_the_provider_allows(
    ground: Ground, tmp_path: Path
) -> None:
    script = Timed()
    async with (
        ScriptedProvider(script) as provider,
        ground(tmp_path, api_base=provider.url, settings=LIMITED) as site,
    ):
        crew = [site.worker()]
        if not site.app.store.is_sqlite:
            crew.append(site.worker(is_front=False))
        for number in range(ORDERS):
            await site.place(number)
        await site.halted(crew[0])
        for worker in crew:
            assert await site.end(worker) == 0
        check_all(site, script)
    assert len(script.at) == CALLS * ORDERS
    begins = sorted(script.at)
    gaps = [later - earlier for earlier, later in zip(begins, begins[MOST:], strict=False)]
    assert min(gaps) >= WINDOW_S
