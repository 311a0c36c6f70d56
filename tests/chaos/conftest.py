"""What the campaigns share: one nursery a session, one empty company to copy."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from swarm.app import App
from swarm.settings import load
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.nursery import Nursery
from tests.chaos.site import Ground, Site, environment
from tests.servers import postgres

pytest.register_assert_rewrite("tests.chaos.audit")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let long campaigns be tried with fewer orders; known where a file of this folder is named."""
    parser.addoption("--drain-orders", type=int, default=1_000)
    parser.addoption("--waiting-orders", type=int, default=1_000)


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


@pytest.fixture(params=["sqlite", "postgres"])
def ground(request: pytest.FixtureRequest, nursery: Nursery) -> Ground:
    """What opens a company on each of the two databases."""
    if request.param == "sqlite":
        return partial(Site, nursery=nursery, template=request.getfixturevalue("template"))
    return partial(request.getfixturevalue("shared").site, nursery=nursery)
