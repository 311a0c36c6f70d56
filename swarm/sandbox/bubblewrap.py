"""A sandbox of Linux namespaces, built by bubblewrap.

The command sees `/usr` read-only, its workspace, and nothing else of the machine: no network, no
other process, no environment, no capability. Where a workspace holds a git repository at its top,
the hooks and the configuration are read-only; a repository that a command makes is its own, so
nothing outside the sandbox may ever run git there.
"""

import math
import os
import shutil
import signal
from asyncio.subprocess import Process
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits, SelfTest
from swarm.sandbox.cgroup import process_group
from swarm.sandbox.escape import try_escapes
from swarm.sandbox.guard import guarded
from swarm.sandbox.guest import Guest, make, start
from swarm.sandbox.repository import protected

PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
"""Where programs are looked for, outside and inside; never the caller's own search path."""
WORKSPACE = "/workspace"
MAX_OPEN_FILES = 1024
ADDRESS_SPACE = 16 * 1024**3
"""Enough for runtimes that reserve far more than they use, such as Node's."""
_ENVIRONMENT = {"PATH": PROGRAMS, "HOME": "/home", "LANG": "C.UTF-8"}
_MISSING = "no bubblewrap on this machine: apt-get install bubblewrap"
# An exit code only prlimit uses, together with its own words, means that the command never began.
_NOT_STARTED = "prlimit: failed to execute"
_OWN_PROCESSES = 2
"""Bubblewrap's own, one of them inside."""


