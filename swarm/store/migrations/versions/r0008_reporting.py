"""Let reports read narrow rows."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_tokens",
    "tool_tokens",
    "output_tokens",
    "reasoning_tokens",
)
PROMPT = COUNTS[:-2]
"""Buckets that do not overlap, and are the whole prompt together."""
BY_DAY = ("day", "kind", "role", "model", "currency", "cost_status", "state", "is_rework")
BY_ORDER = ("order_id", "currency", "model", "cost_status")

# Nodes are `frame/<retry>`, `plan/<revision>.<retry>` and `<task>/<revision>.<round>/w<attempt>`
# with `r<attempt>` for its review: a count above zero anywhere in them is work done again.
REWORK_SQLITE = " OR ".join(
    f"{{row}}.node GLOB '*/{pattern}*'" for pattern in ("w[1-9]", "r[1-9]", "[1-9]", "0.[1-9]")
)
REWORK_POSTGRES = r"{row}.node ~ '/(w[1-9]|r[1-9]|[1-9]|0\.[1-9])'"


def upgrade() -> None:
    """Apply the change.

    SQLite keeps the sums in step by triggers: they commit, or vanish, with the charge itself. On
    Postgres, whose big texts lie apart from the rows, views add up when they are asked. Whoever
    rebuilds the tables `ledger` or `orders` later has to create the triggers again.
    """
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.create_index("ix_ledger_started", ["started_at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        _views_on_postgres()
    else:
        _tables_on_sqlite()


def _keys(row: str, rework: str) -> dict[str, str]:
    """Return where one ledger row counts, by column."""
    return {
        "order_id": f"{row}.order_id",
        "day": f"substr({row}.started_at, 1, 10)",
        "role": f"{row}.role",
        "model": f"{row}.model",
        "currency": f"{row}.currency",
        "cost_status": f"{row}.cost_status",
        "state": f"{row}.state",
        "is_rework": f"CASE WHEN {rework.format(row=row)} THEN 1 ELSE 0 END",
    }


def _amounts(row: str) -> dict[str, str]:
    """Return what one ledger row adds, by column."""
    # The list price where the provider said another cost; a sum is in one currency.
    listed = (
        f"CASE WHEN {row}.listed_pico IS NOT NULL "
        f"AND COALESCE({row}.listed_currency, {row}.currency) = {row}.currency "
        f"THEN {row}.listed_pico WHEN {row}.cost_status = 'unpriced' THEN 0 ELSE {row}.cost_pico END"
    )
    return {
        "calls": "1",
        "cost_pico": f"{row}.cost_pico",
        "listed_pico": listed,
        **{name: f"COALESCE({row}.{name}, 0)" for name in COUNTS},
    }


def _amounts_of_order(row: str) -> dict[str, str]:
    """Return what one ledger row adds to its order, by column."""
    prompt = " + ".join(f"COALESCE({row}.{name}, 0)" for name in PROMPT)
    return {
        "calls": "1",
        "cost_pico": f"{row}.cost_pico",
        "cached_tokens": f"COALESCE({row}.cache_read_tokens, 0)",
        "prompt_tokens": prompt,
    }


def _views_on_postgres() -> None:
    op.execute(
        "CREATE VIEW order_facts AS SELECT id AS order_id, "
        "COALESCE(CAST(state AS json) #>> '{frame,kind}', '') AS kind, "
        "status, created_at, delivered_at, accepted_at, customer FROM orders"
    )
    keys = _keys("ledger", REWORK_POSTGRES) | {"kind": "COALESCE(order_facts.kind, '')"}
    for view, columns, amounts in (
        ("sums_by_day", BY_DAY, _amounts("ledger")),
        ("sums_by_order", BY_ORDER, _amounts_of_order("ledger")),
    ):
        named = ", ".join(f"{keys[name]} AS {name}" for name in columns)
        sums = ", ".join(f"CAST(SUM({v}) AS BIGINT) AS {name}" for name, v in amounts.items())
        op.execute(
            f"CREATE VIEW {view} AS SELECT {named}, {sums} FROM ledger "  # noqa: S608  # names of ours alone
            f"LEFT JOIN order_facts ON order_facts.order_id = ledger.order_id "
            f"WHERE ledger.state <> 'intent' GROUP BY {', '.join(keys[n] for n in columns)}"
        )


def _tables_on_sqlite() -> None:
    op.execute(
        "CREATE TABLE order_facts (order_id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, "
        "status TEXT NOT NULL, created_at TEXT NOT NULL, delivered_at TEXT, accepted_at TEXT, "
        "customer TEXT) WITHOUT ROWID"
    )
    # Orders of a kind by their number are read from it alone.
    op.execute("CREATE INDEX ix_order_facts_kind ON order_facts (kind, created_at)")
    for table, key, amounts in (
        ("sums_by_day", BY_DAY, _amounts("ledger")),
        ("sums_by_order", BY_ORDER, _amounts_of_order("ledger")),
    ):
        columns = ", ".join(
            f"{name} {'INTEGER' if name == 'is_rework' else 'TEXT'} NOT NULL" for name in key
        )
        sums = ", ".join(f"{name} INTEGER NOT NULL" for name in amounts)
        op.execute(
            f"CREATE TABLE {table} ({columns}, {sums}, PRIMARY KEY ({', '.join(key)})) "
            "WITHOUT ROWID"
        )
    # What is there already is counted before the triggers are, or it would count twice.
    op.execute(f"INSERT INTO order_facts {_facts('orders')} FROM orders")
    op.execute(_days_of("ledger.state <> 'intent'", "+", _KIND_OF_ROW))
    op.execute(_orders_of("ledger.state <> 'intent'"))
    _keep_sums()
    _keep_facts()


_KIND_OF_ROW = "COALESCE((SELECT kind FROM order_facts WHERE order_id = ledger.order_id), '')"


def _keep_sums() -> None:
    """Create the triggers on the ledger; a call's way from intent to answer passes one of them."""
    watched = ["order_id", "started_at", "role", "model", "currency", "cost_status", "state"]
    watched += ["node", "cost_pico", *COUNTS, "listed_pico", "listed_currency"]
    of = f"UPDATE OF {', '.join(watched)}"
    add, take = _change("NEW", "+"), _change("OLD", "-")
    for name, event, when, body in (
        ("add", "INSERT", "NEW.state <> 'intent'", add),
        ("answer", of, "OLD.state = 'intent' AND NEW.state <> 'intent'", add),
        ("correct", of, "OLD.state <> 'intent' AND NEW.state <> 'intent'", take + add),
        ("reopen", of, "OLD.state <> 'intent' AND NEW.state = 'intent'", take),
        ("remove", "DELETE", "OLD.state <> 'intent'", take),
    ):
        op.execute(
            f"CREATE TRIGGER ledger_sums_{name} AFTER {event} ON ledger WHEN {when} "
            f"BEGIN {body} END"
        )


