"""Many companies in one Postgres: what the database itself shows to whom, and lets whom do."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, ProgrammingError

from swarm.core.clock import SystemClock
from swarm.core.errors import ConfigError, Unavailable
from swarm.store import companies, parting, postgres, roles, schema
from swarm.store.audit import AuditChain
from swarm.store.database import Store
from swarm.store.tables import budgets, ledger, memories, meta, metadata, outbox, workers
from tests.servers.postgres import Addresses, Server, migrate, missing

A, B = "alder", "beryl"
DAY = {"scope": "day:2026-11-22", "spent_pico": 0, "reserved_pico": 0, "currency": "USD"}


class Shared(NamedTuple):
    """A database with two companies, and who may reach it."""

    at: Addresses
    alder: Store
    beryl: Store
    owner: Store


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Shared]:
    at = server.share("shared")
    stores = Shared(
        at, Store(at.app, company=A), Store(at.app, company=B), Store(at.owner, company=A)
    )
    make(at, A)
    make(at, B)
    yield stores
    for store in stores[1:]:
        assert isinstance(store, Store)
        store.close()


def make(at: Addresses, company: str) -> None:
    """Make a company as `swarm db upgrade` does, with the engine's schema but none of its tables."""
    owner = Store(at.owner, company=company)

    def before() -> None:
        owner.write(lambda c: roles.make(c, at.app))
        name = companies.engine_schema(company)
        owner.write(lambda c: c.exec_driver_sql(f"CREATE SCHEMA {name}"))
        owner.write(lambda c: c.exec_driver_sql(f"CREATE TABLE {name}.workflow_status (id text)"))

    try:
        schema.upgrade(owner, before=before, after=lambda c: roles.grant(c, at.app))
    finally:
        owner.close()


def keys(store: Store) -> list[str]:
    return store.read(lambda c: [*c.execute(sa.select(meta.c.key).order_by(meta.c.key)).scalars()])


def put(key: str, value: str = "v") -> sa.Insert:
    return meta.insert().values(key=key, value=value)


def test_each_company_sees_its_own_rows_and_may_use_the_same_names(shared: Shared) -> None:
    for store, value in ((shared.alder, "ours"), (shared.beryl, "theirs")):
        store.write(partial(sa.Connection.execute, statement=put("name", value)))
        store.write(lambda c: c.execute(budgets.insert().values(DAY)))
    found = shared.alder.read(lambda c: c.execute(sa.select(meta)).all())
    assert [tuple(row) for row in found] == [("name", "ours")]
    shared.alder.write(lambda c: c.execute(meta.update().values(value="all of them")))
    changed = shared.alder.write(lambda c: c.execute(budgets.update().values(spent_pico=7)))
    assert changed.rowcount == 1
    assert shared.beryl.read(lambda c: c.execute(sa.select(meta.c.value)).scalars().all()) == [
        "theirs"
    ]
    amounts = sa.select(budgets.c.spent_pico)
    assert shared.beryl.read(lambda c: c.execute(amounts).scalars().all()) == [0]


def test_who_names_no_company_or_another_one_sees_nothing_and_writes_nothing(
    shared: Shared,
) -> None:
    shared.alder.write(lambda c: c.execute(put("kept")))
    engine = sa.create_engine(shared.at.app, poolclass=sa.NullPool)
    for words in ("SELECT 1", "SET LOCAL swarm.company = ''", "SET LOCAL swarm.company = 'none'"):
        with engine.connect() as connection:
            connection.exec_driver_sql(words)
            assert connection.execute(sa.select(meta)).all() == []
            assert connection.execute(meta.delete()).rowcount == 0
            assert connection.execute(sa.text("SELECT * FROM sums_by_day")).all() == []
    # After its first transaction a connection's setting is '' for good, and no longer unknown.
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL swarm.company = 'alder'")
        connection.commit()
        with pytest.raises(ProgrammingError, match="row-level security"):
            connection.execute(put("stray"))
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="security"):
        connection.execute(put("stray"))
    with pytest.raises(ConfigError, match="row-level security"):
        shared.alder.write(
            lambda c: c.exec_driver_sql(
                "INSERT INTO meta (company_id, key, value) VALUES ('beryl', 'planted', 'v')"
            )
        )
    with pytest.raises(ConfigError, match="row-level security"):
        shared.alder.write(lambda c: c.exec_driver_sql("UPDATE meta SET company_id = 'beryl'"))
    engine.dispose()
    assert "planted" not in keys(shared.beryl)
    # A connection without transactions can say it for none of them, and sees nothing either.
    with shared.alder.engine.connect() as plain:
        plain = plain.execution_options(isolation_level="AUTOCOMMIT")
        assert plain.execute(sa.select(meta)).all() == []
        plain.detach()
        postgres.settle(plain, A)
        assert plain.execute(sa.select(meta)).all()


