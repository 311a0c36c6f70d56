"""Bring a database to this version's schema, and refuse one from a newer version."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from swarm.core.errors import ConfigError
from swarm.store import companies, parting, postgres, roles
from swarm.store.database import Store

HEAD = "0017"
"""The newest revision this version knows; a test holds it against the files."""
PRESENT_FROM, PARTED_FROM = "0012", "0015"
"""From which revisions on the tables know of workers, and workers of companies."""
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
        if not store.is_sqlite:
            _check_company(store)
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


def _check_company(store: Store) -> None:
    """Refuse a company that was never made, and a role that would mix it up with others."""
    known, role = store.read(lambda c: (companies.known(c), roles.standing(c)))
    # Tables without any engine beside them are those of one company, which is read and not worked.
    if store.company not in (known or [companies.MAIN]):
        raise ConfigError(
            f"There is no company {store.company!r} in {postgres.shown(store.url)} yet: run `swarm "
            "init` for it, or set SWARM_COMPANY to another one."
        )
    if not role.is_bound and len(known) > 1:
        raise ConfigError(
            f"{role.fault} {postgres.shown(store.url)} holds several, so nothing is read or "
            f"written: {roles.REMEDY}."
        )


def upgrade(
    store: Store,
    *,
    before: Callable[[], None] | None = None,
    after: Callable[[Connection], None] | None = None,
) -> str | None:
    """Create or upgrade our tables. Running it again changes nothing.

    Args:
        store: The database; on a Postgres by the role that owns the tables.
        before: What has to be there first, such as the engine's own tables; run by one process at a
            time, and on SQLite only where there is something to do.
        after: Run in the transaction of the change, on a Postgres alone.

    Returns:
        The revision that was found.

    Raises:
        ConfigError: The database is from a newer version.
    """
    found = revision(store)
    if found is not None and found > HEAD:
        check(store)
    if store.is_sqlite:
        if found == HEAD:
            return found
        if before is not None:
            before()
        with store.engine.begin() as connection:
            _migrate(connection)
        return found
    try:
        return _upgrade_shared(store, before, after)
    except DBAPIError as error:
        raise postgres.explained(error, store.engine.url) from error


def _upgrade_shared(
    store: Store,
    before: Callable[[], None] | None,
    after: Callable[[Connection], None] | None,
) -> str | None:
    """Upgrade a database that others may be upgrading at this moment."""
    with store.engine.connect() as turn:
        # No transaction stays open meanwhile: an index that is built beside others' work would wait
        # for its end.
        turn = turn.execution_options(isolation_level="AUTOCOMMIT")
        with postgres.turn(turn, _TURN):
            # A new company in a database that is up to date still needs what comes before.
            found = revision(store)
            if found is None:
                store.read(_refuse_other_signs)
            if found is not None and PRESENT_FROM <= found < PARTED_FROM:
                _refuse_workers(store)
            if before is not None:
                before()
            with store.engine.begin() as connection:
                postgres.take_time(connection)
                if found != HEAD:
                    _migrate(connection)
                    parting.part(connection)
                if after is not None:
                    after(connection)
    return found


def _refuse_other_signs(connection: Connection) -> None:
    """Refuse an empty database that cannot hold every sign.

    Raises:
        ConfigError: It is no UTF-8: what is written in it would fail at the first emoji.
    """
    signs = str(connection.exec_driver_sql("SHOW server_encoding").scalar_one())
    if signs != "UTF8":
        raise ConfigError(
            f"The database stores text as {signs}, which has no room for every sign: make one with "
            "`CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0;`. Nothing was changed."
        )


def _refuse_workers(store: Store) -> None:
    """Refuse to part the tables under workers of a version that names no company.

    Raises:
        ConfigError: They would see no row any more.
    """
    names = store.read(lambda c: c.exec_driver_sql(_AT_WORK).scalars().all())
    if names:
        raise ConfigError(
            f"Workers of an older version are at work ({', '.join(names)}), which could read nothing "
            "after this upgrade: stop them first; what they have in hand goes on afterwards. "
            "Nothing was changed."
        )


_AT_WORK = (
    "SELECT name FROM workers WHERE seen_ms > extract(epoch FROM clock_timestamp()) * 1000 - 10000 "
    "ORDER BY name"
)


def _migrate(connection: Connection) -> None:
    # Alembic is imported only when there is something to do: it costs a tenth of a start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
