"""What the tool that runs Python scripts does."""

import asyncio
from pathlib import Path

import pytest

from swarm.core.errors import ToolError
from swarm.core.origin import Origin
from swarm.sandbox.base import CommandResult, Limits, Sandbox
from swarm.sandbox.bubblewrap import BubblewrapSandbox
from swarm.sandbox.fake import Call, FakeSandbox
from swarm.sandbox.landlock import LandlockSandbox
from swarm.tools.base import ToolContext, ToolResult, check_arguments
from swarm.tools.python import Python, PythonArguments


async def python(
    script: str, folder: Path, sandbox: Sandbox | None, origin: Origin = Origin.TEAM
) -> ToolResult:
    context = ToolContext(folder, role="cto", task_id="t1", sandbox=sandbox, origin=origin)
    return await Python().run(PythonArguments(script=script), context)


async def test_a_script_is_run_isolated_and_leaves_no_byte_code(tmp_path: Path) -> None:
    fake = FakeSandbox({"python3": CommandResult(0, "42\n", "")})
    result = await python("print(42)", tmp_path, fake, Origin.WEB)
    assert result == ToolResult("exit code 0\nstdout:\n42", origin=Origin.WEB)
    limits = Limits(timeout_s=60, output_bytes=16 * 1024)
    assert fake.calls == [Call(("python3", "-I", "-B", "-c", "print(42)"), tmp_path, limits)]


async def test_without_a_sandbox_the_model_is_told_that_commands_are_off(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="swarm doctor"):
        await python("print(42)", tmp_path, None)


async def test_a_script_too_long_for_a_command_is_to_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"100,003 bytes.*write it to a file"):
        await python("é" * 50_000 + "#..", tmp_path, FakeSandbox())


@pytest.mark.parametrize("arguments", ['{"script": ""}', '{"script": "1", "timeout_s": -1}'])
def test_a_script_and_a_time_are_needed(arguments: str) -> None:
    with pytest.raises(ToolError, match="python: "):
        check_arguments(Python(), arguments)


@pytest.fixture(scope="module", params=[BubblewrapSandbox, LandlockSandbox])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    made: Sandbox = request.param()
    test = asyncio.run(made.self_test())
    if not test.holds:
        pytest.skip(test.detail)
    return made


async def test_a_real_script_works_in_the_workspace(sandbox: Sandbox, tmp_path: Path) -> None:
    script = "import pathlib, sys\npathlib.Path('made').write_text('ünï')\nsys.exit('sorry')"
    result = await python(script, tmp_path / "ws", sandbox)
    assert result.content == "exit code 1\nstderr:\nsorry"
    assert (tmp_path / "ws" / "made").read_text() == "ünï"


async def test_modules_of_the_workspace_shadow_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    for name in ("json", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text("print('hostile')")
    result = await python("import json; print(json.dumps(1))", tmp_path, sandbox)
    assert result.content == "exit code 0\nstdout:\n1"


async def test_a_script_of_the_allowed_length_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    script = "print(len('" + "x" * 99_980 + "'))"
    result = await python(script, tmp_path / "ws", sandbox)
    assert result.content == "exit code 0\nstdout:\n99980"


async def test_a_script_with_nul_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="NUL"):
        await python("print('\0')", tmp_path, sandbox)
