"""Many companies in one process: each apart from the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from swarm.core.errors import ConfigError
from swarm.runtime.doorman_house import House, homes_in


def company(folder: Path, name: str) -> Path:
    home = folder / name
    home.mkdir()
    (home / "company.yaml").write_text("name: x\n")
    return home


class Tenant:
    """Somebody who listens until told to stop."""

    def __init__(self, name: str, gone: list[str]) -> None:
        self._name = name
        self._gone = gone

    async def run(self, until: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
        if self._name == "breaks":
            raise ZeroDivisionError
        if ready is not None:
            ready()
        await until.wait()
        self._gone.append(self._name)


async def test_a_broken_company_is_told_of_once_and_the_others_come_and_go(tmp_path: Path) -> None:
    for name in ("good", "wrong", "breaks"):
        company(tmp_path, name)
    (tmp_path / "no company").mkdir()
    (tmp_path / "logs").mkdir()
    said: list[str] = []
    gone: list[str] = []

    @asynccontextmanager
    async def opened(home: Path) -> AsyncIterator[Tenant]:
        if home.name == "wrong" and "fixed" not in (home / "company.yaml").read_text():
            raise ConfigError("company.yaml:1: not valid YAML.")
        yield Tenant(home.name, gone)

    house = House(tmp_path, open_home=opened, tell=said.append)
    until, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(house.run(until, ready=ready.set))

    async def rescanned(*names: str) -> None:
        house.rescan.set()
        async with asyncio.timeout(5):
            while house.rescan.is_set() or house.ready != list(names):  # noqa: ASYNC110  # a test
                await asyncio.sleep(0.005)

    await asyncio.wait_for(ready.wait(), 5)
    assert house.ready == ["good"]
    sentences = [
        "breaks: something inside broke (ZeroDivisionError); see the log.",
        "wrong: company.yaml:1: not valid YAML.",
    ]
    assert said == sentences
    await rescanned("good")
    assert said == sentences

    (tmp_path / "wrong" / "company.yaml").write_text("name: fixed\n")
    late = company(tmp_path, "late")
    await rescanned("good", "late", "wrong")
    (late / "company.yaml").unlink()
    await rescanned("good", "wrong")
    assert gone == ["late"]
    until.set()
    await asyncio.wait_for(running, 5)
    assert sorted(gone) == ["good", "late", "wrong"]


def test_a_folder_that_is_gone_holds_no_company(tmp_path: Path) -> None:
    assert homes_in(tmp_path / "gone") == []
