"""Carry an instance's home: this text runs inside, by its own Python, with nothing but its library.

    python3 -I -S -c TEXT save|load|keep|put-back|forget

`save` writes an archive to standard output: every file of the home, its databases as SQLite copies
them while others write, and at the end `manifest.json` with each file's digest and each table's rows.
`load` reads one from standard input, holds it against its manifest before anything is touched, and
puts it in place of the home. `keep` puts a copy of the books aside before an upgrade; `put-back` takes
it again if the form of the books has changed since, and `forget` drops it.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

FORMAT = 1
MANIFEST = "manifest.json"
MINE = ".farm-"
"""What begins so in a home is this module's own and never part of an archive."""
KEPT = ".farm-kept.db"
BOOKS = "swarm.db"
LEFT_OUT = ("heartbeat", "worker.lock", "setup.lock")
_BESIDE = ("-wal", "-shm", "-journal")
_MAGIC = b"SQLite format 3\x00"
_BLOCK = 1024 * 1024


class _Gauge(io.RawIOBase):
    """Read exactly as much of a file as was announced: what grows is cut, what shrinks is filled."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source = source
        self._left = size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; empty at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._source.read(wanted)
        data += b"\0" * (wanted - len(data))
        self._left -= wanted
        self.digest.update(data)
        return data


def save(home: str, target: BinaryIO) -> None:
    """Write the home as one archive."""
    _clear(home)
    manifest: dict[str, Any] = {"format": FORMAT, "files": {}, "tables": {}, "schema": None}
    copy = os.path.join(home, f"{MINE}copy-{os.getpid()}.db")  # noqa: PTH118  # loads little
    try:
        with (
            # Its own option for the level came with Python 3.12.
            gzip.GzipFile(fileobj=target, mode="wb", compresslevel=3) as packed,
            tarfile.open(fileobj=packed, mode="w|") as archive,
        ):
            for path in sorted(_paths(home)):
                whole = os.path.join(home, path)  # noqa: PTH118  # loads little
                if os.path.islink(whole):  # noqa: PTH114  # loads little
                    archive.add(whole, arcname=f"home/{path}", recursive=False)
                elif _is_database(whole):
                    manifest["tables"][path] = _copied(whole, copy)
                    if path == BOOKS:
                        manifest["schema"] = _schema(copy)
                    _add(archive, copy, path, manifest, like=whole)
                else:
                    _add(archive, whole, path, manifest, like=whole)
            data = json.dumps(manifest, sort_keys=True).encode()
            entry = tarfile.TarInfo(MANIFEST)
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    finally:
        _clear(home)


def _paths(home: str) -> Iterator[str]:
    for folder, folders, files in os.walk(home):
        folders[:] = [name for name in folders if not name.startswith(MINE)]
        inner = os.path.relpath(folder, home)
        for name in files:
            path = name if inner == "." else os.path.join(inner, name)  # noqa: PTH118  # loads little
            whole = os.path.join(folder, name)  # noqa: PTH118  # loads little
            is_plain = os.path.isfile(whole) or os.path.islink(whole)  # noqa: PTH113, PTH114  # loads little
            is_beside = any(
                name.endswith(end) and _is_database(whole[: -len(end)]) for end in _BESIDE
            )
            if is_plain and not is_beside and not path.startswith(MINE) and path not in LEFT_OUT:
                yield path


def _is_database(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # loads little
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _copied(source: str, target: str) -> dict[str, int]:
    """Copy a database at one moment, and return how many rows each table of the copy has."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)  # noqa: PTH108  # loads little
    with (
        contextlib.closing(sqlite3.connect(source, timeout=30)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
        # A copy that is one file: nothing of it may lie in a journal beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
    return _counts(target)


def _counts(path: str) -> dict[str, int]:
    """Return the rows of each table.

    Raises:
        ValueError: The database is damaged.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        if (said := database.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise ValueError(f"the database {os.path.basename(path)} is damaged: {said}")  # noqa: PTH119  # loads little
        names = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        ).fetchall()
        return {
            name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608  # from the schema
            for (name,) in sorted(names)
        }


def _schema(path: str) -> str | None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return None if found is None else str(found[0])


def _add(
    archive: tarfile.TarFile, source: str, path: str, manifest: dict[str, Any], *, like: str
) -> None:
    try:
        with open(source, "rb") as file:  # noqa: PTH123  # loads little
            status = os.stat(like)  # noqa: PTH116  # loads little
            entry = tarfile.TarInfo(f"home/{path}")
            entry.size = os.fstat(file.fileno()).st_size
            entry.mode, entry.mtime = status.st_mode & 0o777, int(status.st_mtime)
            gauge = _Gauge(file, entry.size)
            archive.addfile(entry, gauge)
    except FileNotFoundError:
        return  # It was removed while we walked.
    manifest["files"][path] = {"size": entry.size, "sha256": gauge.digest.hexdigest()}


def load(home: str, source: BinaryIO) -> dict[str, Any]:
    """Put an archive in place of the home, and return its manifest.

    Raises:
        ValueError: It is not whole, or not one of ours; the home is as it was.
    """
    _undo_swap(home)
    _clear(home)
    new, old = os.path.join(home, f"{MINE}new"), os.path.join(home, f"{MINE}old")  # noqa: PTH118  # loads little
    os.mkdir(new, 0o700)  # noqa: PTH102  # loads little
    try:
        with tarfile.open(fileobj=source, mode="r|gz") as archive:
            archive.extractall(new, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        _clear(home)
        raise ValueError(f"the archive is not whole: {error}") from error
    try:
        manifest = checked(new)
    except (OSError, ValueError, sqlite3.Error):
        _clear(home)
        raise
    os.makedirs(old, 0o700, exist_ok=True)  # noqa: PTH103  # loads little
    for name in os.listdir(home):  # noqa: PTH208  # loads little
        if not name.startswith(MINE):
            os.replace(os.path.join(home, name), os.path.join(old, name))  # noqa: PTH105, PTH118  # loads little
    inner = os.path.join(new, "home")  # noqa: PTH118  # loads little
    for name in os.listdir(inner):  # noqa: PTH208  # loads little
        os.replace(os.path.join(inner, name), os.path.join(home, name))  # noqa: PTH105, PTH118  # loads little
    os.replace(old, f"{old}-done")  # noqa: PTH105  # loads little
    _clear(home)
    return manifest


def _undo_swap(home: str) -> None:
    """Put back what a load that died in the middle of its swap had moved aside."""
    old = os.path.join(home, f"{MINE}old")  # noqa: PTH118  # loads little
    if not os.path.isdir(old):  # noqa: PTH112  # loads little
        return
    for name in os.listdir(old):  # noqa: PTH208  # loads little
        place = os.path.join(home, name)  # noqa: PTH118  # loads little
        if os.path.isdir(place) and not os.path.islink(place):  # noqa: PTH112, PTH114  # loads little
            shutil.rmtree(place)
        elif os.path.lexists(place):
            os.unlink(place)  # noqa: PTH108  # loads little
        os.replace(os.path.join(old, name), place)  # noqa: PTH105, PTH118  # loads little


def checked(folder: str) -> dict[str, Any]:
    """Hold an unpacked archive against its manifest, and return that.

    Raises:
        ValueError: A file is missing or another, or a table has lost rows.
    """
    try:
        with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:  # noqa: PTH118, PTH123  # loads little
            manifest: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise ValueError(
            "it has no manifest: it is no backup of an instance, or cut off"
        ) from error
    if manifest.get("format") != FORMAT:
        raise ValueError("it was made by a newer version")
    for path, told in manifest["files"].items():
        whole = os.path.join(folder, "home", path)  # noqa: PTH118  # loads little
        digest = hashlib.sha256()
        try:
            with open(whole, "rb") as data:  # noqa: PTH123  # loads little
                while block := data.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise ValueError(f"{path} is missing in it") from error
        if digest.hexdigest() != told["sha256"]:
            raise ValueError(f"{path} is not what it was when it was saved")
    for path, counts in manifest["tables"].items():
        whole = os.path.join(folder, "home", path)  # noqa: PTH118  # loads little
        if _counts(whole) != counts:
            raise ValueError(f"{path} has other rows than when it was saved")
    return manifest


def keep(home: str) -> None:
    """Put a copy of the books aside."""
    books, kept = os.path.join(home, BOOKS), os.path.join(home, KEPT)  # noqa: PTH118  # loads little
    if _is_database(books):
        _copied(books, f"{kept}.part")
        os.replace(f"{kept}.part", kept)  # noqa: PTH105  # loads little


def put_back(home: str) -> bool:
    """Take the copy of the books again if their form has changed since; say whether."""
    books, kept = os.path.join(home, BOOKS), os.path.join(home, KEPT)  # noqa: PTH118  # loads little
    if not _is_database(kept):
        return False
    is_changed = _schema(books) != _schema(kept) if _is_database(books) else True
    if is_changed:
        for end in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(books + end)  # noqa: PTH108  # loads little
        os.replace(kept, books)  # noqa: PTH105  # loads little
    _clear(home)
    return is_changed


def _clear(home: str) -> None:
    """Remove what this module has left, but for the kept books while they may be needed."""
    for name in os.listdir(home):  # noqa: PTH208  # loads little
        whole = os.path.join(home, name)  # noqa: PTH118  # loads little
        if name == KEPT:
            continue
        if name.startswith(MINE) and os.path.isdir(whole):  # noqa: PTH112  # loads little
            shutil.rmtree(whole, ignore_errors=True)
        elif name.startswith(MINE):
            os.unlink(whole)  # noqa: PTH108  # loads little


def forget(home: str) -> None:
    """Drop the kept books."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(home, KEPT))  # noqa: PTH108, PTH118  # loads little


def main(verb: str) -> int:
    """Do one verb on this instance's home, and return the exit code."""
    home = os.environ.get("SWARM_HOME") or "/data"  # noqa: TID251  # runs without the program
    if os.environ.get("SWARM_DATABASE_URL") and verb in ("save", "load"):  # noqa: TID251  # see above
        sys.stderr.write("its books are on a database server: back that up there\n")
        return 1
    try:
        if verb == "save":
            save(home, sys.stdout.buffer)
        elif verb == "load":
            sys.stdout.write(json.dumps(load(home, sys.stdin.buffer)) + "\n")
        elif verb == "keep":
            keep(home)
        elif verb == "put-back":
            put_back(home)
            forget(home)
        else:
            forget(home)
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
