"""The note in a home whose company is on a server now, so that nobody goes on with the old file.

It is written while the SQLite file is locked against writers, so whoever writes to the file afterwards
has it before their eyes (`Store`): nothing can be said to a company that is elsewhere.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from swarm.core.errors import ConfigError

FILE = "moved.json"


class Mark(NamedTuple):
    """What the note says."""

    to: str
    """The database, without its password."""
    at: str
    is_done: bool
    """False from just before the server is asked to keep all of it, until it said so."""


def mark(home: Path, *, to: str, at: str, is_done: bool) -> None:
    """Note that the company is elsewhere, or may be; a reader sees all of the note or none."""
    path = home / FILE
    draft = path.with_name(f".{FILE}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"to": to, "at": at, "is_done": is_done}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def unmark(home: Path) -> None:
    """Take away the note of a move that did not come to its end: nothing arrived."""
    found = marked(home)
    if found is not None and not found.is_done:
        (home / FILE).unlink()


def marked(home: Path) -> Mark | None:
    """Return the note; None where there is none."""
    path = home / FILE
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return Mark(str(noted["to"]), str(noted["at"]), bool(noted.get("is_done", True)))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        # Somebody else wrote it; that there is one says that a move was begun.
        return Mark("a Postgres", "an unknown day", is_done=False)


def refuse_moved(home: Path, *, unless_cut_off: bool = False) -> None:
    """Refuse the file of a company that was moved: what is said to it would be lost.

    Args:
        home: Of the company.
        unless_cut_off: Let it pass where nobody knows whether it was.

    Raises:
        ConfigError: It was, with the ways on.
    """
    found = marked(home)
    if found is None:
        return
    if found.is_done:
        raise ConfigError(
            f"This company was moved to {found.to} on {found.at[:10]}: set SWARM_DATABASE_URL to "
            f"it. To go back to the SQLite file as it was then, delete {home / FILE}."
        )
    if unless_cut_off:
        return
    raise ConfigError(
        f"A move of this company to {found.to} was cut off on {found.at[:10]} at its last step: run "
        "`swarm db move` again, which finds out whether it arrived and ends it."
    )
