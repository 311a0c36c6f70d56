"""Bring a database to this version's schema, and refuse one from a newer version."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from swarm.core.errors import ConfigError
from swarm.store import postgres
from swarm.store.database import Store

HEAD = "0015"
"""The newest revision this version knows; a test holds it against the files."""
_TURN = "swarm schema"
"""What whoever changes the schema of a shared database holds meanwhile."""


def revision(store: Store) -> str | None:
    """Return the revision of the database, or None for one without our tables."""
    return store.read(_revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def check(store: Store) -> None:
    """Refuse a database that another version made.

    Raises:
        ConfigError: No tables yet, older (says how to upgrade), or newer than this version.
    """
    found = revision(store)
    if found == HEAD:
        return
    if found is None:
        raise ConfigError("There is no company here yet: run `swarm init`.")
    if found > HEAD:
        raise ConfigError(
            f"This company was last used with a newer Swarm (schema {found}, this one knows "
            f"{HEAD}): install that version again; nothing was changed."
        )
    if store.is_sqlite:
        way = "stop its workers and run `swarm init` once; it upgrades in place."
    else:
        way = "run `swarm db upgrade` once, for all workers together; nothing was changed."
    raise ConfigError(f"This company's database has schema {found}, this Swarm needs {HEAD}: {way}")


def upgrade(store: Store, *, before: Callable[[], None] | None = None) -> str | None:
    """Create or upgrade our tables. Running it again changes nothing.

    Args:
        store: The database.
        before: What has to be there first, such as the engine's own tables; run only where there
            is something to do, and by one process at a time.

    Returns:
        The revision that was found.

    Raises:
        ConfigError: The database is from a newer version.
    """
    found = revision(store)
    if found == HEAD:
        return found
    if found is not None and found > HEAD:
        check(store)
    if store.is_sqlite:
        if before is not None:
            before()
        with store.engine.begin() as connection:
            _migrate(connection)
        return found
    return _upgrade_shared(store, before)


def _upgrade_shared(store: Store, before: Callable[[], None] | None) -> str | None:
    """Upgrade a database that others may be upgrading at this moment."""
    with store.engine.connect() as turn:
        # No transaction stays open meanwhile: an index that is built beside others' work would wait
        # for its end.
        turn = turn.execution_options(isolation_level="AUTOCOMMIT")
        with postgres.turn(turn, _TURN):
            if (found := revision(store)) == HEAD:
                return found
            if before is not None:
                before()
            with store.engine.begin() as connection:
                _migrate(connection)
    return found


def _migrate(connection: Connection) -> None:
    # Alembic is imported only when there is something to do: it costs a tenth of a start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
