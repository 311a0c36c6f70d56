"""Which sandbox is used, and what the operator is told where none holds."""

import pytest

from swarm.core.errors import ConfigError
from swarm.core.registry import Registry
from swarm.sandbox.base import SelfTest
from swarm.sandbox.choose import PREFERRED, choose
from swarm.sandbox.fake import FakeSandbox
from swarm.sandbox.registry import SANDBOXES


class Weak(FakeSandbox):
    name = "weak"

    def __init__(self) -> None:
        super().__init__(self_test=SelfTest(holds=False, detail="a hole; install a patch"))


class Strong(FakeSandbox):
    name = "strong"


ROOM = Registry("sandbox", {name: f"{__name__}:{name.title()}" for name in ("weak", "strong")})


async def test_the_first_that_holds_is_taken() -> None:
    choice = await choose(("strong", "weak"), registry=ROOM)
    assert isinstance(choice.sandbox, Strong)
    assert list(choice.tests) == ["strong"]
    assert choice.detail == "strong: nothing runs in a fake"


async def test_one_that_does_not_hold_is_passed_over() -> None:
    choice = await choose(("weak", "strong"), registry=ROOM)
    assert isinstance(choice.sandbox, Strong)
    assert not choice.tests["weak"].holds


async def test_where_none_holds_the_operator_is_told_why_and_what_to_install() -> None:
    choice = await choose(("weak",), registry=ROOM)
    assert choice.sandbox is None
    assert "commands are off" in choice.detail
    assert "weak: a hole; install a patch" in choice.detail


async def test_none_at_all_is_said_too() -> None:
    assert (await choose((), registry=ROOM)).detail == "no sandbox is configured"


async def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'landlock'"):
        await choose(("landlok",))


def test_all_that_are_preferred_exist() -> None:
    assert set(PREFERRED) < set(SANDBOXES.names())
