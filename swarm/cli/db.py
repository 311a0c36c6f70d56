"""What `swarm db` takes. The work is in `databases`, which is imported when a command runs."""

from typing import Annotated, Any

from typer import Option

from swarm.cli.commands import Json
from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

db = plain_typer(
    no_args_is_help=True, help="The company's database: its state, its schema, a move."
)


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.databases:{function}")(**arguments)
    return result


@db.command()
def status(as_json: Json = False) -> int | None:
    """Show which database it is, its schema, and who works on it."""
    return _work("status", as_json=as_json)


@db.command()
def upgrade(as_json: Json = False) -> int | None:
    """Bring the database to this version's schema; doing it again changes nothing.

    With SWARM_DATABASE_OWNER_URL it is done by that user, which also makes the one that works and
    gives it its rights, and makes the company of SWARM_COMPANY where it is new.

    On Postgres workers never do that themselves: run it once before new ones start. What they have
    in hand goes on meanwhile.
    """
    return _work("upgrade", as_json=as_json)


@db.command()
def companies(as_json: Json = False) -> int | None:
    """List the companies of a Postgres, with how much each keeps.

    For who owns its tables, by SWARM_DATABASE_OWNER_URL; reads every row once.
    """
    return _work("companies", as_json=as_json)


@db.command()
def move(
    to: Annotated[
        str | None,
        Option("--to", metavar="URL", help="A Postgres; unset takes SWARM_DATABASE_URL."),
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Copy the company of this home from SQLite into a Postgres, all of it or nothing.

    The Postgres may hold other companies: SWARM_COMPANY says which one this becomes there, and that
    one must be empty.

    Counts, amounts and the audit chain are compared before anything is kept; the SQLite file stays
    as it is. Stop the worker first. Files stay in SWARM_HOME.
    """
    return _work("move", to=to, as_json=as_json)
