"""A worker on Postgres listens nowhere, and connects to its database alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.runtime.test_silence import WORKER

ROOT = Path(__file__).parents[2]
DATABASE = re.compile(r'sun_path="([^"]*/)\.s\.PGSQL\.\d+"')
NAME_SERVICE = "/nscd/socket"
"""The C library asks it who the user is."""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_worker_without_orders_connects_to_its_database_and_to_nothing_else(
    postgres_company: Cluster, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    home = Path(shutil.copytree(postgres_company.home, tmp_path / "company"))
    environment = {
        "HOME": str(tmp_path),
        "SWARM_HOME": str(home),
        "REPORT": str(tmp_path / "report"),
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        **postgres_company.settings(),
    }
    calls = "trace=socket,connect,bind,listen"
    strace = ["strace", "-f", "-qq", "-s", "200", "-e", calls, "-o", str(trace)]
    subprocess.run(
        [*strace, sys.executable, "-c", WORKER],
        env=environment,
        cwd=ROOT,
        check=True,
        timeout=100,
    )
    lines = trace.read_text().splitlines()
    assert [line for line in lines if "AF_INET" in line] == []
    assert [line for line in lines if "listen(" in line] == []
    reached = [line for line in lines if "connect(" in line and NAME_SERVICE not in line]
    assert reached
    folder = environment["SWARM_DATABASE_URL"].partition("host=")[2]
    assert {DATABASE.search(line).group(1) for line in reached} == {f"{folder}/"}  # type: ignore[union-attr]  # a line without one is the fault looked for
