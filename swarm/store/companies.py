"""Many companies in one Postgres: whose a row is, and the policy that shows it to nobody else.

On SQLite one file is one company, and its tables have no such column. On Postgres every table of
ours has `company_id`, which no statement of ours names: the database fills it in, and hides the rows
of all others, by what each transaction says first (`postgres.make_engine`). A transaction that says
nothing sees nothing and can write nothing.

The engine's tables are not ours, so each company has them in a schema of its own: their keys know no
company, and the engine ends a workflow on a connection that commits each statement by itself, where
nothing can be said for one transaction.
"""

import re

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.errors import ConfigError

MAIN = "main"
"""The company of a database that is not told of any; rows from before there were several are its."""
PATTERN = r"[a-z0-9]+(?:-[a-z0-9]+)*"
LONGEST = 40
"""Characters of an id; with its prefix it has to fit into a name of the server."""
ENGINE = "dbos"


def checked(company: str) -> str:
    """Return a company's id.

    Raises:
        ConfigError: It is none. It stands in statements, so nothing else may pass.
    """
    if len(company) > LONGEST or not re.fullmatch(PATTERN, company, re.ASCII):
        raise ConfigError(
            f"{company[:60]!r} is no company id: write small letters and digits, with single "
            f"hyphens between them, at most {LONGEST}, such as SWARM_COMPANY=acme."
        )
    return company


def engine_schema(company: str) -> str:
    """Return the schema of the engine's tables of a company."""
    # An id has no underscore, so no two companies share a schema.
    return ENGINE if company == MAIN else f"{ENGINE}_{checked(company).replace('-', '_')}"


def known(connection: Connection) -> list[str]:
    """Return the companies of a database, by id."""
    names = connection.execute(_SCHEMAS, {"main": ENGINE, "others": rf"{ENGINE}\_%"}).scalars()
    return sorted(
        MAIN if name == ENGINE else name.removeprefix(f"{ENGINE}_").replace("_", "-")
        for name in names
    )


def is_there(connection: Connection, company: str) -> bool:
    """Say whether a company was made in this database."""
    name = engine_schema(company)
    return connection.execute(_SCHEMAS, {"main": name, "others": ""}).first() is not None


_SCHEMAS = sa.text(
    "SELECT nspname FROM pg_namespace WHERE nspname = :main OR nspname LIKE :others ORDER BY 1"
)
