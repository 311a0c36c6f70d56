"""No name and no path leads out of the workspace, and a look from outside proves it."""

import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from swarm.core.errors import ToolError
from swarm.tools import workspace
from tests.tools.hostile_paths import (
    CLASSICS,
    SECRET,
    Kit,
    campaign_round,
    hostile_path,
    kit,
    site,
)
from tests.tools.pest import Pest, pest

PER_ROUND = 100
rounds = st.lists(hostile_path, min_size=PER_ROUND, max_size=PER_ROUND)
relaxed = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Shrinking a round that a hostile process took part in would hunt for ever.
    phases=[Phase.explicit, Phase.generate],
    database=None,
)
MUTANTS = {
    "links are followed": [("os.O_NOFOLLOW", "0"), ("if stat.S_ISLNK(status.st_mode)", "if False")],
    "folders that are links are followed": [("os.O_DIRECTORY | os.O_NOFOLLOW", "os.O_DIRECTORY")],
    "two dots are a name": [('if name in ("", ".", "..")', 'if name == ""')],
    "a path may be absolute": [
        ('if path.startswith("/")', "if False"), ('if name in ("", ".", "..")', "if False"),
        ('path.split("/")', '((path,) if path.startswith("/") else path.split("/"))'),
    ],
    "shared files are plain": [("status.st_nlink > 1", "status.st_nlink > 99")],
    "reserved names are names": [("casefold().startswith(RESERVED_PREFIX)", "startswith('\\0')")],
}  # fmt: skip


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder in memory where there is one: the campaign writes and syncs thousands of files."""
    memory = Path("/dev/shm")
    folder = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=folder) as name:
        yield Path(name)


class Inline(ThreadPoolExecutor):
    """Run at once what is meant for a thread: half of a campaign would be handing over."""

    def submit(self, work: Any, /, *args: Any, **more: Any) -> "Future[Any]":
        """Do it, and return what came of it."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **more))
        except Exception as error:  # noqa: BLE001  # it flies where the future is awaited
            done.set_exception(error)
        return done


def run(work: Coroutine[Any, Any, list[str]]) -> list[str]:
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(Inline())
        return runner.run(work)


def campaign(room: Path, tools: Kit, *, paths: int, hostile: Pest | None = None) -> list[str]:
    """Try so many paths, a fresh site for each round; return the escapes of the first bad round."""
    numbers = itertools.count()
    found: list[str] = []

    @settings(relaxed, max_examples=-(-paths // PER_ROUND))
    @given(paths=rounds)
    def one_round(paths: list[str]) -> None:
        with site(room / f"{next(numbers)}") as where:
            if hostile:
                hostile.play_in(where.workspace)
            try:
                escapes = run(campaign_round(tools, where, [*CLASSICS, *paths]))
            finally:
                if hostile:
                    hostile.rest()
            found.extend(escapes)
            assert not escapes

    try:
        one_round()
    except AssertionError:
        assert found
    return found


def test_no_hostile_path_leads_out(room: Path) -> None:
    assert campaign(room, kit(), paths=600) == []


def test_no_hostile_path_leads_out_while_a_hostile_process_plays_tricks(room: Path) -> None:
    with pest() as hostile:
        assert campaign(room, kit(), paths=200, hostile=hostile) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_the_campaign_sees_the_escape_where_a_guard_is_missing(room: Path, name: str) -> None:
    # No drawn paths here: with a guard missing they could reach the files of the machine.
    with site(room / "site") as where:
        assert run(campaign_round(kit(*MUTANTS[name]), where, CLASSICS))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/dev/zero", "/proc/self/environ", *("../" * n + "etc/passwd" for n in range(1, 8))]
)  # fmt: skip
def test_no_file_of_the_machine_is_read(tmp_path: Path, path: str) -> None:
    with pytest.raises(ToolError, match=r"absolute|a part '\.\.'|parts; use"):
        workspace.facts(tmp_path, path)


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_a_hundred_thousand_hostile_paths_lead_nowhere(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    escapes = campaign(room, kit(), paths=50_000)
    with pest() as hostile:
        escapes += campaign(room, kit(), paths=50_000, hostile=hostile)
    with capsys.disabled():
        print(  # noqa: T201  # the number is what the campaign is for
            f"\n100,000 hostile paths, 7 uses of each, half of them beside a hostile process: "
            f"{len(escapes)} escapes in {time.monotonic() - began:.0f} s"
        )
    assert escapes == []


def test_a_foreign_file_that_loses_its_second_name_while_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process acts between the single steps, always at the worst moment."""
    monkeypatch.setattr(os, "open", _acting_around_open(tmp_path, os.open))
    folder = tmp_path / "workspace"
    folder.mkdir()
    (tmp_path / "secret").write_text(SECRET)
    (folder / "page").write_text("inside")
    with pytest.raises(ToolError, match="changed all the time"):
        workspace.facts(folder, "page")
    with pytest.raises(ToolError, match="changed all the time"):
        workspace.read_whole(folder, "page")


def _acting_around_open(root: Path, real: Callable[..., int]) -> Callable[..., int]:
    """Put a foreign file under the name just before it is opened, and take it away just after."""

    def opened(
        path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if path != "page":
            return real(path, flags, mode, dir_fd=dir_fd)
        page, spare = root / "workspace" / "page", root / "workspace" / "spare"
        page.rename(spare)
        page.hardlink_to(root / "secret")
        descriptor = real(path, flags, mode, dir_fd=dir_fd)
        spare.rename(page)
        return descriptor

    return opened


def test_a_file_that_is_replaced_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page").write_text("old")
    real = os.open
    versions = iter(["newer", "newest"])

    def opened(path: str | Path, *args: int, **more: int) -> int:
        descriptor = real(path, *args, **more)
        if path == "page" and (text := next(versions, None)):
            (tmp_path / "draft").write_text(text)
            (tmp_path / "draft").rename(tmp_path / "page")
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    assert workspace.read_whole(tmp_path, "page").data == b"newest"


def test_without_proc_the_name_must_stand_for_the_open_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError(2, "no /proc")

    (tmp_path / "page").write_text("text")
    monkeypatch.setattr(os, "readlink", missing)
    assert workspace.read_whole(tmp_path, "page").data == b"text"
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "page").write_text("inside")
    monkeypatch.setattr(os, "open", _acting_around_open(tmp_path, os.open))
    with pytest.raises(ToolError, match="changed all the time"):
        workspace.facts(tmp_path / "workspace", "page")


def test_a_giant_is_not_digested_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "MAX_FACTS_BYTES", 1_000_000)
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ToolError, match="more than 1,000,000 bytes"):
        workspace.facts(tmp_path, "giant")
