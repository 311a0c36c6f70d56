"""Part the tables of a Postgres by company, and say where that is not so. See `store.companies`."""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.store import postgres, searching
from swarm.store.companies import MAIN, checked, engine_schema
from swarm.store.tables import metadata

COLUMN = "company_id"
POLICY = "one_company"
MINE = "NULLIF(current_setting('swarm.company', true), '')"
"""The company of the transaction; NULL, which equals nothing, where it named none. After the first
transaction of a connection the server says '' instead of nothing."""
VIEWS = ("order_facts", "sums_by_day", "sums_by_order")
_SCRUBBED = ("memories", "memory_vectors")
_INVOKER_FROM = 150_000
"""Number of the first server version whose views can look with the rights of who asks."""


class Holding(NamedTuple):
    """What one company keeps in a shared database."""

    company: str
    rows: dict[str, int]
    """By table; tables without a row are left out."""
    row_bytes: int
    """Of its rows as they are stored, without indexes."""
    engine_bytes: int
    """Of the engine's tables, with their indexes."""


def holding(connection: Connection, company: str) -> Holding:
    """Count what one company keeps; reads every row of it. For who owns the database."""
    # In this transaction alone; the condition is for an owner whom no policy binds.
    connection.execute(_BE, {"company": checked(company)})
    postgres.take_time(connection)
    counts, total = {}, 0
    for name in own_tables(connection):
        row = connection.exec_driver_sql(
            f"SELECT count(*), COALESCE(sum(pg_column_size(t.*)), 0) FROM {_quoted(name)} t "  # noqa: S608  # a name of ours
            f"WHERE t.{COLUMN} = {MINE}"
        ).one()
        total += int(row[1])
        if row[0]:
            counts[name] = int(row[0])
    size = connection.execute(_ENGINE_BYTES, {"name": engine_schema(company)}).scalar()
    return Holding(company, counts, total, int(size or 0))


def own_tables(connection: Connection) -> list[str]:
    """Return the tables of ours that this database has, whatever its revision."""
    found = connection.execute(_TABLES).scalars()
    return sorted(set(found) & set(metadata.tables))


def unguarded(connection: Connection) -> list[str]:
    """Say which tables and views would show one company what is another's, a sentence each."""
    faults = []
    wanted = {"column": COLUMN, "policy": POLICY, "condition": _CONDITION}
    for row in connection.execute(_GUARDS, wanted):
        if row.name not in metadata.tables and not row.names_company:
            continue
        for is_so, fault in (
            (row.names_company, f"has no column {COLUMN}"),
            (row.has_column or not row.names_company, f"takes rows of no company in {COLUMN}"),
            (row.is_on, "has no row-level security"),
            # As its owner a function looks there, which is looked at below.
            (
                row.is_forced or row.name == searching.TABLE,
                "does not force row-level security on its owner",
            ),
            (row.policies == 1 and row.is_sound, "has not the one policy of a company's rows"),
            (not row.odd_keys, f"has keys without {COLUMN}: {row.odd_keys}"),
        ):
            if not is_so:
                faults.append(f"{row.name} {fault}")
        if row.name == searching.TABLE:
            faults += searching.faults(connection)
    views = connection.execute(_OPEN_VIEWS, {"names": list(VIEWS), "column": COLUMN}).scalars()
    return sorted([*faults, *(f"{name} shows all companies" for name in views)])


def part(connection: Connection) -> None:
    """Give every table of ours its company column and policy, where it has none yet.

    Rows that are there already are the company's `main`. Each key and index begins with the company
    afterwards, so that two of them share no name and read each other's pages as little as may be.
    It runs after all revisions, so a later one makes its tables as ever; one that changes *rows* has
    to do so company by company (`known`), since its owner is bound by the policies as well.
    """
    for name in own_tables(connection):
        _add_column(connection, name)
        _lead_keys(connection, name)
        _guard(connection, name)
    _narrow_views(connection)
    _scrub_by_itself(connection)


def _add_column(connection: Connection, table: str) -> None:
    if connection.execute(_HAS_COLUMN, {"table": table, "column": COLUMN}).first():
        return
    connection.exec_driver_sql(
        f"ALTER TABLE {_quoted(table)} ADD COLUMN {COLUMN} TEXT NOT NULL DEFAULT '{MAIN}'"
    )
    connection.exec_driver_sql(
        f"ALTER TABLE {_quoted(table)} ALTER COLUMN {COLUMN} SET DEFAULT {MINE}"
    )


def _lead_keys(connection: Connection, table: str) -> None:
    """Let keys and indexes begin with the company; one index is for words, and has no order."""
    for row in connection.execute(_KEYS, {"table": table, "column": COLUMN}).all():
        if row.constraint is not None:
            text = row.constraint_text.replace("(", f"({COLUMN}, ", 1)
            connection.exec_driver_sql(
                f"ALTER TABLE {_quoted(table)} DROP CONSTRAINT {_quoted(row.constraint)}, "
                f"ADD CONSTRAINT {_quoted(row.constraint)} {text}"
            )
            continue
        text = row.text.replace("USING btree (", f"USING btree ({COLUMN}, ", 1)
        connection.exec_driver_sql(f"DROP INDEX {_quoted(row.name)}")
        connection.exec_driver_sql(text.replace("%", "%%"))


