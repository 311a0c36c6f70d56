"""Who work can be handed to."""

from pathlib import Path

import pytest

from swarm.core.errors import ToolError
from swarm.tools.base import Handoff, ToolContext, check_arguments
from swarm.tools.delegate import Delegate, DelegateArguments

CONTEXT = ToolContext(
    workspace=Path("unused"), role="cto", task_id="t1", colleagues=("ceo", "cto", "marketcom")
)


async def delegate(role: str, *, title: str = "Text", brief: str = "Write it.") -> Handoff:
    args = DelegateArguments(role=role, title=title, brief=brief)
    return await Delegate().run(args, CONTEXT)


async def test_a_colleague_is_handed_the_brief() -> None:
    assert await delegate("marketcom") == Handoff("marketcom", "Text", "Write it.")


@pytest.mark.parametrize("role", ["", "marketing", "MarketCom", "marketcom ", "*"])
async def test_an_unknown_colleague_is_refused_and_the_known_ones_are_named(role: str) -> None:
    with pytest.raises(ToolError, match=r"no colleague .*: ceo, marketcom$"):
        await delegate(role)


async def test_nobody_hands_work_to_themselves() -> None:
    with pytest.raises(ToolError, match=r"yourself.*: ceo, marketcom$"):
        await delegate("cto")


async def test_a_role_without_colleagues_is_told_so() -> None:
    alone = ToolContext(workspace=Path("unused"), role="cto", task_id="t1")
    with pytest.raises(ToolError, match="colleagues: none"):
        await Delegate().run(DelegateArguments(role="ceo", title="a", brief="b"), alone)


@pytest.mark.parametrize(("title", "brief"), [(" ", "b"), ("a", "\u202e"), ("\x1b", "b")])
async def test_a_hand_over_without_words_is_refused(title: str, brief: str) -> None:
    with pytest.raises(ToolError, match="need words"):
        await delegate("ceo", title=title, brief=brief)


async def test_signs_that_hide_words_are_taken_out_of_the_brief() -> None:
    assert (await delegate("ceo", brief="ab\u202ec\x1b[2J")).brief == "abc[2J"


def test_an_empty_brief_does_not_reach_the_tool() -> None:
    with pytest.raises(ToolError, match="brief"):
        check_arguments(Delegate(), '{"role": "ceo", "title": "a", "brief": ""}')