def test_every_table_is_guarded_and_a_missing_guard_is_named(shared: Shared) -> None:
    assert shared.alder.read(parting.unguarded) == []
    engine = sa.create_engine(shared.at.owner, poolclass=sa.NullPool)
    # Like those of ours, but made by somebody who forgot what a table needs here.
    scratch = f"CREATE TABLE scratch ({parting.COLUMN} TEXT NOT NULL, key TEXT PRIMARY KEY)"
    for change, fault in (
        ("DROP POLICY one_company ON orders", "orders has not the one policy"),
        ("CREATE POLICY more ON orders USING (true)", "orders has not the one policy"),
        (
            "ALTER POLICY one_company ON ledger WITH CHECK (true)",
            "ledger has not the one policy",
        ),
        ("ALTER TABLE inbox NO FORCE ROW LEVEL SECURITY", "inbox does not force"),
        ("ALTER TABLE inbox DISABLE ROW LEVEL SECURITY", "inbox has no row-level security"),
        ("CREATE UNIQUE INDEX odd ON people (name)", "people has keys without company_id: odd"),
        ("ALTER TABLE meta DROP COLUMN company_id CASCADE", "meta has no column company_id"),
        (scratch, "scratch has keys without company_id: scratch_pkey"),
        (scratch, "scratch has no row-level security"),
        (f"CREATE TABLE loose ({parting.COLUMN} TEXT)", "loose has no row-level security"),
        (f"CREATE TABLE loose ({parting.COLUMN} TEXT)", "loose takes rows of no company"),
        ("CREATE MATERIALIZED VIEW heap AS TABLE people", "heap has no row-level security"),
        ("CREATE VIEW everybody AS SELECT * FROM people", "everybody shows all companies"),
        (
            "CREATE OR REPLACE VIEW sums_by_order AS SELECT order_id, currency, model, cost_status,"
            " CAST(1 AS bigint) AS calls, cost_pico, CAST(1 AS bigint) AS cached_tokens,"
            " CAST(1 AS bigint) AS prompt_tokens FROM ledger",
            "sums_by_order shows all companies",
        ),
    ):
        with engine.connect() as connection:
            connection.exec_driver_sql(change)
            assert any(fault in said for said in parting.unguarded(connection)), change
            connection.rollback()
    engine.dispose()


def test_a_table_of_a_later_version_is_parted_without_anybodys_doing(shared: Shared) -> None:
    engine = sa.create_engine(shared.at.owner, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE handovers")
        metadata.tables["handovers"].create(connection)
        assert any("handovers" in fault for fault in parting.unguarded(connection))
        parting.part(connection)
        assert parting.unguarded(connection) == []
        connection.rollback()
    engine.dispose()


def test_the_tables_on_postgres_are_the_models_with_the_company_before_each_key(
    shared: Shared,
) -> None:
    wanted = parted(metadata)

    def is_ours(thing: object, name: str | None, kind: str, *_: object) -> bool:
        table = name if kind == "table" else getattr(getattr(thing, "table", None), "name", "")
        # An index over an expression is told by no server as it was written.
        return str(table) in metadata.tables and name != "ix_memories_words"

    with shared.owner.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_ours}
        )
        assert compare_metadata(context, wanted) == []
        found = sa.inspect(connection)
        for table in wanted.tables.values():
            columns = [column.name for column in table.primary_key.columns]
            assert found.get_pk_constraint(table.name)["constrained_columns"] == columns
            # Were there any, they would have to name the company too.
            assert found.get_foreign_keys(table.name) == []


