"""The processes that a doorman starts, so that it need not load what they do.

`python -m swarm.cli.works LINE LOCK PARENT` works orders. It inherits its settings, one end of a line
and the lock of the home. `python -m swarm.cli.works --set-up` makes the tables of a home whose lock
of setting up the doorman holds. Nobody else starts either.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

from swarm.app import App, build
from swarm.cli import entry, exits
from swarm.cli.logs import configured
from swarm.cli.opened import opened
from swarm.core.errors import ConfigError
from swarm.runtime.doorman_line import LOOK, STOP, Line, LineLife, die_with
from swarm.settings import load

SET_UP = "--set-up"


def main() -> int:
    """Do what the doorman who started this process wants done, and return the exit code."""
    if sys.argv[1:2] == [SET_UP]:
        return entry.guarded(_set_up)
    return entry.guarded(
        lambda: _work(*map(int, sys.argv[1:4]), is_verbose="--verbose" in sys.argv)
    )


def _set_up() -> int:
    app = build(load())
    try:
        app.set_up()
    finally:
        app.close()
    return exits.DONE


def set_up_apart(variables: Mapping[str, str] | None = None) -> None:
    """Make or upgrade a home's tables in a process of its own.

    Args:
        variables: Its whole environment; None is this process's own.

    Raises:
        ConfigError: As `App.set_up` does.
    """
    done = subprocess.run(  # noqa: S603  # this very program
        [sys.executable, "-m", "swarm.cli.works", SET_UP],
        env=None if variables is None else dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != exits.DONE:
        raise ConfigError(done.stderr.strip().removeprefix("Error: ") or "the set-up failed.")


def _work(line: int, lock: int, parent: int, *, is_verbose: bool) -> int:
    die_with(parent)
    end = socket.socket(fileno=line)
    end.set_inheritable(False)
    with configured(is_verbose=is_verbose), opened() as app:
        # A doorman's other processes may be set back already: this is said beside that.
        os.nice(app.settings.worker.nice)
        asyncio.run(_serve(app, end, lock))
    return exits.DONE


async def _serve(app: App, end: socket.socket, lock: int) -> None:
    stop = asyncio.Event()
    looking: set[asyncio.Task[None]] = set()

    def heard(sign: bytes) -> None:
        if sign in (STOP, b""):
            stop.set()
        elif sign == LOOK:
            app.look()
            job = asyncio.create_task(app.pause.refresh())
            looking.add(job)
            job.add_done_callback(looking.discard)

    line = Line(end, heard=heard)
    line.open()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        worker = app.lent_worker(lock, LineLife(line), at_rest=stop.set)
        await worker.run(stop)
    finally:
        line.close()


if __name__ == "__main__":
    sys.exit(main())
