"""A Postgres server of our own for a test session, on a socket in a private folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def _account() -> str | None:
    """Return whom the server runs as where we are root, which it refuses to be."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("we are root, and there is no account that Postgres could run as")


@contextmanager
def server() -> Iterator[str]:
    """Start Postgres, yield the address of its first database, and end it.

    Skips where it is not installed. It listens on no port: nobody else can reach it.
    """
    binaries = _binaries()
    if binaries is None:
        pytest.skip("Postgres is not installed")
    user = _account()
    folder = Path(tempfile.mkdtemp(prefix="swarm-pg-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        made = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "swarm", "-A", "trust"]
        subprocess.run(
            [*made, "-N", "-E", "UTF8"], check=True, capture_output=True, user=user, cwd="/"
        )
        with _running(binaries, folder, user):
            yield f"postgresql+psycopg://swarm@/postgres?host={folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(binaries: Path, folder: Path, user: str | None) -> Iterator[None]:
    options = ["-k", str(folder), "-c", "listen_addresses=''", "-c", "fsync=off", "-F"]
    control = [str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-w", "-s"]
    start = [*control, "-l", str(folder / "log"), "-o", " ".join(options), "start"]
    subprocess.run(start, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        stop = [*control, "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)
