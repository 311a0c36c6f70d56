"""Bring cassettes of older formats up to this one, a format at a time.

An upgrader takes all lines of one format, manifest first and without the end, and returns them as
the next format has them. To add one: raise `cassette.FORMAT`, write the function, and put it here
under the format that it takes.

- 1 to 2: chats came in (the lane `inbound`, and in the manifest `asks`, `people` and `skills`).
  What was recorded before knows none of them, and says so by having none.- 2 to 3: the files that an order began with (the lane `given`), why it stopped (`reason`), and what
  was heard in voice notes (`spoken`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from swarm.core.errors import InvalidInput
from swarm.evals.lanes import Entry

Upgrader: TypeAlias = Callable[[list[Entry]], list[Entry]]


def _to_2(entries: list[Entry]) -> list[Entry]:
    """Take the lines as they are: what format 2 adds is empty in what is older."""
    return list(entries)


def _to_3(entries: list[Entry]) -> list[Entry]:
    """Take the lines as they are: what format 3 adds is empty in what is older."""
    return list(entries)


UPGRADERS: Mapping[int, Upgrader] = MappingProxyType({1: _to_2, 2: _to_3})


def upgraded(
    path: Path, entries: list[Entry], wanted: int, upgraders: Mapping[int, Upgrader]
) -> list[Entry]:
    """Return the lines in the wanted format.

    Raises:
        InvalidInput: Nobody knows how to bring such an old format up.
    """
    version = int(entries[0]["format"])
    while version < wanted:
        if version not in upgraders:
            raise InvalidInput(
                f"{path}: has format {version}, which no Swarm brings up to {wanted}: record the "
                "order again with `swarm record ORDER`, in the company where it was worked."
            )
        entries = upgraders[version](entries)
        version += 1
        entries[0] = {**entries[0], "format": version}
    return entries
