"""Importing does nothing, and a worker without orders opens no socket to anywhere."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

IMPORT_ALL = """
import importlib, json, os, pathlib, pkgutil, sys, sysconfig

allowed = [os.path.realpath(p) for p in (
    sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), *sys.argv[1:], "/proc", "/dev",
    "/etc", "/sys", "/usr/lib", "/usr/share", "/lib",
)]
seen = []

# Three libraries do something when they are imported, once and to nobody: urllib3 tries whether it
# may have a socket on ::1, croniter's platform.architecture() asks `file` about Python, and
# pyseccomp, which only the launcher of a sandboxed command imports, asks `ldconfig` for libseccomp.
vendors = (os.sep + os.path.join("pyseccomp", "__init__.py"), os.sep + "pyseccomp.py",
           os.sep + os.path.join("urllib3", "util", "connection.py"),
           os.sep + os.path.join("croniter", "croniter.py"))

def is_vendors():
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.endswith(vendors):
            return True
        frame = frame.f_back
    return False

def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.")) and is_vendors():
        return
    if event == "open" and isinstance(arguments[0], str):
        path, mode = arguments[0], arguments[1] or ""
        is_inside = any(os.path.realpath(path).startswith(p) for p in allowed)
        is_written = any(sign in mode for sign in "wax+") and "__pycache__" not in path
        if not is_inside or is_written:
            seen.append([event, path, mode])
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen",
                   "os.system", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect"):
        if event not in ("os.mkdir", "os.rename") or "__pycache__" not in str(arguments):
            seen.append([event, repr(arguments)])
    elif event == "socket.__new__" and arguments[1] in (2, 10):
        seen.append([event, repr(arguments)])

before = dict(os.environ)
sys.addaudithook(hook)
import swarm
names = [m.name for m in pkgutil.walk_packages(swarm.__path__, "swarm.")]
skipped = []
for name in names:
    if name.endswith("__main__") or ".migrations." in name:
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.startswith("swarm"):
            raise
        skipped.append(name)
changed = {k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k)}
report = {"names": names, "seen": seen, "skipped": skipped, "changed": sorted(changed)}
pathlib.Path(os.environ["REPORT"]).write_text(json.dumps(report))
"""

WORKER = """
import asyncio, json, os, pathlib, sys

made = []

def hook(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        made.append([event, repr(arguments)])
    if event == "socket.__new__" and arguments[1] in (2, 10):
        made.append([event, repr(arguments)])

sys.addaudithook(hook)
from swarm.app import build
from swarm.settings import load

async def main():
    app = build(load())
    app.initialise()
    until = asyncio.Event()

    def ready():
        asyncio.get_running_loop().call_later(0.6, until.set)

    await app.worker(app.channels() if "channels" in sys.argv else None).run(until, ready=ready)
    app.close()

asyncio.run(main())
pathlib.Path(os.environ["REPORT"]).write_text(json.dumps(made))
"""


def run(code: str, home: Path, *arguments: str, before: tuple[str, ...] = ()) -> tuple[str, str]:
    """Run code in an interpreter of its own with a bare environment; return its streams."""
    environment = {
        "HOME": str(home),
        "SWARM_HOME": str(home / "company"),
        "REPORT": str(home / "r"),
    }
    done = subprocess.run(
        [*before, sys.executable, "-W", "error::ResourceWarning", "-c", code, *arguments],
        env=environment | {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_importing_any_module_reads_nothing_prints_nothing_and_opens_no_socket(
    tmp_path: Path,
) -> None:
    out, err = run(IMPORT_ALL, tmp_path, str(ROOT))
    report = json.loads((tmp_path / "r").read_text())
    assert (out, err) == ("", "")
    assert len(report["names"]) > 60
    assert report["seen"] == []
    assert report["changed"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@dataclass(frozen=True)
class Idle:
    """What a worker without orders left behind."""

    streams: tuple[str, str]
    made: list[Any]
    """The sockets that Python knows of."""
    calls: list[str] | None
    """What the process asked of the system about sockets; None where nothing could listen."""


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Idle:
    """Let one worker wait, watched from inside and from outside at once."""
    home = tmp_path_factory.mktemp("idle")
    trace = home / "trace"
    strace = ("strace", "-f", "-qq", "-e", "trace=socket,connect,bind,listen", "-o", str(trace))
    streams = run(WORKER, home, before=strace if shutil.which("strace") else ())
    calls = trace.read_text().splitlines() if trace.exists() else None
    return Idle(streams, json.loads((home / "r").read_text()), calls)


def test_a_worker_without_orders_binds_and_connects_nothing(idle: Idle) -> None:
    assert idle.made == []
    assert idle.streams == ("", "")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_library_opens_a_socket_of_the_network_behind_python_s_back(idle: Idle) -> None:
    assert idle.calls is not None
    assert [line for line in idle.calls if "AF_INET" in line] == []
    assert [line for line in idle.calls if "listen(" in line] == []
