"""What a command changed in a workspace, kept so that the order can be played again without it."""

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from swarm.tools.workspace import MAX_FILES, RESERVED_PREFIX

Look: TypeAlias = Mapping[str, tuple[int, int, int]]
"""Inode, size and time of change in nanoseconds of each file, by path."""
MAX_KEPT_BYTES = 64 * 1024 * 1024
"""Most that is kept of one command's files; what is beyond that is named, not kept."""


def look(workspace: Path) -> Look:
    """Return how the plain files of a workspace are now."""
    found: dict[str, tuple[int, int, int]] = {}
    for folder, folders, files in os.walk(workspace):
        folders[:] = [name for name in folders if not name.startswith(RESERVED_PREFIX)]
        for name in files:
            path = Path(folder) / name
            try:
                status = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and not name.startswith(RESERVED_PREFIX):
                key = str(path.relative_to(workspace))
                found[key] = (status.st_ino, status.st_size, status.st_mtime_ns)
            if len(found) >= MAX_FILES:
                return found
    return found


def keep(workspace: Path, before: Look, kept: Path) -> dict[str, str | None]:
    """Keep the files that are not as they were; return their SHA-256, None for those now gone."""
    after = look(workspace)
    changed: dict[str, str | None] = {path: None for path in before if path not in after}
    left = MAX_KEPT_BYTES
    for path, seen in sorted(after.items()):
        if before.get(path) == seen:
            continue
        left -= seen[1]
        digest = _digest(workspace / path)
        if digest is None:
            continue
        changed[path] = digest
        if left >= 0:
            _copy(workspace / path, kept / digest)
    return changed


def _digest(path: Path) -> str | None:
    try:
        # A command may have left a link in a file's place since the look.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    shutil.copyfile(source, temporary, follow_symlinks=False)
    temporary.replace(target)
