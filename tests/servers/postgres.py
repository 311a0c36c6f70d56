"""A Postgres server of its own for a test, where the machine has the programs."""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from swarm.store import migrations

USER = "swarm"
OWNER = "boss"
OPTIONS = "-c listen_addresses='' -c fsync=off -c shared_buffers=16MB"


def missing() -> str | None:
    """Say why no server can run here; None where one can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    if _program("initdb") is None or _program("pg_ctl") is None:
        return "the programs of Postgres are not installed"
    if os.getuid() == 0 and not _ordinary():
        return "Postgres does not run as root, and there is no user `postgres` or `nobody`"
    return None


class Addresses(NamedTuple):
    """One database by three users."""

    owner: str
    app: str
    superuser: str


class Server:
    """A server on a Unix socket in a folder of its own; started by `with`."""

    def __init__(self, *, connections: int = 50) -> None:
        self._folder = _folder()
        self._options = f"{OPTIONS} -c max_connections={connections} -k {self._folder}"
        self.url = self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the SQLAlchemy address of a database."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self._folder}"

    def __enter__(self) -> Self:
        try:
            _run(["cp", "-a", _seed() / "data", self._folder], within=self._folder)
            self.start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it; it takes connections when this returns."""
        self._control("-w", "-l", f"{self._folder}/log", "-o", self._options, "start")

    def stop(self) -> None:
        """Stop it as a crash would."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self._control("-w", "-m", "immediate", "stop")

    def create(self, database: str, *, template: str = "template1") -> str:
        """Create a database as a copy of another one, and return its address."""
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {database} TEMPLATE {template}")
        engine.dispose()
        return self.url_of(database)

    def share(self, database: str) -> "Addresses":
        """Create a database that a role owns which is no superuser, for another one to work in.

        The role that works is made by the product itself, at its first upgrade.
        """
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            if not connection.exec_driver_sql(
                f"SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}'"
            ).first():
                connection.exec_driver_sql(f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
            connection.exec_driver_sql(f"CREATE DATABASE {database} OWNER {OWNER}")
        engine.dispose()
        address = self.url_of(database)
        return Addresses(
            owner=address.replace(USER, OWNER, 1),
            app=address.replace(USER, f"app_{database}:s3cret-of-the-app", 1),
            superuser=address,
        )

    def _control(self, *arguments: str) -> None:
        _run([_found("pg_ctl"), "-D", self._folder / "data", *arguments], within=self._folder)


@contextmanager
def server() -> Iterator[str]:
    """Run a server for the length of a block; give the address of its first database."""
    with Server() as started:
        yield started.url


def migrate(url: str, *, to: str) -> None:
    """Give a database the tables of an older revision, as an older version made them."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    engine.dispose()


@cache
def _seed() -> Path:
    """Return a folder with the `data` of a server that never ran.

    Each server of this process begins with a copy, which takes a tenth of making them.
    """
    folder = _folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    words = ["-A", "trust", "-U", USER, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
    _run([_found("initdb"), "-D", folder / "data", *words], within=folder)
    return folder


def _folder() -> Path:
    """Make a folder for a server and its socket, owned by whoever may run one."""
    # A short path: the name of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if identity := _identity():
        os.chown(folder, identity["user"], identity["group"])
    return folder


def _run(words: Sequence[str | Path], *, within: Path) -> None:
    """Run a program as whoever may run a server."""
    subprocess.run(
        words,
        check=True,
        cwd=within,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        stdout=subprocess.DEVNULL,
        **_identity(),
    )


def _found(name: str) -> str:
    path = _program(name)
    assert path is not None
    return path


def _program(name: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or next(map(str, versions), None)


def _identity() -> dict[str, Any]:
    """Return whom to run a server as: root may not."""
    return _ordinary() if os.getuid() == 0 else {}


def _ordinary() -> dict[str, Any]:
    """Return the identity of a user who is not root."""
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return {}
