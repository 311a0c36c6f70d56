"""`swarm up` as its processes: one that listens, and one that works while there is work."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from sqlite3 import connect

import pytest

from tests.cli.terminal import Terminal
from tests.servers.company import CompanyScript, PlannedTask
from tests.servers.provider import ScriptedProvider

PLAN = (PlannedTask("Write the page", "cto", "Write it.", "page.md"),)
SLOW_S = 0.15
"""How long each answer of the slow model takes: an order is at work for a second and more."""


class Up:
    """A running `swarm up`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, word: str) -> str:
        """Read its standard error until a word comes."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if word in line:
                return line
        raise AssertionError("".join(self.said))

    def workers(self) -> list[int]:
        """Return the processes it has orders worked in."""
        found: list[int] = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
        return [pid for pid in found if "swarm.cli.works" in _command(pid)]

    def worker(self) -> int:
        """Wait for a worker that has taken over its memory, and return its process id."""
        eventually(lambda: bool(self.workers()))
        return self.workers()[0]

    def end(self) -> int:
        """Tell it to stop, and return its exit code."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=20)
        assert time.monotonic() - began < 5, err
        return self.process.returncode


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def eventually(is_so: Callable[[], bool], *, within_s: float = 120.0) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


@contextmanager
def up(*arguments: str) -> Iterator[Up]:
    with subprocess.Popen(
        [sys.executable, "-m", "swarm.cli", "up", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            found = Up(process)
            found.until("Swarm works")
            yield found
        finally:
            process.kill()


@pytest.fixture
def provider(terminal: Terminal) -> Iterator[ScriptedProvider]:
    with ScriptedProvider(CompanyScript(PLAN), delay_s=SLOW_S).in_thread() as server:
        terminal.use(server.url)
        # Others who compute on this machine must not keep a test waiting.
        terminal.set(SWARM_WORKER__IDLE_S="0.5", SWARM_WORKER__NICE="0")
        yield server


def statuses(home: Path) -> list[str]:
    """Return where the orders of a home stand, the oldest first."""
    with closing(connect(home / "swarm.db")) as database:
        rows = database.execute("SELECT status FROM orders ORDER BY created_at").fetchall()
    return [str(row[0]) for row in rows]


@pytest.mark.usefixtures("provider")
def test_a_worker_comes_with_an_order_is_replaced_when_it_dies_and_goes_when_all_is_done(
    terminal: Terminal,
) -> None:
    terminal.run("init")
    with up() as company:
        assert company.workers() == []
        assert company.process.stdin is not None
        company.process.stdin.write("Write a page for a bakery.\n")
        company.process.stdin.flush()
        first = company.worker()
        eventually(lambda: "working" in statuses(terminal.home))
        os.kill(first, signal.SIGKILL)
        eventually(lambda: company.workers() not in ([], [first]))
        eventually(lambda: statuses(terminal.home) == ["delivered"])
        eventually(lambda: not company.workers())
        terminal.order("Write another page.")
        last = company.worker()
        assert company.end() == 0
        assert not _command(last)


@pytest.mark.usefixtures("provider")
def test_a_killed_doorman_takes_its_worker_along_and_the_next_one_finishes_the_order(
    terminal: Terminal,
) -> None:
    terminal.run("init")
    terminal.order()
    with up() as company:
        worker = company.worker()
        eventually(lambda: "working" in statuses(terminal.home))
        company.process.kill()
        eventually(lambda: not _command(worker), within_s=3)
    with up() as heir:
        # Nobody holds the home any more, and what was begun is taken up.
        assert heir.worker() != worker
        assert heir.end() == 0


@pytest.mark.usefixtures("provider")
def test_one_process_listens_for_many_companies_of_which_one_is_broken(
    terminal: Terminal, tmp_path: Path
) -> None:
    folder = tmp_path / "companies"
    for name in ("bakery", "wrong", "forge"):
        (folder / name).mkdir(parents=True)
        (folder / name / "company.yaml").write_text(f"name: {name}\n")
    (folder / "wrong" / "company.yaml").write_text("budgets: 3\n")
    (folder / "forge" / "company.env").write_text("# its own\nSWARM_BUDGET__ORDER=3\n")
    with up("--companies", str(folder)) as host:
        assert any("wrong: Settings" in line and "budgets" not in line for line in host.said)
        assert "2 companies" in host.said[-1]
        terminal.set(SWARM_HOME=str(folder / "forge"))
        terminal.order()
        host.worker()
        eventually(lambda: statuses(folder / "forge") == ["working"])
        order = terminal.run("orders", "--json").document[0]
        assert order["budget"]["amount"].startswith("3")
        # The other one was not worked for: each has a process of its own.
        assert len(host.workers()) == 1
        assert host.end() == 0


def test_what_is_one_company_s_is_refused_where_it_would_be_everybody_s(
    terminal: Terminal, tmp_path: Path
) -> None:
    home = tmp_path / "companies" / "bakery"
    home.mkdir(parents=True)
    (home / "company.yaml").write_text("name: x\n")
    terminal.set(SWARM_TELEGRAM__TOKEN="1:a")
    with up("--companies", str(home.parent)) as host:
        assert any("SWARM_TELEGRAM__TOKEN is set for all companies" in line for line in host.said)
        assert host.end() == 0
    seen = terminal.run("up", "--companies", str(tmp_path / "nowhere"))
    assert (seen.code, "is no folder" in seen.err) == (2, True)
