"""The sandbox that runs nothing."""

from pathlib import Path

import pytest

from swarm.core.errors import ConfigError, ToolError
from swarm.sandbox.base import CommandResult, Limits, SelfTest
from swarm.sandbox.bubblewrap import BubblewrapSandbox
from swarm.sandbox.fake import Call, FakeSandbox
from swarm.sandbox.registry import SANDBOXES


async def test_each_call_is_recorded_and_answered_from_the_script() -> None:
    fake = FakeSandbox({
        "true": CommandResult(0, "", ""),
        "echo": lambda call: CommandResult(0, " ".join(call.argv[1:]), ""),
    })  # fmt: skip
    folder = Path("ws")
    limits = Limits(timeout_s=3)
    assert (await fake.run(["true"], workspace=folder)).exit_code == 0
    assert (await fake.run(["echo", "a", "b"], workspace=folder, limits=limits)).stdout == "a b"
    with pytest.raises(ToolError):
        await fake.run(["rm"], workspace=folder)
    assert fake.calls == [
        Call(("true",), folder, Limits()),
        Call(("echo", "a", "b"), folder, limits),
        Call(("rm",), folder, Limits()),
    ]


async def test_the_self_test_says_what_it_was_told() -> None:
    told = SelfTest(holds=False, detail="a hole")
    assert await FakeSandbox(self_test=told).self_test() == told


def test_sandboxes_are_found_by_name() -> None:
    assert SANDBOXES.load("bubblewrap") is BubblewrapSandbox
    assert SANDBOXES.load("fake") is FakeSandbox
    with pytest.raises(ConfigError, match="did you mean 'bubblewrap'"):
        SANDBOXES.load("bublewrap")
