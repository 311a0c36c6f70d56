"""Listen for many companies in one process: `swarm up --companies DIR`."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from swarm.app import App
from swarm.channels.base import Channel
from swarm.cli.logs import kept_in
from swarm.cli.opened import opened
from swarm.cli.service import serve
from swarm.cli.terminal import tell
from swarm.cli.works import set_up_apart
from swarm.core.errors import ConfigError
from swarm.runtime.doorman import Doorman
from swarm.runtime.doorman_house import House
from swarm.runtime.doorman_watch import Watch
from swarm.runtime.doorman_worker import Command
from swarm.runtime.heartbeat import Heartbeat
from swarm.settings import of_company
from swarm.store.database import READERS


def up(folder: Path, *, at_work: int) -> None:
    """Listen for every company below a folder until a signal comes.

    Args:
        folder: Holds a folder for each company; new ones are noticed.
        at_work: How many companies' orders are worked at the same time, each by a process.

    Raises:
        ConfigError: There is no such folder.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: make it, with a folder for each company in it.")
    watch = Watch()
    # Workers of many companies at once would fill the machine's memory.
    readers = ThreadPoolExecutor(READERS // 2, thread_name_prefix="swarm-reader")
    house = House(
        folder,
        open_home=partial(_open, watch=watch, room=asyncio.Semaphore(at_work), readers=readers),
        tell=tell,
    )

    async def listen(until: asyncio.Event, *, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, house.rescan.set)
        with Heartbeat(folder) as heartbeat:
            beating = asyncio.create_task(heartbeat.run())
            try:
                async with watch.running():
                    await house.run(until, ready=ready)
            finally:
                beating.cancel()
                loop.remove_signal_handler(signal.SIGHUP)

    def told() -> str:
        names = house.ready
        return (
            f"Swarm works for {len(names)} companies in {folder} (process {os.getpid()}): "
            f"{', '.join(names) or 'none yet'}. Ctrl-C stops it."
        )

    with kept_in(folder), readers:
        serve(listen, told=told)


@asynccontextmanager
async def _open(
    home: Path, *, watch: Watch, room: asyncio.Semaphore, readers: ThreadPoolExecutor
) -> AsyncIterator[Doorman]:
    """Open one of the companies.

    Raises:
        ConfigError: It cannot be used; the text says what to do.
    """
    variables = of_company(home)
    with ExitStack() as stack:
        opening = opened(is_made=True, variables=variables, set_up=partial(set_up_apart, variables))
        # A new company takes seconds to set up, in which the others are listened for.
        app: App = await asyncio.to_thread(stack.enter_context, opening)
        if not app.store.is_sqlite:
            raise ConfigError("its database is a Postgres: it needs a `swarm up` of its own.")
        app.store.read_with(readers)
        channels: dict[str, Channel] = {
            name: app.channel(name) for name in app.channel_names if name != "console"
        }
        command = Command(environment=variables)
        yield app.doorman(channels, command=command, watch=watch, room=room)
