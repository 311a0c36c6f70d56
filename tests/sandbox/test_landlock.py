"""What a command can do without namespaces, and that each of its fetters is needed."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

import swarm
from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits
from swarm.sandbox.landlock import LandlockSandbox


@pytest.fixture(scope="module")
def impossible(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Why this machine cannot make the sandbox; empty where it can."""
    try:
        asyncio.run(LandlockSandbox().run(["true"], workspace=tmp_path_factory.mktemp("try")))
    except ConfigError as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def possible(impossible: str) -> None:
    if impossible:
        pytest.skip(impossible)


async def sh(script: str, folder: Path, **limits: float) -> CommandResult:
    return await LandlockSandbox().run(
        ["bash", "-c", script],
        workspace=folder,
        limits=Limits(**limits),  # type: ignore[arg-type]  # counts are whole where they must be
    )


async def python(script: str, folder: Path) -> CommandResult:
    argv = ["python3", "-I", "-c", script]
    return await LandlockSandbox().run(argv, workspace=folder)


async def test_a_command_sees_its_workspace_by_the_real_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    result = await sh("pwd -P; ls -a ..", tmp_path / "link" / "ws")
    assert result.stdout == f"{os.path.realpath(tmp_path)}/real/ws\n"  # noqa: ASYNC240
    assert "Permission denied" in result.stderr


async def test_there_is_no_socket_but_pairs_that_are_pipes(tmp_path: Path) -> None:
    script = """
import socket
for family in range(46):
    for kind in (1, 2, 3, 5):
        try:
            print("made", socket.socket(family, kind))
        except OSError as error:
            assert error.errno in (1,), error
for kind in (2, 3, 5):
    try:
        print("made", socket.socketpair(1, kind))
    except PermissionError:
        pass
a, b = socket.socketpair()
a.send(b"through")
print(b.recv(9))
import asyncio
asyncio.run(asyncio.sleep(0))
"""
    assert await python(script, tmp_path) == CommandResult(0, "b'through'\n", "")


async def test_no_capability_and_no_way_to_new_ones_is_left(tmp_path: Path) -> None:
    script = """
import ctypes
libc = ctypes.CDLL(None)
print(libc.prctl(39, 0, 0, 0, 0), [n for n in range(41) if libc.prctl(47, 1, n, 0, 0) == 1])
data = (ctypes.c_uint32 * 6)()
libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), data)
print(list(data))
"""
    result = await python(script, tmp_path)
    assert result.stdout == "1 []\n[0, 0, 0, 0, 0, 0]\n"


async def test_no_descriptor_of_ours_is_open_inside(tmp_path: Path) -> None:
    held = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(held, True)
    script = "import os; print([n for n in range(3, 300) if not os.system(f'exec 2>&-; : <&{n}')])"
    try:
        result = await python(script.replace("300", "40"), tmp_path)
    finally:
        os.close(held)
    assert result.stdout == "[]\n"


async def test_a_file_does_not_become_somebody_else_s_program(tmp_path: Path) -> None:
    result = await sh("touch f d; chmod 6755 f; mkdir -p g; chmod 2777 g; stat -c %a f g", tmp_path)
    assert result.stdout.split() == ["755", "777"]


async def test_as_many_processes_as_allowed_live(tmp_path: Path) -> None:
    script = "for i in $(seq 8); do sleep 0.3 & done; wait; echo through"
    assert (await sh(script, tmp_path, processes=12)).stdout == "through\n"


FORKS = """
import os, time
children = 0
try:
    while children < 300:
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        children += 1
except BlockingIOError:
    pass
print(children)
os.killpg(0, 9)
"""


async def test_one_process_more_than_allowed_is_refused_before_it_is_there(tmp_path: Path) -> None:
    argv = ["python3", "-I", "-u", "-c", FORKS]
    limits = Limits(processes=10)
    result = await LandlockSandbox().run(argv, workspace=tmp_path, limits=limits)
    assert result == CommandResult(137, "9\n", "")


async def test_processes_one_after_the_other_are_not_counted_together(tmp_path: Path) -> None:
    script = "for i in $(seq 40); do /bin/true; done; echo through"
    result = await sh(script, tmp_path, processes=6)
    assert result == CommandResult(0, "through\n", "")


