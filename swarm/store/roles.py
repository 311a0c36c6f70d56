"""Who may do what on a Postgres: one role owns the tables, another one, with fewer rights, works.

Row-level security binds neither superusers nor roles with BYPASSRLS, and an owner can switch it off.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ProgrammingError

from swarm.core.errors import ConfigError
from swarm.store import parting, searching

APPEND_ONLY = frozenset(
    {"audit", "audit_heads", "baselines", "actuals", "founder_actions", "founder_corrections"}
)
"""What is never changed, and never deleted."""
KEPT = frozenset({"orders", "tasks", "ledger", "budgets", "effects", "asks", "approvals", "outbox"})
"""What is changed, and never deleted."""
_VACUUM_FROM = 170_000
"""Number of the first server version on which others than the owner may vacuum a table."""


class Standing(NamedTuple):
    """What the role of a connection is on its server."""

    user: str
    is_superuser: bool
    bypasses: bool
    """It has BYPASSRLS."""
    is_owner: bool
    """It owns tables of ours, or may act as the role that does."""

    @property
    def is_bound(self) -> bool:
        """Return whether row-level security binds it."""
        return not (self.is_superuser or self.bypasses)

    @property
    def fault(self) -> str:
        """Say what is wrong with it as the role that works; empty where nothing is."""
        what = "is a superuser" if self.is_superuser else "has BYPASSRLS"
        if not self.is_bound:
            return (
                f"The database user {self.user} {what}: row-level security does not bind it, so it "
                "keeps no two companies apart."
            )
        if self.is_owner:
            return (
                f"The database user {self.user} owns the tables: row-level security binds it, but "
                "it may switch that off."
            )
        return ""


REMEDY = (
    "give SWARM_DATABASE_URL a user of its own, put this one's address into "
    "SWARM_DATABASE_OWNER_URL, and run `swarm db upgrade`, which makes that user"
)


def standing(connection: Connection) -> Standing:
    """Return what the role of this connection is."""
    row = connection.execute(_STANDING).one()
    return Standing(row.user, row.is_superuser, row.bypasses, row.is_owner)


def refuse_mixing(connection: Connection, address: str, companies: Collection[str]) -> None:
    """Refuse several companies to a role that row-level security does not bind.

    Args:
        connection: Of the owner.
        address: Of the database for the role that works.
        companies: All that the database is to hold.

    Raises:
        ConfigError: The role would see all of them.
    """
    name = name_in(address) or str(connection.exec_driver_sql("SELECT current_user").scalar())
    row = connection.execute(_ROLE, {"name": name}).first()
    if len(companies) < 2 or row is None or not (row.is_superuser or row.bypasses):
        return
    raise ConfigError(
        f"{Standing(name, row.is_superuser, row.bypasses, is_owner=False).fault} The database holds "
        f"a company already, so nothing was made: {REMEDY}."
    )


def name_in(address: str) -> str:
    """Return the user in a database's address; empty where the system says who it is."""
    return make_url(address).username or ""


def make(connection: Connection, address: str) -> str | None:
    """Make the role that works, if it is another one than the owner's and is not there yet.

    Args:
        connection: Of the owner.
        address: Of the database for the role that works, with its name and password.

    Returns:
        The role's name; None where the owner itself works.

    Raises:
        ConfigError: The owner may not make roles.
    """
    name = _worker(connection, address)
    if name is None:
        return None
    if connection.execute(_ROLE, {"name": name}).first():
        return name
    try:
        connection.exec_driver_sql(
            f"CREATE ROLE {_quoted(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS "
            f"NOREPLICATION{_password(connection, address)}"
        )
    except ProgrammingError as error:
        raise ConfigError(
            f"The owner of the database may not make the user {name}: let somebody who may run "
            f"`CREATE ROLE {_quoted(name)} LOGIN PASSWORD '…';` on the server, then run this again."
        ) from error
    return name


def _worker(connection: Connection, address: str) -> str | None:
    """Return the role that works; None where the owner itself does."""
    name = name_in(address)
    return (
        None if name in ("", connection.exec_driver_sql("SELECT current_user").scalar()) else name
    )


def _password(connection: Connection, address: str) -> str:
    """Return the clause for a role's password, which the server and its log never see in clear."""
    password = make_url(address).password
    if not password:
        return ""
    driver: Any = connection.connection.driver_connection
    user = name_in(address).encode()
    verifier = driver.pgconn.encrypt_password(str(password).encode(), user, b"scram-sha-256")
    return f" PASSWORD '{verifier.decode('ascii')}'".replace("%", "%%")


def grant(connection: Connection, address: str) -> None:
    """Give the role that works its rights on our tables, and no others.

    Args:
        connection: Of the owner.
        address: Of the database for the role that works; where the owner works, nothing is done.
    """
    name = _worker(connection, address)
    if name is None:
        return
    role = _quoted(name)
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    for table in parting.own_tables(connection):
        connection.exec_driver_sql(f"REVOKE ALL ON {_quoted(table)} FROM {role}, PUBLIC")
        connection.exec_driver_sql(f"GRANT {rights_on(table)} ON {_quoted(table)} TO {role}")
    for sequence in connection.execute(_SEQUENCES).scalars().all():
        connection.exec_driver_sql(f"GRANT USAGE ON SEQUENCE {_quoted(sequence)} TO {role}")
    searching.grant(connection, role)
    for view in parting.VIEWS:
        connection.exec_driver_sql(f"GRANT SELECT ON {view} TO {role}")
    connection.exec_driver_sql(f"GRANT SELECT ON alembic_version TO {role}")
    if int(str(connection.exec_driver_sql("SHOW server_version_num").scalar_one())) >= _VACUUM_FROM:
        scrubbed = f"memories, memory_vectors, {searching.TABLE}"
        connection.exec_driver_sql(f"GRANT MAINTAIN ON {scrubbed} TO {role}")


def rights_on(table: str) -> str:
    """Return what the role that works may do with a table."""
    if table in APPEND_ONLY:
        return "SELECT, INSERT"
    return "SELECT, INSERT, UPDATE" if table in KEPT else "SELECT, INSERT, UPDATE, DELETE"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


_STANDING = sa.text(
    "SELECT current_user AS user, r.rolsuper AS is_superuser, r.rolbypassrls AS bypasses, "
    "COALESCE((SELECT pg_has_role(c.relowner, 'MEMBER') FROM pg_class c "
    "WHERE c.oid = to_regclass('orders')), false) AS is_owner "
    "FROM pg_roles r WHERE r.rolname = current_user"
)
_ROLE = sa.text(
    "SELECT rolsuper AS is_superuser, rolbypassrls AS bypasses FROM pg_roles WHERE rolname = :name"
)
_SEQUENCES = sa.text(
    "SELECT s.relname FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i') "
    "WHERE s.relkind = 'S' AND s.relnamespace = CAST(current_schema() AS regnamespace) ORDER BY 1"
)
