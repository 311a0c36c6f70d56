"""Homes for the tests of the front."""

import shutil
from pathlib import Path

import pytest

from swarm.app import App
from swarm.settings import load
from tests.acceptance.at_work import settings_of


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
