"""Create the company, and keep it working."""

import asyncio
import gc
import os
import stat
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError
from sqlalchemy.engine import Connection

from swarm.app import App, build
from swarm.channels.base import Channel
from swarm.channels.registry import CHANNELS
from swarm.cli.lazy import load as load_part
from swarm.cli.opened import EndedError, opened
from swarm.cli.terminal import say, show_json, tell
from swarm.cli.waiting import STOPPING, stopped_by_signals
from swarm.cli.works import set_up_apart
from swarm.core.errors import InvalidInput
from swarm.runtime.doorman_watch import Watch
from swarm.runtime.doorman_worker import Command
from swarm.runtime.libc import give_memory_back
from swarm.runtime.people import PersonRole
from swarm.runtime.worker_config import WorkerConfig
from swarm.settings import FILE, load

Work = Callable[..., Awaitable[None]]
AT_WORK = 4
"""Companies of one process whose orders are worked at the same time."""


def init(*, as_json: bool) -> None:
    """Create the company of this home, or bring its database up to date.

    Raises:
        ConfigError: The home cannot be written, or a newer version made it.
    """
    app = build(load())
    try:
        is_new = app.initialise()
        code = founder_code(app)
    finally:
        app.close()
    if as_json:
        document = {"home": str(app.home), "settings": str(app.home / FILE), "is_new": is_new}
        show_json(document | ({"founder_code": code} if code else {}))
        return
    say(f"The company {'is set up' if is_new else 'was already set up'} in {app.home}.")
    say(f"Settings: {app.home / FILE}. Own roles: {app.home / 'roles'}/<name>.md.")
    if code:
        say(f"From a phone: send `/start {code}` to your bot within an hour; it makes you founder.")
        say("In Slack and WhatsApp the code alone is the message.")
    say('Next: `swarm doctor` checks it, `swarm order "what you want done" --wait` works.')


def founder_code(app: App) -> str:
    """Return a new one-time code for the first founder; empty where there is one, or no chat."""

    def work(connection: Connection) -> str:
        if app.people.has_founder(connection):
            return ""
        app.pairing.withdraw_invitations(connection, by=app.environment.user)
        return app.pairing.invite(connection, PersonRole.FOUNDER, by=app.environment.user)

    return app.store.write(work) if app.remote_names else ""


def up(*, no_work: bool = False, companies: str | None = None, at_work: int = AT_WORK) -> None:
    """Work orders and listen to the channels until a signal comes.

    The end of standard input is no signal: the console channel then hears nothing more, and the
    rest goes on as a service.

    Raises:
        InvalidInput: Both `no_work` and `companies` are given.
    """
    if companies is not None:
        if no_work:
            raise InvalidInput(
                "--companies listens for SQLite homes, which --no-work cannot serve."
            )
        load_part("swarm.cli.companies:up")(Path(companies), at_work=at_work)
        return
    own = {"takes_orders": False} if no_work else {}
    with (
        suppress(EndedError),
        opened(
            is_made=True,
            waits=True,
            worker=own,
            set_up=set_up_apart,
            meanwhile=lambda app: load_part("swarm.cli.away:listen")(app),
        ) as app,
    ):
        if app.works_apart:
            _open_door(app, _channels(app))
        else:
            _serve(app, _channels(app))


def _open_door(app: App, channels: Mapping[str, Channel]) -> None:
    """Listen, and have orders worked in a process of their own."""
    watch = Watch()
    doorman = app.doorman(channels, command=Command(), watch=watch)

    async def listen(until: asyncio.Event, *, ready: Callable[[], None]) -> None:
        async with watch.running():
            await doorman.run(until, ready=ready)

    _run(app, channels, listen)


def worker(*, name: str | None, concurrency: int | None) -> None:
    """Work orders until a signal comes.

    Raises:
        InvalidInput: The name is none that a worker may have.
    """
    own: dict[str, Any] = {"takes_orders": True}
    if concurrency is not None:
        own["concurrency"] = concurrency
    if name is not None:
        own["name"] = _name(name)
    with opened(is_made=True, waits=True, worker=own) as app:
        _serve(app, {})


def _name(text: str) -> str:
    try:
        return WorkerConfig(name=text).name
    except ValidationError as error:
        raise InvalidInput(
            f"{text!r} is no name for a worker: up to 63 letters, digits, dots, dashes and "
            "underscores, the first a letter or a digit."
        ) from error


def _channels(app: App) -> dict[str, Channel]:
    """Return the configured channels; the console's streams are this door's to give."""
    found: dict[str, Channel] = {}
    for name in app.channel_names:
        if name != "console":
            found[name] = app.channel(name)
        elif sys.stdin is not None and sys.stdout is not None:
            make = CHANNELS.load(name)
            found[name] = make(sys.stdin, sys.stdout, clock=app.clock, ids=app.ids)
    return found


def _serve(app: App, channels: Mapping[str, Channel]) -> None:
    _run(app, channels, app.worker(channels).run)


def _run(app: App, channels: Mapping[str, Channel], work: Work) -> None:
    # No server is asked for its models yet: a start connects to nothing.
    tell(app.model_sentence)
    heard = _heard(channels)
    acts = "works" if app.settings.worker.takes_orders else "takes no orders itself"
    serve(
        work,
        told=lambda: (
            f"Swarm {acts} in {app.home} (process {os.getpid()}), {heard}. Ctrl-C stops it."
        ),
    )


def serve(work: Work, *, told: Callable[[], str]) -> None:
    """Run what listens until a signal comes; `told` says what, once it does."""

    def ready() -> None:
        settle()
        tell(told())

    async def until_told() -> None:
        stop = asyncio.Event()
        with stopped_by_signals(stop):
            notice = asyncio.create_task(_say_stopping(stop))
            try:
                await work(stop, ready=ready)
            finally:
                notice.cancel()

    asyncio.run(until_told())


def settle() -> None:
    """Give back what only the start needed, and look no more through what stays."""
    gc.collect()
    gc.freeze()
    give_memory_back()


def _heard(channels: Mapping[str, Channel]) -> str:
    """Say who can be heard, and what to set where that is nobody."""
    names = sorted(name for name in channels if name != "console" or not _is_null(sys.stdin))
    if names:
        return f"listens to {', '.join(names)}"
    if not channels:
        return "listens to no channel"
    return (
        "hears nobody, because its standard input is empty: set SWARM_TELEGRAM__TOKEN to steer it "
        "from a phone, or use `swarm order` in the same home"
    )


def _is_null(stream: TextIO) -> bool:
    """Return whether a stream is the null device, as a service's and a container's input is."""
    try:
        facts = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(facts.st_mode) and facts.st_rdev == Path(os.devnull).stat().st_rdev


async def _say_stopping(stop: asyncio.Event) -> None:
    await stop.wait()
    tell(STOPPING)