class BubblewrapSandbox:
    """Run each command in fresh namespaces that end with it.

    Each process may hold at most `Limits.memory_mib` of its own; what all of them hold together,
    how many they are and what they leave on the disk is watched from outside.
    """

    name = "bubblewrap"

    def __init__(self, bwrap: Path | None = None) -> None:
        """`bwrap` is the program to use; None looks for it where the system keeps programs."""
        self._bwrap = bwrap

    async def run(
        self, argv: list[str], *, workspace: Path, limits: Limits | None = None
    ) -> CommandResult:
        """Run to the end or to a limit; the command sees its workspace as `/workspace`.

        Raises:
            ToolError: The command does not exist inside the sandbox, or cannot be run.
            ConfigError: No sandbox can be made here; the text says what the operator can do.
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
        """Run as `run` does, with some more folders shown read-only in their usual place."""
        limits = limits or Limits()
        if not argv or any("\0" in word for word in argv):
            raise ToolError("the command must have a program and no NUL signs")
        folder = make(workspace)
        async with AsyncExitStack() as stack:
            git = await stack.enter_async_context(protected(folder))
            first = await stack.enter_async_context(_counted(limits))
            # Unsets what nobody ever set: it only names the processes.
            sign = ["--unsetenv", await stack.enter_async_context(guarded())]
            outer = [*self._outer(folder, limits, shown, git), *sign]
            process, status = await start(
                lambda number: [
                    *first, outer[0], "--json-status-fd", str(number), *outer[1:],
                    "--", *_limited(limits), "--", *argv,
                ],
            )  # fmt: skip
            guest = Guest(process, status, _Namespace(process), limits)
            is_timed_out = await guest.finish((folder,))
        return _result(guest, argv[0], is_timed_out=is_timed_out)

    async def self_test(self) -> SelfTest:
        """Try harmless escapes from inside, with listeners and canaries of its own outside."""
        try:
            return await try_escapes(self.run_shown)
        except (ConfigError, ToolError, OSError) as error:
            return SelfTest(holds=False, detail=str(error))

    def _program(self) -> str:
        if self._bwrap is None:
            found = shutil.which("bwrap", path=PROGRAMS)
        else:
            found = shutil.which(self._bwrap)
        if found is None:
            raise ConfigError(_MISSING)
        return found

    def _outer(
        self, workspace: Path, limits: Limits, shown: tuple[Path, ...], git: tuple[str, ...]
    ) -> list[str]:
        """Return bubblewrap's words, up to the command."""
        size = str(max(limits.memory_mib // 4, 1) * 1024 * 1024)
        words = [self._program(), "--unshare-all", "--unshare-user", "--disable-userns"]
        words += ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--hostname", "sandbox"]
        words += ["--new-session", "--die-with-parent", "--clearenv"]
        for key, value in _ENVIRONMENT.items():
            words += ["--setenv", key, value]
        words += _system()
        words += ["--proc", "/proc", "--dev", "/dev"]
        # Files in memory count for nobody, so each such folder is small.
        for folder in ("/dev/shm", "/tmp", "/home"):  # noqa: S108  # new and empty inside
            words += ["--size", size, "--tmpfs", folder]
        for place in shown:
            words += ["--ro-bind", str(place), str(place)]
        words += ["--bind", str(workspace), WORKSPACE]
        if git:
            # Mounted on itself: what is mounted can be neither moved nor replaced.
            words += ["--bind", str(workspace / ".git"), f"{WORKSPACE}/.git"]
        for name in git:
            words += ["--ro-bind", str(workspace / ".git" / name), f"{WORKSPACE}/.git/{name}"]
        # Without this, a command started by root could write the kernel's settings: it has no
        # capability, but the files of /proc/sys belong to its user.
        for folder in ("/proc", "/dev", "/"):
            words += ["--remount-ro", folder]
        return [*words, "--chdir", WORKSPACE]


def _system() -> list[str]:
    """Show the machine's programs and libraries, laid out as they are on this machine."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for name in ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"):
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return words


def _counted(limits: Limits) -> AbstractAsyncContextManager[list[str]]:
    """Give the words that come first: for root, whose processes the kernel does not count."""
    return process_group(limits.processes + _OWN_PROCESSES) if os.getuid() == 0 else nullcontext([])


def _limited(limits: Limits) -> list[str]:
    """Return the words that set the kernel's limits.

    They are set inside: outside, the number of processes would count all that this user runs.
    """
    return [
        "prlimit",
        f"--data={limits.memory_mib * 1024 * 1024}",
        f"--as={ADDRESS_SPACE}",
        f"--nproc={limits.processes}",
        f"--cpu={math.ceil(limits.timeout_s) + 1}",
        f"--fsize={limits.disk_bytes}",
        f"--nofile={MAX_OPEN_FILES}",
        "--core=0",
    ]


class _Namespace:
    """The process namespace of one sandbox."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._child: int | None = None
        self._name: str | None = None

    def told(self, facts: dict[str, Any]) -> None:
        self._child = facts.get("child-pid")
        if "pid-namespace" in facts:
            self._name = f"pid:[{facts['pid-namespace']}]"

    def processes(self) -> Iterator[Path]:
        if self._name is None:
            return
        for process in Path("/proc").iterdir():
            # The namespace's own first process is bubblewrap's.
            if not process.name.isdigit() or process.name == str(self._child):
                continue
            with suppress(OSError):
                if str((process / "ns/pid").readlink()) == self._name:
                    yield process

    def root(self) -> Path | None:
        # The namespace's first process: whatever is left without a parent is its child.
        return None if self._child is None else Path("/proc", str(self._child))

    def kill(self) -> None:
        if self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            # The first process of a process namespace takes all others with it.
            if self._child is not None:
                os.kill(self._child, signal.SIGKILL)
            os.killpg(self._process.pid, signal.SIGKILL)

    kill_hard = kill


def _result(guest: Guest, program: str, *, is_timed_out: bool) -> CommandResult:
    """Tell a command's own end from one that a limit, or the machine, made.

    Raises:
        ToolError: The command never began.
        ConfigError: Neither did the sandbox.
    """
    result = guest.result(is_timed_out=is_timed_out)
    if is_timed_out or guest.broken_limit is not None:
        return result
    exit_code = guest.facts.get("exit-code")
    if exit_code is None and result.stderr.startswith("bwrap: "):
        raise ConfigError(
            f"bubblewrap cannot make a sandbox here ({result.stderr.strip()}): allow unprivileged "
            "user namespaces (sysctl, AppArmor, or the container's seccomp profile)"
        )
    if exit_code in (126, 127) and result.stderr.startswith(_NOT_STARTED):
        raise ToolError(f"cannot run {program!r}: {result.stderr.strip().rpartition(': ')[2]}")
    return result
