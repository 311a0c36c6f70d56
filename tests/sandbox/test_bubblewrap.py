"""What a command can do inside bubblewrap's sandbox, and what comes out of it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits
from swarm.sandbox.bubblewrap import BubblewrapSandbox
from swarm.sandbox.cgroup import process_group


@pytest.fixture(autouse=True)
async def possible(tmp_path: Path) -> None:
    try:
        await BubblewrapSandbox().run(["true"], workspace=tmp_path / "try")
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "home" / "workspace"


async def sh(script: str, folder: Path, **limits: float) -> CommandResult:
    return await BubblewrapSandbox().run(
        ["sh", "-c", script],
        workspace=folder,
        limits=Limits(**limits),  # type: ignore[arg-type]  # counts are whole where they must be
    )


async def test_a_command_works_in_its_workspace_and_leaves_files_there(workspace: Path) -> None:
    result = await sh("pwd; echo text > page; cat page >&2; exit 3", workspace)
    assert result == CommandResult(3, "/workspace\n", "text\n")
    assert (workspace / "page").read_text() == "text\n"
    assert os.stat(workspace).st_mode & 0o777 == 0o700  # noqa: PTH116  # in memory, at once


async def test_nothing_of_the_machine_but_its_programs_is_there(workspace: Path) -> None:
    result = await sh("ls / /home /tmp /root /etc/passwd; ls -A /dev/shm", workspace)
    assert "/root" not in result.stdout
    assert "etc/passwd: No such file" in result.stderr.replace("'", "")
    names = set(result.stdout.split("\n\n")[0].split()[1:])
    assert names <= {"bin", "dev", "etc", "home", "lib", "lib32", "lib64", "proc", "sbin", "tmp",
                     "usr", "workspace"}  # fmt: skip


async def test_only_the_workspace_and_memory_can_be_written(workspace: Path) -> None:
    places = [
        "/",
        "/usr",
        "/usr/bin",
        "/dev",
        "/proc/self",
        "/proc/sys/kernel",
        "/etc",
        "/tmp",
        ".",
    ]
    script = "".join(f"(: > {place}/made) 2>&- && echo {place}; " for place in places)
    assert (await sh(script, workspace)).stdout.split() == ["/tmp", "."]


async def test_files_in_memory_do_not_pass_their_limit(workspace: Path) -> None:
    script = "for d in /tmp /home /dev/shm; do head -c 20M /dev/zero > $d/x; stat -c %s $d/x; done"
    result = await sh(script, workspace, memory_mib=64)
    assert [int(size) for size in result.stdout.split()] == [16 << 20] * 3


async def test_the_environment_is_not_inherited(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARM_LLM__API_KEY", "canary")
    result = await sh("env; cat /proc/[0-9]*/environ", workspace)
    assert "canary" not in result.stdout
    lines = result.stdout.replace("\0", "\n").splitlines()
    assert {line.partition("=")[0] for line in lines} <= {"PATH", "HOME", "LANG", "PWD", "_", ""}


async def test_no_capability_and_no_user_namespace_is_left(workspace: Path) -> None:
    result = await sh("grep -h Cap /proc/self/status; unshare -U true", workspace)
    assert set(result.stdout.split()[1::2]) == {"0" * 16}
    assert "unshare failed" in result.stderr


async def test_no_descriptor_of_ours_but_the_status_pipe_is_open_inside(workspace: Path) -> None:
    held = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        result = await sh("ls -l /proc/self/fd | grep -c hostname", workspace)
    finally:
        os.close(held)
    assert result.stdout.strip() == "0"


async def test_time_is_up_for_all_that_a_command_started(workspace: Path) -> None:
    result = await sh("echo begun; sleep 1000 & sleep 1000", workspace, timeout_s=0.5)
    assert result == CommandResult(124, "begun\n", "", is_timed_out=True)


async def test_what_a_command_leaves_running_ends_with_it(workspace: Path) -> None:
    result = await sh("sleep 1000 & exit 0", workspace, timeout_s=30)
    assert result == CommandResult(0, "", "")


@pytest.fixture
def alive(workspace: Path) -> Path:
    """A pipe in the workspace: whoever writes into it is alive."""
    workspace.mkdir(parents=True)
    os.mkfifo(workspace / "alive")
    return workspace / "alive"


@pytest.mark.parametrize("is_early", [True, False])
async def test_a_cancelled_command_is_gone_with_all_it_started(
    workspace: Path, alive: Path, is_early: bool
) -> None:
    script = "exec 3> alive; echo yes >&3; sleep 1000 & sleep 1000"
    # Open for both, so that opening does not wait; closed for writing once somebody else writes.
    holding = os.open(alive, os.O_RDWR | os.O_NONBLOCK)
    reading = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    running = asyncio.ensure_future(sh(script, workspace))
    try:
        if is_early:
            await asyncio.sleep(0)
        else:
            await _readable(reading)
            assert os.read(reading, 10) == b"yes\n"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        os.close(holding)
        holding = -1
        # The end of the file comes when no process has it open for writing any more.
        assert os.read(reading, 10) == b""
    finally:
        os.close(reading)
        if holding >= 0:
            os.close(holding)


DETACHED = """#!{python} -IS
import os, sys, time
if os.fork() == 0:
    os.setsid()
    with open({alive!r}, "w") as alive:
        alive.write("yes")
    time.sleep(0.3)
    words = [word for word in sys.argv[1:] if word != "--die-with-parent"]
    os.execve("/usr/bin/bwrap", ["bwrap", *words], {{}})
