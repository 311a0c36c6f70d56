"""A sandbox for machines without namespaces, such as a plain container: Landlock and seccomp.

The command is an ordinary process of this user that gave up its rights: it opens programs
read-only and writes its workspace and a private folder for `HOME` and `TMPDIR`, has no socket, no
environment, no capability, and no way to other processes. Unlike in namespaces, it sees names,
sizes and times of any file whose path it knows, has no `/tmp` or `/dev/shm` of its own, and git's
hooks in its workspace are its to write.
"""

import importlib.util
import json
import math
import os
import platform
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import swarm
from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits, SelfTest
from swarm.sandbox.bubblewrap import ADDRESS_SPACE, MAX_OPEN_FILES, PROGRAMS
from swarm.sandbox.escape import try_escapes
from swarm.sandbox.guest import Guest, make, start
from swarm.sandbox.supervise import below, birth, carrying, every_below

_BOOT = (
    "import sys; sys.path += sys.argv.pop().split(':'); "
    "from swarm.sandbox.launcher import main; main()"
)
_PACKAGES = ("landlock", "pyseccomp")
_PROGRAM_FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
# What programs fail without, if it is there: unlike in namespaces, it cannot be made not to exist.
_SETTINGS = (
    "etc/alternatives", "etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d", "etc/localtime",
    "etc/mime.types", "etc/gitconfig", "etc/ssl/openssl.cnf", "etc/ssl/certs", "etc/java*",
    "etc/python3*", "proc/cpuinfo", "proc/meminfo", "proc/stat",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_INSTALL = (
    "this needs Linux 5.19 or newer with Landlock and seccomp, the packages landlock and pyseccomp, "
    "and libseccomp.so.2: apt-get install libseccomp2"
)


class LandlockSandbox:
    """Run each command as a process that has given up its rights, below a launcher of its own.

    Each process may hold at most `Limits.memory_mib` of its own; what all of them hold together,
    how many they are and what they leave on the disk is watched from outside.
    """

    name = "landlock"

    def __init__(self, python: Path | None = None) -> None:
        """`python` is the interpreter for the launcher; None takes the one that runs this."""
        self._python = python or Path(sys.executable)

    async def run(
        self, argv: list[str], *, workspace: Path, limits: Limits | None = None
    ) -> CommandResult:
        """Run to the end or to a limit; the command sees its workspace by its usual path.

        Raises:
            ToolError: The command does not exist, or cannot be run.
            ConfigError: Rights cannot be taken away here; the text says what the operator can do.
        """
        return await self.run_shown(argv, workspace=workspace, limits=limits)

    async def run_shown(
        self,
        argv: list[str],
        *,
        workspace: Path,
        limits: Limits | None = None,
        shown: tuple[Path, ...] = (),
    ) -> CommandResult:
        """Run as `run` does, with some more folders that can be read."""
        limits = limits or Limits()
        if not argv or any("\0" in word for word in argv):
            raise ToolError("the command must have a program and no NUL signs")
        folder = make(workspace).resolve()
        with TemporaryDirectory(prefix="swarm-", ignore_cleanup_errors=True) as made:
            private = _furnish(made)
            plan = _plan(argv, limits, folder, private, shown)
            guest, is_timed_out = await _run(self._python, plan, limits, (folder, private))
        return _result(guest, argv[0], is_timed_out=is_timed_out)

    async def self_test(self) -> SelfTest:
        """Try harmless escapes from inside, with listeners and canaries of its own outside."""
        try:
            return await try_escapes(self.run_shown, has_namespaces=False)
        except (ConfigError, ToolError, OSError) as error:
            return SelfTest(holds=False, detail=str(error))


def _furnish(folder: str) -> Path:
    """Make the folders for `HOME` and `TMPDIR`; return the real path of what they lie in."""
    private = Path(folder).resolve()
    for name in ("home", "tmp"):
        (private / name).mkdir(mode=0o700)
    return private


async def _run(
    python: Path, plan: dict[str, Any], limits: Limits, folders: tuple[Path, ...]
) -> tuple[Guest, bool]:
    """Start the launcher and follow it to the end; return the guest and whether time was up."""
    theirs, ours = os.pipe()
    hold: _Tree | None = None
    try:
        program = [str(python), "-I", "-S", "-c", _BOOT]
        path = _search_path()
        process, status = await start(
            lambda number: [
                *program, json.dumps(plan | {"status": number, "control": theirs}), path,
            ],
            pass_fds=(theirs,),
        )  # fmt: skip
        hold = _Tree(process, ours, plan["private"])
    finally:
        os.close(theirs)
        if hold is None:
            os.close(ours)
    guest = Guest(process, status, hold, limits)
    return guest, await guest.finish(folders)


def _search_path() -> str:
    """Return the folders of this package and of the two libraries, and nothing else.

    Raises:
        ConfigError: A library is not installed, or this is no Linux.
    """
    if platform.system() != "Linux":
        raise ConfigError(f"no Landlock on this machine: {_INSTALL}")
    found = [str(Path(swarm.__file__).parents[1])]
    for name in _PACKAGES:
        package = importlib.util.find_spec(name)
        if package is None or package.origin is None:
            raise ConfigError(f"the package {name} is not installed: {_INSTALL}")
        file = Path(package.origin)
        found.append(str(file.parents[1] if file.name == "__init__.py" else file.parent))
    return ":".join(dict.fromkeys(found))


def _plan(
    argv: list[str], limits: Limits, folder: Path, private: Path, shown: tuple[Path, ...]
) -> dict[str, Any]:
    """Return what the launcher is to do, but for the numbers of its two pipes."""
    readable = [Path("/", name) for name in _PROGRAM_FOLDERS]
    readable += [path for pattern in _SETTINGS for path in Path("/").glob(pattern)]
    readable += shown
    roots = [str(folder), str(private)]
    return {
        "argv": argv,
        "workspace": str(folder),
        "environment": {
            "PATH": PROGRAMS,
            "HOME": str(private / "home"),
            "TMPDIR": str(private / "tmp"),
            "LANG": "C.UTF-8",
        },
        "roots": roots,
        "private": str(private),
        "processes": limits.processes,
        "grant": [roots, [str(p) for p in readable if p.exists()], _DEVICES],
        "limits": {
            "DATA": limits.memory_mib * 1024 * 1024,
            "AS": ADDRESS_SPACE,
            "CPU": math.ceil(limits.timeout_s) + 1,
            "FSIZE": limits.disk_bytes,
            "NOFILE": MAX_OPEN_FILES,
            "CORE": 0,
        },
    }


class _Tree:
    """The launcher's descendants: orphans come back to it, so nothing leaves the tree."""

    def __init__(self, process: Process, control: int, private: str) -> None:
        """Own `control`: once it is closed, the launcher ends everything."""
        self._process = process
        self._sign = f"TMPDIR={private}/".encode()
        self._control: int | None = control
        self._seen: dict[int, str] = {}

    def told(self, facts: dict[str, Any]) -> None:
        """The launcher's own number is all that is needed."""

    def processes(self) -> Iterator[Path]:
        found = below(self._process.pid)
        self._seen = {number: birth(number) for number in found}
        return (Path("/proc", str(number)) for number in found)

    def root(self) -> Path | None:
        return Path("/proc", str(self._process.pid))

    def kill(self) -> None:
        if self._control is not None:
            os.close(self._control)
            self._control = None

    def kill_hard(self) -> None:
        """End what is left, also where the launcher is gone and its orphans went elsewhere."""
        self.kill()
        left = {number for number, born in self._seen.items() if born and birth(number) == born}
        # The last look may be older than they are; the private folder is in no other environment.
        left |= carrying(self._sign)
        if self._process.returncode is None:
            left |= {self._process.pid, *every_below(self._process.pid)}
        # Stopped first: what stands still has no more children.
        waiting = list(left)
        while waiting:
            number = waiting.pop()
            _signal(number, signal.SIGSTOP)
            children = set(below(number)) - left
            left |= children
            waiting += children
        for number in left:
            _signal(number, signal.SIGKILL)


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _result(guest: Guest, program: str, *, is_timed_out: bool) -> CommandResult:
    """Tell a command's own end from one that a limit, or the machine, made.

    Raises:
        ToolError: The command never began.
        ConfigError: The launcher could not take its rights away.
    """
    if "not-started" in guest.facts:
        raise ToolError(f"cannot run {program!r}: {guest.facts['not-started']}")
    if "unconfined" in guest.facts or "child-pid" not in guest.facts:
        text = guest.facts.get("unconfined") or guest.stderr.text().strip().rpartition("\n")[2]
        raise ConfigError(f"Landlock cannot make a sandbox here ({text}): {_INSTALL}")
    return guest.result(is_timed_out=is_timed_out)