def parted(plain: sa.MetaData) -> sa.MetaData:
    """Return the models as a Postgres has them."""
    result = sa.MetaData()
    for table in plain.tables.values():
        company = sa.Column("company_id", sa.Text(), nullable=False, primary_key=True)
        columns = [
            sa.Column(c.name, c.type, nullable=c.nullable, primary_key=c.primary_key)
            for c in table.columns
        ]
        copy = sa.Table(table.name, result, company, *columns)
        for index in table.indexes:
            where = index.dialect_options["postgresql"].get("where")
            sa.Index(
                index.name,
                copy.c.company_id,
                *(copy.c[column.name] for column in index.columns),
                unique=index.unique,
                postgresql_where=where,
            )
    return result


def remember(store: Store, memory_id: str, words: str) -> None:
    row = {"id": memory_id, "kind": "fact", "text": words, "words": words, "reach": "@companyown"}
    more = {"origin": "founder", "observed_at": "2026-11-22T12:00:00.000000Z", "indexed_by": 1}
    rest = {"order_id": None, "key": None}
    store.write(lambda c: c.execute(memories.insert().values(row | more | rest)))


def search(store: Store, words: str, *, setting: str = "") -> list[str]:
    """Search past all that the product adds, as whoever has its role could."""

    def work(connection: Connection) -> list[str]:
        if setting:
            connection.exec_driver_sql(setting)
        asked = sa.text("SELECT memory_search(:words, $$'@companyown'$$, 100)")
        return sorted(connection.execute(asked, {"words": words}).scalars())

    return store.read(work)


def test_a_search_by_index_gives_one_companys_ids_and_its_table_is_nobody_elses(
    shared: Shared,
) -> None:
    for store, name in ((shared.alder, "a"), (shared.beryl, "b")):
        for number in range(3):
            remember(store, f"m{name}{number}", f"bread oven {name}")
        # The same id may be another memory there.
        remember(store, "same", "bread")
    # A document that says it is another company's: no word of a text can, whoever writes SQL can.
    remember(shared.alder, "forged", "rye @in:beryl")
    assert search(shared.beryl, "rye") == []
    assert search(shared.alder, "bread") == ["ma0", "ma1", "ma2", "same"]
    assert search(shared.beryl, "bread | oven") == ["mb0", "mb1", "mb2", "same"]
    # No query leads past the company, not even one for the term that names it.
    assert search(shared.alder, "'@in:beryl' | !nothing | bread")[-1] == "same"
    assert not {"mb0", "mb1"} & set(search(shared.alder, "'@in:beryl' | !nothing"))
    assert search(shared.alder, "bread", setting="SET LOCAL swarm.company = ''") == []
    hostile = "CREATE TEMP TABLE memory_documents (company_id text, memory_id text, "
    hostile += "observed_at text, document tsvector); SET LOCAL search_path = pg_temp, public"
    assert search(shared.alder, "bread", setting=hostile)[-1] == "same"
    for statement in (
        "SELECT 1 FROM memory_documents",
        "DELETE FROM memory_documents",
        "INSERT INTO memory_documents VALUES ('beryl', 'x', '', '')",
        "CREATE TEMP TABLE t (id int); CREATE TRIGGER t AFTER INSERT ON t "
        "FOR EACH ROW EXECUTE FUNCTION memory_documents_follow()",
    ):
        with pytest.raises(ConfigError, match="permission denied"):
            shared.alder.write(partial(Connection.exec_driver_sql, statement=statement))
    same = memories.c.id == "same"
    shared.alder.write(lambda c: c.execute(memories.update().where(same).values(words="oven")))
    shared.alder.write(
        lambda c: c.execute(
            memories.update().where(memories.c.id == "ma0").values(superseded_by="ma1")
        )
    )
    shared.alder.write(lambda c: c.execute(memories.delete().where(memories.c.id == "ma1")))
    assert search(shared.alder, "bread") == ["ma2"]
    assert search(shared.beryl, "bread") == ["mb0", "mb1", "mb2", "same"]