os.wait()
"""


async def test_a_command_cancelled_before_its_sandbox_is_bound_to_us_is_ended_too(
    tmp_path: Path, workspace: Path, alive: Path
) -> None:
    # For a moment after its start, the real one is as free as this launcher makes it for long.
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(DETACHED.format(python=sys.executable, alive=str(alive)))
    bwrap.chmod(0o755)
    reading = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    try:
        argv = ["sh", "-c", "exec 3> alive; echo >&3; sleep 20"]
        running = asyncio.ensure_future(BubblewrapSandbox(bwrap).run(argv, workspace=workspace))
        await _readable(reading)
        assert os.read(reading, 3) == b"yes"
        running.cancel()
        # Not awaited in a timeout: that would cancel it a second time, and hide that it hangs.
        done, _ = await asyncio.wait({running}, timeout=8)
        assert done
        assert running.cancelled()
        async with asyncio.timeout(8):
            while os.read(reading, 10):
                await _readable(reading)
    finally:
        os.close(reading)


async def _readable(descriptor: int) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    await event.wait()
    loop.remove_reader(descriptor)


async def test_output_of_any_length_is_cut_in_its_middle(workspace: Path) -> None:
    script = "echo first; head -c 30M /dev/zero | tr '\\0' x; echo; echo last"
    result = await sh(script, workspace, output_bytes=1000)
    assert result.exit_code == 0
    assert result.stdout.startswith("first\nxxx")
    assert result.stdout.endswith("xxx\nlast\n")
    assert f"[… {30 * 1024 * 1024 + 12 - 1000:,} bytes cut …]" in result.stdout
    assert len(result.stdout) < 1100


async def test_output_at_the_limit_is_whole(workspace: Path) -> None:
    assert (await sh("printf 12345678", workspace, output_bytes=8)).stdout == "12345678"


async def test_output_that_is_no_text_does_no_harm(workspace: Path) -> None:
    assert (await sh("printf 'a\\377b'", workspace)).stdout == "a\ufffdb"


async def test_a_process_cannot_pass_the_memory_limit(workspace: Path) -> None:
    result = await sh("head -c 300M /dev/zero | tail -c 300M | wc -c", workspace, memory_mib=128)
    assert "memory exhausted" in result.stderr


async def test_many_processes_together_cannot_pass_the_memory_limit(workspace: Path) -> None:
    hold = "(head -c 60M /dev/zero | tail -c 60M | (sleep 20; cat)) & "
    result = await sh(6 * hold + "wait", workspace, memory_mib=128)
    assert result.exit_code == 137
    assert result.stderr.endswith("[ended: more than 128 MiB of memory in all]")


async def test_there_cannot_be_more_processes_than_allowed(workspace: Path) -> None:
    script = "for i in $(seq 60); do sleep 20 & done; wait; echo through"
    result = await sh(script, workspace, processes=12)
    # The kernel refuses the next one; for root it does not, and the watch ends them all.
    assert "through" not in result.stdout
    assert "Cannot fork" in result.stderr or "more than 12 processes" in result.stderr


async def test_as_many_processes_as_allowed_live(workspace: Path) -> None:
    script = "for i in $(seq 8); do sleep 0.3 & done; wait; echo through"
    assert (await sh(script, workspace, processes=12)).stdout == "through\n"


@pytest.mark.parametrize("program", ["no-such-program", "/etc/passwd", "./missing", "/workspace"])
async def test_a_program_that_is_not_there_is_the_model_s_to_mend(
    workspace: Path, program: str
) -> None:
    with pytest.raises(ToolError, match="cannot run"):
        await BubblewrapSandbox().run([program], workspace=workspace)


@pytest.mark.parametrize("argv", [[], ["echo", "a\0b"]])
async def test_a_command_without_a_program_or_with_nul_is_refused(
    workspace: Path, argv: list[str]
) -> None:
    with pytest.raises(ToolError, match="NUL"):
        await BubblewrapSandbox().run(argv, workspace=workspace)


async def test_words_that_look_like_options_are_the_command_s(workspace: Path) -> None:
    result = await BubblewrapSandbox().run(
        ["echo", "--bind", "/", "/x", "--", "$HOME;`id`"], workspace=workspace
    )
    assert result.stdout == "--bind / /x -- $HOME;`id`\n"


async def test_exit_codes_and_words_like_the_launcher_s_are_taken_from_the_command(
    workspace: Path,
) -> None:
    result = await sh("echo bwrap: no >&2; exit 1", workspace)
    assert result == CommandResult(1, "", "bwrap: no\n")
    assert (await sh("exit 127", workspace)).exit_code == 127


async def test_a_workspace_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(ConfigError, match="is a link"):
        await BubblewrapSandbox().run(["true"], workspace=tmp_path / "link")


async def test_two_commands_do_not_see_each_other(tmp_path: Path) -> None:
    one, other = await asyncio.gather(
        sh("echo a > /tmp/x; echo a > x; sleep 0.2; ls /tmp . /proc/2[0-9]", tmp_path / "a"),
        sh("echo b > /tmp/y; echo b > y; sleep 0.2; ls /tmp . /proc/2[0-9]", tmp_path / "b"),
    )
    assert "y" not in one.stdout.split()
    assert "x" not in other.stdout.split()


async def test_the_self_test_holds() -> None:
    result = await BubblewrapSandbox().self_test()
    assert result.holds, result.detail


WEAK = """#!{python} -IS
import os, sys
words, environment = sys.argv[1:], {{}}
{change}
os.execve({bwrap!r}, ["bwrap", *words], environment)
"""
AT = "i = words.index('--bind'); words[i:i] = "


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (AT + "['--share-net']", "connect to this machine; connect to a local socket"),
        (AT + "['--bind', '/tmp', '/tmp']", "change a file outside the workspace; write outside"),
        (AT + "['--ro-bind', '/tmp', '/tmp']", "read a file outside the workspace"),
        ("environment = {'KEY': 'canary'}", "read another environment"),
        ("words = [w for w in words if not w.startswith('--data=')]", "take more memory"),
        (
            "i = words.index('--unshare-all'); words[i:i + 1] = ['--unshare-net', '--unshare-uts']",
            "signal the process that started it; share the machine's cgroup namespace",
        ),
    ],
)
async def test_the_self_test_finds_what_a_weaker_sandbox_lets_through(
    tmp_path: Path, change: str, found: str
) -> None:
    detail = await weakened(tmp_path, change)
    assert found in detail


@pytest.mark.skipif(os.getuid() != 0, reason="only root's files could be opened")
async def test_the_self_test_finds_settings_of_the_kernel_that_can_be_written(
    tmp_path: Path,
) -> None:
    change = "i = len(words) - words[::-1].index('/proc') - 1; del words[i - 1:i + 1]"
    assert "write the kernel's settings" in await weakened(tmp_path, change)


async def weakened(folder: Path, change: str) -> str:
    """Return what the self-test says of a bubblewrap whose words are changed on the way."""
    bwrap = folder / "bwrap"
    bwrap.write_text(WEAK.format(python=sys.executable, change=change, bwrap="/usr/bin/bwrap"))
    bwrap.chmod(0o755)
    result = await BubblewrapSandbox(bwrap).self_test()
    assert not result.holds
    return result.detail


def test_a_weak_sandbox_s_traces_are_removed(tmp_path: Path) -> None:
    home = str(Path.home())
    detail = asyncio.run(weakened(tmp_path, AT + f"['--bind', {home!r}, {home!r}]"))
    assert "write outside" in detail
    assert not list(Path.home().glob("swarm-probe-*"))


async def test_hooks_and_configuration_of_a_repository_cannot_be_changed(workspace: Path) -> None:
    (workspace / ".git" / "hooks").mkdir(parents=True)
    (workspace / ".git" / "config").write_text("[core]\n")
    script = """
    cd .git; echo x > hooks/post-checkout; echo x >> config; rm -rf config hooks; mv config c
    mv hooks h; ln -sf /x config; chmod 777 config hooks; cd ..; mv .git g; rm -rf .git; echo ok > new
    git init -q other && echo x > other/.git/hooks/post-checkout && cat other/.git/hooks/post-checkout
    """
    result = await sh(script, workspace)
    assert result.stdout == "x\n"
    assert (workspace / ".git" / "config").read_text() == "[core]\n"
    assert list((workspace / ".git" / "hooks").iterdir()) == []
    assert (workspace / "new").read_text() == "ok\n"


@pytest.mark.parametrize("link", [".git", ".git/hooks", ".git/config"])
async def test_a_link_in_a_repository_s_place_shows_nothing_of_outside(
    workspace: Path, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "hooks").mkdir(parents=True)
    (outside / "config").write_text("canary")
    place = workspace / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside / Path(link).name if "/" in link else outside)
    result = await sh("cat .git/config; ls .git/hooks/; echo x > .git/hooks/x; echo end", workspace)
    assert "canary" not in result.stdout
    assert result.stdout == "end\n"
    assert list((outside / "hooks").iterdir()) == []


async def test_a_runtime_that_reserves_much_and_uses_little_runs(workspace: Path) -> None:
    script = "import mmap; m = mmap.mmap(-1, 4 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 0); print(1)"
    result = await BubblewrapSandbox().run(["python3", "-I", "-c", script], workspace=workspace)
    assert result == CommandResult(0, "1\n", "")


async def test_no_descriptor_leads_out_of_a_sandbox_with_a_repository(workspace: Path) -> None:
    (workspace / ".git" / "hooks").mkdir(parents=True)
    script = "for p in self 1; do for f in /proc/$p/fd/*; do ls $f/../../.. && echo out; done; done"
    result = await sh(script + " 2>&-; ls /proc/self/fd /proc/1/fd", workspace)
    assert "out" not in result.stdout
    assert set(result.stdout.split()) <= {"/proc/self/fd:", "/proc/1/fd:", *map(str, range(12))}


async def test_commands_with_a_repository_have_the_workspace_for_themselves(
    workspace: Path,
) -> None:
    (workspace / ".git" / "hooks").mkdir(parents=True)
    script = "mkdir busy && sleep 0.2 && rmdir busy && echo alone"
    results = await asyncio.gather(*[sh(script, workspace) for _ in range(3)])
    assert [result.stdout for result in results] == ["alone\n"] * 3


async def test_commands_without_a_repository_run_side_by_side(workspace: Path) -> None:
    script = "touch $$-{me}; until ls *-{other}; do sleep 0.01; done"
    both = [script.format(me="a", other="b"), script.format(me="b", other="a")]
    results = await asyncio.gather(*[sh(text, workspace, timeout_s=20) for text in both])
    assert [result.exit_code for result in results] == [0, 0]


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
"""


async def test_one_process_more_than_allowed_is_refused_before_it_is_there(
    workspace: Path,
) -> None:
    async with process_group(9) as words:
        if os.getuid() == 0 and not words:
            pytest.skip("no control group can be made here, and root's processes are not counted")
    argv = ["python3", "-I", "-u", "-c", FORKS]
    limits = Limits(processes=10)
    result = await BubblewrapSandbox().run(argv, workspace=workspace, limits=limits)
    assert result.exit_code == 0
    assert 7 <= int(result.stdout) <= 10


async def test_a_control_group_is_gone_after_its_use() -> None:
    async with process_group(9) as words:
        if not words:
            pytest.skip("no control group can be made here")
        group = Path(words[-1]).parent
        assert (group / "pids.max").read_text() == "9\n"
    assert not group.exists()
