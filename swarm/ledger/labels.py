"""Whose words the files of an order hold, where they are not the team's own.

A label is written before the file: whoever reads the file later finds the label there.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.mark import CLEAN, Mark
from swarm.core.origin import Origin
from swarm.store.database import Store
from swarm.store.tables import labels

EVERYTHING = ""
"""The path that speaks of every file of a workspace."""


_OF_ORDER = sa.select(labels).where(labels.c.order_id == sa.bindparam("of_order"))


class LabelBook:
    """Write and read the labels of one company's files."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def of(self, order_id: str, paths: Iterable[str]) -> Mark:
        """Return what reading these files marks a task with; `EVERYTHING` joins all labels."""
        wanted = frozenset(paths)
        if not wanted:
            return CLEAN

        def work(connection: Connection) -> Mark:
            mark = CLEAN
            rows = connection.execute(_OF_ORDER, {"of_order": order_id})
            for row in rows:
                if EVERYTHING in wanted or row.path == EVERYTHING or row.path in wanted:
                    mark = mark.after(Origin(row.origin), is_private=row.is_private)
            return mark

        return await self._store.aread(work)

    async def write(self, order_id: str, paths: Iterable[str], mark: Mark, *, source: str) -> None:
        """Label files with what their writer has read; a label only ever grows worse."""
        named = tuple(dict.fromkeys(paths))
        if mark.is_clean or not named:
            return

        def work(connection: Connection) -> None:
            for path in named:
                key = (labels.c.order_id == order_id, labels.c.path == path)
                known = connection.execute(sa.select(labels).where(*key)).first()
                joined = mark
                if known is not None:
                    joined = mark.after(Origin(known.origin), is_private=known.is_private)
                values = {
                    "origin": joined.origin.value,
                    "is_private": joined.is_private,
                    "source": source,
                    "at": iso(self._clock.now()),
                }
                if known is None:
                    connection.execute(
                        labels.insert().values(order_id=order_id, path=path, **values)
                    )
                else:
                    connection.execute(labels.update().where(*key).values(**values))

        await self._store.awrite(work)
