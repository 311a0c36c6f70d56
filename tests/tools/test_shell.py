"""What the tools that run commands tell the model, and that nothing run by them gets out."""

import asyncio
import base64
import os
import select
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from swarm.core.errors import ConfigError, ToolError
from swarm.core.origin import Origin
from swarm.sandbox.base import CommandResult, Limits, Sandbox
from swarm.sandbox.bubblewrap import BubblewrapSandbox
from swarm.sandbox.fake import Call, FakeSandbox
from swarm.sandbox.landlock import LandlockSandbox
from swarm.tools.base import ToolContext, ToolResult, check_arguments
from swarm.tools.shell import Shell, ShellArguments
from tests.tools import bypass_strings as strings

SECRET = "a-secret-that-lies-outside-4711"
KEY = "a-secret-of-the-environment-0815"


def context(folder: Path, sandbox: Sandbox | None, **facts: Any) -> ToolContext:
    return ToolContext(folder, role="cto", task_id="t1", sandbox=sandbox, **facts)


async def shell(
    command: list[str], folder: Path, sandbox: Sandbox | None, **facts: Any
) -> ToolResult:
    return await Shell().run(ShellArguments(command=command), context(folder, sandbox, **facts))


def scripted(result: CommandResult) -> FakeSandbox:
    return FakeSandbox({"make": result})


async def test_the_model_reads_exit_code_and_both_outputs(tmp_path: Path) -> None:
    result = await shell(["make"], tmp_path, scripted(CommandResult(2, "built\n", "no rule\n")))
    assert result.content == "exit code 2\nstdout:\nbuilt\nstderr:\nno rule"
    assert not result.is_error


async def test_a_silent_command_is_said_to_be_silent(tmp_path: Path) -> None:
    result = await shell(["make"], tmp_path, scripted(CommandResult(0, "", "")))
    assert result.content == "exit code 0\nIt printed nothing."


async def test_a_command_out_of_time_is_told_how_much_it_had(tmp_path: Path) -> None:
    ended = CommandResult(124, "so far", "", is_timed_out=True)
    arguments = ShellArguments(command=["make"], timeout_s=7)
    result = await Shell().run(arguments, context(tmp_path, scripted(ended)))
    assert "exit code 124 (ended: it did not finish within 7 seconds)" in result.content
    assert "so far" in result.content


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (600, 600), (10**9, 600)])
async def test_no_command_gets_more_than_ten_minutes(
    tmp_path: Path, asked: int, given: int
) -> None:
    sandbox = scripted(CommandResult(0, "", ""))
    arguments = ShellArguments(command=["make"], timeout_s=asked)
    await Shell().run(arguments, context(tmp_path, sandbox))
    assert sandbox.calls == [
        Call(("make",), tmp_path, Limits(timeout_s=given, output_bytes=16 * 1024))
    ]


@pytest.mark.parametrize("origin", [Origin.TEAM, Origin.WEB, Origin.CUSTOMER])
async def test_what_a_command_prints_has_the_origin_of_the_workspace(
    tmp_path: Path, origin: Origin
) -> None:
    result = await shell(["make"], tmp_path, scripted(CommandResult(0, "x", "")), origin=origin)
    assert result.origin is origin


async def test_without_a_sandbox_the_model_is_told_that_commands_are_off(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="swarm doctor"):
        await shell(["make"], tmp_path, None)


class Broken(FakeSandbox):
    async def run(
        self, argv: list[str], *, workspace: Path, limits: Limits | None = None
    ) -> CommandResult:
        raise ConfigError("namespaces were switched off")


async def test_a_sandbox_that_broke_later_is_the_same_as_none(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"commands are off.*namespaces were switched off"):
        await shell(["make"], tmp_path, Broken())


async def test_a_program_that_is_not_there_is_the_model_s_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no such program"):
        await shell(["rm"], tmp_path, scripted(CommandResult(0, "", "")))


@pytest.mark.parametrize(
    "arguments",
    ['{"command": "ls -l"}', '{"command": ["ls"], "timeout_s": 0}', '{"command": [1]}', "{}"],
)
def test_a_command_is_a_list_of_words_and_a_time(arguments: str) -> None:
    with pytest.raises(ToolError, match="shell: "):
        check_arguments(Shell(), arguments)


