"""Create the company, and keep it working."""

import asyncio
import os
import sys
from collections.abc import Mapping

from swarm.app import App, build
from swarm.channels.base import Channel
from swarm.channels.registry import CHANNELS
from swarm.cli.opened import opened
from swarm.cli.terminal import say, show_json, tell
from swarm.cli.waiting import STOPPING, stopped_by_signals
from swarm.settings import FILE, load


def init(*, as_json: bool) -> None:
    """Create the company of this home, or bring its database up to date.

    Raises:
        ConfigError: The home cannot be written, or a newer version made it.
    """
    app = build(load())
    try:
        is_new = app.initialise()
    finally:
        app.close()
    if as_json:
        show_json({"home": str(app.home), "settings": str(app.home / FILE), "is_new": is_new})
        return
    say(f"The company {'is set up' if is_new else 'was already set up'} in {app.home}.")
    say(f"Settings: {app.home / FILE}. Own roles: {app.home / 'roles'}/<name>.md.")
    say('Next: `swarm doctor` checks it, `swarm order "what you want done" --wait` works.')


def up() -> None:
    """Work orders and listen to the channels until a signal comes.

    The end of standard input is no signal: the console channel then hears nothing more, and the
    rest goes on as a service.
    """
    with opened(is_made=True) as app:
        _serve(app, _channels(app))


def worker() -> None:
    """Work orders until a signal comes."""
    with opened(is_made=True) as app:
        _serve(app, {})


def _channels(app: App) -> dict[str, Channel]:
    """Return the configured channels; the console's streams are this door's to give."""
    found: dict[str, Channel] = {}
    for name in app.settings.channels:
        make = CHANNELS.load(name)
        if name != "console":
            found[name] = make()
        elif sys.stdin is not None and sys.stdout is not None:
            found[name] = make(sys.stdin, sys.stdout, clock=app.clock, ids=app.ids)
    return found


def _serve(app: App, channels: Mapping[str, Channel]) -> None:
    # No server is asked for its models yet: a start connects to nothing.
    sentence = app.model_sentence
    work = app.worker(channels)
    tell(sentence)
    heard = f"listens to {', '.join(sorted(channels))}" if channels else "listens to no channel"

    def ready() -> None:
        tell(f"Swarm works in {app.home} (process {os.getpid()}), {heard}. Ctrl-C stops it.")

    async def serve() -> None:
        stop = asyncio.Event()
        with stopped_by_signals(stop):
            notice = asyncio.create_task(_say_stopping(stop))
            try:
                await work.run(stop, ready=ready)
            finally:
                notice.cancel()

    asyncio.run(serve())


async def _say_stopping(stop: asyncio.Event) -> None:
    await stop.wait()
    tell(STOPPING)
