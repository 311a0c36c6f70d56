"""Killed at any moment and run again: one instance or none, and books that agree with the place."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SIGKILL = 9


MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files are in memory where that can be: a killed process loses nothing there
    either, and each of some hundred commits is forced to the disk elsewhere."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="swarm-farm-", dir=MEMORY) as found:
        yield Path(found)


def campaign(folder: Path, **plan: Any) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.farm.dying", str(folder), json.dumps(plan)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["signal"] for line in found] == [SIGKILL] * (len(found) - 1) + [0], done.stderr
    assert all(line["again"] == 0 for line in found), done.stderr
    return found


@pytest.mark.parametrize("command", ["up", "rm"])
def test_a_command_run_again_after_any_death_leaves_one_or_none(folder: Path, command: str) -> None:
    found = campaign(folder, command=command, then=command)
    assert len(found) > (12 if command == "up" else 9)
    wanted = [["ada", "running", "swarm:1"]] if command == "up" else []
    for line in found:
        assert line["instances"] == wanted, line
        assert line["kinds"] == (["ipv4", "server", "volume"] if wanted else []), line
        assert line["there"] == line["alive"], line
        assert line["open"] == line["findings"] == [], line
        # What is adopted was made before it was on the books.
        assert "adopt" not in line["actions"], line
        assert line["billed"] == found[-1]["billed"], line


def test_a_start_that_died_anywhere_can_be_removed_whole(folder: Path) -> None:
    for line in campaign(folder, command="up", then="rm", every=2):
        assert line["instances"] == line["there"] == line["alive"] == [], line
        assert line["open"] == line["findings"] == line["records"] == [], line
