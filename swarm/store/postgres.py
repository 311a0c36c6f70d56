"""How Postgres is reached: connections, what its errors mean, and commits that are never doubted."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from swarm.core.errors import ConfigError, Unavailable
from swarm.store import refusals
from swarm.store.tables.declared import teach_postgres

T = TypeVar("T")

DRIVER = "postgresql+psycopg"
_SPELLINGS = frozenset({"postgres", "postgresql", "postgresql+psycopg2", DRIVER})
POOL, OVERFLOW = 10, 10
"""Connections of one process: kept, and opened on top while much happens at once."""
MOST = POOL + OVERFLOW + 1
"""The most that a worker holds: its seat has one of its own."""
CONNECT_S = 5
IDLE_S = 30
"""After how long the server ends a transaction in which nothing happens: whoever stalls in the
middle of one would keep its rows locked for everybody."""
_OPTIONS = (
    f"-c idle_in_transaction_session_timeout={IDLE_S * 1000} -c TimeZone=UTC -c DateStyle=ISO "
    r"-c default_transaction_isolation=read\ committed"
)
"""What a session begins with, whatever its user or database was given otherwise."""
_AGAIN = frozenset({"40001", "40P01", "23505"})
"""A transaction that met another one: undone by the server, and as good as new when run again. A
unique key is among them, since where one looks first and inserts then, two may look at once."""
_READ_ONLY = "25006"
MOST_TRIES = 8
_SLOW = {"57014": "statement_timeout", "55P03": "lock_timeout"}
"""Limits of time that an administrator may set, by the state that tells of them."""
_PAUSE_S = 0.01
ASK_S = 0.5
DOUBT_S = 120.0
"""How long to ask a server that was lost at a commit what became of it, in seconds."""


def url_of(address: str) -> str:
    """Return the address with our driver, however it is spelled; another database's as it is.

    Raises:
        ConfigError: It is no address.
    """
    url = _read(address)
    if url is None:
        # The address may hold a password, so it is not repeated.
        raise ConfigError(
            "SWARM_DATABASE_URL is no database address: write it as "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, with the signs @ : / ? # % of a "
            "password as %40 %3A %2F %3F %23 %25."
        )
    if url.drivername.lower() not in _SPELLINGS:
        return address
    return url.set(drivername=DRIVER).render_as_string(hide_password=False)


def _read(address: str) -> URL | None:
    """Read an address; None where it is none, or a piece of its password would pass for its host."""
    try:
        url = make_url(address.strip())
    except (ArgumentError, ValueError):
        return None
    return None if "@" in (url.host or "") else url


def shown(address: str) -> str:
    """Return the address for people and logs, without its password."""
    url = make_url(address)
    host = url.host or url.query.get("host") or "this machine"
    port = f":{url.port}" if url.port else ""
    return f"{url.database or 'postgres'} at {host}{port}"


def same_database(one: str, other: str) -> bool:
    """Say whether two addresses name one Postgres database, by whichever user.

    Their hosts may differ: one may lead past a pooler.
    """
    try:
        urls = [make_url(url_of(address)) for address in (one, other)]
    except ConfigError:
        return False
    return urls[0].database == urls[1].database and {u.drivername for u in urls} == {DRIVER}


def password_of(address: str) -> str | None:
    """Return the password in an address, so that it can be kept out of logs."""
    url = _read(address)
    password = (url.password or url.query.get("password")) if url is not None else None
    return str(password) if password else None


def make_engine(address: str, *, tag: str, company: str) -> Engine:
    """Return connections to a Postgres; none is opened yet.

    Each of their transactions begins with whose rows it may see (`store.companies`). One that
    commits every statement by itself cannot, and sees nothing: see `settle`.

    Args:
        address: As `url_of` returned it.
        tag: Names this process's connections on the server.
        company: Id of the company, already checked.

    Raises:
        ConfigError: The driver is not installed, or it is another database.
    """
    url: URL = make_url(address)
    if url.drivername != DRIVER:
        raise ConfigError(
            f"SWARM_DATABASE_URL: {url.drivername!r} is not supported: use SQLite (leave it unset) "
            f"or {DRIVER}://…"
        )
    if find_spec("psycopg") is None:
        raise ConfigError("Postgres needs the package 'psycopg': pip install 'swarm[postgres]'")
    teach_postgres()
    engine = sa.create_engine(
        url,
        connect_args={
            "application_name": tag,
            "connect_timeout": CONNECT_S,
            # A host that vanished says nothing; its end is noticed within half a minute.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # The same for what was said to it meanwhile, which keepalives do not count.
            "tcp_user_timeout": 25_000,
            "options": _OPTIONS,
            "client_encoding": "utf8",
        },
        pool_size=POOL,
        max_overflow=OVERFLOW,
        pool_pre_ping=True,
    )
    sa.event.listen(engine, "begin", partial(_name_company, f"SET LOCAL {_of_company(company)}"))
    return engine


def _name_company(statement: str, connection: Connection) -> None:
    """Say whose transaction it is, before anything else is said in it.

    `SET` is no query to the server, so that the isolation of the transaction can be set after it.
    """
    driver: Any = connection.connection.dbapi_connection
    if driver.autocommit:
        return
    try:
        with driver.cursor() as cursor:
            cursor.execute(statement)
    except connection.dialect.loaded_dbapi.Error as error:
        # Beside SQLAlchemy's own way to the driver, so its words for what went wrong are given here.
        is_lost = connection.dialect.is_disconnect(error, driver, None)
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            connection.dialect.loaded_dbapi.Error,
            connection_invalidated=is_lost,
            dialect=connection.dialect,
        ) from error


def take_time(connection: Connection) -> None:
    """Let the transaction of a job of its own take as long as it has to, between statements too."""
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {name} = 0")


def settle(connection: Connection, company: str) -> None:
    """Say for all that is to come whose rows a connection may see.

    For one that commits each statement by itself, and that no pool hands to others afterwards.
    """
    connection.exec_driver_sql(f"SET {_of_company(company)}")


def _of_company(company: str) -> str:
    return f"swarm.company = '{company}'"


def write(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in one transaction and commit it, once.

    Where it met another transaction it is run again, so it must bear that.

    Raises:
        Unavailable: The server cannot be reached or is full; nothing was changed.
    """
    tries = 1
    while True:
        try:
            return _write(engine, work)
        except (DBAPIError, PoolTimeoutError) as error:
            if _state(error) == _READ_ONLY:
                # What is open leads to a server that was the first one, or began as it was told then.
                engine.dispose()
            if _state(error) not in _AGAIN or tries >= MOST_TRIES:
                raise explained(error, engine.url) from error
        time.sleep(_PAUSE_S * 2**tries * random.random())  # noqa: S311  # spreads tries
        tries += 1


