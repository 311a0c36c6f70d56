"""The company of this terminal, opened for one command."""

from collections.abc import Iterator
from contextlib import contextmanager

from swarm.app import App, build
from swarm.cli.logs import kept_in
from swarm.runtime.lock import holder
from swarm.settings import load


@contextmanager
def opened(*, is_made: bool = False) -> Iterator[App]:
    """Open the company; with `is_made`, create it where it is missing.

    Raises:
        ConfigError: There is none, or it cannot be used; the text says what to do.
    """
    app = build(load())
    try:
        # Where somebody works the home already, it exists, and is not to be upgraded under them.
        if is_made and holder(app.home) is None:
            app.initialise()
        else:
            app.check()
        with kept_in(app.home):
            yield app
    finally:
        app.close()
