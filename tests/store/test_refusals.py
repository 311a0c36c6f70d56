"""What a server refuses, or ends, is told with what helps, and by what can be waited for."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from swarm.core.errors import ConfigError, Unavailable
from swarm.store import postgres, schema
from swarm.store.database import Store
from swarm.store.refusals import Barred, of_connection
from tests.servers.postgres import Server, missing

SECRET = "pa55-w0rd"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        by_hand(
            server,
            "CREATE ROLE few LOGIN CONNECTION LIMIT 1",
            "CREATE ROLE nobody_in NOLOGIN",
            "CREATE ROLE plain LOGIN",
            "CREATE DATABASE barred",
            "REVOKE CONNECT ON DATABASE barred FROM PUBLIC",
            "CREATE DATABASE shut ALLOW_CONNECTIONS false",
            "CREATE DATABASE narrow CONNECTION LIMIT 0",
        )
        yield server


def by_hand(server: Server, *statements: str) -> None:
    engine = sa.create_engine(server.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def address(server: Server, user: str, database: str = "postgres", **query: str) -> str:
    url = make_url(server.url_of(database)).set(username=user, password=SECRET)
    return url.update_query_dict(query).render_as_string(hide_password=False)


@contextmanager
def opened(url: str) -> Iterator[Store]:
    with closing(Store(url)) as store:
        yield store


def one(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT 1").scalar_one())


def test_each_refusal_of_a_real_server_is_told_for_what_it_is(server: Server) -> None:
    with opened(address(server, "few")) as store, store.engine.connect() as held:
        assert one(held) == 1
        for url, words, is_lasting in (
            (address(server, "few"), "for few it takes no more connections", False),
            (address(server, "plain", "narrow"), "for this database it takes no more", False),
            (address(server, "plain", "shut"), "closed for now", False),
            (address(server, "plain", "barred"), "plain may not connect to barred", True),
            (address(server, "nobody_in"), "nobody_in may not log in", True),
            (address(server, "ghost"), "does not know the user ghost", True),
            (address(server, "plain", "nowhere"), "has no database nowhere", True),
            (address(server, "plain", bogus="1"), "mend SWARM_DATABASE_URL", True),
            (address(server, "plain", sslmode="bogus"), "mend SWARM_DATABASE_URL", True),
        ):
            with opened(url) as refused, pytest.raises(Unavailable) as caught:
                refused.read(one)
            assert words in str(caught.value)
            assert isinstance(caught.value, Barred) is is_lasting, words
            assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words", "is_lasting"),
    [
        ("FATAL:  sorry, too many clients already", "it takes no more connections", False),
        (
            "FATAL:  remaining connection slots are reserved for non-replication superuser "
            "connections",
            "start fewer workers (each holds up to 21)",
            False,
        ),
        ('FATAL:  password authentication failed for user "ada"', "the password of ada", True),
        ("fe_sendauth: no password supplied", "it wants a password for ada", True),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ada", database "acme", no '
            "encryption",
            "?sslmode=require",
            True,
        ),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ada", database "acme", SSL '
            "encryption",
            "lets ada in from here in no way",
            True,
        ),
        ("server does not support SSL, but SSL was required", "it has no TLS", True),
        ("SSL error: certificate verify failed", "sslrootcert", True),
        ('root certificate file "/root.crt" does not exist', "sslrootcert", True),
        ("FATAL:  unsupported startup parameter: options", "it is a pooler", True),
    ],
)
def test_the_words_of_servers_that_are_hard_to_come_by_are_known(
    text: str, words: str, is_lasting: bool
) -> None:
    url = make_url(f"postgresql+psycopg://ada:{SECRET}@db/acme")
    found = of_connection(text, url, where="acme at db", most=postgres.MOST)
    assert words in str(found)
    assert isinstance(found, Barred) is is_lasting
    assert of_connection("Connection refused", url, where="acme at db", most=1) is None


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://ada:{SECRET}@rest@127.0.0.1/acme",
        f"postgresql://ada:{SECRET}@127.0.0.1:port/acme",
        f"ada:{SECRET}@127.0.0.1/acme",
    ],
)
def test_an_address_whose_password_would_be_cut_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="%40") as caught:
        Store(text)
    assert not {SECRET, "rest"} & set(str(caught.value).split())
    assert postgres.password_of(text) is None
    assert not postgres.same_database(text, text)


def test_an_address_is_taken_however_it_is_written() -> None:
    for text in (" postgres://ada@db/acme\n", "PostgreSQL://ada@db/acme"):
        assert postgres.url_of(text) == "postgresql+psycopg://ada@db/acme"
    assert postgres.password_of(f"postgresql://ada@db/acme?password={SECRET}") == SECRET


def test_what_an_administrator_set_for_the_user_changes_no_value_and_is_named(
    server: Server,
) -> None:
    by_hand(
        server,
        "CREATE ROLE fenced LOGIN",
        "ALTER ROLE fenced SET statement_timeout = '40ms'",
        "ALTER ROLE fenced SET client_encoding = 'latin1'",
        "ALTER ROLE fenced SET DateStyle = 'SQL, DMY'",
        "ALTER ROLE fenced SET TimeZone = 'Asia/Tokyo'",
        "ALTER ROLE fenced SET default_transaction_isolation = 'serializable'",
    )
    with opened(address(server, "fenced")) as store:

        def said(connection: sa.Connection) -> tuple[str, str, str]:
            fox = connection.execute(sa.text("SELECT CAST(:fox AS text)"), {"fox": "\N{FOX FACE}"})
            level = connection.exec_driver_sql("SHOW transaction_isolation").scalar_one()
            zone = connection.exec_driver_sql("SHOW TimeZone").scalar_one()
            return fox.scalar_one(), level, zone

        def slow(connection: sa.Connection) -> None:
            connection.exec_driver_sql("SELECT pg_sleep(0.2)")

        def patient(connection: sa.Connection) -> None:
            postgres.take_time(connection)
            slow(connection)

        assert store.read(said) == ("\N{FOX FACE}", "read committed", "UTC")
        for door in (store.read, store.write):
            with pytest.raises(Unavailable, match="statement_timeout"):
                door(slow)
            door(patient)


def test_a_database_without_room_for_every_sign_is_refused_before_anything_is_made(
    server: Server,
) -> None:
    by_hand(server, "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with opened(server.url_of("latin")) as store:
        with pytest.raises(ConfigError, match=r"LATIN1.*ENCODING 'UTF8'"):
            schema.upgrade(store)
        assert schema.revision(store) is None


async def test_who_works_already_waits_for_a_server_that_lets_them_in_no_more(
    server: Server,
) -> None:
    by_hand(server, "CREATE ROLE ada LOGIN", "ALTER ROLE ada NOLOGIN")
    with opened(address(server, "ada")) as store:
        waiting = asyncio.create_task(store.awrite(one))
        done, _ = await asyncio.wait([waiting], timeout=0.4)
        assert not done
        by_hand(server, "ALTER ROLE ada LOGIN")
        assert await waiting == 1


def test_a_server_that_takes_no_changes_is_told_before_work_begins(server: Server) -> None:
    by_hand(
        server, "CREATE ROLE reads LOGIN", "ALTER ROLE reads SET default_transaction_read_only = on"
    )
    with opened(address(server, "reads")) as store:
        with pytest.raises(Unavailable, match="read-only at the moment"):
            store.read(postgres.refuse_read_only)
        with pytest.raises(Unavailable, match="names a standby"):
            store.write(lambda c: c.exec_driver_sql("CREATE TABLE t (a int)"))
        # A connection that began as read-only stays so; the next one is another.
        by_hand(server, "ALTER ROLE reads SET default_transaction_read_only = off")
        store.read(postgres.refuse_read_only)
    with opened(address(server, "plain")) as store:
        store.read(postgres.refuse_read_only)
