"""What the campaigns share: one nursery a session, one empty company to copy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.app import App
from swarm.settings import load
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.nursery import Nursery
from tests.chaos.site import environment
from tests.servers import postgres

pytest.register_assert_rewrite("tests.chaos.audit")


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template") / "home"
    app = App(load(environment(home, "http://127.0.0.1:9/v1")))
    app.initialise()
    app.close()
    return home


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Postgres with an empty company, for many workers."""
    if reason := postgres.missing():
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found