CHANGES = {
    "GRANT SELECT ON memory_documents TO {app}": "can be used by others",
    "GRANT EXECUTE ON FUNCTION memory_search(text, text, integer) TO PUBLIC": "by everybody",
    "ALTER FUNCTION memory_search(text, text, integer) RESET search_path": "changed function",
    "ALTER FUNCTION memory_search(text, text, integer) SECURITY INVOKER": "changed function",
    "DROP FUNCTION memory_search(text, text, integer)": "lost its function",
    "ALTER TABLE memories DISABLE TRIGGER memory_documents_follow": "not kept in step",
    "ALTER TABLE memory_documents DISABLE ROW LEVEL SECURITY": "has no row-level security",
    "CREATE OR REPLACE FUNCTION memory_search(words text, reaches text, most integer) "
    "RETURNS SETOF text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp "
    "STABLE AS 'SELECT memory_id FROM public.memory_documents'": "changed function",
}


def test_a_change_to_the_index_of_words_is_named(shared: Shared) -> None:
    engine = sa.create_engine(shared.at.owner, poolclass=sa.NullPool)
    name = sa.make_url(shared.at.app).username
    for change, fault in CHANGES.items():
        with engine.connect() as connection:
            assert parting.unguarded(connection) == []
            connection.exec_driver_sql(change.format(app=name))
            assert fault in " ".join(parting.unguarded(connection)), change
            connection.rollback()
    engine.dispose()


def test_memories_from_before_the_index_are_found_each_in_its_company(server: Server) -> None:
    at = server.share("unindexed")
    migrate(at.owner, to="0016")
    stores = [Store(at.owner, company=name) for name in (companies.MAIN, A, B)]
    for store in stores:
        statement = f"CREATE SCHEMA {companies.engine_schema(store.company)}"
        store.write(partial(Connection.exec_driver_sql, statement=statement))
    stores[0].write(parting.part)
    for store in stores:
        remember(store, "m", f"bread {store.company}")
        store.close()
    upgraded = Store(at.owner)

    def before() -> None:
        upgraded.write(lambda c: roles.make(c, at.app))

    schema.upgrade(upgraded, before=before, after=lambda c: roles.grant(c, at.app))
    assert upgraded.read(parting.unguarded) == []
    upgraded.close()
    for name in (companies.MAIN, A, B):
        store = Store(at.app, company=name)
        assert search(store, f"bread & {name}") == ["m"]
        assert search(store, "bread & beryl") == (["m"] if name == B else [])
        store.close()


def test_the_role_that_works_may_do_no_more_than_work(shared: Shared) -> None:
    chain = AuditChain(clock=SystemClock(), key=None)
    shared.alder.write(
        lambda c: chain.append(
            c, kind="effect", order_id=None, actor="cto", initiator=None, approver=None, body={}
        )
    )
    for words in (
        "UPDATE audit SET body = '{}'",
        "DELETE FROM audit",
        "DELETE FROM ledger",
        "DELETE FROM orders",
        "UPDATE baselines SET body = '{}'",
        "TRUNCATE ledger",
        "ALTER TABLE orders DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE orders NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY one_company ON orders",
        "DROP TABLE orders",
        "CREATE TABLE mine (a int)",
        "UPDATE alembic_version SET version_num = '0001'",
        "SELECT setval('ledger_id_seq', 1)",
        "ALTER ROLE app_shared BYPASSRLS",
        "SET ROLE boss",
        "SELECT rolpassword FROM pg_authid",
    ):
        with pytest.raises((ConfigError, DBAPIError)) as refused:
            shared.alder.write(partial(sa.Connection.exec_driver_sql, statement=words))
        assert "42501" in str(getattr(refused.value.__cause__ or refused.value, "orig", "")) or (
            "may not do that" in str(refused.value)
        ), words
    assert shared.alder.read(lambda c: [*c.execute(sa.select(ledger)).all()]) == []


