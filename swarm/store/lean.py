"""Read the declarations of tables without SQLModel, in a process that only listens.

SQLModel makes of each table a class for its rows, by an object-relational mapper and a validating
model. A process that hears and sends looks into rows and keeps none; there these classes would be a
sixth of its memory. What is declared is the same, and a test holds both readings to the same tables.
"""

from types import NoneType, UnionType
from typing import Any, ClassVar, get_args

import sqlalchemy as sa

_TYPES: dict[Any, type[sa.types.TypeEngine[Any]]] = {
    str: sa.String,
    int: sa.Integer,
    float: sa.Float,
    bool: sa.Boolean,
    bytes: sa.LargeBinary,
}
_UNSET = object()


class _Wanted:
    is_lean = False


def begin() -> None:
    """Let tables be read so in this process, where none was read yet."""
    _Wanted.is_lean = True


def is_on() -> bool:
    """Say whether tables are read so."""
    return _Wanted.is_lean


class _Declared:
    """What `Field` was told."""

    def __init__(self, column: sa.Column[Any] | None, options: dict[str, Any]) -> None:
        self.column = column
        self.options = options


def Field(
    *,
    default: Any = _UNSET,
    primary_key: bool = False,
    sa_column: "sa.Column[Any] | None" = None,
    sa_column_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Say more of a column than its annotation does.

    Args:
        default: What an insert writes that does not name the column. `sa_column` has its own, or
            none.
        primary_key: Whether it is part of the table's key.
        sa_column: The whole column, where its type does not follow from the annotation.
        sa_column_kwargs: What else SQLAlchemy's column is told.
    """
    options: dict[str, Any] = {"primary_key": primary_key, **(sa_column_kwargs or {})}
    if default is not _UNSET:
        options["default"] = default
    return _Declared(sa_column, options)


class SQLModel:
    """A table's declaration; its rows are never made into objects.

    A module of such classes does without `from __future__ import annotations`.
    """

    metadata: ClassVar[sa.MetaData] = sa.MetaData()

    __tablename__: ClassVar[str]
    __table_args__: ClassVar[tuple[sa.schema.SchemaItem, ...]] = ()

    def __init_subclass__(cls, *, table: bool) -> None:
        """Make the table, as part of `metadata`."""
        assert table, "nothing else is declared"
        columns = [
            _column(name, annotation, vars(cls).get(name, _UNSET))
            for name, annotation in vars(cls)["__annotations__"].items()
        ]
        sa.Table(cls.__tablename__, cls.metadata, *columns, *cls.__table_args__)


def _column(name: str, annotation: Any, value: Any) -> "sa.Column[Any]":
    if isinstance(value, _Declared):
        if value.column is not None:
            value.column.name = value.column.key = name
            return value.column
        options = dict(value.options)
    else:
        options = {} if value is _UNSET else {"default": value}
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    (kind,) = (one for one in kinds if one is not NoneType)
    options.setdefault("nullable", NoneType in kinds)
    return sa.Column(name, _TYPES[kind], **options)
