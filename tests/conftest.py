"""What all tests share: their order, and a database made once that each new company begins with."""

import gc
import importlib
import os
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog

from swarm.store import fresh

# Drawn with every variable of every frame, a trace takes longer than whatever it tells of.
for processor in structlog.get_config()["processors"]:
    if isinstance(processor, structlog.dev.ConsoleRenderer):
        processor.exception_formatter = structlog.dev.plain_traceback

ROOMS_THAT_WAIT = ("tests/chaos/",)
"""Where tests mostly wait: for a lease to end, for a process to die and another to take over."""
MEMORY_OF_A_PROCESS = 2**30
"""Bytes; one that runs a share of all tests grows to nine tenths of it."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes `-n auto` starts: three for two cores, if the memory is there.

    A quarter of the suite's time is spent waiting: for a poll, for a program that ends, for a
    platform's limits. Another worker has the core meanwhile; a fourth gained nothing any more.
    """
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores + cores // 2, memory // MEMORY_OF_A_PROCESS))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector of cycles rest while all tests are read, and never look at them again.

    What is read stays to the end: half a million objects, through which it went ten times over.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait, so that others have the cores meanwhile.

    Work is taken over from the end of another process's list: what stands first stays with one
    process, which starts the companies of these tests once, and nothing long is left for last.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(ROOMS_THAT_WAIT))


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
