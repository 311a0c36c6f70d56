"""The index of words of a Postgres with many companies, and the one door to it.

Under row-level security a search may use no index of words: the server trusts its operator `@@` with no
row before the policy has passed it, so it reads all of a company's rows. Therefore the documents that
are searched lie in a table of their own, on which the role that works has no right at all. It holds
no text, only stems and ids. A function of the owner looks there, for the company of the session and
none else, and returns ids; what a row says is then read from `memories`, under its policy.

Row-level security is on for that table too and binds everybody but its owner, as whom the function
runs. Triggers keep it in step, within the transaction that writes a memory.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

TABLE = "memory_documents"
SEARCH, FOLLOW = "memory_search", "memory_documents_follow"
ARGUMENTS = "text, text, integer"
_MINE = "NULLIF(current_setting('swarm.company', true), '')"

SEARCH_BODY = """
SELECT d.memory_id FROM {schema}.memory_documents d
WHERE d.company_id = NULLIF(current_setting('swarm.company', true), '')
  AND d.document @@ (CAST(words AS tsquery) && CAST(reaches AS tsquery)
    && CAST(quote_literal('@in:' || current_setting('swarm.company', true)) AS tsquery))
ORDER BY ts_rank(d.document, CAST(words AS tsquery)) DESC, d.observed_at DESC, d.memory_id
LIMIT most
"""
"""Most of the wanted words first, and the newest among equals. Each document has a term that names
its company, by which the index passes over all others'."""
FOLLOW_BODY = """
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM {schema}.memory_documents d
    WHERE d.company_id = OLD.company_id AND d.memory_id = OLD.id;
  END IF;
  IF TG_OP <> 'DELETE' AND NEW.superseded_by IS NULL THEN
    INSERT INTO {schema}.memory_documents (company_id, memory_id, observed_at, document)
    VALUES (NEW.company_id, NEW.id, NEW.observed_at,
      array_to_tsvector(array_append(string_to_array(trim(NEW.words || ' ' || NEW.reach), ' '),
        '@in:' || NEW.company_id)));
  END IF;
  RETURN NULL;
END
"""


def make(connection: Connection) -> None:
    """Make the table, its functions and triggers, and index what is there already.

    Runs as the owner, on tables with or without companies (`parting.part`). Where there are companies,
    the owner sees one at a time.
    """
    schema = _schema(connection)
    connection.exec_driver_sql(
        f"CREATE TABLE {TABLE} (company_id text NOT NULL DEFAULT {_MINE}, memory_id text NOT NULL, "
        "observed_at text NOT NULL, document tsvector NOT NULL, PRIMARY KEY (company_id, memory_id))"
    )
    for statement in (
        f"CREATE INDEX ix_{TABLE}_words ON {TABLE} USING gin (document)",
        f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY one_company ON {TABLE} USING (company_id = {_MINE}) "
        f"WITH CHECK (company_id = {_MINE})",
        f"REVOKE ALL ON {TABLE} FROM PUBLIC",
        # What was forgotten is cleared away within a minute, as in `memories`.
        f"ALTER TABLE {TABLE} SET (autovacuum_vacuum_threshold = 0, "
        "autovacuum_vacuum_scale_factor = 0)",
        _definition(schema, SEARCH, "words text, reaches text, most integer", "SETOF text", "sql")
        + f" STABLE ROWS 400 AS $body${SEARCH_BODY.format(schema=schema)}$body$",
        _definition(schema, FOLLOW, "", "trigger", "plpgsql")
        + f" AS $body${FOLLOW_BODY.format(schema=schema)}$body$",
        f"REVOKE ALL ON FUNCTION {SEARCH}({ARGUMENTS}), {FOLLOW}() FROM PUBLIC",
    ):
        connection.exec_driver_sql(statement.replace("%", "%%"))
    _fill(connection)
    of = "UPDATE OF id, words, reach, observed_at, superseded_by"
    connection.exec_driver_sql(
        f"CREATE TRIGGER {FOLLOW} AFTER INSERT OR DELETE OR {of} ON memories "
        f"FOR EACH ROW EXECUTE FUNCTION {FOLLOW}()"
    )
    connection.exec_driver_sql("DROP INDEX IF EXISTS ix_memories_words")


def _definition(schema: str, name: str, arguments: str, returns: str, language: str) -> str:
    # As its owner, and with no name in it that somebody else could give another meaning.
    return (
        f"CREATE FUNCTION {schema}.{name}({arguments}) RETURNS {returns} LANGUAGE {language} "
        "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
    )