def _guard(connection: Connection, table: str) -> None:
    name = _quoted(table)
    connection.exec_driver_sql(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    # Else it would not bind the role that owns the table.
    connection.exec_driver_sql(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    connection.exec_driver_sql(f"DROP POLICY IF EXISTS {POLICY} ON {name}")
    connection.exec_driver_sql(
        f"CREATE POLICY {POLICY} ON {name} USING ({COLUMN} = {MINE}) WITH CHECK ({COLUMN} = {MINE})"
    )


def _narrow_views(connection: Connection) -> None:
    """Let each view show one company's rows, whoever owns it.

    A view looks with its owner's rights, and no policy binds a superuser. So the condition stands
    in the view itself, and newer servers let it look with the rights of who asks.
    """
    for view, text in connection.execute(_VIEW_TEXTS, {"names": list(VIEWS)}).all():
        if "swarm.company" not in text:
            connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {view} AS {_narrowed(view, text)}")
        if _version(connection) >= _INVOKER_FROM:
            connection.exec_driver_sql(f"ALTER VIEW {view} SET (security_invoker = true)")


def _narrowed(view: str, text: str) -> str:
    """Return a view's text as the server tells it, for one company's rows."""
    table = "orders" if view == "order_facts" else "ledger"
    condition = f"{table}.{COLUMN} = {MINE}"
    text = text.strip().rstrip(";").replace("%", "%%")
    if "WHERE" not in text:
        return f"{text} WHERE {condition}"
    head, _, tail = text.partition("WHERE")
    where, group, rest = tail.partition("GROUP BY")
    return f"{head} WHERE {condition} AND ({where}) {group}{rest}"


def _scrub_by_itself(connection: Connection) -> None:
    """Let the server clear away what was forgotten, within its minute and whoever forgot it.

    Before version 17 nobody but a table's owner may do that at once.
    """
    for name in set(_SCRUBBED) & set(own_tables(connection)):
        connection.exec_driver_sql(
            f"ALTER TABLE {name} SET (autovacuum_vacuum_threshold = 0, "
            "autovacuum_vacuum_scale_factor = 0)"
        )


def _version(connection: Connection) -> int:
    return int(str(connection.exec_driver_sql("SHOW server_version_num").scalar_one()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_CONDITION = f"({COLUMN} = NULLIF(current_setting('swarm.company'::text, true), ''::text))"
"""The policy's condition as the server tells it."""
_BE = sa.text("SELECT set_config('swarm.company', :company, true)")
_ENGINE_BYTES = sa.text(
    "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :name AND c.relkind = 'r'"
)
_TABLES = sa.text(
    "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') "
    "AND relnamespace = CAST(current_schema() AS regnamespace)"
)
_HAS_COLUMN = sa.text(
    "SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
    "WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relname = :table "
    "AND a.attname = :column AND NOT a.attisdropped"
)
_KEYS = sa.text(
    "SELECT i.relname AS name, pg_get_indexdef(x.indexrelid) AS text, k.conname AS constraint, "
    "pg_get_constraintdef(k.oid) AS constraint_text "
    "FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid "
    "JOIN pg_am m ON m.oid = i.relam AND m.amname = 'btree' "
    "LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.contype IN ('p', 'u') "
    "WHERE t.relnamespace = CAST(current_schema() AS regnamespace) AND t.relname = :table "
    "AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = t.oid "
    "AND a.attnum = x.indkey[0] AND a.attname = :column) ORDER BY 1"
)
_VIEW_TEXTS = sa.text(
    "SELECT viewname, definition FROM pg_views "
    "WHERE schemaname = current_schema() AND viewname = ANY(:names) ORDER BY viewname"
)
_GUARDS = sa.text(
    """
SELECT t.relname AS name, t.relrowsecurity AS is_on, t.relforcerowsecurity AS is_forced,
  EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = :column
    AND a.attnotnull AND NOT a.attisdropped) AS has_column,
  EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = :column
    AND NOT a.attisdropped) AS names_company,
  (SELECT count(*) FROM pg_policy p WHERE p.polrelid = t.oid) AS policies,
  EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = t.oid AND p.polname = :policy
    AND p.polcmd = '*' AND p.polpermissive AND p.polroles = '{0}'
    AND pg_get_expr(p.polqual, t.oid) = :condition
    AND pg_get_expr(p.polwithcheck, t.oid) = :condition) AS is_sound,
  (SELECT string_agg(i.relname, ', ' ORDER BY i.relname)
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    WHERE x.indrelid = t.oid AND x.indisunique AND NOT EXISTS (
      SELECT 1 FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = :column
        AND a.attnum = ANY(x.indkey))) AS odd_keys
FROM pg_class t
WHERE t.relkind IN ('r', 'p', 'f', 'm')
  AND t.relnamespace = CAST(current_schema() AS regnamespace)
ORDER BY t.relname
"""
)
"""A copy of rows (`m`) or a table elsewhere (`f`) can have no policy, so each is one fault at least."""
_OPEN_VIEWS = sa.text(
    """
SELECT v.relname FROM pg_class v
WHERE v.relkind = 'v' AND v.relnamespace = CAST(current_schema() AS regnamespace)
  AND strpos(pg_get_viewdef(v.oid), 'swarm.company') = 0
  AND (v.relname = ANY(:names)
    OR EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = v.oid AND a.attname = :column)
      AND NOT COALESCE('security_invoker=true' = ANY(v.reloptions), false))
ORDER BY v.relname
"""
)
"""A view looks with its owner's rights, unless it says otherwise: a superuser's shows every row."""
