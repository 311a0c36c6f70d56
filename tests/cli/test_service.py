"""The worker as a process, and life beside it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from tests.cli.terminal import Terminal
from tests.servers.company import CompanyScript, PlannedTask
from tests.servers.provider import ScriptedProvider


@contextmanager
def running(name: str, *, stdin: IO[bytes] | int) -> Iterator[subprocess.Popen[str]]:
    """Run a service until its ready line; end it for sure."""
    with subprocess.Popen(
        [sys.executable, "-m", "swarm.cli", name],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(stream: IO[str] | None, word: str) -> str:
    assert stream is not None
    read = []
    for line in stream:
        read.append(line)
        if word in line:
            return line
    raise AssertionError("".join(read))


@pytest.fixture
def provider(terminal: Terminal) -> Iterator[ScriptedProvider]:
    plan = (PlannedTask("Write the page", "cto", "Write it.", "page.md"),)
    with ScriptedProvider(CompanyScript(plan)).in_thread() as server:
        terminal.use(server.url)
        yield server


@pytest.mark.usefixtures("provider")
def test_a_worker_serves_other_terminals_and_stops_cleanly(terminal: Terminal) -> None:
    terminal.run("init")
    with running("up", stdin=subprocess.DEVNULL) as process:
        assert str(terminal.home) in read_until(process.stderr, "Swarm works in")
        second = terminal.run("worker")
        assert (second.code, str(process.pid) in second.err) == (2, True)
        seen = terminal.run("order", "Write a page.", "--wait")
        assert seen.code == 0, seen.err
        assert f"The worker with process id {process.pid} does the work" in seen.out
        assert f"process id {process.pid} works" in terminal.run("doctor").out
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "")
        assert err.startswith("Stopping")
        assert err.count("\n") == 1
    assert "nobody works" in terminal.run("doctor").out


def test_a_worker_without_a_model_does_not_start(terminal: Terminal) -> None:
    terminal.set(SWARM_LLM__API_BASE="http://127.0.0.1:1/v1")
    seen = terminal.run("worker")
    assert (seen.code, seen.out) == (2, "")
    assert seen.err.startswith("Error: ")
