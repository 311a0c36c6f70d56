"""Listen before the database can be reached: what is said is kept, and told so."""

import asyncio
import os
from contextlib import suppress
from functools import partial

from swarm.app import App
from swarm.channels.base import Channel
from swarm.cli.logs import kept_in
from swarm.cli.opened import LOOK_S, EndedError
from swarm.cli.terminal import tell
from swarm.cli.waiting import pause, stopped_by_signals
from swarm.core.errors import Unavailable
from swarm.runtime.heartbeat import Heartbeat
from swarm.runtime.kept import cancel, keep
from swarm.runtime.shared_home import FILE as MARK
from swarm.runtime.shelter import Shelter
from swarm.store import schema


def listen(app: App) -> None:
    """Listen for a company whose database is away, and return when it is back.

    Returns at once for a folder in which no company worked yet: there, the address may be wrong, and
    nobody is known. Channels of this machine alone are not listened to either: whoever is there reads
    what is told.

    Raises:
        EndedError: A signal came before the database.
        ConfigError: The database was reached, and refuses this company.
    """
    names = [*app.remote_names, *app.settings.customers.bindings]
    if app.shelter is None or not names or not (app.home / MARK).exists():
        return
    channels = {name: app.channel(name) for name in names}
    try:
        with kept_in(app.home):
            is_back = asyncio.run(_listen(app, app.shelter, channels))
    finally:
        # It lived on that loop; the next one is made anew, and finds what was kept.
        del app.__dict__["shelter"]
        app.__dict__.pop("monitor", None)
    if not is_back:
        raise EndedError
    tell("The database is back.")


async def _listen(app: App, shelter: Shelter, channels: dict[str, Channel]) -> bool:
    """Keep what is heard until the database answers; False where a signal came first."""
    stop = asyncio.Event()
    shelter.open(channels, is_away=True)
    with stopped_by_signals(stop), Heartbeat(app.home, is_shared=True) as heartbeat:
        if app.monitor is not None:
            await app.monitor.open()
        jobs = [asyncio.create_task(heartbeat.run())]
        jobs += [
            asyncio.create_task(keep(name, partial(channel.run, shelter.hear)))
            for name, channel in channels.items()
        ]
        tell(
            f"The database is away. Swarm listens to {', '.join(sorted(channels))} all the same "
            f"(process {os.getpid()}) and keeps what is said in {shelter.kept.path}. Ctrl-C stops it."
        )
        try:
            return await _is_back(app, stop)
        finally:
            await cancel(jobs)
            for channel in channels.values():
                await channel.close()
            await shelter.close()
            if app.monitor is not None:
                await app.monitor.close()


async def _is_back(app: App, stop: asyncio.Event) -> bool:
    while not stop.is_set():
        with suppress(Unavailable):
            await asyncio.to_thread(schema.revision, app.store)
            return True
        await pause(stop, LOOK_S)
    return False
