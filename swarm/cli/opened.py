"""The company of this terminal, opened for one command."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from swarm.app import App, build
from swarm.cli.logs import kept_in
from swarm.cli.terminal import tell
from swarm.core.errors import Unavailable
from swarm.runtime.lock import holder
from swarm.settings import load
from swarm.store import postgres, schema
from swarm.store.moved import refuse_moved
from swarm.store.refusals import Barred


class EndedError(Exception):
    """Say that a signal came before the company was open."""


LOOK_S = 1.0
"""How often an unreachable database is tried again, in seconds."""


@contextmanager
def opened(
    *,
    is_made: bool = False,
    waits: bool = False,
    worker: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    set_up: Callable[[], None] | None = None,
    meanwhile: Callable[[App], None] | None = None,
) -> Iterator[App]:
    """Open the company.

    Args:
        is_made: Create it where it is missing.
        waits: Wait for a database that cannot be reached, as long as the settings say.
        worker: Settings of the worker that the command line gave; they win.
        variables: The environment of one company of many, whose log is not its own; None is this
            process's.
        set_up: Makes the tables in another process, as `App.initialise` says.
        meanwhile: Does what can be done without a database on a server that cannot be reached, and
            returns when it is back, or when there is nothing that could be done.

    Raises:
        ConfigError: There is none, or it cannot be used; the text says what to do.
        EndedError: A signal came meanwhile.
    """
    environment = load(variables)
    if worker:
        settings = environment.settings
        own = settings.worker.model_copy(update=dict(worker))
        changed = settings.model_copy(update={"worker": own})
        environment = environment.model_copy(update={"settings": changed})
    app = build(environment)
    try:
        if app.store.is_sqlite:
            refuse_moved(app.home)
        _reach(app, app.settings.worker.database_wait_s if waits else 0.0, meanwhile)
        # Where somebody works the home already, it exists, and is not to be upgraded under them.
        if is_made and not (app.store.is_sqlite and holder(app.home) is not None):
            app.initialise(set_up=set_up)
        else:
            app.check()
        with kept_in(app.home) if variables is None else nullcontext():
            yield app
    finally:
        app.close()


def _reach(app: App, patience_s: float, meanwhile: Callable[[App], None] | None) -> None:
    """Wait until a shared database answers, and say so once in a while.

    Raises:
        Unavailable: It does not, and the patience is over; or waiting helps nothing.
    """
    if app.store.is_sqlite:
        return
    began = time.monotonic()
    said_s = 0.0
    while True:
        try:
            schema.revision(app.store)
            if patience_s:
                app.store.read(postgres.refuse_read_only)
        except Barred:
            # Somebody has to act; until then each try is refused alike.
            raise
        except Unavailable as error:
            if meanwhile is not None:
                meanwhile(app)
                began, meanwhile = time.monotonic(), None
                continue
            waited = time.monotonic() - began
            if waited >= patience_s:
                raise
            if not said_s or waited >= said_s:
                tell(f"{error} Trying again for {patience_s - waited:.0f} s.")
                said_s = max(2 * waited, 5.0)
            time.sleep(min(LOOK_S, patience_s - waited))
        else:
            return
