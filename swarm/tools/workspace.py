"""The order's folder, opened so that no name leads out of it.

Every step of a path is opened relative to the descriptor of the folder before it and follows no
link, so the kernel resolves nothing that was not checked; `..` and absolute paths never reach it.
"""

import errno
import hashlib
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from swarm.core.errors import ToolError

MAX_PATH_CHARS = 200
MAX_DEPTH = 8
MAX_NAME_BYTES = 255
"""Longest single name that Linux file systems store."""
MAX_WRITE_BYTES = 10 * 1024 * 1024
MAX_FACTS_BYTES = 1024 * 1024 * 1024
"""The largest file that is digested: a command makes a sparse one of any size in no time."""
MAX_FILES = 10_000
"""Files in one workspace. Writers racing for the last place may pass it by their number: a lock
would have to lie in the workspace, where a command could hold it."""
RESERVED_PREFIX = ".swarm"
"""Names beginning so belong to the company itself: no tool reads, lists or writes them."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, so that opening a pipe that takes a file's place cannot hang the worker.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 256 * 1024
_MAX_OPENS = 20
"""How often a file is opened again that was replaced while it was being opened."""
# Controls, formats (bidi marks, zero-width signs, tags), surrogates, line and paragraph
# separators: each makes one name look like another, or two lines of one.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a deliverable is: where it lies and what was in it when it was looked at."""

    path: str
    """Relative to the workspace, NFC."""
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Content:
    """A file read whole, and which file it was."""

    data: bytes
    stamp: tuple[int, ...]
    """Differs from that of any other file, and of this one once it is changed or replaced."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in a workspace. `is_cut` says that there was more than anybody may keep there."""

    files: tuple[tuple[str, int], ...]
    """Path and size in bytes, in the order of the paths."""
    left_out: int
    """Links, devices, shared files and names that no tool can say."""
    is_cut: bool = False


def parts(path: str) -> tuple[str, ...]:
    """Split a path a model wrote into the names to open one after the other.

    Raises:
        ToolError: It is not a plain relative path of clean names; the text says what to write.
    """
    if not path:
        raise ToolError("the path is empty: name a file, such as report.md")
    # The first cut keeps normalising cheap: its cost grows faster than a hostile text does.
    path = unicodedata.normalize("NFC", path[: 4 * MAX_PATH_CHARS])
    if len(path) > MAX_PATH_CHARS:
        raise ToolError(f"the path has {len(path)} characters; use at most {MAX_PATH_CHARS}")
    # `isprintable` is the quick first look: it is false for all of these, and for a few others.
    if not path.isprintable() and _REFUSED_CATEGORIES & set(map(unicodedata.category, path)):
        raise ToolError(f"the path {path!a} has control or invisible characters; leave them out")
    if "\\" in path:
        raise ToolError(f"the path {path!r} has a backslash; separate folders with /")
    if path.startswith("/"):
        raise ToolError(f"the path {path!r} is absolute; write it relative to the workspace")
    names = tuple(path.split("/"))
    if len(names) > MAX_DEPTH:
        raise ToolError(f"the path has {len(names)} parts; use at most {MAX_DEPTH}")
    for name in names:
        _check_name(name, path)
    return names


def canonical(path: str) -> str:
    """Return the one spelling of a path, by which labels and signatures know the file.

    Raises:
        ToolError: As `parts`.
    """
    return "/".join(parts(path))


