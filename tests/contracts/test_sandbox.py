"""What every sandbox does with a command."""

import asyncio
import os
import resource
import sys
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits, Sandbox
from swarm.sandbox.bubblewrap import BubblewrapSandbox
from swarm.sandbox.fake import FakeSandbox
from swarm.sandbox.landlock import LandlockSandbox
from swarm.sandbox.registry import SANDBOXES

SCRIPTED = FakeSandbox({
    "true": CommandResult(0, "", ""),
    "false": CommandResult(1, "", ""),
    "echo": lambda call: CommandResult(0, " ".join(call.argv[1:]) + "\n", ""),
    "touch": lambda call: CommandResult(int(call.argv[1].startswith("/usr")), "", ""),
    "sleep": CommandResult(124, "", "", is_timed_out=True),
})  # fmt: skip
MAKERS: dict[str, Sandbox] = {
    "bubblewrap": BubblewrapSandbox(),
    "landlock": LandlockSandbox(),
    "fake": SCRIPTED,
}
REAL = sorted(MAKERS.keys() - {"fake"})


@pytest.fixture(scope="module")
def impossible(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why this machine cannot make a sandbox, by its name."""
    found = {}
    for name, made in MAKERS.items():
        try:
            asyncio.run(made.run(["true"], workspace=tmp_path_factory.mktemp("try")))
        except ConfigError as error:
            found[name] = str(error)
    return found


@pytest.fixture(params=sorted(MAKERS))
def sandbox(request: pytest.FixtureRequest, impossible: dict[str, str]) -> Sandbox:
    if request.param in impossible:
        pytest.skip(impossible[request.param])
    return MAKERS[request.param]


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, impossible: dict[str, str]) -> Sandbox:
    if request.param in impossible:
        pytest.skip(impossible[request.param])
    return MAKERS[request.param]


def test_every_sandbox_of_the_room_is_held_to_this() -> None:
    assert sorted(MAKERS) == SANDBOXES.names()
    assert {name: made.name for name, made in MAKERS.items()} == {n: n for n in MAKERS}


async def test_the_end_of_a_command_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    assert (await sandbox.run(["true"], workspace=tmp_path)).exit_code == 0
    assert (await sandbox.run(["false"], workspace=tmp_path)).exit_code == 1


async def test_words_reach_the_program_as_they_are(sandbox: Sandbox, tmp_path: Path) -> None:
    result = await sandbox.run(["echo", "a b", "$HOME", ";id"], workspace=tmp_path)
    assert result == CommandResult(0, "a b $HOME ;id\n", "")


async def test_programs_can_be_used_but_not_changed(sandbox: Sandbox, tmp_path: Path) -> None:
    assert (await sandbox.run(["touch", "made"], workspace=tmp_path)).exit_code == 0
    assert (await sandbox.run(["touch", "/usr/made"], workspace=tmp_path)).exit_code == 1


async def test_a_command_over_its_time_ends_with_124(sandbox: Sandbox, tmp_path: Path) -> None:
    result = await sandbox.run(["sleep", "60"], workspace=tmp_path, limits=Limits(timeout_s=0.2))
    assert (result.exit_code, result.is_timed_out) == (124, True)


async def test_a_program_that_does_not_exist_is_a_tool_error(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    for argv in (["no-such-program"], []):
        with pytest.raises(ToolError):
            await sandbox.run(argv, workspace=tmp_path)


async def test_the_self_test_holds_where_commands_run(sandbox: Sandbox) -> None:
    result = await sandbox.self_test()
    assert result.holds, result.detail
    assert result.detail


async def sh(sandbox: Sandbox, script: str, folder: Path, **limits: float) -> CommandResult:
    return await sandbox.run(
        ["bash", "-c", script],
        workspace=folder,
        limits=Limits(**limits),  # type: ignore[arg-type]  # counts are whole where they must be
    )


async def test_the_workspace_is_the_current_folder(real: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("yes")
    assert (await sh(real, 'cat here "$(pwd)/here"', tmp_path)).stdout == "yesyes"


async def test_the_environment_is_not_inherited(
    real: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARM_LLM__API_KEY", "canary")
    script = f"env; cat /proc/1/environ /proc/{os.getpid()}/environ /proc/$PPID/environ"
    result = await sh(real, script, tmp_path)
    assert "canary" not in result.stdout + result.stderr
    names = {line.partition("=")[0] for line in result.stdout.replace("\0", "\n").splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_", ""}


async def test_there_is_a_home_and_a_temporary_folder_that_do_not_stay(
    real: Sandbox, tmp_path: Path
) -> None:
    script = 'for d in "$HOME" "${TMPDIR:-/tmp}"; do ls -A "$d"; echo x > "$d/left"; done'
    for _ in range(2):
        assert await sh(real, script, tmp_path) == CommandResult(0, "", "")


async def test_modes_and_times_of_files_can_be_set_in_the_workspace(
    real: Sandbox, tmp_path: Path
) -> None:
    script = """
    printf '#!/bin/sh\\necho ran' > tool && chmod +x tool && ./tool
    ln -s tool link; touch -h -d 2001-01-01 link; touch -d 2002-02-02 link; chmod -R go-rwx .
    python3 -I -c 'import os, shutil; shutil.copy2("tool", "copy"); os.utime("copy", (1, 2))
os.chmod("copy", 0o640, dir_fd=os.open(".", 0)); os.fchmod(os.open("copy", 0), 0o600)
os.utime(os.open("tool", 0), ns=(3, 4000000005))'
    """
    result = await sh(real, script, tmp_path)
    assert result == CommandResult(0, "ran\n", "")
    tool, copy, link = (tmp_path / name for name in ("tool", "copy", "link"))
    assert tool.stat().st_mode & 0o7777 == 0o700
    assert (tool.stat().st_atime_ns, tool.stat().st_mtime_ns) == (3, 4_000_000_005)
    assert (copy.stat().st_mode & 0o7777, copy.stat().st_mtime) == (0o600, 2)
    assert 978_000_000 < link.lstat().st_mtime < 979_000_000


async def test_an_output_of_a_gigabyte_leaves_our_memory_alone(
    real: Sandbox, tmp_path: Path
) -> None:
    # The way of an output is the same for all; one whole gigabyte is enough.
    size = 1024**3 if real.name == "bubblewrap" else 100 * 1024**2
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    script = f"echo first; head -c {size} /dev/zero; echo; echo last"
    result = await sh(real, script, tmp_path)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert result.exit_code == 0
    assert result.stdout.startswith("first\n")
    assert result.stdout.endswith("\nlast\n")
    assert f"[… {size + 12 - 64 * 1024:,} bytes cut …]" in result.stdout
    assert grown_mib < 50


# Those that fork know an end of their own: should a limit fail one day, the machine survives it.
BOMBS = {
    "fork bomb": (
        "b() { if [ $1 != 0 ]; then b $(($1 - 1)) & b $(($1 - 1)) & fi; sleep 2; }; b 10",
        "processes",
    ),
    "detached fork bomb": (
        "for i in $(seq 800); do setsid bash -c 'sleep 2 & sleep 2' & done; wait",
        "processes",
    ),
    "many files": ("i=0; while :; do : > f$((i++)); done", "more than 1,000 files"),
    "big files": (
        "i=0; while :; do i=$((i + 1)); head -c 9M /dev/zero > f$i; done",
        "more than 50 MiB of files",
    ),
    "a file without a name": (
        "exec 3>a 4>b 5>c; rm a b c; for i in 3 4 5; do head -c 40M /dev/zero >&$i; done; sleep 20",
        "more than 50 MiB of files",
    ),
    "memory of many": (
        "for i in 1 2 3 4 5 6; do (head -c 50M /dev/zero | tail -c 50M | (sleep 20; cat)) & done;"
        " wait",
        "more than 128 MiB of memory in all",
    ),
}


@pytest.mark.parametrize("bomb", sorted(BOMBS))
async def test_what_grows_without_end_is_ended_and_nothing_of_it_stays(
    real: Sandbox, tmp_path: Path, bomb: str
) -> None:
    script, sentence = BOMBS[bomb]
    workspace = tmp_path / "home" / "workspace"
    result = await sh(
        real, script, workspace,
        timeout_s=15, memory_mib=128, processes=40, disk_bytes=50 * 1024**2, files=1000,
    )  # fmt: skip
    if result.exit_code != 137:
        # The kernel itself may refuse the next process before anybody counts.
        assert sentence == "processes"
        assert "fork" in result.stderr
    else:
        assert sentence in result.stderr.splitlines()[-1]
    assert not working_in(workspace)


def working_in(folder: Path) -> list[int]:
    """Return the processes whose current folder this is."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            is_there = link.readlink().is_relative_to(folder)
        except OSError:
            continue
        if is_there or str(link.parent.name) == str(folder):
            found.append(int(link.parent.name))
    return found


async def test_one_file_cannot_be_larger_than_the_limit(real: Sandbox, tmp_path: Path) -> None:
    result = await sh(real, "head -c 30M /dev/zero > big", tmp_path, disk_bytes=10 * 1024**2)
    assert result.exit_code != 0
    assert (tmp_path / "big").stat().st_size <= 10 * 1024**2


async def test_a_workspace_that_is_too_full_can_be_emptied_but_not_filled(
    real: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "ws"
    folder.mkdir()
    for number in range(30):
        (folder / f"f{number}").write_bytes(b"x" * 1024**2)
    result = await sh(real, "rm f1*; sleep 0.4; ls | wc -l", folder, disk_bytes=10 * 1024**2)
    assert (result.exit_code, result.stdout.split()) == (0, ["19"])
    script = "for i in $(seq 20); do head -c 5M /dev/zero > g$i; done; sleep 20"
    result = await sh(real, script, folder, disk_bytes=10 * 1024**2, timeout_s=15)
    assert "MiB of files" in result.stderr


async def test_a_command_that_ends_takes_along_all_that_it_started(
    real: Sandbox, tmp_path: Path
) -> None:
    script = """
    sleep 1000 & setsid sleep 1000 & (setsid bash -c 'trap "" TERM HUP INT; sleep 1000 & sleep 1000' &)
    python3 -I -c 'import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)'
    exit 3
    """
    result = await sh(real, script, tmp_path)
    assert result == CommandResult(3, "", "")
    assert not working_in(tmp_path)


async def test_time_is_up_for_all_that_a_command_started(real: Sandbox, tmp_path: Path) -> None:
    script = "echo begun; setsid sleep 1000 & trap '' TERM; sleep 1000"
    result = await sh(real, script, tmp_path, timeout_s=1.5)
    assert result == CommandResult(124, "begun\n", "", is_timed_out=True)
    assert not working_in(tmp_path)


async def test_a_cancelled_command_is_gone_with_all_it_started(
    real: Sandbox, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "alive")
    reading = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    try:
        running = asyncio.ensure_future(
            sh(real, "exec 3> alive; echo yes >&3; sleep 1000 & sleep 1000", tmp_path)
        )
        await readable(reading)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        os.read(reading, 10)
        # The end of the file: no process has it open for writing any more.
        assert os.read(reading, 10) == b""
    finally:
        os.close(reading)


async def readable(descriptor: int) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    await event.wait()
    loop.remove_reader(descriptor)


PARENT = """
import asyncio, sys
from pathlib import Path
from swarm.sandbox.registry import SANDBOXES
sandbox = SANDBOXES.load(sys.argv[1])()
argv = ["bash", "-c", "exec 3> alive; echo yes >&3; setsid sleep 1000 & sleep 1000"]
asyncio.run(sandbox.run(argv, workspace=Path(sys.argv[2])))
"""


async def test_a_command_ends_when_who_started_it_is_killed(
    real: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, workspace = tmp_path / "tmp", tmp_path / "ws"
    for folder in (temporary, workspace):
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    os.mkfifo(workspace / "alive")
    reading = os.open(workspace / "alive", os.O_RDONLY | os.O_NONBLOCK)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, real.name, str(workspace)
    )
    try:
        await readable(reading)
        assert os.read(reading, 10) == b"yes\n"
        process.kill()
        await process.wait()
        await gone(reading)
    finally:
        os.close(reading)
    # The next one clears away what nobody was left to clear away, once the dead are buried: on a
    # busy machine init takes its time.
    async with asyncio.timeout(30):
        assert (await real.run(["true"], workspace=workspace)).exit_code == 0
        while groups_of(process.pid):
            assert (await real.run(["true"], workspace=workspace)).exit_code == 0
    async with asyncio.timeout(20):
        while os.listdir(temporary):  # noqa: ASYNC110, PTH208  # nobody tells us
            await asyncio.sleep(0.01)


def groups_of(pid: int) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"*/swarm-{pid}-*"))


async def gone(reading: int) -> None:
    """Wait until nobody has the other end of a pipe open any more."""
    async with asyncio.timeout(20):
        while True:
            try:
                if not os.read(reading, 10):
                    return
            except BlockingIOError:
                await readable(reading)


async def test_hidden_and_endless_folders_do_not_hide_what_they_hold(
    real: Sandbox, tmp_path: Path
) -> None:
    script = """
    import os
    for _ in range(5000):
        os.mkdir("d" * 200); os.chdir("d" * 200)
        open("f", "wb").write(bytes(100000))
    """
    result = await sh(
        real, f"python3 -I - <<'E'\n{_dedent(script)}\nE", tmp_path / "ws",
        disk_bytes=50 * 1024**2, timeout_s=20,
    )  # fmt: skip
    assert result.exit_code == 137
    assert "nested too deeply" in result.stderr or "MiB of files" in result.stderr
    # No library removes what is nested deeper than a path is long.
    removing = await asyncio.create_subprocess_exec("rm", "-rf", str(tmp_path / "ws"))
    assert await removing.wait() == 0


def _dedent(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())
