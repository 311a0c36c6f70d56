"""Backups: one file per instance and moment, checked when made, sealed with age where a key is set."""

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.core.registry import Registry
from swarm.farm import inside
from swarm.farm.inside import checked

SEALED = ".age"
ENDING = ".tar.gz"
AGE = Registry(
    "package",
    {
        "encrypt": "pyrage:encrypt_file",
        "decrypt": "pyrage:decrypt_file",
        "recipient": "pyrage.x25519:Recipient",
        "identity": "pyrage.x25519:Identity",
    },
)
"""What seals a file; loaded on first use, from the extra `age`."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds."""

    path: Path
    size: int
    """Of the readable archive, in bytes."""
    is_sealed: bool
    files: int
    rows: int
    """Of all tables together."""
    orders: int
    schema: str | None
    tables: dict[str, dict[str, int]]


def python_words(verb: str) -> list[str]:
    """Return the command that runs a verb of `swarm.farm.inside` in an instance's container."""
    text = Path(inside.__file__).read_text(encoding="utf-8")
    return ["python3", "-I", "-S", "-c", text, verb]


def new_path(folder: Path, name: str, at: datetime, *, is_sealed: bool) -> Path:
    """Return where a backup of this moment goes; its folder is made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ending = ENDING + (SEALED if is_sealed else "")
    return folder / f"{name}-{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03}Z{ending}"


def check_recipient(recipient: str) -> Any:
    """Read an age recipient.

    Raises:
        ConfigError: It is none, or the extra is missing.
    """
    kind = _age("recipient")
    try:
        return kind.from_str(recipient.strip())
    except Exception as error:  # the package's own error has no public base
        raise ConfigError(
            f"{recipient[:20]!r} is no age recipient: it begins with age1, as `age-keygen` prints it."
        ) from error


def put(plain: Path, target: Path, recipient: str | None) -> None:
    """Move an archive to its place, sealed where there is a recipient; whole or not at all.

    Raises:
        ConfigError: The recipient is none, or the extra is missing.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.touch(mode=0o600)
        if recipient is None:
            shutil.copyfile(plain, part)
        else:
            _age("encrypt")(str(plain), str(part), [check_recipient(recipient)])
        sync(part)
        part.replace(target)
        sync(target)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def opened(path: Path, identity: Path | None, folder: Path) -> Iterator[Path]:
    """Give the readable archive of a backup for the length of a block.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is sealed and no key, or another's, was given.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    if not _is_sealed(path):
        yield path
        return
    if identity is None:
        raise InvalidInput(f"{path.name} is sealed: give the age key's file with --identity.")
    keys = _identities(identity)
    with tempfile.TemporaryDirectory(prefix="open-", dir=folder) as place:
        plain = Path(place, "home.tar.gz")
        plain.touch(mode=0o600)
        try:
            _age("decrypt")(str(path), str(plain), keys)
        except Exception as error:  # the package's own error has no public base
            raise InvalidInput(
                f"{path.name} cannot be opened with the keys in {identity}."
            ) from error
        yield plain


def check(plain: Path, shown: Path, folder: Path) -> Backup:
    """Unpack an archive beside, hold it against its manifest, and say what it has.

    Args:
        plain: The readable archive.
        shown: The backup's own path, which need not be there yet.
        folder: Where there is room to unpack; nothing stays.

    Raises:
        InvalidInput: It is cut off, changed, or no backup of an instance.
    """
    with tempfile.TemporaryDirectory(prefix="check-", dir=folder) as place:
        try:
            with tarfile.open(plain, mode="r:gz") as archive:
                archive.extractall(place, filter="data")
            manifest = checked(place)
        except (tarfile.TarError, EOFError, OSError, ValueError, sqlite3.Error) as error:
            raise InvalidInput(f"{shown.name} is no whole backup: {_brief(error)}.") from error
    tables = manifest["tables"]
    return Backup(
        path=shown,
        size=plain.stat().st_size,
        is_sealed=shown.is_file() and _is_sealed(shown),
        files=len(manifest["files"]),
        rows=sum(sum(counts.values()) for counts in tables.values()),
        orders=tables.get("swarm.db", {}).get("orders", 0),
        schema=manifest["schema"],
        tables=tables,
    )


def listed(folder: Path, name: str) -> list[Path]:
    """Return an instance's backups, oldest first."""
    found = (p for p in folder.glob(f"{name}-*{ENDING}*") if p.suffix != ".part")
    return sorted(p for p in found if p.name[len(name) + 1 :][:8].isdigit())


def _is_sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(21) == b"age-encryption.org/v1"


def _identities(path: Path) -> list[Any]:
    kind = _age("identity")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"The key {path} cannot be read.") from error
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    try:
        found = [kind.from_str(word) for word in words]
    except Exception as error:  # the package's own error has no public base; it may hold the key
        raise InvalidInput(f"{path} is no age key: `age-keygen -o FILE` makes one.") from error
    if not found:
        raise InvalidInput(f"{path} holds no key.")
    return found


def _age(name: str) -> Any:
    try:
        return AGE.load(name)
    except ConfigError as error:
        raise ConfigError(
            "Sealing backups needs the package pyrage: pip install 'swarm[age]'."
        ) from error


def _brief(error: Exception) -> str:
    return json.dumps(str(error), ensure_ascii=False)[1:-1][:200] or type(error).__name__


def sync(path: Path) -> None:
    """Force a file and its name to the disk."""
    for place, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        handle = os.open(place, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