# From here on for real, in each sandbox that this machine can make.


@pytest.fixture(scope="module", params=[BubblewrapSandbox, LandlockSandbox])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    made: Sandbox = request.param()
    # The strings below do harm where a sandbox does not hold: the self-test comes first.
    test = asyncio.run(made.self_test())
    if not test.holds:
        pytest.skip(test.detail)
    return made


async def test_words_reach_the_program_without_a_shell(sandbox: Sandbox, tmp_path: Path) -> None:
    command = ["printf", "%s|", "$HOME", "`id`", "a b", "; touch x", "ünï"]
    result = await shell(command, tmp_path / "ws", sandbox)
    assert "$HOME|`id`|a b|; touch x|ünï|" in result.content
    assert not list((tmp_path / "ws").iterdir())


async def test_a_long_output_is_cut_in_its_middle_with_a_note(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    result = await shell(["seq", "100000"], tmp_path / "ws", sandbox)
    assert result.content.startswith("exit code 0\nstdout:\n1\n2\n3\n")
    assert result.content.endswith("\n99999\n100000")
    assert "bytes cut …]" in result.content
    assert len(result.content) < 17_000


HOSTILE = {
    ".env": "SWARM_HOME=/tmp/hostile\nLD_PRELOAD=./x.so\n",
    ".git/config": "[core]\n\tfsmonitor = touch ../hit\n\tpager = touch ../hit\n",
    ".git/hooks/pre-commit": "#!/bin/sh\ntouch ../hit\n",
    "sitecustomize.py": "open('../hit', 'w')\n",
    "conftest.py": "open('../hit', 'w')\n",
    "json.py": "open('../hit', 'w')\n",
    "bin/bwrap": "#!/bin/sh\ntouch ../hit\n",
    "bwrap": "#!/bin/sh\ntouch ../hit\n",
    "python3": "#!/bin/sh\ntouch ../hit\n",
    "prlimit": "#!/bin/sh\ntouch ../hit\n",
    "ld.so.preload": "./x.so\n",
    "swarm/__init__.py": "open('../hit', 'w')\n",
    "landlock.py": "open('../hit', 'w')\n",
    "pyvenv.cfg": "home = .\n",
}
NAMES = ("PATH", "LD_PRELOAD", "NODE_OPTIONS", "PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV", "ENV")


async def test_files_of_a_workspace_change_nothing_on_the_host(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "ws"
    for name, text in HOSTILE.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    # As if somebody had started us from inside the workspace, with its folders in our variables.
    monkeypatch.chdir(workspace)
    for name in NAMES:
        monkeypatch.setenv(name, f"{workspace}:{os.defpath}")
    result = await shell(["python3", "-I", "-c", "import json; print('ran')"], workspace, sandbox)
    assert result.content == "exit code 0\nstdout:\nran"
    assert os.listdir(tmp_path) == ["ws"]  # noqa: PTH208


DRIVER = """
run() { echo "== $1"; timeout -k 1 4 bash "strings/$1" < /dev/null 2>&1; }
export -f run
mkdir -p work; cd work; ln -s ../strings strings
ls strings | xargs -P 4 -I NAME bash -c 'mkdir -p NAME.d; cd NAME.d; ln -s ../strings strings; run NAME; true'
"""
"""Runs each string in a folder of its own, several at a time."""


@dataclass(frozen=True)
class Outside:
    """What lies outside a sandbox for strings to aim at, and whether they hit."""

    folder: Path
    listeners: tuple[socket.socket, ...]
    process: asyncio.subprocess.Process
    before: dict[str, Any]

    def aimed(self, text: str) -> str:
        port = self.listeners[0].getsockname()[1]
        for name, value in {
            "CANARY": self.folder / "canary",
            "OUT": self.folder,
            "PORT": port,
            "ABSTRACT": "swarm-" + self.folder.name,
            "SOCKET": self.folder / "socket",
            "PID": self.process.pid,
        }.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    def effects(self, workspace: Path, printed: str) -> list[str]:
        """Return what happened outside, and what of outside is known inside."""
        found = [f"{name} heard something" for name in self._heard()]
        after = facts(self.folder, self.process.pid)
        found += [f"{key} changed" for key in self.before if self.before[key] != after[key]]
        texts = [printed.encode()]
        texts += [path.read_bytes() for path in workspace.rglob("*") if is_own_file(path)]
        found += [f"{word!r} is known inside" for word in known(texts)]
        return found

    def _heard(self) -> list[str]:
        ready = select.select(self.listeners, (), (), 0)[0]
        return [f"{listener.family.name} {listener.type.name}" for listener in ready]


def is_own_file(path: Path) -> bool:
    """Say whether this is a file itself: a link to one shows us what it showed nobody inside."""
    return path.is_file() and not path.is_symlink()


def known(texts: Iterable[bytes]) -> set[str]:
    """Return the secrets that texts hold, plain or lightly disguised."""
    whole = b"\n".join(texts)
    found = set()
    for word in (SECRET, KEY):
        raw = word.encode()
        disguises = [raw, raw[::-1], raw.hex().encode(), base64.b64encode(raw)[:-4]]
        if any(disguise in whole for disguise in disguises):
            found.add(word)
    return found


PLACES = ("/etc", "/usr", "/", "/root", "/var/tmp", "/dev/shm", "/run", "/dev", "/sys/fs/cgroup")


def facts(folder: Path, pid: int) -> dict[str, Any]:
    """Return all that a string could change outside."""
    tree = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        text = path.read_text() if path.is_file() else ""
        tree[str(path)] = (status.st_mode, status.st_uid, status.st_ctime_ns, text)
    traces = [str(p) for place in PLACES for p in Path(place).glob("swarm-bypass*")]
    return {
        "the folder outside": tree,
        "another process": state(pid),
        "its limits": Path(f"/proc/{pid}/limits").read_text(),
        "its priority": os.getpriority(os.PRIO_PROCESS, pid),
        "its processors": os.sched_getaffinity(pid),
        "its score": Path(f"/proc/{pid}/oom_score_adj").read_text(),
        "a program": Path("/usr/bin/env").stat().st_ctime_ns,
        "traces": traces,
        "the machine's name": socket.gethostname(),
    }


VICTIM = "import sys, time; print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
async def outside(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    monkeypatch.setenv("SWARM_LLM__API_KEY", KEY)
    # A short path: that of a unix socket has little room.
    with TemporaryDirectory(prefix="out-") as made:
        folder = Path(made)
        (folder / "canary").write_text(SECRET + "\n")
        listeners = listening(folder)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", VICTIM,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=folder,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            await process.stdout.readline()
            await asleep(process.pid)
            yield Outside(folder, listeners, process, facts(folder, process.pid))
        finally:
            for listener in listeners:
                listener.close()
            if process.returncode is None:
                process.kill()
            await process.wait()


def state(pid: int) -> list[list[str]]:
    """Return whether a process runs, waits or is stopped, and who traces it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line.split()[:2] for line in lines if line.startswith(("State", "TracerPid"))]


async def asleep(pid: int) -> None:
    """Wait until a process waits, so that its state is the same before and after."""
    while state(pid)[0][1] != "S":  # noqa: ASYNC110  # the kernel tells nobody
        await asyncio.sleep(0.01)


def listening(folder: Path) -> tuple[socket.socket, ...]:
    tcp = socket.socket()
    tcp.bind(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(tcp.getsockname())
    abstract, named = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    abstract.bind("\0swarm-" + folder.name)
    named.bind(str(folder / "socket"))
    for listener in (tcp, abstract, named):
        listener.listen(64)
    return (tcp, udp, abstract, named)


async def run_all(texts: Iterable[str], outside: Outside, workspace: Path, sandbox: Sandbox) -> str:
    """Run strings inside one sandbox and return all they printed."""
    folder = workspace / "strings"
    folder.mkdir(parents=True)
    for number, text in enumerate(texts):
        # What a string itself says is no secret; what it prints is in the outputs.
        (folder / f"{number:03}").write_text(outside.aimed(text) + "\n")
    limits = Limits(timeout_s=100, output_bytes=4 * 1024**2, processes=200, memory_mib=2048)
    result = await sandbox.run(["bash", "-c", DRIVER], workspace=workspace, limits=limits)
    assert result.stdout.count("== ") >= len(list(folder.iterdir())), result.stderr[-2000:]
    return result.stdout + result.stderr


KINDS = {
    "read": strings.READ,
    "write": strings.WRITE,
    "net": strings.NET,
    "escape": strings.ESCAPE,
}


def test_there_are_more_than_two_hundred_strings_and_no_two_alike() -> None:
    assert len(set(strings.ALL)) == len(strings.ALL) > 200


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_no_string_has_an_effect_outside(
    sandbox: Sandbox, outside: Outside, tmp_path: Path, kind: str
) -> None:
    workspace = tmp_path / "ws"
    printed = await run_all(KINDS[kind], outside, workspace, sandbox)
    assert outside.process.returncode is None
    assert outside.effects(workspace, printed) == []
    assert os.listdir(tmp_path) == ["ws"]  # noqa: PTH208


async def test_no_string_ends_what_runs_outside(
    sandbox: Sandbox, outside: Outside, tmp_path: Path
) -> None:
    async def alone(text: str) -> CommandResult:
        argv = ["bash", "-c", outside.aimed(text)]
        return await sandbox.run(argv, workspace=tmp_path / "ws", limits=Limits(timeout_s=4))

    # Two at a time: one that stops itself waits for its end.
    for first in range(0, len(strings.SUICIDE), 5):
        await asyncio.gather(*map(alone, strings.SUICIDE[first : first + 5]))
    assert outside.process.returncode is None
    assert outside.effects(tmp_path / "ws", "") == []


WEAK = """#!{python} -IS
import os, sys
words = sys.argv[1:]
i = words.index("--bind")
words[i:i] = {added!r}
os.execve("/usr/bin/bwrap", ["bwrap", *words], {{}})
"""


async def effects_of_weak_bubblewrap(
    added: list[str], texts: list[str], outside: Outside, folder: Path
) -> str:
    """Return the effects of strings in a sandbox with a hole."""
    bwrap = folder / "bwrap"
    bwrap.write_text(WEAK.format(python=sys.executable, added=added))
    bwrap.chmod(0o755)
    try:
        printed = await run_all(texts, outside, folder / "ws", BubblewrapSandbox(bwrap))
    except ConfigError as error:
        pytest.skip(str(error))
    return "; ".join(outside.effects(folder / "ws", printed))


async def test_the_strings_find_a_network_left_shared(outside: Outside, tmp_path: Path) -> None:
    found = await effects_of_weak_bubblewrap(["--share-net"], strings.NET, outside, tmp_path)
    assert "AF_INET SOCK_STREAM heard something" in found
    assert "AF_INET SOCK_DGRAM heard something" in found
    assert "AF_UNIX SOCK_STREAM heard something" in found


async def test_the_strings_find_a_folder_outside_that_can_be_written(
    outside: Outside, tmp_path: Path
) -> None:
    added = ["--bind", str(outside.folder), str(outside.folder)]
    texts = [text for text in strings.WRITE if "/usr" not in text and "rm -" not in text]
    found = await effects_of_weak_bubblewrap(added, texts, outside, tmp_path)
    assert "the folder outside changed" in found


async def test_the_strings_find_a_file_outside_that_can_be_read(
    outside: Outside, tmp_path: Path
) -> None:
    added = ["--ro-bind", str(outside.folder), str(outside.folder)]
    found = await effects_of_weak_bubblewrap(added, strings.READ[:40], outside, tmp_path)
    assert f"{SECRET!r} is known inside" in found


async def test_the_strings_find_an_environment_left_readable(
    outside: Outside, tmp_path: Path
) -> None:
    added = ["--setenv", "KEY", KEY]
    found = await effects_of_weak_bubblewrap(added, strings.ESCAPE[:3], outside, tmp_path)
    assert f"{KEY!r} is known inside" in found