def _fill(connection: Connection) -> None:
    """Index the memories that are there, each under its company."""
    is_parted = connection.execute(_IS_PARTED).first() is not None
    company = "m.company_id" if is_parted else "'main'"
    copy = _COPY.format(company=company)
    if not is_parted:
        connection.exec_driver_sql(copy)
        return
    before = connection.execute(_NAMED).scalar()
    for name in connection.execute(_COMPANIES).scalars().all():
        connection.execute(_NAME, {"company": name})
        # An owner whom no policy binds would see all of them each time.
        connection.exec_driver_sql(f"{copy} AND {company} = {_MINE}")
    connection.execute(_NAME, {"company": before or ""})


def grant(connection: Connection, role: str) -> None:
    """Let a role search; `role` is its name, quoted."""
    connection.exec_driver_sql(f"REVOKE ALL ON {TABLE} FROM {role}")
    connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {SEARCH}({ARGUMENTS}) TO {role}")


def faults(connection: Connection) -> list[str]:
    """Say in what the table and its functions differ from what keeps companies apart."""
    found = []
    if connection.execute(_GIVEN_AWAY).first() is not None:
        found.append(f"{TABLE} can be used by others than its owner")
    schema = _schema(connection)
    wanted = {SEARCH: SEARCH_BODY, FOLLOW: FOLLOW_BODY}
    rows = {row.name: row for row in connection.execute(_FUNCTIONS, {"names": list(wanted)})}
    for name, body in wanted.items():
        row = rows.get(name)
        if row is None:
            found.append(f"{TABLE} has lost its function {name}")
        elif (
            row.body != body.format(schema=schema)
            or row.path != ["search_path=pg_catalog, pg_temp"]
        ) or not (row.is_definer and row.is_owners):
            found.append(f"{TABLE} is reached by a changed function {name}")
        elif row.is_public:
            found.append(f"{TABLE} can be searched by everybody, through {name}")
    if connection.execute(_TRIGGER, {"name": FOLLOW}).first() is None:
        found.append(f"{TABLE} is not kept in step with memories")
    return found


def _schema(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one())


_COPY = (
    "INSERT INTO memory_documents (company_id, memory_id, observed_at, document) "
    "SELECT {company}, m.id, m.observed_at, array_to_tsvector(array_append("
    "string_to_array(trim(m.words || ' ' || m.reach), ' '), '@in:' || {company})) "
    "FROM memories m WHERE m.superseded_by IS NULL"
)
_NAME = sa.text("SELECT set_config('swarm.company', :company, true)")
_NAMED = sa.text("SELECT current_setting('swarm.company', true)")
_IS_PARTED = sa.text(
    "SELECT 1 FROM pg_attribute WHERE attrelid = CAST('memories' AS regclass) "
    "AND attname = 'company_id' AND NOT attisdropped"
)
_COMPANIES = sa.text(
    r"SELECT CASE nspname WHEN 'dbos' THEN 'main' "
    r"ELSE replace(substr(nspname, 6), '_', '-') END FROM pg_namespace "
    r"WHERE nspname = 'dbos' OR nspname LIKE 'dbos\_%' UNION SELECT 'main' ORDER BY 1"
)
"""As `companies.known` reads them, and the company of a database without an engine."""
_GIVEN_AWAY = sa.text(
    "SELECT 1 FROM pg_class c, LATERAL aclexplode(c.relacl) a "
    "WHERE c.oid = CAST('memory_documents' AS regclass) AND a.grantee <> c.relowner"
)
_FUNCTIONS = sa.text(
    "SELECT p.proname AS name, p.prosrc AS body, p.prosecdef AS is_definer, p.proconfig AS path, "
    "p.proowner = (SELECT relowner FROM pg_class WHERE oid = CAST('memory_documents' AS regclass)) "
    "AS is_owners, (p.proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(p.proacl) a "
    "WHERE a.grantee = 0)) AS is_public FROM pg_proc p "
    "WHERE p.pronamespace = CAST(current_schema() AS regnamespace) AND p.proname = ANY(:names)"
)
_TRIGGER = sa.text(
    "SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
    "WHERE t.tgrelid = CAST('memories' AS regclass) AND p.proname = :name AND t.tgenabled = 'O'"
)
