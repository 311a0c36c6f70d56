"""The outer half of a sandbox's self-test: canaries, listeners, and what came of the attempts."""

import inspect
import json
import os
import secrets
import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from swarm.core.errors import ToolError
from swarm.core.text import shorten
from swarm.sandbox import probes
from swarm.sandbox.base import CommandResult, Limits, SelfTest

LIMITS = Limits(timeout_s=30, memory_mib=256, processes=24)
SETTINGS = ("/proc/sys/vm/swappiness", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger")


class Run(Protocol):
    """Run a command in the sandbox under test, with some folders shown read-only."""

    async def __call__(
        self, argv: list[str], *, workspace: Path, limits: Limits, shown: tuple[Path, ...]
    ) -> CommandResult:
        """Return what the command left behind."""


async def try_escapes(run: Run, *, has_namespaces: bool = True) -> SelfTest:
    """Run the probes inside and look from outside at what they did.

    The interpreter that runs this company is shown read-only inside, if it does not lie in `/usr`.

    Args:
        run: Runs a command in the sandbox under test.
        has_namespaces: Whether the sandbox is built of namespaces; each must then be its own.

    Raises:
        ConfigError: No sandbox can be made here.
        ToolError: The probes themselves did not run.
    """
    with TemporaryDirectory() as folder, _listening() as (port, mark, knocks):
        workspace = Path(folder, "workspace")
        facts = _facts(folder, mark) | {"port": port}
        if not has_namespaces:
            facts["namespaces"] = {}
        found = await _probe(run, workspace, facts)
        found += await _probe(run, workspace, facts | {"crowd": 2 * LIMITS.processes})
        # From outside: what succeeded unnoticed counts as well.
        if knocks() and "connect to this machine" not in found:
            found.append("connect to this machine")
        if _swept(facts["folders"], mark) and "write outside the workspace" not in found:
            found.append("write outside the workspace")
    if found:
        return SelfTest(holds=False, detail=f"the sandbox let through: {'; '.join(found)}")
    return SelfTest(holds=True, detail="no attempt to get out of the sandbox succeeded")


def _facts(folder: str, mark: str) -> dict[str, Any]:
    """Lay out a canary and return what the probes need to know of the outside."""
    canary = Path(folder, "canary")
    neighbour = Path(folder, "neighbour", "canary")
    neighbour.parent.mkdir()
    for path in (canary, neighbour):
        path.write_text(mark)
    spaces = {}
    for kind in probes.NAMESPACES:
        path = Path("/proc/self/ns", kind)
        if path.is_symlink():
            spaces[kind] = str(path.readlink())
    return {
        "mark": mark,
        "canary": str(canary),
        "neighbour": str(neighbour),
        "folders": [folder, "/", "/usr", "/etc", str(Path.home())],
        "settings": SETTINGS,
        "namespaces": spaces,
        "pid": os.getpid(),
        "started": probes.start_time(os.getpid()),
        "too_many_mib": 2 * LIMITS.memory_mib,
        "crowd": 0,
    }


def _swept(folders: list[str], mark: str) -> bool:
    """Remove what the probes could write outside and return whether there was anything."""
    left = [Path(folder, mark) for folder in folders if Path(folder, mark).exists()]
    for path in left:
        path.unlink()
    return bool(left)


@contextmanager
def _listening() -> Iterator[tuple[int, str, Callable[[], bool]]]:
    """Listen on loopback and on an abstract name; give port, name, and whether anybody came."""
    mark = f"swarm-probe-{secrets.token_hex(8)}"
    with (
        socket.socket() as loopback,
        socket.socket(socket.AF_UNIX) as local,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        loopback.bind(("127.0.0.1", 0))
        local.bind("\0" + mark)
        datagrams.bind(loopback.getsockname())
        for listener in (loopback, local):
            listener.listen()
        # A listener with somebody waiting, or something to read, is ready.
        waiting = select.poll()
        for listener in (loopback, local, datagrams):
            waiting.register(listener, select.POLLIN)
        yield loopback.getsockname()[1], mark, lambda: bool(waiting.poll(0))


def _interpreter() -> tuple[str, tuple[Path, ...]]:
    """Return the interpreter of this process and the folders it needs besides `/usr`."""
    home = Path(sys.base_prefix).resolve()
    shown = () if home.is_relative_to("/usr") else (home,)
    return str(Path(sys.executable).resolve()), shown


async def _probe(run: Run, workspace: Path, facts: dict[str, Any]) -> list[str]:
    """Run the probes once and return which succeeded.

    Raises:
        ToolError: They did not run to their end, and no limit ended them.
    """
    interpreter, shown = _interpreter()
    # Isolated and without site: nothing of the workspace or of a user takes part.
    argv = [interpreter, "-I", "-S", "-c", inspect.getsource(probes), json.dumps(facts)]
    result = await run(argv, workspace=workspace, limits=LIMITS, shown=shown)
    if facts["crowd"] and result.exit_code == 137:
        return []
    try:
        found: list[str] = json.loads(result.stdout)
    except ValueError:
        text = shorten(result.stderr or result.stdout, 300)
        raise ToolError(f"the probes did not run (exit {result.exit_code}): {text}") from None
    return found
