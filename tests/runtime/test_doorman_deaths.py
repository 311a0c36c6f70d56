"""Which deaths are held against the orders at work."""

import asyncio
from pathlib import Path

from swarm.app import App
from swarm.runtime import home_deaths
from swarm.runtime.doorman_watch import Watch
from swarm.runtime.doorman_worker import Command
from swarm.settings import load
from tests.acceptance.at_work import settings_of


async def test_a_death_along_with_whoever_listened_is_held_against_no_order(tmp_path: Path) -> None:
    app = App(load(settings_of(tmp_path / "home", "http://127.0.0.1:9")))
    app.initialise()
    assert not app.store.write(home_deaths.begin)
    assert app.store.write(home_deaths.begin)
    doorman = app.doorman({}, command=Command(), watch=Watch())
    until, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(doorman.run(until, ready=ready.set))
    await asyncio.wait_for(ready.wait(), 20)
    until.set()
    await running
    assert not app.store.write(home_deaths.begin)
    app.close()
