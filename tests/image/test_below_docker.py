"""What is left to try where no Docker daemon can run: the entry point, its health and its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.conftest import Level
from tools.docker.engine import ROOT

pytestmark = pytest.mark.timeout(900)
HEALTHY = ROOT / "tools" / "docker" / "healthy.py"


@pytest.fixture
def home(tmp_path: Path, level: Level) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    if level.name == "buildah":
        os.chown(folder, 10001, 10001)
        # The container's user must reach the folder through those above it.
        for parent in list(folder.parents)[:4]:
            parent.chmod(parent.stat().st_mode | 0o055)
    return folder


@pytest.fixture
def instance(level: Level, home: Path) -> Iterator[subprocess.Popen[str]]:
    if level.command is None:
        pytest.skip("the real image was tried")
    with subprocess.Popen(
        [*level.command(home), "up"],
        env={"PATH": os.defpath, "SWARM_HOME": str(home), "HOME": str(home)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def healthy(home: Path) -> subprocess.CompletedProcess[str]:
    """Run the image's health check on a home."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(HEALTHY)], env={"SWARM_HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_entry_point_makes_a_company_shows_health_and_ends_cleanly(
    instance: subprocess.Popen[str], home: Path
) -> None:
    assert healthy(home).returncode == 1
    assert instance.stderr is not None
    said = ""
    while "Swarm works in" not in said:
        line = instance.stderr.readline()
        assert line, said
        said += line
    assert "hears nobody" in said
    assert (home / "swarm.db").exists()
    until = time.monotonic() + 10
    while healthy(home).returncode and time.monotonic() < until:
        time.sleep(0.1)
    assert healthy(home).stdout == "works\n"
    # Its own number: what was started may be a program that runs it in a chroot.
    began = time.monotonic()
    os.kill(int((home / "worker.lock").read_text()), signal.SIGTERM)
    assert instance.wait(10) == 0
    assert time.monotonic() - began < 5
    assert healthy(home).returncode == 1
