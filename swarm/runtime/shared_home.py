"""The folder that all processes of a company on a Postgres share: files of orders lie in it.

A mark in the folder and the same one in the database tell that a host sees the right folder. Workers
with folders of their own would each hold a part of an order's files.
"""

import uuid
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.errors import ConfigError
from swarm.store.database import Store
from swarm.store.tables import meta

FILE = "shared-home"
KEY = "home"
_KNOWN = sa.select(meta.c.value).where(meta.c.key == KEY)


def is_shared(home: Path, store: Store) -> bool:
    """Return whether this folder is the company's, or may become it."""
    known = store.read(lambda connection: connection.execute(_KNOWN).scalar())
    return known is None or known == _mark(home)


def claim(home: Path, store: Store) -> None:
    """Make this folder the company's where it has none yet.

    Raises:
        ConfigError: Its processes share another one.
    """
    mark = _mark(home)
    fresh = mark or uuid.uuid4().hex
    known = store.write(lambda connection: _known(connection, fresh))
    if known not in (mark, fresh):
        raise ConfigError(
            f"{home} is not the folder that this company's other processes work in: give all of "
            "them one SWARM_HOME, on a volume that every host can write (NFS, RWX). If its files "
            f"were moved here on purpose, write {known} into {home / FILE}."
        )
    if mark is None:
        (home / FILE).write_text(f"{known}\n", encoding="ascii")


def _known(connection: Connection, fresh: str) -> str:
    found = connection.execute(_KNOWN).scalar()
    if found is None:
        connection.execute(meta.insert().values(key=KEY, value=fresh))
    return str(found or fresh)


def _mark(home: Path) -> str | None:
    try:
        return (home / FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
