"""A sandbox of Linux namespaces, built by bubblewrap.

The command sees `/usr` read-only, its workspace, and nothing else of the machine: no network, no
other process, no environment, no capability. Git hooks and configuration inside a workspace are
the command's to write, so nothing outside the sandbox may ever run git there.
"""

import asyncio
import json
import math
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits, SelfTest
from swarm.sandbox.escape import try_escapes
from swarm.sandbox.watch import broken_limit

PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
"""Where programs are looked for, outside and inside; never the caller's own search path."""
WORKSPACE = "/workspace"
MAX_FILE_BYTES = 1024 * 1024 * 1024
MAX_OPEN_FILES = 1024
TIMED_OUT = 124
KILLED = 137
_CHUNK = 64 * 1024
_ENVIRONMENT = {"PATH": PROGRAMS, "HOME": "/home", "LANG": "C.UTF-8"}
_MISSING = "no bubblewrap on this machine: apt-get install bubblewrap"
# An exit code only prlimit uses, together with its own words, means that the command never began.
_NOT_STARTED = "prlimit: failed to execute"


class BubblewrapSandbox:
    """Run each command in fresh namespaces that end with it.

    Each process has its own address space of at most `Limits.memory_mib`; what all of them hold
    together, and how many they are, is watched from outside.
    """

    name = "bubblewrap"

    def __init__(self, bwrap: Path | None = None) -> None:
        """`bwrap` is the program to use; None looks for it where the system keeps programs."""
        self._bwrap = bwrap

    async def run(
        self, argv: list[str], *, workspace: Path, limits: Limits | None = None
    ) -> CommandResult:
        """Run to the end or to a limit; `workspace` is created where it is missing.

        Each of the two outputs is kept up to `Limits.output_bytes`, cut in its middle. A command
        ended for too many processes or too much memory exits with 137 and says so in `stderr`.

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
        _make(workspace)
        guest = await _Guest.start(
            [*self._outer(workspace, limits, shown), "--", *_limited(limits), "--", *argv], limits
        )
        is_timed_out = await guest.finish()
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

    def _outer(self, workspace: Path, limits: Limits, shown: tuple[Path, ...]) -> list[str]:
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
        words += ["--bind", str(workspace.absolute()), WORKSPACE, "--chdir", WORKSPACE]
        # Without this, a command started by root could write the kernel's settings: it has no
        # capability, but the files of /proc/sys belong to its user.
        for folder in ("/proc", "/dev", "/"):
            words += ["--remount-ro", folder]
        return words


def _make(workspace: Path) -> None:
    if workspace.is_symlink():
        raise ConfigError(f"the workspace {workspace} is a link; it must be a folder")
    workspace.mkdir(mode=0o700, parents=True, exist_ok=True)


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


def _limited(limits: Limits) -> list[str]:
    """Return the words that set the kernel's limits.

    They are set inside: outside, the number of processes would count all that this user runs.
    """
    return [
        "prlimit",
        f"--as={limits.memory_mib * 1024 * 1024}",
        f"--nproc={limits.processes}",
        f"--cpu={math.ceil(limits.timeout_s) + 1}",
        f"--fsize={MAX_FILE_BYTES}",
        f"--nofile={MAX_OPEN_FILES}",
        "--core=0",
    ]


class _Kept:
    """The beginning and the end of an output of any length."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._cut = 0

    async def drain(self, stream: asyncio.StreamReader) -> None:
        """Read to the end, so that the command is never held up by a full pipe."""
        while chunk := await stream.read(_CHUNK):
            room = self._half - len(self._head)
            self._head += chunk[: max(room, 0)]
            self._tail += chunk[max(room, 0) :]
            surplus = max(len(self._tail) - self._half, 0)
            del self._tail[:surplus]
            self._cut += surplus

    def text(self) -> str:
        """Return what was kept, with a note where something was left out."""
        if not self._cut:
            return (self._head + self._tail).decode(errors="replace")
        note = f"\n[… {self._cut:,} bytes cut …]\n"
        return self._head.decode(errors="replace") + note + self._tail.decode(errors="replace")