def _check_name(name: str, path: str) -> None:
    if name in ("", ".", ".."):
        raise ToolError(
            f"the path {path!r} has a part {name!r}; write only names, such as site/index.html"
        )
    if name != name.strip():
        raise ToolError(f"the name {name!r} begins or ends with a space; leave it out")
    if name.casefold().startswith(RESERVED_PREFIX):
        raise ToolError(f"names beginning with {RESERVED_PREFIX!r} are reserved; choose another")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ToolError(f"the name {name[:20]!r}… is longer than {MAX_NAME_BYTES} bytes")


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn the refusals of the kernel that a model can mend into words; others are the worker's."""
    try:
        yield
    except OSError as error:
        text = {
            errno.ENOENT: "does not exist; list_files shows what there is",
            errno.ELOOP: "is a link; only plain files can be used",
            errno.ENOTDIR: "leads through something that is not a folder",
            errno.EISDIR: "is a folder; name a file",
            errno.EEXIST: "exists already and is not a plain file",
            errno.ENXIO: "is not a plain file",
            errno.EACCES: "may not be touched; choose another name",
            errno.ENAMETOOLONG: "has a name that is too long; shorten it",
        }.get(error.errno or 0)
        if text is None:
            raise
        raise ToolError(f"{path!r} {text}") from error


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make(workspace: Path) -> None:
    """Create the workspace and missing folders above it, open to this user alone."""
    missing = [p for p in (workspace, *workspace.parents) if not p.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _folder(workspace: Path, names: tuple[str, ...], *, is_made: bool = False) -> Iterator[int]:
    """Open the folder that `names` lead to, each step without following a link."""
    if is_made:
        make(workspace)
    current = os.open(workspace, _FOLDER)
    try:
        for name in names:
            if is_made:
                _make_folder(name, current)
            following = os.open(name, _FOLDER, dir_fd=current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def _make_folder(name: str, parent: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
        # A name is on disk only when its folder is.
        os.fsync(parent)


def _check_plain(status: os.stat_result, path: str, *, allow_shared: bool = False) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise ToolError(f"{path!r} is a link; only plain files can be used")
    if stat.S_ISDIR(status.st_mode):
        raise ToolError(f"{path!r} is a folder; name a file")
    if not stat.S_ISREG(status.st_mode):
        raise ToolError(f"{path!r} is not a plain file")
    # A second name of a file outside the workspace looks like a plain file; only the count tells.
    if status.st_nlink > 1 and not allow_shared:
        raise ToolError(f"{path!r} has more than one name (a hard link); only plain files are used")


@contextmanager
def reading(workspace: Path, path: str, *, allow_shared: bool = False) -> Iterator[int]:
    """Open a plain file for reading and give its descriptor; it is closed at the end.

    Args:
        workspace: The folder that no path leaves.
        path: Relative to it.
        allow_shared: Take files with several names too: installers share files that way. Only for
            folders that no tool and no command writes.

    Raises:
        ToolError: No such path, or anything but a plain file with one name.
    """
    names = parts(path)
    with _explained(path), _folder(workspace, names[:-1]) as folder:
        descriptor = _open_plain(folder, names[-1], path, allow_shared=allow_shared)
    with _closing(descriptor):
        yield descriptor


def _open_plain(folder: int, name: str, path: str, *, allow_shared: bool) -> int:
    for _ in range(_MAX_OPENS):
        # Before opening: to open a device can already act on it.
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        _check_plain(status, path, allow_shared=allow_shared)
        descriptor = os.open(name, _READ, dir_fd=folder)
        try:
            # Again after it: the name may have been given to another file in between.
            _check_plain(os.fstat(descriptor), path, allow_shared=allow_shared)
            if _is_still_named(descriptor, folder, name):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise ToolError(f"{path!r} is being changed all the time; try again later")


def _is_still_named(descriptor: int, folder: int, name: str) -> bool:
    """Return whether the name a file was opened by has been there all the while since.

    A name of a foreign file that is taken away between the opening and the count of names would
    leave the count at one. The kernel says of each open file whether the name it was opened by is
    gone, and a name that is gone never comes back, whatever is put in its place.
    """
    try:
        link = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except FileNotFoundError:
        # Systems without /proc: the name has to stand for the open file again.
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return os.path.samestat(found, os.fstat(descriptor))
    return not link.endswith(" (deleted)")


def read_whole(workspace: Path, path: str) -> Content:
    """Read a file of at most `MAX_WRITE_BYTES`, the most that can be written back.

    Raises:
        ToolError: It cannot be read as `reading` says, or is larger.
    """
    data = bytearray()
    with reading(workspace, path) as descriptor:
        while chunk := os.read(descriptor, _CHUNK):
            data += chunk
            if len(data) > MAX_WRITE_BYTES:
                raise ToolError(f"{path!r} has more than {MAX_WRITE_BYTES:,} bytes")
        return Content(bytes(data), _stamp(os.fstat(descriptor)))


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def facts(workspace: Path, path: str) -> FileFacts:
    """Read a file whole and say what it is.

    Raises:
        ToolError: It cannot be read as `reading` says, or has more than `MAX_FACTS_BYTES`.
    """
    digest, size = hashlib.sha256(), 0
    with reading(workspace, path) as descriptor:
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if size > MAX_FACTS_BYTES:
                raise ToolError(
                    f"{path!r} has more than {MAX_FACTS_BYTES:,} bytes; split it into smaller files"
                )
    return FileFacts(path="/".join(parts(path)), sha256=digest.hexdigest(), bytes=size)


def write_text(
    workspace: Path, path: str, text: str, *, seen: tuple[int, ...] | None = None
) -> FileFacts:
    """Write a text as UTF-8, making folders and the workspace where they are missing.

    Readers see the old file or the new one whole, also after a power cut. Who may read and run a
    file that is replaced stays as it was. Lone surrogates, which no file can carry as text, become
    U+FFFD.

    Args:
        workspace: The folder that no path leaves.
        path: Relative to it.
        text: The whole content.
        seen: The `Content.stamp` the text was made from: another file is not replaced.

    Raises:
        ToolError: A path that may not be written, more than `MAX_WRITE_BYTES`, one file too many,
            or another file than the one seen.
    """
    names = parts(path)
    data = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    if len(data) > MAX_WRITE_BYTES:
        raise ToolError(
            f"the content has {len(data):,} bytes, the limit is {MAX_WRITE_BYTES:,}; "
            "write several smaller files"
        )
    with _explained(path):
        mode = _target_mode(workspace, names, path)
        with _folder(workspace, names[:-1], is_made=True) as folder:
            _replace(folder, names[-1], data, mode=mode, seen=seen)
    return FileFacts("/".join(names), hashlib.sha256(data).hexdigest(), len(data))


def _target_mode(workspace: Path, names: tuple[str, ...], path: str) -> int:
    """Return the rights of the file to write; refuse what is no plain file, and one too many."""
    try:
        with _folder(workspace, names[:-1]) as folder:
            status = os.stat(names[-1], dir_fd=folder, follow_symlinks=False)
            _check_plain(status, path)
            return 0o600 | status.st_mode & 0o777
    except FileNotFoundError:
        found = listing(workspace)
        if len(found.files) + found.left_out >= MAX_FILES:
            raise ToolError(
                f"the workspace already holds {MAX_FILES:,} files; write into existing ones"
            ) from None
    return 0o600


def _replace(
    folder: int, name: str, data: bytes, *, mode: int, seen: tuple[int, ...] | None
) -> None:
    """Put `data` under `name` in one step."""
    # The reserved prefix hides what a crash leaves behind from every tool.
    draft = f"{RESERVED_PREFIX}-{secrets.token_hex(8)}"
    with _closing(os.open(draft, _CREATE, 0o600, dir_fd=folder)) as descriptor:
        try:
            os.fchmod(descriptor, mode)
            _write_all(descriptor, data)
            os.fsync(descriptor)
            _check_unchanged(folder, name, seen)
            os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft, dir_fd=folder)
            raise
    os.fsync(folder)


def _check_unchanged(folder: int, name: str, seen: tuple[int, ...] | None) -> None:
    # Not atomic with the replacing that follows, but two colleagues who edit one file over seconds
    # no longer undo each other's work.
    if seen is None:
        return
    if seen != _stamp(os.stat(name, dir_fd=folder, follow_symlinks=False)):
        raise ToolError(f"{name!r} was changed meanwhile; read it again and repeat the edit")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def listing(workspace: Path, folder: str = "", *, allow_shared: bool = False) -> Listing:
    """Return the files below `folder`, the whole workspace where it is empty.

    A workspace that does not exist yet is empty. `allow_shared` is that of `reading`.

    Raises:
        ToolError: `folder` is no folder of the workspace.
    """
    names = parts(folder) if folder else ()
    walk = _Walk(allow_shared=allow_shared)
    forgiving = nullcontext() if names else suppress(FileNotFoundError)
    with (
        _explained(folder or "the workspace"),
        forgiving,
        _folder(workspace, names) as descriptor,
    ):
        walk.enter(descriptor, names)
    return Listing(tuple(sorted(walk.files)), walk.left_out, walk.is_cut)


class _Walk:
    """Gather what lies below a folder, without following links and without end."""

    def __init__(self, *, allow_shared: bool) -> None:
        self.files: list[tuple[str, int]] = []
        self.left_out = 0
        self.is_cut = False
        self._left = 4 * MAX_FILES
        self._allow_shared = allow_shared

    def enter(self, descriptor: int, names: tuple[str, ...]) -> None:
        """Take the entries of one open folder."""
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if self._left <= 0:
                    self.is_cut = True
                    return
                self._left -= 1
                if not entry.name.startswith(RESERVED_PREFIX):
                    self._take(descriptor, (*names, entry.name))

    def _take(self, parent: int, names: tuple[str, ...]) -> None:
        path = "/".join(names)
        try:
            # Only what a tool could name: a command may have made anything at all.
            if parts(path) != names:
                self.left_out += 1
                return
            status = os.stat(names[-1], dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                with _closing(os.open(names[-1], _FOLDER, dir_fd=parent)) as descriptor:
                    self.enter(descriptor, names)
                return
            _check_plain(status, path, allow_shared=self._allow_shared)
        except (ToolError, OSError):
            # Somebody may be writing here: what is gone or changed meanwhile is not listed.
            self.left_out += 1
        else:
            self.files.append((path, status.st_size))
