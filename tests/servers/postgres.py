"""A Postgres server of its own for a test, where the machine has the programs."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

USER = "swarm"
OPTIONS = "-c listen_addresses='' -c fsync=off -c max_connections=50 -c shared_buffers=16MB"


def missing() -> str | None:
    """Say why no server can run here; None where one can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    if _program("initdb") is None or _program("pg_ctl") is None:
        return "the programs of Postgres are not installed"
    if os.getuid() == 0 and not _ordinary():
        return "Postgres does not run as root, and there is no user `postgres` or `nobody`"
    return None


@contextmanager
def server() -> Iterator[str]:
    """Run a server on a Unix socket in a folder of its own; give its SQLAlchemy address."""
    # A short path: the name of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    identity = _ordinary() if os.getuid() == 0 else {}
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    data, socket = folder / "data", f"-k {folder}"

    def run(program: str, *arguments: str) -> None:
        path = _program(program)
        assert path is not None
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
        subprocess.run(
            [path, "-D", data, *arguments],
            check=True,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            **identity,
        )

    try:
        run("initdb", "-A", "trust", "-U", USER, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", f"{OPTIONS} {socket}", "start")
        try:
            yield f"postgresql+psycopg://{USER}@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or next(map(str, versions), None)


def _ordinary() -> dict[str, Any]:
    """Return the identity of a user who is not root."""
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return {}
