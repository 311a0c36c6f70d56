"""Show, upgrade and move the company's database."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App, build
from swarm.cli import exits
from swarm.cli.terminal import say, show_json, tell
from swarm.core.clock import iso
from swarm.core.errors import ConfigError, Unavailable
from swarm.runtime import moving, recoveries
from swarm.runtime.lock import WorkerLock
from swarm.settings import Environment, load
from swarm.store import companies as ids
from swarm.store import moved, parting, postgres, roles, schema
from swarm.store.audit_key import FILE as KEY_FILE
from swarm.store.audit_key import AuditKey
from swarm.store.database import sqlite_url
from swarm.store.tables import orders, workers


def status(*, as_json: bool) -> int:
    """Show the database; works with one of any version.

    Raises:
        ConfigError: It cannot be reached.
    """
    app = build(load())
    try:
        document = _status(app)
    finally:
        app.close()
    if as_json:
        show_json(document)
        return exits.DONE
    say(f"{document['kind']}: {document['database']}")
    if document["role"] is not None:
        say(f"Company: {document['company']}, worked on as the user {document['role']['user']}.")
    if document["role"] is not None and document["role"]["fault"]:
        say(f"{document['role']['fault']} To mend it, {roles.REMEDY}.")
    found = document["schema"] or "none yet"
    say(f"Schema: {found}" + ("." if document["is_current"] else f"; {document['remedy']}"))
    for status_name, count in document["orders"].items():
        say(f"Orders {status_name}: {count}")
    for worker in document["workers"]:
        sign = "works" if worker["is_alive"] else "gives no sign of life"
        say(
            f"Worker {worker['name']} on {worker['host']} (process {worker['pid']}) {sign}, "
            f"{worker['concurrency']} orders at once, since {worker['started_at']}"
        )
    return exits.DONE


def _status(app: App) -> dict[str, Any]:
    is_sqlite = app.store.is_sqlite
    has_database = not is_sqlite or (app.home / "swarm.db").exists()
    found = schema.revision(app.store) if has_database else None
    remedy = ""
    if found != schema.HEAD:
        remedy = "run `swarm init`" if is_sqlite or found is None else "run `swarm db upgrade`"
    if found is not None and found > schema.HEAD:
        remedy = "install the newer Swarm that made it"
    return {
        "kind": "SQLite" if is_sqlite else "Postgres",
        "database": str(app.home / "swarm.db") if is_sqlite else postgres.shown(app.store.url),
        "schema": found,
        "company": None if is_sqlite else app.store.company,
        "role": None if is_sqlite else _role(app),
        "known_schema": schema.HEAD,
        "is_current": found == schema.HEAD,
        "remedy": remedy,
        "orders": _orders(app) if found == schema.HEAD else {},
        "workers": _workers(app) if found == schema.HEAD and not is_sqlite else [],
        "reaper_actions": app.store.read(recoveries.actions) if found == schema.HEAD else {},
    }


def _role(app: App) -> dict[str, Any]:
    role = app.store.read(roles.standing)
    return role._asdict() | {"fault": role.fault}


def companies(*, as_json: bool) -> int:
    """Show which companies a Postgres holds, with what each keeps. For who owns its tables.

    Raises:
        ConfigError: It is a SQLite file, or the user owns no table of it.
    """
    app = build(load())
    try:
        if app.store.is_sqlite:
            raise ConfigError("A SQLite home holds one company; `swarm db status` shows it.")
        role, names = app.owner.read(lambda c: (roles.standing(c), ids.known(c)))
        if role.is_bound and not role.is_owner:
            raise ConfigError(
                f"The user {role.user} does not own the tables, so it is told of no company but its "
                "own: set SWARM_DATABASE_OWNER_URL to the address with the owner's name."
            )
        # One transaction for each, so that none is held open while all rows are read.
        held = [app.owner.read(partial(parting.holding, company=name)) for name in names]
        shown = postgres.shown(app.store.url)
    finally:
        app.close()
    if as_json:
        show_json({"database": shown, "companies": [_held(item) for item in held]})
        return exits.DONE
    say(f"{shown} holds {len(held)} {'company' if len(held) == 1 else 'companies'}.")
    for item in map(_held, held):
        say(
            f"{item['company']}: {item['orders']:,} orders, {item['rows']:,} rows, "
            f"{item['row_bytes'] / 1024**2:,.1f} MiB; engine {item['engine_bytes'] / 1024**2:,.1f} MiB"
        )
    return exits.DONE


def _held(item: parting.Holding) -> dict[str, Any]:
    return {
        "company": item.company,
        "orders": item.rows.get(orders.name, 0),
        "rows": sum(item.rows.values()),
        "rows_by_table": item.rows,
        "row_bytes": item.row_bytes,
        "engine_bytes": item.engine_bytes,
    }


def _orders(app: App) -> dict[str, int]:
    query = sa.select(orders.c.status, sa.func.count()).group_by(orders.c.status)
    rows = app.store.read(lambda c: c.execute(query.order_by(orders.c.status)).all())
    return {row[0]: row[1] for row in rows}


def _workers(app: App) -> list[dict[str, Any]]:
    stale_ms = round(app.settings.worker.stale_s * 1000)

    def work(connection: Connection) -> list[dict[str, Any]]:
        now = postgres.now_ms(connection)
        rows = connection.execute(sa.select(workers).order_by(workers.c.name)).all()
        return [
            {
                "name": row.name,
                "host": row.host,
                "pid": row.pid,
                "concurrency": row.concurrency,
                "work_version": row.version,
                "started_at": row.started_at,
                "seen_s_ago": round((now - row.seen_ms) / 1000, 1),
                "is_alive": now - row.seen_ms < stale_ms,
            }
            for row in rows
        ]

    return app.store.read(work)


def upgrade(*, as_json: bool) -> int:
    """Bring the database to this version's schema.

    Raises:
        ConfigError: It is from a newer version, or cannot be reached.
    """
    app = build(load())
    try:
        if app.store.is_sqlite:
            with WorkerLock(_made(app).home):
                before = schema.revision(app.store)
                app.initialise()
        else:
            before = app.upgrade()
    finally:
        app.close()
    document = {"from": before, "to": schema.HEAD, "is_changed": before != schema.HEAD}
    if as_json:
        show_json(document)
    elif before == schema.HEAD:
        say(f"The database has schema {schema.HEAD} already; nothing was changed.")
    else:
        say(f"The database now has schema {schema.HEAD} (before: {before or 'none'}).")
    return exits.DONE


def _made(app: App) -> App:
    if not app.home.is_dir():
        raise ConfigError(f"There is no company in {app.home} yet: run `swarm init`.")
    return app


def move(*, to: str | None, as_json: bool) -> int:
    """Move the company of this home into a Postgres.

    Raises:
        ConfigError: There is nothing to move, nowhere to move it, or a worker is at it.
    """
    environment = load()
    source, target = build(_source(environment)), build(_target(environment, to))
    try:
        with WorkerLock(_made(source).home):
            source.check()
            moved.refuse_moved(source.home, unless_cut_off=True)
            target.upgrade()
            report = _moved(source, target)
    finally:
        source.close()
        target.close()
    shown = postgres.shown(target.store.url)
    _show_moved(report, shown, environment.settings.company, as_json=as_json)
    return exits.DONE


def _moved(source: App, target: App) -> moving.Moved:
    """Move, with a note in the home from just before the target keeps what arrived."""
    to, at = postgres.shown(target.store.url), iso(source.clock.now())
    note = partial(moved.mark, source.home, to=to, at=at)
    steps = moving.Steps(
        tell=lambda table, count: tell(f"{table}: {count:,}") if count else None,
        about_to_keep=lambda: note(is_done=False),
        kept=lambda: note(is_done=True),
    )
    try:
        return moving.move(
            source.store, target.store, target.engine, keys=_keys(source), steps=steps
        )
    except Unavailable:
        # It may have been kept or not: the note stays, and the next try finds out.
        raise
    except Exception:
        moved.unmark(source.home)
        raise


def _source(environment: Environment) -> Environment:
    path = environment.home / "swarm.db"
    if not path.exists():
        raise ConfigError(f"There is no {path} to move.")
    return _at(environment, sqlite_url(path))


def _target(environment: Environment, to: str | None) -> Environment:
    url = postgres.url_of(to or environment.settings.database_url or "")
    if not url.startswith("postgresql"):
        raise ConfigError(
            "Where to? Name a Postgres: "
            "`swarm db move --to postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`, or set "
            "SWARM_DATABASE_URL (or SWARM_DATABASE_URL_FILE) to it."
        )
    return _at(environment, url)


def _at(environment: Environment, url: str) -> Environment:
    old = environment.settings
    is_owned = old.database_owner_url and postgres.same_database(old.database_owner_url, url)
    # The owner of another database has nothing to say in this one.
    owner = old.database_owner_url if is_owned else None
    settings = old.model_copy(update={"database_url": url, "database_owner_url": owner})
    return environment.model_copy(update={"settings": settings})


def _keys(app: App) -> Sequence[bytes] | None:
    try:
        return [AuditKey.load(app.home / KEY_FILE).public_key]
    except FileNotFoundError:
        return None


def _show_moved(report: moving.Moved, to: str, company: str, *, as_json: bool) -> None:
    rows = sum(report.rows.values())
    if as_json:
        show_json(
            {
                "to": to,
                "company": company,
                "rows": report.rows,
                "orders_enqueued": report.enqueued,
                "was_there": report.is_repeated,
                "audit": {"rows": report.audit_rows, "head": report.audit_head},
            }
        )
        return
    if report.is_repeated:
        say(
            "An earlier move had arrived whole, and was cut off after that; nothing was copied now."
        )
    say(
        f"{rows:,} rows are in {to}, the same in number and amount; the audit chain of "
        f"{report.audit_rows:,} rows is whole. {report.enqueued} orders go on there."
    )
    also = "" if company == ids.MAIN else f" and SWARM_COMPANY to {company}"
    say(
        f"Now set SWARM_DATABASE_URL to it{also} for every process; the SQLite file is left as it was."
    )
