"""Bring a database to this version's schema, and refuse one from a newer version."""

from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from swarm.core.errors import ConfigError
from swarm.store.database import Store

HEAD = "0009"
"""The newest revision this version knows; a test holds it against the files."""


def revision(store: Store) -> str | None:
    """Return the revision of the database, or None for one without our tables."""

    def work(connection: Connection) -> str | None:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()

    return store.read(work)


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
    raise ConfigError(
        f"This company's database has schema {found}, this Swarm needs {HEAD}: "
        "stop its workers and run `swarm init` once; it upgrades in place."
    )


def upgrade(store: Store) -> None:
    """Create or upgrade our tables. Running it again changes nothing.

    Raises:
        ConfigError: The database is from a newer version.
    """
    found = revision(store)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        check(store)
    # Alembic is imported only when there is something to do: it costs a tenth of a start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
