"""What all tests share: a new company begins with a database that was made once in the session."""

import importlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.store import fresh


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes `-n auto` starts: three for two cores.

    A quarter of the suite's time is spent waiting: for a poll, for a program that ends, for a
    platform's limits. Another worker has the core meanwhile.
    """
    cores = len(os.sched_getaffinity(0))
    return cores + cores // 2


class MadeOnFirstUse(os.PathLike[str]):
    """The database of a company just made, as an image brings one; made when first asked for.

    The tables themselves are made by the product, each session once in this process; programs that
    tests start know nothing of it and make their own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._path: Path | None = None

    def __fspath__(self) -> str:
        return os.fspath(self._made())

    def is_file(self) -> bool:
        """Return whether there is one to copy: always, save while it is made."""
        return self._made().is_file()

    def _made(self) -> Path:
        with self._lock:
            if self._path is None:
                self._path = self._folder / "none"
                # Tests that open no company need not load what makes one.
                company = importlib.import_module("swarm.app")
                settings = importlib.import_module("swarm.settings")
                app = company.App(settings.load({"SWARM_HOME": str(self._folder / "home")}))
                try:
                    app.initialise()
                finally:
                    app.close()
                self._path = self._folder / "home" / "swarm.db"
            return self._path


@pytest.fixture(scope="session", autouse=True)
def ready_made_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let a new company's home begin with a copied database: making one takes half a second."""
    ready_made = MadeOnFirstUse(tmp_path_factory.mktemp("ready-made"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fresh.place, "__kwdefaults__", {"ready_made": ready_made})
        yield
