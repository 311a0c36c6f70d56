"""Build the image once and say at which level it could be tried.

These tests are a step of their own (`make image-test`): they need a daemon, one core of the two
for a minute, and root. So the plain run of all tests leaves them out; naming the file runs them.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.image.instances import Instances
from tools.docker import base, engine, lower

collect_ignore = [
    "test_image.py",
    "test_below_docker.py",
    "test_compose_docker.py",
    "test_farm_docker.py",
    "test_cloud_init_boot.py",
]
TAG = "swarm:ci"


@dataclass
class Level:
    """How close to the real thing this machine lets us come."""

    name: str
    instances: Instances | None = None
    command: Callable[[Path], list[str]] | None = None
    """Below Docker: the words that start the program with a folder as its home."""
    why: str = ""
    """Why it is no higher one."""


@dataclass
class Figures:
    """What was measured on the way, for the summary."""

    level: Level | None = None
    lines: list[str] = field(default_factory=list)


FIGURES = pytest.StashKey[Figures]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image-cache", help="folder where base images are kept; none by default")
    parser.addoption("--image-engine", help="folder of a daemon that runs already, and stays")
    parser.addoption("--docker-only", action="store_true", help="fail where no daemon can run")
    parser.addoption("--image-level", choices=("docker", "buildah", "venv"), default="docker",
                     help="the highest level to try")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash[FIGURES]
    if figures.level is None:
        return
    terminalreporter.section("image")
    terminalreporter.line(f"level: {figures.level.name}")
    if figures.level.why:
        terminalreporter.line(f"no higher, because {figures.level.why}")
    for line in figures.lines:
        terminalreporter.line(line)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    return pytestconfig.stash[FIGURES].lines


@pytest.fixture(scope="session")
def level(pytestconfig: pytest.Config) -> Iterator[Level]:
    with ExitStack() as stack:
        found = _reached(pytestconfig, stack)
        pytestconfig.stash[FIGURES].level = found
        if found.name != "docker" and pytestconfig.getoption("docker_only"):
            pytest.fail(f"only the level {found.name} was reached: {found.why}", pytrace=False)
        yield found


def _reached(config: pytest.Config, stack: ExitStack) -> Level:
    highest = config.getoption("image_level")
    cache = config.getoption("image_cache")
    kept = Path(cache) if cache else None
    why = "a lower one was asked for"
    if highest == "docker":
        try:
            daemon = stack.enter_context(_daemon(config))
            stands_on = engine.build(daemon, TAG, cache=kept)
            stack.callback(daemon.clear)
            return Level("docker", Instances(daemon, TAG, stands_on))
        except (engine.NoEngineError, base.BaseFailedError) as error:
            why = str(error)
    if highest != "venv":
        try:
            builder, container = stack.enter_context(lower.built(TAG, cache=kept))
            run = partial(builder.running, container)
            return Level("buildah", command=lambda home: run(home, "swarm"), why=why)
        except (lower.NoBuilderError, base.BaseFailedError) as error:
            why = f"{why}; {error}"
    program = str(engine.ROOT / ".venv" / "bin" / "swarm")
    return Level("venv", command=lambda _: [program], why=why)


@contextmanager
def _daemon(config: pytest.Config) -> Iterator[engine.Engine]:
    if found := config.getoption("image_engine"):
        yield engine.Engine(Path(found))
        return
    with (
        tempfile.TemporaryDirectory(prefix="swarm-docker-") as folder,
        engine.running(Path(folder, "engine")) as started,
    ):
        yield started


@pytest.fixture(scope="session")
def instances(level: Level) -> Instances:
    if level.instances is None:
        pytest.skip(f"no daemon runs here: {level.why}")
    return level.instances
