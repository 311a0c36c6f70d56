"""What a Postgres server says when it lets a connection in by no way, and what helps.

A connection that was never made has no code of its error, so the server's words are all there is. One
that speaks another language than English is passed on in its own words.
"""

from typing import NamedTuple

from sqlalchemy.engine import URL

from swarm.core.errors import Unavailable


class Barred(Unavailable):
    """Say that the server answers and lets this user in by no way until somebody acts.

    A start ends with it. Whoever works already waits: a password may be changed under them.
    """


class _Said(NamedTuple):
    """Words of a server or of its library, and what they mean."""

    words: tuple[str, ...]
    """All of them stand in the text."""
    meaning: str
    is_lasting: bool = True
    """Waiting alone will not help."""


_FULL = (
    "it takes no more connections: raise `max_connections` on the server, or start fewer workers "
    "(each holds up to {most})"
)
_TLS = "set sslmode in the address, such as `?sslmode=require`"

_KNOWN = (
    # Before those that name a user or a database for another reason.
    _Said(("too many connections for role",), f"for {{user}} {_FULL}, or `ALTER ROLE`", False),
    _Said(("too many connections for database",), f"for this database {_FULL}", False),
    _Said(("too many clients already",), _FULL, False),
    _Said(("remaining connection slots are reserved",), _FULL, False),
    _Said(("is not currently accepting connections",), "the database is closed for now", False),
    _Said(
        ("is not permitted to log in",), "{user} may not log in; let it, by `ALTER ROLE … LOGIN`"
    ),
    _Said(
        ("permission denied for database",),
        "{user} may not connect to {database}; let it, by `GRANT CONNECT ON DATABASE`",
    ),
    _Said(("password authentication failed",), "it refuses the password of {user}"),
    _Said(("no password supplied",), "it wants a password for {user}; put it into the address"),
    _Said(
        ("no pg_hba.conf entry", "no encryption"),
        f"it does not let {{user}} in without TLS, or not at all (pg_hba.conf): {_TLS}",
    ),
    _Said(("no pg_hba.conf entry",), "it lets {user} in from here in no way (pg_hba.conf)"),
    _Said(('role "', "does not exist"), "it does not know the user {user}"),
    _Said(
        ('database "', "does not exist"),
        "it has no database {database}; create it there with `CREATE DATABASE`",
    ),
    _Said(
        ("server does not support SSL",),
        "it has no TLS, which the address asks for: switch TLS on there, or take `sslmode` away",
    ),
    _Said(
        ("certificate verify failed",),
        "its certificate is signed by nobody known here: name who signed it with `sslrootcert`",
    ),
    _Said(
        ("root certificate file", "does not exist"),
        "the address wants its certificate checked: name who signed it with `sslrootcert`",
    ),
    _Said(
        ("server certificate for", "does not match"), "its certificate is for another host's name"
    ),
    _Said(
        ("unsupported startup parameter",),
        "it is a pooler that hands each transaction to another connection: workers hold a lock for "
        "as long as they live, so give them the server's own address, or a pool by session with "
        "`ignore_startup_parameters = options`",
    ),
)
_ADDRESS = ("invalid connection option", "invalid sslmode value", "invalid integer value")
"""What the library says of an address before it asks any server."""


def of_connection(text: str, url: URL, *, where: str, most: int) -> Unavailable | None:
    """Return what the refusal of a connection means; None where nothing is known of its words.

    Args:
        text: What the server or the library said.
        url: Where to.
        where: The same for people, without its password.
        most: Connections that one process may hold.
    """
    if any(words in text for words in _ADDRESS):
        return Barred(
            f"The address of the database {where} cannot be used ({text[:200]}): mend "
            "SWARM_DATABASE_URL."
        )
    for said in _KNOWN:
        if all(words in text for words in said.words):
            meaning = said.meaning.format(
                user=url.username or "the user of this system", database=url.database, most=most
            )
            kind = Barred if said.is_lasting else Unavailable
            return kind(f"The database server of {where} was reached, but {meaning}.")
    return None