@pytest.mark.parametrize("program", ["no-such-program", "/etc/passwd", "./missing", "/root"])
async def test_a_program_that_is_not_there_is_the_model_s_to_mend(
    tmp_path: Path, program: str
) -> None:
    with pytest.raises(ToolError, match="cannot run"):
        await LandlockSandbox().run([program], workspace=tmp_path)


async def test_a_workspace_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(ConfigError, match="is a link"):
        await LandlockSandbox().run(["true"], workspace=tmp_path / "link")


async def test_two_commands_do_not_reach_each_other(tmp_path: Path) -> None:
    script = (
        "echo $$ > pid; sleep 0.6; kill -9 $(cat {other}/pid) {pids}; cat {other}/pid; echo end"
    )
    one, other = tmp_path / "a", tmp_path / "b"
    pids = "$(seq 2 4000)" if os.getuid() else ""
    results = await asyncio.gather(
        sh(script.format(other=other, pids=pids), one),
        sh(script.format(other=one, pids=pids), other),
    )
    for result in results:
        assert result.stdout == "end\n"
        assert "Permission denied" in result.stderr


@pytest.mark.parametrize("is_seen", [True, False])
async def test_a_launcher_that_is_killed_takes_the_command_along(
    tmp_path: Path, is_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_seen:
        # Killed before the first look at its tree, which on a busy machine comes late.
        monkeypatch.setattr("swarm.sandbox.landlock._Tree.processes", lambda _: iter(()))
    os.mkfifo(tmp_path / "alive")
    reading = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    try:
        running = asyncio.ensure_future(
            sh(
                "exec 3> alive; (setsid sleep 1000 & sleep 1000) & sleep 0.5; echo $PPID >&3;"
                " sleep 1000",
                tmp_path,
            )
        )
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(reading, event.set)
        await event.wait()
        loop.remove_reader(reading)
        os.kill(int(os.read(reading, 100)), signal.SIGKILL)
        assert (await running).exit_code == 137
        # Nobody has it open for writing any more.
        assert os.read(reading, 10) == b""
    finally:
        os.close(reading)


WRAPPER = """#!{python} -IS
import os, sys
words = sys.argv[1:]
words[-1] = {folder!r} + ":" + words[-1]
os.execve(sys.executable, [sys.executable, *words], {{}})
"""


def changed(folder: Path, module: str, before: str, after: str) -> LandlockSandbox:
    """Return the sandbox with one line of its inner half changed."""
    package = Path(swarm.__file__).parent
    copy = folder / "changed" / "swarm"
    shutil.copytree(package / "sandbox", copy / "sandbox")
    shutil.copy(package / "__init__.py", copy)
    text = (copy / "sandbox" / module).read_text()
    assert before in text
    (copy / "sandbox" / module).write_text(text.replace(before, after))
    python = folder / "python"
    python.write_text(WRAPPER.format(python=sys.executable, folder=str(copy.parent)))
    python.chmod(0o755)
    return LandlockSandbox(python)


@pytest.mark.parametrize(
    ("module", "before", "after", "found"),
    [
        ("confine.py", "    rules.apply()\n", "", "read a file outside the workspace"),
        ("confine.py", "socket connect bind", "bind", "connect to this machine"),
        ("confine.py", "fields.scoped, size = _ALL_SCOPES, 24", "pass", "signal the process"),
        (
            "launcher.py",
            "        resource.setrlimit(",
            "        (lambda *_: None)(",
            "take more memory than allowed",
        ),
        (
            "supervise.py",
            "if not self._is_inside(",
            "if not (",
            "change a file outside the workspace",
        ),
    ],
)
async def test_the_self_test_finds_what_a_weaker_sandbox_lets_through(
    tmp_path: Path, module: str, before: str, after: str, found: str
) -> None:
    result = await changed(tmp_path, module, before, after).self_test()
    assert not result.holds
    assert found in result.detail


async def test_an_unchanged_copy_holds(tmp_path: Path) -> None:
    result = await changed(tmp_path, "confine.py", "_WORD", "_WORD").self_test()
    assert result.holds, result.detail


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("import pyseccomp", "import no_such_library", "no_such_library"),
        ("_LEAST_ABI = 2", "_LEAST_ABI = 99", "is too old"),
        ('"ptrace process', '"no_such_call ptrace process', "does not know no_such_call"),
    ],
)
async def test_a_machine_that_cannot_is_told_what_is_missing(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    result = await changed(tmp_path, "confine.py", before, after).self_test()
    assert not result.holds
    assert said in result.detail
    assert "apt-get install libseccomp2" in result.detail
