"""Run Debian's sshd for one test: its own keys, its own port of the loopback, nothing of the system's."""

import getpass
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from swarm.farm.cloud.keys import Pair

PRIVILEGES = Path("/run/sshd")
"""The folder that sshd wants where it runs as root; a system service makes it elsewhere."""
DOCKER = Path(__file__).with_name("docker.py")


@dataclass(frozen=True)
class Server:
    """A server of the farm, on this machine."""

    port: int
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def path(self) -> str:
        """Where its programs are looked for."""
        return f"{self.folder / 'bin'}:/usr/bin:/bin"

    @property
    def user(self) -> str:
        """Who is let in."""
        return getpass.getuser()

    @property
    def place(self) -> Path:
        """Where its Docker keeps things."""
        return self.folder / "docker"

    def allow(self, public: str) -> None:
        """Let a key in."""
        (self.folder / "authorized_keys").write_text(f"{public}\n")

    def said(self) -> str:
        """Return what sshd logged."""
        return (self.folder / "log").read_text()


def sshd() -> str | None:
    """Return the program; None where it is not installed."""
    return shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def made_server(folder: Path, host_key: Pair) -> Server:
    """Return a server that nobody has started: its programs, and its Docker."""
    _write(folder, host_key, 0)
    return Server(0, folder)


@contextmanager
def serving(folder: Path, host_key: Pair) -> Iterator[Server]:
    """Run a server that shows a host key."""
    program = sshd()
    assert program is not None
    port = _free_port()
    _write(folder, host_key, port)
    makes = os.geteuid() == 0 and not PRIVILEGES.exists()
    if makes:
        PRIVILEGES.mkdir(mode=0o755)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "config")], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip
    server = Server(port, folder, process)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        process.wait(10)
        if makes:
            PRIVILEGES.rmdir()


def _write(folder: Path, host_key: Pair, port: int) -> None:
    bin_, place = folder / "bin", folder / "docker"
    bin_.mkdir(parents=True)
    (place / "volumes").mkdir(parents=True)
    books = {"containers": {}, "images": {}, "made": 0, "loads": 0}
    (place / "books.json").write_text(json.dumps(books))
    words = shlex.join([sys.executable, "-I", "-S", str(DOCKER), str(place)])
    for name, line in (("docker", f'exec {words} "$@"'), ("chown", "exit 0")):
        (bin_ / name).write_text(f"#!/bin/sh\n{line}\n")
        (bin_ / name).chmod(0o755)
    key = folder / "host_key"
    key.touch(mode=0o600)
    key.write_text(host_key.private)
    (folder / "authorized_keys").touch(mode=0o600)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nStrictModes no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv PATH={Server(port, folder).path}\nLogLevel VERBOSE\nUseDNS no\n"
        # The quickest of what the client offers: what is tried here is not the key exchange.
        "KexAlgorithms curve25519-sha256\n"
    )


def _wait(server: Server) -> None:
    until = time.monotonic() + 15
    assert server.process is not None
    while time.monotonic() < until and server.process.poll() is None:
        with closing(socket.socket()) as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", server.port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"sshd did not start: {server.said()}")


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
