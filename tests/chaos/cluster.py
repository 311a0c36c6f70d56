"""A company on a Postgres of its own, for workers that live and die beside each other."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swarm.app import App
from swarm.settings import load
from tests.chaos.nursery import Nursery
from tests.chaos.site import Site, environment
from tests.servers.postgres import Server

NOWHERE = "http://127.0.0.1:9/v1"
STALE_S = 2.0
"""After so long without a sign of life a worker is given up, in these tests."""
_TEMPLATE = "company_template"


class Cluster:
    """A server with an empty company to copy, since setting one up takes seconds."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.home = folder / "home"
        self._numbers = itertools.count(1)
        url = server.create(_TEMPLATE)
        app = App(load(environment(self.home, NOWHERE) | {"SWARM_DATABASE_URL": url}))
        app.initialise()
        # So that tests read the engine's tables by their names, as they do on SQLite.
        app.store.write(
            lambda c: c.exec_driver_sql(
                f"ALTER DATABASE {_TEMPLATE} SET search_path = public, dbos"
            )
        )
        app.close()

    def settings(self) -> dict[str, str]:
        """Return the settings of a fresh company of one's own."""
        name = f"company_{next(self._numbers)}"
        url = self.server.create(name, template=_TEMPLATE)
        engine_settings = f"ALTER DATABASE {name} SET search_path = public, dbos"
        app = App(load(environment(self.home, NOWHERE) | {"SWARM_DATABASE_URL": url}))
        app.store.write(lambda c: c.exec_driver_sql(engine_settings))
        app.close()
        return {"SWARM_DATABASE_URL": url, "SWARM_WORKER__STALE_S": str(STALE_S)}

    def site(
        self, folder: Path, nursery: Nursery, *, api_base: str, settings: Mapping[str, str] = {}
    ) -> Site:
        """Return a company of one's own, whose workers share this home."""
        return Site(
            folder,
            nursery,
            template=self.home,
            api_base=api_base,
            settings=self.settings() | dict(settings),
        )


@contextmanager
def cluster(folder: Path, *, connections: int = 150) -> Iterator[Cluster]:
    """Run a server for the length of a block."""
    with Server(connections=connections) as server:
        yield Cluster(server, folder)


def named(number: int) -> dict[str, Any]:
    """Return the options of a worker with a name of its own."""
    return {"name": f"worker-{number}"}