async def _status() -> tuple[asyncio.StreamReader, asyncio.ReadTransport, int]:
    """Make a pipe for bubblewrap's own words; the caller closes the number, its writing end."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: protocol, os.fdopen(reading, "rb", buffering=0)
        )
    except BaseException:
        os.close(writing)
        raise
    return reader, transport, writing


class _Guest:
    """One running sandbox, until nothing of it is left."""

    def __init__(self, process: Process, status: asyncio.StreamReader, limits: Limits) -> None:
        self.process = process
        self.stdout = _Kept(limits.output_bytes)
        self.stderr = _Kept(limits.output_bytes)
        self.exit_code: int | None = None
        """The command's own; None where it never began or was ended with the sandbox."""
        self.broken_limit: str | None = None
        self._status = status
        self._limits = limits
        self._child: int | None = None
        self._is_told = asyncio.Event()

    @classmethod
    async def start(cls, words: list[str], limits: Limits) -> "_Guest":
        """Start bubblewrap, without a shell and with nothing inherited but three pipes."""
        # First the pipe: once there is a process, nothing may come between it and its owner.
        status, transport, writing = await _status()
        try:
            process = await asyncio.create_subprocess_exec(
                words[0], "--json-status-fd", str(writing), *words[1:],
                stdin=DEVNULL, stdout=PIPE, stderr=PIPE, pass_fds=(writing,),
                # The environment is cleared inside as well; but what bubblewrap itself was started
                # with can be read there in /proc/1/environ.
                env={}, cwd="/", start_new_session=True,
            )  # fmt: skip
        except BaseException:
            transport.close()
            raise
        finally:
            os.close(writing)
        return cls(process, status, limits)

    async def finish(self) -> bool:
        """Wait for the end, or make it at a limit or when cancelled; return whether time was up."""
        work = asyncio.ensure_future(self._work())
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                await asyncio.shield(work)
        except TimeoutError:
            return True
        finally:
            # Shielded: a second cancellation must not leave the command behind.
            await asyncio.shield(asyncio.ensure_future(self._end(work)))
        return False

    async def _work(self) -> None:
        first = await self._status.readline()
        facts = json.loads(first) if first else {}
        self._child = facts.get("child-pid")
        self._is_told.set()
        watching = asyncio.ensure_future(self._watch(facts.get("pid-namespace")))
        try:
            assert self.process.stdout is not None
            assert self.process.stderr is not None
            await asyncio.gather(
                self.stdout.drain(self.process.stdout),
                self.stderr.drain(self.process.stderr),
                self._hear_end(),
                self.process.wait(),
            )
        finally:
            watching.cancel()

    async def _watch(self, namespace: int | None) -> None:
        if namespace is None:
            return
        self.broken_limit = await broken_limit(namespace, self._limits)
        self._kill()

    async def _hear_end(self) -> None:
        async for line in self._status:
            self.exit_code = json.loads(line).get("exit-code", self.exit_code)

    async def _end(self, work: "asyncio.Future[None]") -> None:
        if not work.done():
            # Killed too early, bubblewrap would leave behind a child that is not yet bound to die
            # with it; so wait until it has told the child's number, or has failed.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_told.wait(), timeout=5)
            self._kill()
        await work

    def _kill(self) -> None:
        if self.process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            # The first process of a process namespace takes all others with it.
            if self._child is not None:
                os.kill(self._child, signal.SIGKILL)
            os.killpg(self.process.pid, signal.SIGKILL)


def _result(guest: _Guest, program: str, *, is_timed_out: bool) -> CommandResult:
    """Tell a command's own end from one that a limit, or the machine, made.

    Raises:
        ToolError: The command never began.
        ConfigError: Neither did the sandbox.
    """
    stdout, stderr = guest.stdout.text(), guest.stderr.text()
    if is_timed_out:
        return CommandResult(TIMED_OUT, stdout, stderr, is_timed_out=True)
    if guest.broken_limit is not None:
        return CommandResult(KILLED, stdout, f"{stderr}\n[ended: {guest.broken_limit}]".lstrip())
    if guest.exit_code is None and stderr.startswith("bwrap: "):
        raise ConfigError(
            f"bubblewrap cannot make a sandbox here ({stderr.strip()}): allow unprivileged user "
            "namespaces (sysctl, AppArmor, or the container's seccomp profile)"
        )
    if guest.exit_code in (126, 127) and stderr.startswith(_NOT_STARTED):
        raise ToolError(f"cannot run {program!r}: {stderr.strip().rpartition(': ')[2]}")
    code = KILLED if guest.exit_code is None else guest.exit_code
    return CommandResult(code, stdout, stderr)
