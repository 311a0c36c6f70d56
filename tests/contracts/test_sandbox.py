"""What every sandbox does with a command."""

from pathlib import Path

import pytest

from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits, Sandbox
from swarm.sandbox.bubblewrap import BubblewrapSandbox
from swarm.sandbox.fake import FakeSandbox
from swarm.sandbox.registry import SANDBOXES

SCRIPTED = FakeSandbox({
    "true": CommandResult(0, "", ""),
    "false": CommandResult(1, "", ""),
    "echo": lambda call: CommandResult(0, " ".join(call.argv[1:]) + "\n", ""),
    "pwd": CommandResult(0, "/workspace\n", ""),
    "touch": lambda call: CommandResult(int(call.argv[1].startswith("/usr")), "", ""),
    "sleep": CommandResult(124, "", "", is_timed_out=True),
})  # fmt: skip
MAKERS: dict[str, Sandbox] = {"bubblewrap": BubblewrapSandbox(), "fake": SCRIPTED}


@pytest.fixture(params=sorted(MAKERS))
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    chosen = MAKERS[request.param]
    try:
        await chosen.run(["true"], workspace=tmp_path / "try")
    except ConfigError as error:
        pytest.skip(str(error))
    return chosen


def test_every_sandbox_of_the_room_is_held_to_this() -> None:
    assert sorted(MAKERS) == SANDBOXES.names()
    assert {name: made.name for name, made in MAKERS.items()} == {n: n for n in MAKERS}


async def test_the_end_of_a_command_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    assert (await sandbox.run(["true"], workspace=tmp_path)).exit_code == 0
    assert (await sandbox.run(["false"], workspace=tmp_path)).exit_code == 1


async def test_words_reach_the_program_as_they_are(sandbox: Sandbox, tmp_path: Path) -> None:
    result = await sandbox.run(["echo", "a b", "$HOME", ";id"], workspace=tmp_path)
    assert result == CommandResult(0, "a b $HOME ;id\n", "")


async def test_the_workspace_is_the_current_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    assert (await sandbox.run(["pwd"], workspace=tmp_path)).stdout == "/workspace\n"


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
