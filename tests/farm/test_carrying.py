"""A home carried out of an instance and in again: consistent, checked, sealed."""

import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.farm import backup, inside


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with books in several files, a link, and what is left out."""
    folder = tmp_path / "data"
    (folder / "workspace" / "o1").mkdir(parents=True)
    (folder / "workspace" / "o1" / "page.html").write_text("<p>done</p>")
    (folder / "workspace" / "o1" / "link").symlink_to("page.html")
    (folder / "heartbeat").touch()
    with closing(sqlite3.connect(folder / "swarm.db")) as books:
        books.execute("PRAGMA journal_mode=WAL")
        books.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT)")
        books.execute("CREATE TABLE alembic_version (version_num TEXT)")
        books.execute("INSERT INTO alembic_version VALUES ('0016')")
        books.executemany("INSERT INTO orders (text) VALUES (?)", [(str(n),) for n in range(50)])
        books.commit()
    return folder


@pytest.fixture
def saved(home: Path, tmp_path: Path) -> Path:
    path = tmp_path / "home.tar.gz"
    with path.open("wb") as file:
        inside.save(str(home), file)
    return path


def names(path: Path) -> set[str]:
    with tarfile.open(path) as archive:
        return set(archive.getnames())


def rows(home: Path) -> int:
    with closing(sqlite3.connect(home / "swarm.db")) as books:
        return int(books.execute("SELECT count(*) FROM orders").fetchone()[0])


def test_an_archive_holds_all_but_signs_of_life_and_says_what_it_holds(
    saved: Path, tmp_path: Path
) -> None:
    assert names(saved) == {
        "home/swarm.db", "home/workspace/o1/page.html", "home/workspace/o1/link", "manifest.json",
    }  # fmt: skip
    held = backup.check(saved, saved, tmp_path)
    assert (held.orders, held.schema, held.is_sealed) == (50, "0016", False)
    assert held.tables == {"swarm.db": {"alembic_version": 1, "orders": 50}}


def test_books_that_are_written_meanwhile_are_copied_as_of_one_moment(
    home: Path, tmp_path: Path
) -> None:
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(home / "swarm.db", timeout=30)) as books:
            while not stop.is_set():
                books.execute("INSERT INTO orders (text) VALUES ('a'), ('b')")
                books.commit()
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        written.wait(10)
        for number in range(3):
            path = tmp_path / f"{number}.tar.gz"
            with path.open("wb") as file:
                inside.save(str(home), file)
            assert backup.check(path, path, tmp_path).orders % 2 == 0
    finally:
        stop.set()
        writer.join()


def test_a_home_comes_back_as_it_was_whatever_is_there_now(home: Path, saved: Path) -> None:
    (home / "later").mkdir()
    (home / "later" / "file").write_text("x")
    (home / "workspace" / "o1" / "page.html").write_text("spoilt")
    with closing(sqlite3.connect(home / "swarm.db")) as books:
        books.execute("DELETE FROM orders")
        books.commit()
    with saved.open("rb") as file:
        manifest = inside.load(str(home), file)
    assert manifest["tables"]["swarm.db"]["orders"] == rows(home) == 50
    assert (home / "workspace" / "o1" / "page.html").read_text() == "<p>done</p>"
    assert (home / "workspace" / "o1" / "link").readlink() == Path("page.html")
    assert sorted(p.name for p in home.iterdir()) == ["swarm.db", "workspace"]


@pytest.mark.parametrize("harm", ["cut", "changed", "no manifest", "fewer rows", "not an archive"])
def test_an_archive_that_is_not_whole_changes_nothing(
    home: Path, saved: Path, tmp_path: Path, harm: str
) -> None:
    before = sorted(p.name for p in home.iterdir())
    harmed(saved, tmp_path, harm)
    with pytest.raises(InvalidInput, match="is no whole backup"):
        backup.check(saved, saved, tmp_path)
    with saved.open("rb") as file, pytest.raises((ValueError, sqlite3.Error)):
        inside.load(str(home), file)
    assert sorted(p.name for p in home.iterdir()) == before
    assert rows(home) == 50


def harmed(path: Path, folder: Path, harm: str) -> None:
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-200])
        return
    if harm == "not an archive":
        path.write_bytes(b"hello" * 100)
        return
    place = folder / "harm"
    with tarfile.open(path) as archive:
        archive.extractall(place, filter="data")
    if harm == "changed":
        (place / "home" / "workspace" / "o1" / "page.html").write_text("other")
    elif harm == "no manifest":
        (place / "manifest.json").unlink()
    else:
        manifest = json.loads((place / "manifest.json").read_text())
        manifest["tables"]["swarm.db"]["orders"] = 51
        (place / "manifest.json").write_text(json.dumps(manifest))
    with tarfile.open(path, "w:gz") as archive:
        for name in ("home", "manifest.json"):
            if (place / name).exists():
                archive.add(place / name, arcname=name)


def test_an_archive_cannot_write_outside_of_the_home(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("../evil")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    with path.open("rb") as file, pytest.raises(ValueError, match="not whole"):
        inside.load(str(home), file)
    assert not (home.parent / "evil").exists()
    assert rows(home) == 50


def test_a_load_that_died_in_its_swap_is_undone_by_the_next(home: Path, saved: Path) -> None:
    old = home / ".farm-old"
    old.mkdir()
    (home / "swarm.db").rename(old / "swarm.db")
    (home / "workspace").rename(old / "workspace")
    (home / "swarm.db").write_text("half")
    with pytest.raises(ValueError, match="not whole"):
        inside.load(str(home), io.BytesIO(b"nothing"))
    assert rows(home) == 50
    with saved.open("rb") as file:
        inside.load(str(home), file)
    assert rows(home) == 50


def test_books_put_aside_come_back_only_if_their_form_changed(home: Path) -> None:
    for change, wanted in (("", 51), ("UPDATE alembic_version SET version_num = '0099'", 50)):
        inside.keep(str(home))
        with closing(sqlite3.connect(home / "swarm.db")) as books:
            books.execute("INSERT INTO orders (text) VALUES ('later')")
            books.execute(change)
            books.commit()
        if change:
            wanted = 51
        assert inside.put_back(str(home)) is bool(change)
        inside.forget(str(home))
        assert rows(home) == wanted
        assert not list(home.glob(".farm-*"))


def test_the_same_text_runs_by_itself_in_an_interpreter_without_the_program(home: Path) -> None:
    text = Path(inside.__file__).read_text()
    words = [sys.executable, "-I", "-S", "-c", text]
    plain = {"SWARM_HOME": str(home), "PATH": os.defpath}
    done = subprocess.run([*words, "save"], env=plain, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert "manifest.json" in archive.getnames()
    served = plain | {"SWARM_DATABASE_URL": "postgresql://x"}
    done = subprocess.run([*words, "save"], env=served, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"database server" in done.stderr


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, Path]:
    pyrage = pytest.importorskip("pyrage", reason="sealing needs the extra `age`")
    made = pyrage.x25519.Identity.generate()
    path = tmp_path / "key.txt"
    path.write_text(f"# made for a test\n{made}\n")
    return str(made.to_public()), path


def test_a_sealed_backup_is_closed_to_all_but_its_key(
    saved: Path, tmp_path: Path, key: tuple[str, Path]
) -> None:
    recipient, identity = key
    target = backup.new_path(tmp_path / "out", "ada", datetime.now(UTC), is_sealed=True)
    backup.put(saved, target, recipient)
    assert target.name.endswith(".tar.gz.age")
    assert target.stat().st_mode & 0o777 == 0o600
    assert b"orders" not in target.read_bytes()
    with backup.opened(target, identity, tmp_path) as plain:
        assert backup.check(plain, target, tmp_path).is_sealed
    with pytest.raises(InvalidInput, match="--identity"), backup.opened(target, None, tmp_path):
        pass
    other = tmp_path / "other.txt"
    other.write_text("nothing of the kind\n")
    with pytest.raises(InvalidInput, match="no age key"), backup.opened(target, other, tmp_path):
        pass
    with pytest.raises(NotFound), backup.opened(tmp_path / "none", identity, tmp_path):
        pass
    with pytest.raises(ConfigError, match="begins with age1"):
        backup.check_recipient("age2xyz")
    assert backup.listed(tmp_path / "out", "ada") == [target]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [target.name]


def test_backups_of_a_name_are_not_those_of_a_longer_one(tmp_path: Path) -> None:
    at = datetime(2026, 5, 1, 8, tzinfo=UTC)
    paths = [backup.new_path(tmp_path, name, at, is_sealed=False) for name in ("ada", "ada-two")]
    for path in paths:
        path.touch()
    assert backup.listed(tmp_path, "ada") == paths[:1]