def test_roles_are_told_apart_by_what_binds_them(shared: Shared) -> None:
    works = shared.alder.read(roles.standing)
    assert (works.is_bound, works.is_owner, works.fault) == (True, False, "")
    owns = shared.owner.read(roles.standing)
    assert owns.is_bound
    assert "owns the tables" in owns.fault
    master = Store(shared.at.superuser, company=A)
    assert (
        "is a superuser: row-level security does not bind it" in master.read(roles.standing).fault
    )
    # It would see both companies at once.
    with pytest.raises(ConfigError, match=r"is a superuser.*holds several, so nothing is read"):
        schema.check(master)
    with pytest.raises(ConfigError, match="so nothing was made"):
        master.read(lambda c: roles.refuse_mixing(c, shared.at.superuser, [A, B]))
    master.close()
    schema.check(shared.alder)
    assert shared.owner.read(companies.known) == [A, B]


def test_a_company_that_was_never_made_is_named(shared: Shared) -> None:
    store = Store(shared.at.app, company="cedar")
    with pytest.raises(ConfigError, match=r"no company 'cedar' in shared at .* `swarm init`"):
        schema.check(store)
    store.close()


@pytest.mark.parametrize(
    "company",
    [
        "", "-", "Alder", "al der", "alder'; DROP TABLE orders; --", "alder\n", "a_b", "a--b",
        "älder", "a" * 41, "*", "beryl' OR '1'='1", "\x00", "٣",
    ],
)  # fmt: skip
def test_what_is_no_company_id_never_reaches_a_statement(company: str) -> None:
    with pytest.raises(ConfigError, match="no company id"):
        Store("postgresql://nobody@127.0.0.1:9/none", company=company)


def test_rows_from_before_companies_are_the_main_ones(server: Server) -> None:
    at = server.share("before")
    migrate(at.owner, to="0014")
    old = sa.create_engine(at.owner, poolclass=sa.NullPool)
    with old.begin() as connection:
        connection.execute(put("name", "what was there"))
        values = {"dedupe_key": "d", "channel": "c", "chat_id": "1", "kind": "k", "body": "b"}
        for number in range(3):
            connection.execute(
                outbox.insert().values(
                    **values | {"dedupe_key": f"d{number}"}, not_before="", created_at="",
                    thread_id=None, order_id=None,
                )
            )  # fmt: skip
    with old.begin() as connection:
        # A worker of the older version, which names no company, was heard of just now.
        row = {"name": "host-1", "generation": 1, "tag": "t", "host": "h", "pid": 1}
        more = {"concurrency": 1, "version": "1", "started_at": "", "seen_ms": 0}
        connection.execute(workers.insert().values(row | more))
        connection.exec_driver_sql(f"UPDATE workers SET seen_ms = {postgres.now_ms(connection)}")
    with pytest.raises(ConfigError, match=r"at work \(host-1\), .*: stop them first"):
        make(at, companies.MAIN)
    with old.begin() as connection:
        connection.execute(workers.delete())
    old.dispose()
    make(at, companies.MAIN)
    make(at, A)
    main, other = Store(at.app), Store(at.app, company=A)
    assert main.read(lambda c: c.execute(sa.select(meta.c.value)).scalars().all()) == [
        "what was there"
    ]
    assert main.read(lambda c: len(c.execute(sa.select(outbox)).all())) == 3
    assert main.read(parting.unguarded) == keys(other) == []
    schema.check(main)
    held = Store(at.owner)
    found = held.read(lambda c: parting.holding(c, companies.MAIN))
    assert found.rows == {"meta": 1, "outbox": 3}
    assert found.row_bytes > 0 < found.engine_bytes
    assert held.read(lambda c: parting.holding(c, A)).rows == {}
    for store in (main, other, held):
        store.close()


def test_a_server_that_went_away_between_two_transactions_is_said_in_words(
    shared: Shared,
) -> None:
    def kill(connection: Connection) -> None:
        number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.commit()
        shared.beryl.read(
            lambda c: c.execute(sa.text("SELECT pg_terminate_backend(:n)"), {"n": number}).all()
        )
        connection.execute(sa.select(meta)).all()

    shared.alder.write(lambda c: c.execute(put("before it went away")))
    with pytest.raises(Unavailable, match="cannot be reached"):
        shared.alder.read(kill)
    assert "before it went away" in keys(shared.alder)
