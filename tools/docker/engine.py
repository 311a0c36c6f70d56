"""A Docker daemon of our own: its socket, its data and its networks touch nobody else's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tools.docker import base

ROOT: Final = Path(__file__).resolve().parents[2]
# `dockerd` lies in sbin, and a newer client without its builder may come first in a user's path.
PROGRAMS: Final = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
# Networks of tests; away from what most machines and other daemons use.
POOL: Final = "base=10.213.0.0/16,size=24"
TO_START_S: Final = 30.0
TO_STOP_S: Final = 30.0


class NoEngineError(Exception):
    """No daemon runs here; the text says why."""


class Engine:
    """Speak to one daemon by its own socket."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds everything of the daemon: socket, data, log."""
        self.folder = folder
        self.socket = folder / "docker.sock"

    def docker(self, *words: str, check: bool = True, timeout_s: float = 120) -> str:
        """Run one command of the client and return its output, both streams, without the end.

        Raises:
            CommandFailedError: It failed, and `check` is set.
        """
        done = self.run(*words, timeout_s=timeout_s)
        text = (done.stdout + done.stderr).strip()
        if check and done.returncode != 0:
            raise CommandFailedError(f"docker {' '.join(words[:4])}… failed: {text[-2000:]}")
        return text

    def clear(self) -> None:
        """Remove every container, network and volume; images stay."""
        for listed, removed in (
            (("ps", "--all"), ("rm", "--force", "--volumes")),
            (("network", "ls", "--filter", "type=custom"), ("network", "rm")),
            (("volume", "ls"), ("volume", "rm")),
        ):
            if left := self.run(*listed, "--quiet").stdout.split():
                self.run(*removed, *left)

    def run(self, *words: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one command of the client, to its end."""
        client = shutil.which("docker", path=PROGRAMS)
        assert client is not None, "the client comes with the daemon"
        return subprocess.run(  # noqa: S603  # our own words
            [client, "--host", f"unix://{self.socket}", *words],
            env={"PATH": PROGRAMS, "HOME": str(self.folder), "DOCKER_BUILDKIT": "1"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip


class CommandFailedError(Exception):
    """A command of the client failed; the text holds what it said."""


@contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """Run a daemon for the length of a block; what it kept is removed afterwards.

    Raises:
        NoEngineError: It is not installed, or does not start here; the last words of its log are
            in the text.
    """
    program = shutil.which("dockerd", path=PROGRAMS)
    if program is None:
        raise NoEngineError("dockerd is not installed: apt-get install docker.io")
    engine = Engine(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # our own words
            [
                program, "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
                "--host", f"unix://{engine.socket}", "--pidfile", str(folder / "pid"),
                "--bridge", "none", "--default-address-pool", POOL,
            ],
            env={**_proxies(), "PATH": PROGRAMS}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        _wait_ready(engine, process, folder / "dockerd.log")
        yield engine
    finally:
        _stop(engine, process)
        shutil.rmtree(folder, ignore_errors=True)


def _proxies() -> dict[str, str]:
    names = ("http_proxy", "https_proxy", "no_proxy")
    words = {**os.environ}  # noqa: TID251  # what the daemon needs to reach a registry
    return {k: v for k, v in words.items() if k.lower() in names}


def _wait_ready(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + TO_START_S
    while time.monotonic() < until and process.poll() is None:
        if engine.socket.exists() and engine.run("version").returncode == 0:
            return
        time.sleep(0.1)
    said = log.read_text(errors="replace").strip().splitlines()
    raise NoEngineError(f"dockerd does not start here: {said[-1] if said else 'it said nothing'}")


def _stop(engine: Engine, process: subprocess.Popen[bytes]) -> None:
    """End the containers, then the daemon, by its number alone."""
    if process.poll() is None:
        engine.clear()
        process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(TO_STOP_S)
    if process.poll() is None:
        process.kill()
        process.wait(TO_STOP_S)


def build(engine: Engine, tag: str, *, cache: Path | None) -> str:
    """Build the project's Dockerfile, unchanged, and return the base that it stands on.

    The base is always one made here: a registry would have to be there, and would make what is
    measured depend on the day.

    Raises:
        BaseFailedError: No base could be made.
        CommandFailedError: The build failed.
    """
    python = base.movable_python()
    name = f"python:{base.version(python)}-slim-{base.SUITE}"
    _import_base(engine, name, python, cache)
    words = ["build", "--network=host", "--progress=plain", "--build-arg", f"BASE={name}"]
    engine.docker(*words, "--tag", tag, str(ROOT), timeout_s=900)
    return name


def _import_base(engine: Engine, name: str, python: Path | None, cache: Path | None) -> None:
    if engine.run("image", "inspect", name).returncode == 0:
        return
    files = base.archive(python, cache=cache)
    changes = [word for line in base.changes() for word in ("--change", line)]
    try:
        engine.docker("import", *changes, str(files), name)
    finally:
        if cache is None:
            shutil.rmtree(files.parent, ignore_errors=True)
