"""A company on a Postgres, by its command line: made, looked at, upgraded, moved, unreachable."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from swarm.app import App
from swarm.core.errors import ConfigError
from swarm.settings import load
from swarm.store import schema
from swarm.store.tables import orders
from tests.cli.terminal import Seen, Terminal
from tests.servers.postgres import Server, migrate, missing

ROOT = Path(__file__).parents[2]
LONGEST_S = 120


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        yield server


def swarm(home: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    own = {f"SWARM_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "swarm.cli", *words],
        env={"PATH": os.defpath, "HOME": str(home), "SWARM_HOME": str(home), "USER": "ada"} | own,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )


def test_a_company_is_made_seen_and_refused_by_another_folder(
    server: Server, tmp_path: Path
) -> None:
    url = server.create("made")
    home = tmp_path / "home"
    made = swarm(home, "init", "--json", database_url=url)
    assert (made.returncode, json.loads(made.stdout)["is_new"]) == (0, True), made.stderr
    shown = json.loads(swarm(home, "db", "status", "--json", database_url=url).stdout)
    assert shown["kind"] == "Postgres"
    assert shown["schema"] == schema.HEAD
    assert shown["is_current"] is True
    assert shown["reaper_actions"] == {"resumed": 0, "isolated": 0, "parked": 0}
    other = swarm(tmp_path / "other", "worker", database_url=url)
    assert other.returncode == 2
    assert "is not the folder that this company's other processes work in" in other.stderr


def test_an_older_and_a_newer_schema_are_each_refused_with_the_way_on(
    server: Server, tmp_path: Path
) -> None:
    url = server.create("aged")
    home = tmp_path / "home"
    assert swarm(home, "init", database_url=url).returncode == 0
    engine = sa.create_engine(url, poolclass=sa.NullPool)

    def set_revision(revision: str) -> None:
        with engine.begin() as connection:
            query = sa.text("UPDATE alembic_version SET version_num = :to")
            connection.execute(query, {"to": revision})

    set_revision("9999")
    newer = swarm(home, "worker", database_url=url)
    assert newer.returncode == 2
    assert "last used with a newer Swarm (schema 9999" in newer.stderr
    url = server.create("old")
    migrate(url, to="0012")
    older = swarm(home, "worker", database_url=url)
    assert older.returncode == 2
    assert "run `swarm db upgrade` once" in older.stderr
    done = swarm(home, "db", "upgrade", "--json", database_url=url)
    assert json.loads(done.stdout) == {"from": "0012", "to": schema.HEAD, "is_changed": True}
    assert swarm(home, "db", "upgrade", database_url=url).returncode == 0


def test_a_database_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://ada:s3cret@127.0.0.1:9/acme"
    began = time.monotonic()
    asked = swarm(tmp_path / "home", "up", database_url=url, worker__database_wait_s="2")
    assert asked.returncode == 2
    assert "The database acme at 127.0.0.1:9 cannot be reached" in asked.stderr
    assert "Trying again for" in asked.stderr
    assert time.monotonic() - began >= 2
    assert "s3cret" not in asked.stderr + asked.stdout
    orders = swarm(tmp_path / "home", "orders", database_url=url)
    assert orders.returncode == 2
    assert "cannot be reached" in orders.stderr


def test_a_listener_without_work_needs_a_shared_database(tmp_path: Path) -> None:
    refused = swarm(tmp_path / "home", "up", "--no-work")
    assert refused.returncode == 2
    assert "needs a Postgres" in refused.stderr


def test_a_company_moves_by_one_command_and_a_rerun_says_so(
    server: Server, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = terminal.home
    monkeypatch.setenv("SWARM_LLM__MODEL", "openai/x")
    assert terminal.run("init").code == 0
    assert terminal.run("order", "Write a page about bread.").code == 0
    url = server.create("moved")
    # Somebody who has the file open from before is told as well: their word would be lost.
    with opened(home, {}) as beside:
        assert beside.store.read(_orders) == 1
        done = swarm(home, "db", "move", "--to", url, "--json")
        assert done.returncode == 0, done.stderr
        with pytest.raises(ConfigError, match="was moved to moved at"):
            beside.store.write(_orders)
    document = json.loads(done.stdout)
    assert document["rows"]["orders"] == 1
    assert document["orders_enqueued"] == 1
    assert document["was_there"] is False
    for words in (("db", "move", "--to", url), ("order", "More bread."), ("orders",)):
        refused = terminal.run(*words)
        assert refused.code == 2
        assert "was moved to moved at" in refused.err
    listed = swarm(home, "orders", "--json", database_url=url)
    assert [order["status"] for order in json.loads(listed.stdout)] == ["queued"]
    told = terminal.run("doctor", "--json").document["findings"]
    assert any("was moved to" in finding["text"] for finding in told)


def test_a_move_that_was_killed_is_ended_by_another_one(
    server: Server, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, note = terminal.home, terminal.home / "moved.json"
    monkeypatch.setenv("SWARM_LLM__MODEL", "openai/x")
    assert terminal.run("init").code == 0
    assert terminal.run("order", "Write a page about bread.").code == 0
    url = server.create("killed")
    words = ("db", "move", "--to", url, "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "swarm.cli", *words],
        env={"PATH": os.defpath, "HOME": str(home), "SWARM_HOME": str(home), "USER": "ada"},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as killed:
        # The note comes just before the server is asked to keep all; either may be true then.
        while not note.exists() and killed.poll() is None:
            time.sleep(0.001)
        killed.kill()
    if not json.loads(note.read_text())["is_done"]:
        assert "run `swarm db move` again" in terminal.run("order", "More bread.").err
    note.write_text(note.read_text().replace("true", "false"))
    first = terminal.run(*words)
    assert first.code == 0, first.err
    # As a move leaves it that dies between the server's word and its own note, and an older one.
    note.write_text(note.read_text().replace("true", "false"))
    again = terminal.run(*words)
    assert (again.code, again.document["was_there"]) == (0, True)
    note.unlink()
    assert terminal.run(*words).document == again.document
    note.unlink()
    assert terminal.run("order", "More bread.").code == 0
    changed = terminal.run(*words)
    assert changed.code == 2
    assert "was written to after it was moved" in changed.err
    assert not note.exists()
    listed = swarm(home, "orders", "--json", database_url=url)
    assert len(json.loads(listed.stdout)) == 1


def test_companies_share_a_database_that_keeps_them_apart(
    server: Server, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swarm(home: Path, *words: str, **settings: str) -> Seen:
        # In this process: a dozen commands in processes of their own take a quarter of a minute.
        with monkeypatch.context() as patch:
            patch.setenv("SWARM_HOME", str(home))
            for name, value in settings.items():
                patch.setenv(f"SWARM_{name.upper()}", value)
            return terminal.run(*words)

    at = server.share("street")
    both = {"database_url": at.app, "database_owner_url": at.owner}
    alder, beryl = tmp_path / "alder", tmp_path / "beryl"
    # The first upgrade makes the tables, the user who works, and the company.
    made = swarm(alder, "db", "upgrade", company="alder", **both)
    assert made.code == 0, made.err
    assert swarm(alder, "init", database_url=at.app, company="alder").code == 0
    # The second one comes from a file, to where another one is already.
    assert swarm(beryl, "init").code == 0
    words = ("order", "Write a page about bread.")
    assert swarm(beryl, *words, llm__model="openai/x").code == 0
    moved = swarm(beryl, "db", "move", "--json", company="beryl", **both)
    assert moved.code == 0, moved.err
    assert moved.document["company"] == "beryl"
    again = swarm(beryl, "db", "move", company="beryl", **both)
    assert again.code == 2
    listed = swarm(alder, "db", "companies", "--json", company="alder", **both)
    held = {item["company"]: item["orders"] for item in listed.document["companies"]}
    assert held == {"alder": 0, "beryl": 1}
    own = swarm(alder, "orders", "--json", database_url=at.app, company="alder")
    assert own.document == []
    theirs = swarm(beryl, "orders", "--json", database_url=at.app, company="beryl")
    assert len(theirs.document) == 1
    status = swarm(alder, "db", "status", "--json", database_url=at.owner, company="alder")
    assert "owns the tables" in status.document["role"]["fault"]
    elsewhere = {**both, "database_owner_url": at.owner.replace("/street?", "/other?")}
    for settings, reason in (
        ({"database_url": at.app, "company": "cedar"}, "There is no company 'cedar'"),
        ({"database_url": at.superuser, "company": "alder"}, "is a superuser"),
        ({"database_url": at.app, "company": "x'; DROP TABLE orders; --"}, "no company id"),
        ({**elsewhere, "company": "alder"}, "has to name"),
    ):
        with pytest.raises(ConfigError, match=reason), opened(alder, settings) as app:
            app.check()
    cedar = {"database_url": at.app, "company": "cedar"}
    with (
        pytest.raises(ConfigError, match="SWARM_DATABASE_OWNER_URL"),
        opened(tmp_path / "cedar", cedar) as app,
    ):
        app.initialise()


def _orders(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(orders)).scalar_one())


@contextmanager
def opened(home: Path, settings: dict[str, str]) -> Iterator[App]:
    own = {f"SWARM_{name.upper()}": value for name, value in settings.items()}
    with closing(App(load({"SWARM_HOME": str(home), "USER": "ada"} | own))) as app:
        yield app