def _write(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        transaction = connection.begin()
        try:
            result = work(connection)
            number = connection.execute(_NUMBER).scalar()
        except BaseException:
            transaction.rollback()
            raise
        try:
            transaction.commit()
        except DBAPIError as error:
            if number is None or not error.connection_invalidated:
                raise
            lost = error
        else:
            return result
    if not _is_committed(engine, str(number)):
        raise lost
    return result


def _is_committed(engine: Engine, number: str) -> bool:
    """Ask what became of a transaction whose commit was not answered.

    Raises:
        Unavailable: Nobody could say for long.
    """
    deadline = time.monotonic() + DOUBT_S
    while True:
        try:
            with engine.connect() as connection:
                outcome = connection.execute(_OUTCOME, {"number": number}).scalar()
            if outcome in ("committed", "aborted"):
                return bool(outcome == "committed")
        except DBAPIError as error:
            if _state(error) == "22023":
                # In this server's future: it took over without having seen it.
                return False
            if time.monotonic() > deadline:
                raise explained(error, engine.url) from error
        time.sleep(ASK_S)


_NUMBER = sa.text("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")
_OUTCOME = sa.text("SELECT pg_xact_status(CAST(:number AS xid8))")


def _state(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def explained(error: BaseException, url: URL) -> BaseException:
    """Return what an error of the database means for the one who can act, or the error itself."""
    where = shown(url.render_as_string(hide_password=False))
    if isinstance(error, PoolTimeoutError):
        return Unavailable(f"The database {where} is busy; nothing was changed. Try again.")
    if not isinstance(error, DBAPIError):
        return error
    state, text = _state(error), " ".join(str(error.orig).split())
    if not state and (refused := refusals.of_connection(text, url, where=where, most=MOST)):
        return refused
    if state == "42501":
        return ConfigError(
            f"The user {url.username} may not do that in {where}: {text}. `swarm db upgrade` with "
            "SWARM_DATABASE_OWNER_URL set gives it the rights it needs."
        )
    if state.startswith("53"):
        why = {
            "53100": "its disk is full, make room there",
            "53300": "it takes no more connections",
        }
        return Unavailable(f"The database {where} is out of room: {why.get(state, text)}.")
    if state in _SLOW:
        return Unavailable(
            f"The database {where} ended a statement that took longer than its {_SLOW[state]} allows; "
            f"nothing was changed. Give the user {url.username} more, by `ALTER ROLE … SET "
            f"{_SLOW[state]}`."
        )
    if state == _READ_ONLY:
        return _read_only(where)
    is_lost = error.connection_invalidated or state.startswith(("08", "57P"))
    is_refused = not state and isinstance(error, OperationalError)
    if is_lost or is_refused or state in ("40001", "40P01"):
        return Unavailable(
            f"The database {where} cannot be reached; nothing was changed. Check that it runs and "
            f"that SWARM_DATABASE_URL is right. ({text[:200]})"
        )
    return error


def _read_only(where: str) -> Unavailable:
    return Unavailable(
        f"The database {where} is read-only at the moment; nothing was changed. Where that lasts, "
        "the address names a standby, or an administrator set it."
    )


def refuse_read_only(connection: Connection) -> None:
    """Refuse a server that takes no changes, such as a standby that is about to take over.

    Raises:
        Unavailable: It is one.
    """
    if connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on":
        # The next look is by a connection of its own.
        connection.invalidate()
        raise _read_only(shown(connection.engine.url.render_as_string(hide_password=False)))


@contextmanager
def turn(connection: Connection, name: str) -> Iterator[None]:
    """Hold a name for the length of the block; whoever else wants it waits.

    Args:
        connection: One that commits each statement by itself.
        name: What is held.
    """
    # Whoever is first may need long.
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.execute(_LOCK, {"name": name})
    try:
        yield
    finally:
        connection.execute(_UNLOCK, {"name": name})
        connection.exec_driver_sql("RESET statement_timeout")


def tried(connection: Connection, name: str) -> bool:
    """Hold a name for the length of the transaction; False where somebody else does."""
    return bool(connection.execute(_TRY, {"name": name}).scalar())


_LOCK = sa.text("SELECT pg_advisory_lock(hashtextextended(:name, 0))")
_UNLOCK = sa.text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))")
_TRY = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")


def now_ms(connection: Connection) -> int:
    """Return the server's own time in milliseconds, the one clock that all workers share."""
    return int(connection.execute(_NOW).scalar_one())


_NOW: sa.TextClause = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")
