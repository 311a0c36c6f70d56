"""Companies at work for the tests of whole orders."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from swarm.app import App
from swarm.settings import load
from tests.acceptance.at_work import AtWork, at_work, provider_of, settings_of

Open = Callable[..., AbstractAsyncContextManager[AtWork]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the transcript of the day on the phone be written anew."""
    parser.addoption("--write-transcript", action="store_true", default=False)


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home just set up; tests copy it, since setting up takes half a second."""
    home = tmp_path_factory.mktemp("fresh") / "home"
    app = App(load(settings_of(home, "http://127.0.0.1:9/v1")))
    app.initialise()
    app.close()
    return home


@pytest.fixture
def home(fresh_home: Path, tmp_path: Path) -> Path:
    """Return a company's folder of one's own."""
    return Path(shutil.copytree(fresh_home, tmp_path / "home"))


@pytest.fixture
def opened(home: Path) -> Open:
    """Return what opens the company of `home` with a provider and settings."""

    def start(provider: Any = None, **options: Any) -> AbstractAsyncContextManager[AtWork]:
        return at_work(home, provider if provider is not None else provider_of(), **options)

    return start


@pytest.fixture
async def company(opened: Open) -> AsyncIterator[AtWork]:
    """Return a company at work whose provider plays one task for one role."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(opened())