def _change(row: str, sign: str) -> str:
    kind = f"COALESCE((SELECT kind FROM order_facts WHERE order_id = {row}.order_id), '')"  # noqa: S608  # names of ours alone
    keys = _keys(row, REWORK_SQLITE) | {"kind": kind}
    body = ""
    for table, key, amounts in (
        ("sums_by_day", BY_DAY, _amounts(row)),
        ("sums_by_order", BY_ORDER, _amounts_of_order(row)),
    ):
        signed = [value if sign == "+" else f"-({value})" for value in amounts.values()]
        values = ", ".join([keys[name] for name in key] + signed)
        body += _upsert(table, key, f"VALUES ({values})", list(amounts)) + "; "
    return body


def _upsert(table: str, key: tuple[str, ...], rows: str, amounts: list[str]) -> str:
    changes = ", ".join(f"{name} = {name} + excluded.{name}" for name in amounts)
    return (
        f"INSERT INTO {table} ({', '.join([*key, *amounts])}) {rows} "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    )


def _days_of(where: str, sign: str, kind: str) -> str:
    """Return the statement that adds ledger rows to, or takes them from, the days of a kind."""
    keys = _keys("ledger", REWORK_SQLITE) | {"kind": kind}
    amounts = _amounts("ledger")
    columns = [keys[name] for name in BY_DAY]
    sums = [f"{sign}SUM({value})" for value in amounts.values()]
    rows = (
        f"SELECT {', '.join(columns + sums)} FROM ledger WHERE {where} "  # noqa: S608  # names of ours alone
        f"GROUP BY {', '.join(columns)}"
    )
    return _upsert("sums_by_day", BY_DAY, rows, list(amounts))


def _orders_of(where: str) -> str:
    keys, amounts = _keys("ledger", REWORK_SQLITE), _amounts_of_order("ledger")
    columns = [keys[name] for name in BY_ORDER]
    sums = [f"SUM({value})" for value in amounts.values()]
    rows = (
        f"SELECT {', '.join(columns + sums)} FROM ledger WHERE {where} "  # noqa: S608  # names of ours alone
        f"GROUP BY {', '.join(columns)}"
    )
    return _upsert("sums_by_order", BY_ORDER, rows, list(amounts))


def _facts(row: str) -> str:
    kind = f"json_extract({row}.state, '$.frame.kind')"
    return (
        f"SELECT {row}.id, CASE WHEN json_valid({row}.state) THEN COALESCE({kind}, '') ELSE '' END, "
        f"{row}.status, {row}.created_at, {row}.delivered_at, {row}.accepted_at, {row}.customer"
    )


def _keep_facts() -> None:
    """Create the triggers on orders, and those that move an order's calls to its kind."""
    columns = ("kind", "status", "created_at", "delivered_at", "accepted_at", "customer")
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    # `WHERE true` tells the parser that `ON CONFLICT` is no join.
    upsert = (
        f"INSERT INTO order_facts (order_id, {', '.join(columns)}) {_facts('NEW')} WHERE true "
        f"ON CONFLICT (order_id) DO UPDATE SET {changes};"
    )
    of = "UPDATE OF state, status, created_at, delivered_at, accepted_at, customer"
    for name, event, body in (
        ("add", "INSERT", upsert),
        ("change", of, upsert),
        ("remove", "DELETE", "DELETE FROM order_facts WHERE order_id = OLD.id;"),
    ):
        op.execute(f"CREATE TRIGGER order_facts_{name} AFTER {event} ON orders BEGIN {body} END")
    for name, event, when, old, new in (
        ("first", "INSERT", "NEW.kind <> ''", "''", "NEW"),
        ("move", "UPDATE OF kind", "OLD.kind <> NEW.kind", "OLD.kind", "NEW"),
        ("lose", "DELETE", "OLD.kind <> ''", "OLD.kind", ""),
    ):
        of_order = f"order_id = {new or 'OLD'}.order_id AND ledger.state <> 'intent'"
        take = _days_of(of_order, "-", old)
        add = _days_of(of_order, "+", f"{new}.kind" if new else "''")
        op.execute(
            f"CREATE TRIGGER order_kind_{name} AFTER {event} ON order_facts WHEN {when} "
            f"BEGIN {take}; {add}; END"
        )
