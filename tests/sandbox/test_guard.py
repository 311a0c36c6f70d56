"""A sandbox whose owner is killed while it is being made leaves nothing behind."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError
from swarm.sandbox.bubblewrap import BubblewrapSandbox

KILLS = 20
TO_END_S = 15.0

OWNERS = """
import asyncio, os, pathlib, random, signal, sys, time
from swarm.sandbox.bubblewrap import BubblewrapSandbox

program, folder, kills, longest = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])

async def own():
    argv = ["sh", "-c", "sleep 1000"]
    await BubblewrapSandbox(pathlib.Path(program)).run(argv, workspace=pathlib.Path(folder))

for number in range(kills):
    owner = os.fork()
    if owner == 0:
        os.setpgid(0, 0)
        asyncio.run(own())
        os._exit(1)
    time.sleep(longest * (number + random.random()) / kills)
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
"""
"""Owners of sandboxes, each killed a moment after it began."""

UNBOUND = """#!{python} -IS
import os, sys
open({began!r}, "a").write("yes")
words = [word for word in sys.argv[1:] if word != "--die-with-parent"]
os.execve("/usr/bin/bwrap", ["bwrap", *words], {{}})
"""
"""A bubblewrap that never binds itself to anybody, as the real one does not in its first moment."""


@pytest.fixture(autouse=True)
async def possible(tmp_path: Path) -> None:
    try:
        await BubblewrapSandbox().run(["true"], workspace=tmp_path / "try")
    except ConfigError as error:
        pytest.skip(str(error))


def kill_owners(program: str, workspace: Path, *, kills: int, longest_s: float) -> None:
    words = [sys.executable, "-c", OWNERS, program, str(workspace), str(kills), str(longest_s)]
    subprocess.run(words, check=True, timeout=60)


def left(workspace: Path) -> list[str]:
    """Return the processes that speak of a workspace, once none does any more or time is up."""
    until = time.monotonic() + TO_END_S
    while True:
        found = []
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                words = (process / "cmdline").read_bytes() if process.name.isdigit() else b""
                if str(workspace).encode() in words and int(process.name) != os.getpid():
                    found.append(f"{process.name} {words[:60]!r}")
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.02)


def test_an_owner_killed_at_any_moment_of_the_making_leaves_no_process(tmp_path: Path) -> None:
    workspace = tmp_path / "made"
    kill_owners("/usr/bin/bwrap", workspace, kills=KILLS, longest_s=0.06)
    assert left(workspace) == []


def test_what_was_not_yet_bound_to_its_owner_ends_with_it_too(tmp_path: Path) -> None:
    workspace, began, program = tmp_path / "made", tmp_path / "began", tmp_path / "bwrap"
    program.write_text(UNBOUND.format(python=sys.executable, began=str(began)))
    program.chmod(0o755)
    kill_owners(str(program), workspace, kills=2, longest_s=1.0)
    assert "yes" in began.read_text()
    assert left(workspace) == []
