"""What declarations of tables are made with."""

from functools import cache
from typing import TYPE_CHECKING

import sqlalchemy as sa

from swarm.store import lean

if TYPE_CHECKING or not lean.is_on():
    from sqlmodel import Field, SQLModel
else:
    from swarm.store.lean import Field, SQLModel

__all__ = ["Field", "SQLModel", "metadata", "partial_index", "teach_postgres"]

metadata = SQLModel.metadata
"""All tables of ours."""

_WHERES: dict[sa.Index, str] = {}


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    """Return an index of the rows for which `where` holds, on either database."""
    index = sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(where))
    _WHERES[index] = where
    return index


@cache
def teach_postgres() -> None:
    """Tell Postgres too which indexes hold some rows alone.

    Told at once, SQLAlchemy would load all that it knows of Postgres, which a company on SQLite
    never needs: four megabytes.
    """
    for index, where in _WHERES.items():
        index.dialect_options["postgresql"]["where"] = sa.text(where)
