"""Forget all that is remembered of one customer, as part of a transaction that is open already."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.memory.base import Scope, Tombstone
from swarm.memory.records import digest
from swarm.memory.rows import item_of
from swarm.memory.search import FullText, PostgresText, SqliteText
from swarm.store.database import Store
from swarm.store.tables import memories, memory_vectors


def forget_customer(
    connection: Connection, customer: str, *, by: str, tombstone: Tombstone
) -> tuple[str, ...]:
    """Delete every memory of one customer, older wordings too; return their ids.

    Args:
        connection: The transaction. Deleted pages are overwritten from here on.
        customer: As in `Viewer.customer`.
        by: Who has it forgotten.
        tombstone: Told of each memory, within the transaction.
    """
    index = _index(connection)
    index.prepare_to_forget(connection)
    whose = (memories.c.scope == Scope.CUSTOMER.value, memories.c.scope_id == customer)
    found = [item_of(row) for row in connection.execute(sa.select(memories).where(*whose))]
    for item in found:
        tombstone(connection, item.id, digest(item), by)
        connection.execute(memory_vectors.delete().where(memory_vectors.c.memory_id == item.id))
        connection.execute(memories.delete().where(memories.c.id == item.id))
    if found:
        index.purge(connection)
    return tuple(item.id for item in found)


def scrub(store: Store) -> None:
    """Take deleted text out of the database's files, after the transaction."""
    index: FullText = SqliteText() if store.is_sqlite else PostgresText()
    index.scrub(store)


def _index(connection: Connection) -> FullText:
    return SqliteText() if connection.dialect.name == "sqlite" else PostgresText()
